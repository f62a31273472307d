package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// queue evaluates off the caller's thread: so many at once, so many more waiting, each answered exactly once and at
// its deadline at the latest, even where a builtin does not look at the deadline.
type queue struct {
	limit   int32
	held    atomic.Int32  // evaluations running, or with an answer that nobody fetched
	running chan struct{} // a token for each that may run at once
	answers chan ticketed
	tickets atomic.Int64
	closed  chan struct{}
	once    sync.Once
}

type ticketed struct {
	answer Answer
	ticket int64
	done   func()
}

func newQueue(limit, parallel int) *queue {
	return &queue{
		limit:   int32(min(limit, 1<<16)),
		running: make(chan struct{}, parallel),
		answers: make(chan ticketed, min(limit, 1<<16)),
		closed:  make(chan struct{}),
	}
}

// errand is one evaluation under way. Two parties hold it: the goroutine that evaluates, and whoever is to fetch the
// answer; when both are done its place is free.
type errand struct {
	queue   *queue
	mu      sync.Mutex
	ticket  int64 // 0 while the caller still waits
	settled bool
	answer  chan Answer
	holders atomic.Int32
}

func (e *errand) release() {
	if e.holders.Add(-1) == 0 {
		e.queue.held.Add(-1)
	}
}

// settle delivers the first answer and drops any later one.
func (e *errand) settle(answer Answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settled {
		return
	}
	e.settled = true
	if e.ticket == 0 {
		e.answer <- answer // has room
		return
	}
	e.queue.answers <- ticketed{answer, e.ticket, e.release} // has room: as many as may be held
}

// start begins an evaluation and waits a little for it; what is not done by then is Pending.
func (q *queue) start(set *Set, input string, now int64, until time.Time, wait time.Duration) (Answer, int64) {
	if q.held.Add(1) > q.limit {
		q.held.Add(-1)
		return Answer{Status: Busy}, 0
	}
	e := &errand{queue: q, answer: make(chan Answer, 1)}
	e.holders.Store(2)
	go q.evaluate(e, set, input, now, until)
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case answer := <-e.answer:
			e.release()
			return answer, 0
		case <-timer.C:
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settled {
		e.release()
		return <-e.answer, 0
	}
	e.ticket = q.tickets.Add(1)
	return Answer{Status: Pending}, e.ticket
}

func (q *queue) evaluate(e *errand, set *Set, input string, now int64, until time.Time) {
	defer e.release()
	defer func() {
		if r := recover(); r != nil {
			e.settle(failed(fmt.Errorf("OPA failed: %v", r)))
		}
	}()
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	overdue := context.AfterFunc(ctx, func() { e.settle(Answer{Status: TimedOut}) })
	defer overdue()
	select {
	case q.running <- struct{}{}:
		defer func() { <-q.running }()
	case <-ctx.Done():
		return
	case <-q.closed:
		e.settle(Answer{Status: Closed})
		return
	}
	document, err := parse(input, set.reads, set.kept)
	if err != nil {
		e.settle(Answer{BadInput, []byte(err.Error())})
		return
	}
	answer := set.run(document, now, &budget{until: until}, nil)
	if !overdue() {
		return // the deadline answered
	}
	e.settle(answer)
}

// Next gives the next answer that was pending, or Idle, or Closed once the set is released.
func (s *Set) Next(wait time.Duration) (Answer, int64) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case got := <-s.queue.answers:
		got.done()
		return got.answer, got.ticket
	case <-s.queue.closed:
		return Answer{Status: Closed}, 0
	case <-timer.C:
		return Answer{Status: Idle}, 0
	}
}

// Close ends the set: Next says Closed from now on. Evaluations under way go on to their deadline unheard.
func (s *Set) Close() {
	s.queue.once.Do(func() { close(s.queue.closed) })
}
