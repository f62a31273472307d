package engine

import (
	"strings"
	"sync"
	"testing"
	"time"
)

const slowRules = `package z
decision := count([1 |
	some i in numbers.range(1, 100000)
	some j in numbers.range(1, 100000)
	i + j == input.a
])
`

func TestSlowIsPendingAndEndsAtItsDeadline(t *testing.T) {
	set := load(t, map[string]string{"a.rego": slowRules})
	start := time.Now()
	answer, ticket := set.Evaluate(`{"a": -1}`, 1, 200*time.Millisecond, nil)
	if answer.Status != Pending || ticket == 0 || time.Since(start) > 150*time.Millisecond {
		t.Fatal(answer.Status, ticket, time.Since(start))
	}
	answer, found := set.Next(5 * time.Second)
	if answer.Status != TimedOut || found != ticket || time.Since(start) < 190*time.Millisecond {
		t.Fatal(answer, found, time.Since(start))
	}
}

func TestNoMoreThanSoManyArePending(t *testing.T) {
	set := load(t, map[string]string{"a.rego": slowRules}, func(o *Options) { o.MaxPending, o.InlineSteps, o.InlineNS = 2, 0, 0 })
	for range 2 {
		if answer, _ := set.Evaluate(`{"a": -1}`, 1, 500*time.Millisecond, nil); answer.Status != Pending {
			t.Fatal(answer.Status)
		}
	}
	if answer, _ := set.Evaluate(`{"a": -1}`, 1, 500*time.Millisecond, nil); answer.Status != Busy {
		t.Fatal(answer.Status)
	}
	for range 2 {
		if answer, _ := set.Next(5 * time.Second); answer.Status != TimedOut {
			t.Fatal(answer.Status)
		}
	}
	until := time.Now().Add(5 * time.Second) // a place is free once the goroutine has ended too
	for set.queue.held.Load() > 0 && time.Now().Before(until) {
		time.Sleep(time.Millisecond)
	}
	if held := set.queue.held.Load(); held != 0 {
		t.Fatal(held, "places are still held")
	}
}

func TestBuiltinThatIgnoresItsDeadlineIsNotWaitedFor(t *testing.T) {
	// yaml.unmarshal is not pure, so it never runs on the caller's thread, and does not look at the deadline.
	set := load(t, map[string]string{"a.rego": `package z
decision := count(yaml.unmarshal(concat("", [input.a, input.a, input.a, input.a])))
`})
	items := make([]byte, 0, 600_000)
	for len(items) < 590_000 {
		items = append(items, "- 1\\n"...)
	}
	start := time.Now()
	answer, _ := set.Evaluate(`{"a": "`+string(items)+`"}`, 1, 20*time.Millisecond, nil)
	if answer.Status == Pending {
		answer, _ = set.Next(5 * time.Second)
	}
	if answer.Status != TimedOut || time.Since(start) > time.Second {
		t.Fatal(answer.Status, string(answer.Text), time.Since(start))
	}
}

func TestReleaseEndsNext(t *testing.T) {
	set := load(t, map[string]string{"a.rego": slowRules})
	ended := make(chan Status)
	go func() { answer, _ := set.Next(time.Minute); ended <- answer.Status }()
	set.Close()
	set.Close()
	if status := <-ended; status != Closed {
		t.Fatal(status)
	}
}

func TestSlowSetIsNotTriedInlineAgainAndAgain(t *testing.T) {
	set := load(t, map[string]string{
		"a.rego":    "package z\ndecision := count([1 | some i in data.n; some j in data.n; i + j == input.a])\n",
		"data.json": `{"n": [0` + strings.Repeat(", 1", 3000) + `]}`,
	})
	if !set.mayRunInline(10, time.Now()) {
		t.Fatal("not inline to begin with")
	}
	for range maxOverruns {
		start := time.Now()
		answer, _ := set.Evaluate(`{"a": -1}`, 1, 500*time.Millisecond, nil)
		if answer.Status != Pending || set.overruns.Load() == 0 {
			t.Fatal(answer.Status, time.Since(start))
		}
	}
	if set.mayRunInline(10, time.Now()) || !set.mayRunInline(10, time.Now().Add(2*slowFor)) {
		t.Fatal("overruns are not counted")
	}
}

func TestThreadsDoNotMix(t *testing.T) {
	set := load(t, map[string]string{"a.rego": "package z\ndecision := {\"a\": input.a, \"n\": count([1 | some i in data.n; i > 0])}\n",
		"data.json": `{"n": [` + strings.Repeat("1,", 49) + "1]}"}, func(o *Options) { o.InlineNS = second })
	var group sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		group.Go(func() {
			for range 200 {
				if text, status := answerOf(set, `{"a": "`+name+`"}`); status != OK || text != `{"a":"`+name+`","n":50}` {
					t.Error(status, text)
					return
				}
			}
		})
	}
	group.Wait()
}
