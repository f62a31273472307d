package main

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Pinned alike for every row; a proxy that negotiates anything else is an error, not a faster row.
const (
	pinnedVersion = tls.VersionTLS13
	pinnedSuite   = tls.TLS_AES_128_GCM_SHA256
	pinnedCurve   = tls.X25519
)

var browserFields = strings.Join([]string{
	"sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"",
	"sec-ch-ua-mobile: ?0",
	"sec-ch-ua-platform: \"Linux\"",
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Sec-Fetch-Site: same-origin",
	"Sec-Fetch-Mode: cors",
	"Sec-Fetch-Dest: empty",
	"Referer: https://bench.example/app/dashboard",
	"Cache-Control: no-cache",
}, "\r\n") + "\r\n"

// clientTLS never resumes: crypto/tls resumes only with a ClientSessionCache, and there is none.
func clientTLS(o options) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(o.certificate, o.key)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(o.serverCertificate)
	if err != nil {
		return nil, err
	}
	expected, _ := pem.Decode(text)
	if expected == nil {
		return nil, errors.New("no certificate in " + o.serverCertificate)
	}
	return &tls.Config{
		Certificates:       []tls.Certificate{pair},
		ServerName:         o.serverName,
		MinVersion:         pinnedVersion,
		CurvePreferences:   []tls.CurveID{pinnedCurve},
		NextProtos:         []string{"http/1.1"},
		InsecureSkipVerify: true, // the leaf itself is compared below, which is stricter and costs the load core less
		VerifyConnection: func(state tls.ConnectionState) error {
			switch {
			case !bytes.Equal(state.PeerCertificates[0].Raw, expected.Bytes):
				return errors.New("the proxy showed another certificate")
			case state.CipherSuite != pinnedSuite:
				return errors.New("cipher suite is " + tls.CipherSuiteName(state.CipherSuite))
			case state.CurveID != pinnedCurve:
				return fmt.Errorf("curve is %v", state.CurveID)
			case state.DidResume:
				return errors.New("the session was resumed")
			}
			return nil
		},
	}, nil
}

type client struct {
	conn    *tls.Conn
	head    []byte // request up to the path
	tail    []byte // request after the path
	request []byte
	buffer  []byte
	content []byte // sent after the head
	prover  *prover
	method  string
	origin  string // of what is asked for
	hash    string // of the token
	expect  int
}

var errBody = errors.New("answer's length")

type statusError int

func (s statusError) Error() string { return "status " + strconv.Itoa(int(s)) }

func dial(o options, config *tls.Config, token string, prover *prover, deadline time.Time) (*client, error) {
	dialer := net.Dialer{Deadline: deadline}
	raw, err := dialer.Dial("tcp", o.address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := errors.Join(conn.SetDeadline(deadline), conn.Handshake()); err != nil {
		_ = raw.Close()
		return nil, err
	}
	fields := " HTTP/1.1\r\nHost: " + o.serverName + "\r\nUser-Agent: bench\r\nAccept: application/json\r\n"
	if o.cookies != "" {
		fields += "Cookie: " + token + "\r\n"
	} else if token != "" {
		scheme := "Bearer "
		if prover != nil {
			scheme = "DPoP "
		}
		fields += "Authorization: " + scheme + token + "\r\n"
	}
	if o.browser {
		fields += browserFields
	}
	method := "GET "
	if o.upload > 0 {
		method = "POST "
		fields += "Content-Type: application/octet-stream\r\nContent-Length: " + strconv.Itoa(o.upload) + "\r\n"
	}
	return &client{
		prover: prover, method: strings.TrimSpace(method), origin: "https://" + o.serverName, hash: hashOf(token),
		conn: conn, head: []byte(method), tail: []byte(fields + "\r\n"),
		buffer: make([]byte, 64<<10), content: make([]byte, o.upload), expect: o.expect,
	}, nil
}

// ask sends one request and reads its whole answer.
func (c *client) ask(path []byte) error {
	c.request = append(append(append(c.request[:0], c.head...), path...), c.tail...)
	if c.prover != nil {
		field, err := c.prover.field(c.method, c.origin+string(path), c.hash)
		if err != nil {
			return err
		}
		c.request = append(append(c.request[:len(c.request)-2], field...), "\r\n"...)
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	if len(c.content) > 0 {
		if _, err := c.conn.Write(c.content); err != nil {
			return err
		}
	}
	rest, status, err := c.readHead()
	if err != nil {
		return err
	}
	for rest > 0 {
		n, err := c.conn.Read(c.buffer)
		rest -= n
		if err != nil {
			return err
		}
	}
	if rest < 0 {
		return errors.New("bytes after the answer")
	}
	return status
}

// readHead reads up to the end of the answer's head and gives how many bytes of its body are still to come.
func (c *client) readHead() (rest int, status, err error) {
	for have := 0; ; {
		n, err := c.conn.Read(c.buffer[have:])
		have += n
		if err != nil {
			return 0, nil, err
		}
		end := bytes.Index(c.buffer[:have], []byte("\r\n\r\n"))
		if end < 0 {
			if have == len(c.buffer) {
				return 0, nil, errors.New("an answer's head without end")
			}
			continue
		}
		body, err := contentLength(c.buffer[:end+2])
		if err != nil {
			return 0, nil, err
		}
		if status = checkStatus(c.buffer[:end]); status == nil && body != c.expect {
			return 0, nil, fmt.Errorf("%w is %d, not %d", errBody, body, c.expect)
		}
		return end + 4 + body - have, status, nil
	}
}

func checkStatus(head []byte) error {
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return fmt.Errorf("not an answer: %.40q", head)
	}
	code, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return err
	}
	if code < 200 || code > 299 {
		return statusError(code)
	}
	return nil
}

var lengthName = []byte("content-length:")

// contentLength finds the one way these answers are delimited, without a map or a copy of each field.
func contentLength(head []byte) (int, error) {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if len(line) > len(lengthName) && bytes.EqualFold(line[:len(lengthName)], lengthName) {
			return strconv.Atoi(string(bytes.TrimSpace(line[len(lengthName):])))
		}
	}
	return 0, errors.New("an answer without Content-Length")
}
