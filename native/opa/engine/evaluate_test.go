package engine

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func load(t testing.TB, files map[string]string, change ...func(*Options)) *Set {
	t.Helper()
	set, err := tryLoad(t, files, change...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

func tryLoad(t testing.TB, files map[string]string, change ...func(*Options)) (*Set, error) {
	t.Helper()
	directory := t.TempDir()
	for name, text := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	options := Options{Directory: directory, Entrypoint: "z/decision", InlineSteps: 4000, InlineNS: 1e6, MaxPending: 8, Parallel: 2}
	for _, f := range change {
		f(&options)
	}
	return Load(options)
}

const second = int64(time.Second)

func answerOf(set *Set, input string) (string, Status) {
	answer, ticket := set.Evaluate(input, 1700000000*second, 5*time.Second, nil)
	for answer.Status == Pending {
		next, got := set.Next(10 * time.Second)
		if got == ticket || got == 0 {
			answer = next
		}
	}
	return string(answer.Text), answer.Status
}

func TestEvaluate(t *testing.T) {
	set := load(t, map[string]string{"a.rego": "package z\ndecision := {\"allow\": input.a == 1, \"now\": time.now_ns(), \"s\": {2, 1}}\n"})
	text, status := answerOf(set, `{"a": 1}`)
	if status != OK || text != `{"allow":true,"now":1700000000000000000,"s":[1,2]}` {
		t.Fatal(status, text)
	}
}

func TestBuiltinErrorsAreNotUndefined(t *testing.T) {
	set := load(t, map[string]string{"a.rego": "package z\ndecision if not 1 / input.a == 1\n"})
	if text, status := answerOf(set, `{"a": 0}`); status != Failed {
		t.Fatal(status, text)
	}
}

func TestLargeInputsLeaveTheCallersThread(t *testing.T) {
	set := load(t, map[string]string{"a.rego": "package z\ndecision := input.a\n"})
	if !set.mayRunInline(maxInline, time.Now()) || set.mayRunInline(maxInline+1, time.Now()) {
		t.Fatal("the length is not looked at")
	}
}

func BenchmarkEvaluate(b *testing.B) {
	if os.Getenv("ZT_POLICY") == "" {
		b.Skip("ZT_POLICY names a directory with policy and input.json")
	}
	input, _ := os.ReadFile(os.Getenv("ZT_POLICY") + "/../input.json")
	set, err := Load(Options{Directory: os.Getenv("ZT_POLICY"), Entrypoint: "ztproxy/authz/decision", InlineSteps: 4000, InlineNS: 1e6, MaxPending: 8, Parallel: 2})
	if err != nil {
		b.Fatal(err)
	}
	document, _ := parse(string(input), set.reads, set.kept)
	used := &budget{until: time.Now().Add(time.Second)}
	set.run(document, 1, used, nil)
	b.Log("steps", used.asked.Load())
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parse(string(input), set.reads, set.kept); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parse(string(input), everything, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		out := make([]byte, 0, MaxResult)
		for b.Loop() {
			if answer, _ := set.Evaluate(string(input), 1, time.Second, out); answer.Status != OK && answer.Status != Pending {
				b.Fatal(answer.Status)
			}
		}
	})
}
