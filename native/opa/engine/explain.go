package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// maxEvents bounds a trace.
const maxEvents = 50_000

// recorder keeps the first events of a trace.
type recorder struct {
	events    []*topdown.Event
	truncated bool
}

func (r *recorder) Enabled() bool { return true }

func (r *recorder) Config() topdown.TraceConfig { return topdown.TraceConfig{PlugLocalVars: true} }

func (r *recorder) TraceEvent(event topdown.Event) {
	if len(r.events) == maxEvents {
		r.truncated = true
		return
	}
	r.events = append(r.events, &event)
}

// Outcome is what came of one rule during an evaluation.
type Outcome struct {
	Rule string `json:"rule"`
	File string `json:"file"`
	Row  int    `json:"row"`
	Col  int    `json:"col"`
	True bool   `json:"true"`
}

// Explanation is an answer and how it came about.
type Explanation struct {
	Answer    Answer
	Events    []*topdown.Event
	Truncated bool
	Rules     []Outcome // the rules that were looked at, in the order in which that happened
}

// Explain evaluates with a trace, and without the shortcuts that would leave rules unlooked at.
func (s *Set) Explain(input string, now int64, limit time.Duration) (explanation Explanation) {
	trace := &recorder{}
	defer func() {
		if r := recover(); r != nil {
			explanation = Explanation{Answer: failed(fmt.Errorf("OPA failed: %v", r))}
		}
	}()
	document, err := parse(input, everything, nil)
	if err != nil {
		return Explanation{Answer: Answer{BadInput, []byte(err.Error())}}
	}
	cancel := &budget{until: time.Now().Add(limit)}
	query := s.ask(document, now, cancel).WithIndexing(false).WithEarlyExit(false).WithQueryTracer(trace)
	answer := s.answer(query, cancel, nil)
	return Explanation{answer, trace.events, trace.truncated, outcomes(trace.events)}
}

// Replay evaluates one test with a trace, and without the shortcuts that would leave rules unlooked at.
func Replay(compiler *ast.Compiler, store storage.Store, test ast.Ref, limit time.Duration) (events []*topdown.Event) {
	trace := &recorder{}
	defer func() {
		if r := recover(); r != nil {
			events = nil
		}
	}()
	query, err := compileQuery(compiler, test)
	if err != nil {
		return nil
	}
	ctx := context.Background()
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return nil
	}
	defer store.Abort(ctx, txn)
	set := &Set{compiler: compiler, store: store, txn: txn, query: query}
	cancel := &budget{until: time.Now().Add(limit)}
	set.answer(set.ask(ast.NewObject(), time.Now().UnixNano(), cancel).
		WithIndexing(false).WithEarlyExit(false).WithQueryTracer(trace), cancel, nil)
	return trace.events
}

func outcomes(events []*topdown.Event) []Outcome {
	list := []Outcome{}
	index := map[*ast.Location]int{}
	for _, event := range events {
		rule, ok := event.Node.(*ast.Rule)
		if !ok || rule.Location == nil || event.Op != topdown.EnterOp && event.Op != topdown.ExitOp {
			continue
		}
		place, seen := index[rule.Location]
		if !seen {
			place = len(list)
			index[rule.Location] = place
			at := rule.Location
			list = append(list, Outcome{Rule: rule.Head.Ref().String(), File: at.File, Row: at.Row, Col: at.Col})
		}
		if event.Op == topdown.ExitOp {
			list[place].True = true
		}
	}
	return list
}
