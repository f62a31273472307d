// Command load puts one proxy under load over mTLS: a closed loop on keep-alive connections, full handshakes,
// or connections that only stay open. It prints one JSON object and ends with 1 where any answer was not the
// expected one: a benchmark of refusals measures nothing.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

type options struct {
	address, serverName, host, path, mode string
	certificate, key, serverCertificate   string
	tokens, cookies, proofKey, watch      string
	connections, idle, expect, upload     int
	unique, browser                       bool
	warmup, duration                      time.Duration
}

func parse() options {
	var o options
	flag.StringVar(&o.mode, "mode", "load", "load | handshakes | idle")
	flag.StringVar(&o.address, "address", "", "host:port of the proxy")
	flag.StringVar(&o.serverName, "server-name", "bench.example", "name for SNI and Host")
	flag.StringVar(&o.path, "path", "/api/items/1", "path asked for; with -unique its number is replaced")
	flag.StringVar(&o.certificate, "certificate", "", "client certificate, PEM")
	flag.StringVar(&o.key, "key", "", "client key, PEM")
	flag.StringVar(&o.serverCertificate, "server-certificate", "", "the one certificate the proxy must show, PEM")
	flag.StringVar(&o.tokens, "tokens", "", "file of bearer tokens, one a line, dealt out to the connections")
	flag.StringVar(&o.cookies, "cookies", "", "file of sessions' cookies, name=value, in place of tokens")
	flag.StringVar(&o.proofKey, "proof-key", "", "P-256 key, PEM: the tokens are bound to it, each request proves it (DPoP)")
	flag.StringVar(&o.watch, "watch", "", "name=pid,pid;name=pid: processes whose time and memory is read")
	flag.IntVar(&o.connections, "connections", 32, "connections at a time")
	flag.IntVar(&o.idle, "idle", 2000, "connections held open in mode idle, until standard input ends")
	flag.IntVar(&o.expect, "expect", 800, "bytes in each answer's body")
	flag.IntVar(&o.upload, "upload", 0, "bytes of content in each request, which is then a POST")
	flag.BoolVar(&o.unique, "unique", false, "another path with each request")
	flag.BoolVar(&o.browser, "browser", false, "ten more fields, as a browser sends them")
	flag.DurationVar(&o.warmup, "warmup", time.Second, "not counted")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "counted")
	flag.Parse()
	return o
}

func main() {
	debug.SetGCPercent(800)
	o := parse()
	run, known := map[string]func(options) (report, error){
		"load": runLoad, "handshakes": runHandshakes, "idle": runIdle,
	}[o.mode]
	if !known {
		fail(fmt.Errorf("unknown mode %q", o.mode))
	}
	result, err := run(o)
	if err != nil {
		fail(err)
	}
	print(result)
	if result.Errors+result.Non2xx > 0 {
		fail(fmt.Errorf("%d errors, %d answers other than 2xx; the first: %s", result.Errors, result.Non2xx, result.First))
	}
}

func print(result report) {
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", strings.TrimSpace(err.Error()))
	os.Exit(1)
}
