package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

func TestParseRefuses(t *testing.T) {
	cases := map[string]string{
		"nothing": "", "space": " ", "two values": "1 2", "trailing": "{} x", "open object": `{"a": 1`, "open array": "[1",
		"open string": `"a`, "open escape": `"\`, "no colon": `{"a" 1}`, "no comma": `[1 2]`, "trailing comma": `[1,]`,
		"comma in object": `{"a": 1,}`, "bare name": `{a: 1}`, "number name": `{1: 1}`, "single quotes": `'a'`,
		"duplicate": `{"a": 1, "b": 2, "a": 3}`, "duplicate by escape": `{"a": 1, "\u0061": 2}`,
		"duplicate among many": `{"a": 1, ` + many(30) + `, "a": 2}`, "nested duplicate": `{"x": [{"a": 1, "a": 1}]}`, "control": "\"a\nb\"", "raw NUL": "\"a\x00b\"", "escape": `"\x41"`,
		"short u": `"\u12"`, "sign in u": `"\u+123"`, "high surrogate": `"\ud800"`, "low surrogate": `"\udc00"`,
		"swapped": `"\udc00\ud800"`, "high twice": `"\ud800\ud800"`, "high and text": `"\ud800abcdef"`,
		"invalid UTF-8": "\"\xff\"", "overlong": "\"\xc0\x80\"", "surrogate in UTF-8": "\"\xed\xa0\x80\"",
		"leading zero": "01", "minus alone": "-", "plus": "+1", "dot": "1.", "leading dot": ".1", "exponent": "1e", "hex": "0x1",
		"NaN": "NaN", "infinity": "Infinity", "huge exponent": "1e1000000000", "minus word": "-true", "case": "True", "word": "nul",
		"deep":         strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
		"100,000 deep": strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
		"deep objects": strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000),
		"long":         `"` + strings.Repeat("a", MaxInput) + `"`, "BOM": "\ufeff{}", "comment": "{} // x",
	}
	for name, text := range cases {
		for where, document := range map[string]string{"": text, " in an unread part": `{"skipped": ` + text + `}`} {
			if where != "" && (strings.Contains(name, "duplicate") || name == "huge exponent" || strings.HasSuffix(name, "deep")) {
				continue
			}
			wanted := everything
			if where != "" {
				wanted = &reads{keys: map[string]*read{"other": {reads: reads{all: true}}}}
			}
			if value, err := parse(document, wanted, nil); err == nil {
				t.Errorf("%s%s: %v", name, where, value)
			}
		}
	}
}

func many(n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"k%d": %d`, i, i))
	}
	return strings.Join(members, ", ")
}

func TestParseReadsAsOPADoes(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, `false`, `0`, `-0`, `1.0`, `1e2`, `-12.5E-3`, `123456789012345678901234567890`, `""`, `"\u0000"`,
		`"\ud83d\ude00"`, `"a\"b\\c\/d\b\f\n\r\t"`, `[]`, `{}`, ` [ 1 , [ ] , { "a" : [ { } ] } ] `, `"é😀"`, `{"a": {"b": null}}`, `{` + many(40) + `}`,
		`"` + strings.Repeat("x", 30_000) + `"`,
	} {
		want, err := ast.ValueFromReader(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		found, err := parse(text, everything, nil)
		if err != nil || found.Compare(want) != 0 || found.String() != want.String() {
			t.Errorf("%.40s: %v %v, want %v", text, found, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"a": [1, 2.5e3, "\ud83d\ude00", null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		found, err := parse(text, everything, nil)
		if err != nil {
			return
		}
		want, err := ast.ValueFromReader(strings.NewReader(text))
		if err != nil || found.Compare(want) != 0 {
			t.Fatalf("%q: %v, OPA %v %v", text, found, want, err)
		}
		if _, err := parse(text, &reads{}, nil); err != nil {
			t.Fatalf("%q: read in full, refused when nothing is wanted: %v", text, err)
		}
	})
}

func TestResultsThatJSONCannotSay(t *testing.T) {
	cases := map[string]string{
		"name no string":    `decision := {1: "a"}`,
		"name a set":        `decision := {{1}: "a"}`,
		"invalid UTF-8":     `decision := base64.decode("/w==")`,
		"invalid name":      `decision := {base64.decode("/w=="): 1}`,
		"too long":          `decision := [s | some i in numbers.range(1, 300); s := sprintf("%300d", [i])]`,
		"too long a string": `decision := sprintf("%70000d", [1])`,
		"too deep":          `decision := json.unmarshal(concat("", [concat("", ["[" | some _ in numbers.range(1, 80)]), ""]))`,
	}
	cases["too deep"] = `decision := json.unmarshal(sprintf("%s%s", [replace(sprintf("%80s", [""]), " ", "["), replace(sprintf("%80s", [""]), " ", "]")]))`
	for name, rules := range cases {
		if text, status := answerOf(load(t, map[string]string{"a.rego": "package z\n" + rules + "\n"}), "{}"); status != Failed {
			t.Errorf("%s: %v %.80s", name, status, text)
		}
	}
	set := load(t, map[string]string{"a.rego": "package z\ndecision := [\"\\u0000\\n\\\"\\\\é\", {\"b\", \"a\"}, 1.50, -0]\n"})
	if text, status := answerOf(set, "{}"); status != OK || text != `["\u0000\u000a\"\\é",["a","b"],1.50,0]` && text != `["\u0000\u000a\"\\é",["a","b"],1.50,-0]` {
		t.Error(status, text)
	}
}
