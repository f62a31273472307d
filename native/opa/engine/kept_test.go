package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Whatever was kept before, a document is read as if nothing were.
func TestKeptPartsChangeNothing(t *testing.T) {
	parts := []string{
		`{}`, `{"a":1}`, `{"a":1.0}`, `{"a":true}`, `{"a":"1"}`, `{"a":null}`, `{ "a":1}`, `{"a":1 }`, `{"a":{"b":"}"}}`, `{"a":"\""}`,
		`{"a":"\\"}`, `{"a":"\\\""}`, `{"a":"{"}`, `{"a":"\u007d"}`, `{"b":1}`, `{"a":[{},{"x":1}]}`, `null`, `1`, `"x"`, `[{"a":1}]`,
		`{"a":1`, `{"a":1}}`, `{"a":1,"a":2}`, `{"a":"`, `{"a":"\"}`, `{"a":"\ud800"}`, `{"a" 1}`, `{"a":1,}`, `{]}`, `{"a":01}`,
		`{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`, `{"a":"` + strings.Repeat("x", maxKeptText) + `"}`,
	}
	for _, wanted := range []*reads{everything, {keys: map[string]*read{"p": {term: ast.StringTerm("p"), reads: reads{
		keys: map[string]*read{"a": {term: ast.StringTerm("a"), reads: reads{all: true}}}}}}}} {
		kept := newKept([]string{"p"})
		for range 3 {
			for _, part := range parts {
				for _, form := range []string{`{"p":%s}`, `{"p": %s , "q": [1]}`, `{"q":{"p":%s}}`, `{"p":%s,"p":1}`, `{"p":%s`} {
					text := fmt.Sprintf(form, part)
					want, wantErr := parse(text, wanted, nil)
					found, err := parse(text, wanted, kept)
					if (err == nil) != (wantErr == nil) || err == nil && found.String() != want.String() {
						t.Fatalf("%s: %v %v, want %v %v", text, found, err, want, wantErr)
					}
				}
			}
		}
	}
}

func TestKeptPartsAreFoundAgainAndBounded(t *testing.T) {
	kept := newKept([]string{"p"})
	read := func(text string) ast.Value {
		value, err := parse(text, everything, kept)
		if err != nil {
			t.Fatal(err)
		}
		return value.(ast.Object).Get(ast.StringTerm("p")).Value
	}
	if first := read(`{"p":{"a":1},"q":1}`); first != read(`{"q":2,"p":{"a":1}}`) {
		t.Fatal("parsed twice")
	}
	for i := range 3 * maxKept {
		read(fmt.Sprintf(`{"p":{"a":%d}}`, i))
	}
	if len(kept.parts) > maxKept {
		t.Fatal(len(kept.parts))
	}
}

func TestKeptPartsAreSharedByThreads(t *testing.T) {
	set := load(t, map[string]string{"a.rego": "package z\ndecision := [{k: v | some k, v in input.p}, input.p, input.q]\n"},
		func(o *Options) { o.Shared = []string{"p"} })
	var all sync.WaitGroup
	for thread := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range 500 {
				part := fmt.Sprintf(`{"z":%d,"b":"x"}`, i%7)
				text, status := answerOf(set, fmt.Sprintf(`{"p":%s,"q":%d}`, part, thread))
				want := fmt.Sprintf(`[{"b":"x","z":%d},{"b":"x","z":%d},%d]`, i%7, i%7, thread)
				if status != OK || text != want {
					t.Errorf("%v %s, want %s", status, text, want)
				}
			}
		}()
	}
	all.Wait()
}

func FuzzKept(f *testing.F) {
	kept := newKept([]string{"a"})
	f.Add(`{"a": {"b": "}\"\\"}, "c": {"a": {}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		want, wantErr := parse(text, everything, nil)
		for range 2 {
			found, err := parse(text, everything, kept)
			if (err == nil) != (wantErr == nil) || err == nil && found.Compare(want) != 0 {
				t.Fatalf("%q: %v %v, want %v %v", text, found, err, want, wantErr)
			}
		}
	})
}
