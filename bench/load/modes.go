package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

type report struct {
	Mode      string           `json:"mode"`
	Seconds   float64          `json:"seconds"`
	Requests  uint64           `json:"requests"`
	Errors    uint64           `json:"errors"`
	Non2xx    uint64           `json:"non_2xx"`
	First     string           `json:"first_failure,omitempty"`
	PerSecond float64          `json:"per_second"`
	P50       float64          `json:"p50_ms"`
	P90       float64          `json:"p90_ms"`
	P99       float64          `json:"p99_ms"`
	Max       float64          `json:"max_ms"`
	Processes map[string]usage `json:"processes"`
}

// run is what the workers of one measurement share.
type run struct {
	options
	config   *tls.Config
	tokens   []string
	prover   *prover
	deadline time.Time
	counting atomic.Bool
	stopped  atomic.Bool
	number   atomic.Uint64
	mutex    sync.Mutex
	latency  histogram
	result   report
}

const grace = 20 * time.Second // no operation of a run outlasts its end by more

func newRun(o options) (*run, error) {
	config, err := clientTLS(o)
	if err != nil {
		return nil, err
	}
	r := &run{options: o, config: config, deadline: time.Now().Add(o.warmup + o.duration + grace)}
	r.result.Mode = o.mode
	if o.proofKey != "" {
		if r.prover, err = newProver(o.proofKey); err != nil {
			return nil, err
		}
	}
	shown := o.tokens + o.cookies
	if shown == "" {
		return r, nil
	}
	text, err := os.ReadFile(shown)
	if err != nil {
		return nil, err
	}
	for token := range bytes.FieldsSeq(text) {
		r.tokens = append(r.tokens, string(token))
	}
	return r, nil
}

func (r *run) token(worker int) string {
	if len(r.tokens) == 0 {
		return ""
	}
	return r.tokens[worker%len(r.tokens)]
}

func (r *run) dial(worker int) (*client, error) {
	return dial(r.options, r.config, r.token(worker), r.prover, r.deadline)
}

func (r *run) nextPath(path []byte) []byte {
	if !r.unique {
		return append(path[:0], r.path...)
	}
	return strconv.AppendUint(append(path[:0], "/api/items/"...), r.number.Add(1), 10)
}

func (r *run) failed(err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var status statusError
	if errors.As(err, &status) {
		r.result.Non2xx++
	} else {
		r.result.Errors++
	}
	if r.result.First == "" {
		r.result.First = err.Error()
	}
}

// measure starts the workers, warms up, counts for the duration and stops them.
func (r *run) measure(worker func(number int)) (report, error) {
	var workers sync.WaitGroup
	for number := range r.connections {
		workers.Go(func() { worker(number) })
	}
	time.Sleep(r.warmup)
	before, err := readUsage(r.watch)
	if err != nil {
		return r.result, err
	}
	begin := time.Now()
	r.counting.Store(true)
	time.Sleep(r.duration)
	r.counting.Store(false)
	r.result.Seconds = time.Since(begin).Seconds()
	after, err := readUsage(r.watch)
	r.stopped.Store(true)
	workers.Wait()
	if err != nil {
		return r.result, err
	}
	r.result.Processes = since(before, after)
	r.summarise()
	return r.result, nil
}

func (r *run) summarise() {
	h := &r.latency
	r.result.Requests = h.total
	r.result.PerSecond = float64(h.total) / r.result.Seconds
	r.result.P50, r.result.P90, r.result.P99 = h.percentile(50), h.percentile(90), h.percentile(99)
	r.result.Max = float64(h.max.Microseconds()) / 1000
	if h.total == 0 && r.result.First == "" {
		r.result.Errors, r.result.First = 1, "no request was completed"
	}
}

func runLoad(o options) (report, error) {
	r, err := newRun(o)
	if err != nil {
		return report{}, err
	}
	return r.measure(r.keepAlive)
}

// keepAlive asks on one connection until the run ends; the first failure ends its connection.
func (r *run) keepAlive(number int) {
	c, err := r.dial(number)
	if err != nil {
		r.failed(err)
		return
	}
	defer c.conn.Close()
	var own histogram
	var path []byte
	for !r.stopped.Load() {
		path = r.nextPath(path)
		begin := time.Now()
		if err := c.ask(path); err != nil {
			r.failed(err)
			break
		}
		if r.counting.Load() {
			own.add(time.Since(begin))
		}
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.latency.merge(&own)
}

func runHandshakes(o options) (report, error) {
	r, err := newRun(o)
	if err != nil {
		return report{}, err
	}
	return r.measure(r.connectAgain)
}

// connectAgain makes a new connection for each request: a full handshake with both certificates.
func (r *run) connectAgain(number int) {
	var own histogram
	var path []byte
	for !r.stopped.Load() {
		path = r.nextPath(path)
		begin := time.Now()
		c, err := r.dial(number)
		if err == nil {
			err = c.ask(path)
			_ = c.conn.Close()
		}
		if err != nil {
			r.failed(err)
			break
		}
		if r.counting.Load() {
			own.add(time.Since(begin))
		}
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.latency.merge(&own)
}

const settle = 2 * time.Second // buffers of the last handshakes are gone by then

// runIdle reads the processes' memory, opens connections that have each asked once, and reads it again. Both
// readings are printed as one report: the difference of RSSKB is what the idle connections cost.
func runIdle(o options) (report, error) {
	o.duration = 60 * time.Second
	r, err := newRun(o)
	if err != nil {
		return report{}, err
	}
	before, err := readUsage(r.watch)
	if err != nil {
		return report{}, err
	}
	held := make([]*client, o.idle)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range o.connections {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(o.idle); i = next.Add(1) - 1 {
				held[i] = r.holdOne(int(i))
			}
		})
	}
	workers.Wait()
	time.Sleep(settle)
	after, err := readUsage(r.watch)
	if err != nil {
		return report{}, err
	}
	r.result.Processes = map[string]usage{}
	for name, now := range after {
		now.RSSKB -= before[name].RSSKB
		now.PSSKB -= before[name].PSSKB
		now.CPUSeconds -= before[name].CPUSeconds
		r.result.Processes[name] = now
	}
	r.checkStillOpen(held)
	return r.result, nil
}

func (r *run) holdOne(number int) *client {
	c, err := r.dial(number)
	if err == nil {
		c.buffer = c.buffer[:16<<10]
		err = c.ask(r.nextPath(nil))
	}
	if err != nil {
		r.failed(err)
		return nil
	}
	c.buffer = nil
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.result.Requests++
	return c
}

// checkStillOpen refuses a figure made by a proxy that closed the connections it was measured with.
func (r *run) checkStillOpen(held []*client) {
	for _, c := range held {
		if c == nil {
			continue
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(time.Millisecond / 10))
		if _, err := c.conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			r.failed(errors.New("an idle connection was closed or sent something"))
		}
		_ = c.conn.Close()
	}
}
