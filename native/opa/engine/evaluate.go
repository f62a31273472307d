package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Status is how an evaluation went.
type Status int

// The numbers are part of the C interface.
const (
	OK        Status = 0 // a JSON value
	Undefined Status = 1
	Failed    Status = 2 // a message
	TimedOut  Status = 3
	Pending   Status = 4 // the answer comes through Next, under the ticket
	Busy      Status = 5 // too many are pending
	BadHandle Status = 6
	BadInput  Status = 7 // a message
	Closed    Status = 8 // the handle was released
	Idle      Status = 9 // nothing came in the time that Next was given
)

const (
	// maxInline bounds the input of an evaluation on the caller's thread: builtins do not all look at their deadline,
	// but those in pure are about linear.
	maxInline = 64 << 10
	// maxOverruns is how many inline evaluations in a row may overrun before none is tried for slowFor.
	maxOverruns = 3
	slowFor     = time.Second
	value       = ast.Var("value")
)

// Answer is a status with what belongs to it: JSON for OK, a message for Failed and BadInput.
type Answer struct {
	Status Status
	Text   []byte
}

type compiled struct {
	body     ast.Body
	compiler ast.QueryCompiler
	answer   ast.Var // what the compiler made of `value`
}

// compileQuery prepares `value = data.…`.
func compileQuery(compiler *ast.Compiler, ref ast.Ref) (compiled, error) {
	query := compiler.QueryCompiler()
	body, err := query.Compile(ast.NewBody(ast.Equality.Expr(ast.VarTerm(string(value)), ast.NewTerm(ref))))
	if err != nil {
		return compiled{}, err
	}
	result := compiled{body: body, compiler: query, answer: value}
	for made, original := range query.RewrittenVars() {
		if original == value {
			result.answer = made
		}
	}
	return result, nil
}

// budget is a topdown.Cancel that looks at the clock itself, so that an evaluation needs neither timer nor goroutine
// to end in time. OPA asks at every step; the clock is read at every eighth.
type budget struct {
	until time.Time
	asked atomic.Uint32
	ended atomic.Bool

	// The rest is for an evaluation on the caller's thread.
	steps     uint32        // how many steps are allowed; 0 for any number
	processor time.Duration // processor time allowed past `until`: who was merely not scheduled is not cut off
	since     time.Duration // what the thread's processor clock said at `until`
}

func (b *budget) Cancel() { b.ended.Store(true) }

func (b *budget) Cancelled() bool {
	if b.ended.Load() {
		return true
	}
	asked := b.asked.Add(1)
	if b.steps > 0 && asked > b.steps || asked%8 == 0 && b.late() {
		b.ended.Store(true)
		return true
	}
	return false
}

func (b *budget) late() bool {
	switch {
	case time.Now().Before(b.until):
		return false
	case b.processor == 0:
		return true
	case b.since == 0:
		b.since = threadTime()
		return b.since == 0
	}
	return threadTime()-b.since > b.processor
}

// run evaluates once, within the budget; out is where the JSON is appended.
func (s *Set) run(input ast.Value, now int64, cancel *budget, out []byte) (answer Answer) {
	defer func() {
		if r := recover(); r != nil {
			answer = failed(fmt.Errorf("OPA failed: %v", r))
		}
	}()
	return s.answer(s.ask(input, now, cancel), cancel, out)
}

func (s *Set) ask(input ast.Value, now int64, cancel *budget) *topdown.Query {
	return topdown.NewQuery(s.query.body).WithQueryCompiler(s.query.compiler).WithCompiler(s.compiler).
		WithStore(s.store).WithTransaction(s.txn).WithMetrics(metrics.NoOp()).WithStrictBuiltinErrors(true).
		WithTime(time.Unix(0, now)).WithCancel(cancel).WithInput(ast.NewTerm(input))
}

func (s *Set) answer(query *topdown.Query, cancel *budget, out []byte) Answer {
	var result ast.Value
	err := query.Iter(context.Background(), func(found topdown.QueryResult) error {
		if term := found[s.query.answer]; term != nil {
			result = term.Value
		}
		return nil
	})
	switch {
	case err != nil && (topdown.IsCancel(err) || cancel.ended.Load()):
		return Answer{Status: TimedOut}
	case err != nil:
		return failed(err)
	case result == nil:
		return Answer{Status: Undefined}
	}
	text, err := encode(out, result, 0)
	if err == nil && len(text) > MaxResult {
		err = errResultSize
	}
	if err != nil {
		return failed(err)
	}
	return Answer{OK, text}
}

func failed(err error) Answer {
	var known *topdown.Error
	message := err.Error()
	if errors.As(err, &known) && known.Location != nil {
		message = fmt.Sprintf("%s:%d:%d: %s: %s", known.Location.File, known.Location.Row, known.Location.Col, known.Code, known.Message)
	}
	return Answer{Failed, []byte(message)}
}

// Evaluate answers at once, or with Pending and a ticket. input may be kept past the call (OPA caches patterns of
// regular expressions by their text), so it is memory of Go's own; scratch is where an answer at once is written. now is what time.now_ns() says; deadline counts from this call.
func (s *Set) Evaluate(input string, now int64, deadline time.Duration, scratch []byte) (Answer, int64) {
	if len(input) > MaxInput {
		return Answer{BadInput, fmt.Appendf(nil, "the input is longer than %d bytes", MaxInput)}, 0
	}
	start := time.Now()
	until := start.Add(deadline)
	if !s.mayRunInline(len(input), start) {
		return s.queue.start(s, input, now, until, min(time.Duration(s.options.InlineNS), deadline))
	}
	document, err := parse(input, s.reads, s.kept)
	if err != nil {
		return Answer{BadInput, []byte(err.Error())}, 0
	}
	inline := time.Duration(s.options.InlineNS)
	short := budget{steps: s.options.InlineSteps, until: start.Add(min(inline, deadline)), processor: inline}
	answer := s.run(document, now, &short, scratch)
	if answer.Status != TimedOut {
		s.overruns.Store(0)
		return answer, 0
	}
	if s.overruns.Add(1) >= maxOverruns {
		s.slowUntil.Store(start.Add(slowFor).UnixNano())
	}
	if time.Now().After(until) {
		return answer, 0
	}
	return s.queue.start(s, input, now, until, 0)
}

// mayRunInline tells whether the caller's thread may be used: for small inputs and pure builtins, unless the last few
// evaluations on it did not get done.
func (s *Set) mayRunInline(length int, now time.Time) bool {
	return s.inline && s.options.InlineSteps > 0 && length <= maxInline && now.UnixNano() >= s.slowUntil.Load()
}
