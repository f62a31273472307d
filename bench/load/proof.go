package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// prover makes a DPoP proof (RFC 9449) for each request, signed as it is sent: about 30 µs of the load's core, less
// than what verifying one takes of the proxy's.
type prover struct {
	key     *ecdsa.PrivateKey
	header  string // encoded, with the dot behind it
	run     string
	counted atomic.Uint64
}

var encoding = base64.RawURLEncoding

func newProver(path string) (*prover, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no key in " + path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve.Params().BitSize != 256 {
		return nil, errors.New("not a P-256 key: " + path)
	}
	var x, y [32]byte
	key.X.FillBytes(x[:])
	key.Y.FillBytes(y[:])
	jwk := `{"kty":"EC","crv":"P-256","x":"` + encoding.EncodeToString(x[:]) + `","y":"` + encoding.EncodeToString(y[:]) + `"}`
	header := encoding.EncodeToString([]byte(`{"typ":"dpop+jwt","alg":"ES256","jwk":` + jwk + `}`))
	return &prover{key: key, header: header + ".", run: strconv.FormatInt(time.Now().UnixNano(), 36)}, nil
}

// field is the line of a request's head that proves the key.
func (p *prover) field(method, url, tokenHash string) ([]byte, error) {
	id := p.run + "-" + strconv.FormatUint(p.counted.Add(1), 10)
	payload := `{"jti":"` + id + `","htm":"` + method + `","htu":"` + url + `","iat":` +
		strconv.FormatInt(time.Now().Unix(), 10) + `,"ath":"` + tokenHash + `"}`
	signed := p.header + encoding.EncodeToString([]byte(payload))
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	if err != nil {
		return nil, err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return []byte("DPoP: " + signed + "." + encoding.EncodeToString(signature[:]) + "\r\n"), nil
}

func hashOf(token string) string {
	digest := sha256.Sum256([]byte(token))
	return encoding.EncodeToString(digest[:])
}
