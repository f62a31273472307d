package engine

import (
	"fmt"
	"strings"
	"testing"
)

// Each rule set reads the input in another way. The document built from what the rules name and the whole document must
// give the same decision, and OPA's own list of reads must lie within ours.
var readers = map[string]string{
	"plain":          `decision := input.a.b`,
	"two":            `decision := [input.a.b, input.c]`,
	"whole":          `decision := input`,
	"count":          `decision := count(input.a)`,
	"unknown key":    `decision := [v | some k; v := input.a[k]]`,
	"computed key":   `decision := input.a[concat("", ["b"])]`,
	"other root":     `decision := [v | some v in input]`,
	"index":          `decision := input.list[1]`,
	"negation":       `decision if not input.a.missing`,
	"else":           `decision := 1 if { input.a.b == 99 } else := input.c if { input.a.z } else := input.list`,
	"default":        "default decision := 5\ndecision := 6 if input.c == 2",
	"function":       "decision := f(input.a)\nf(x) := x.b",
	"function whole": "decision := f(input)\nf(x) := x.a.b",
	"comprehension":  `decision := {k: v | some k, v in input.a}`,
	"set":            `decision := {v | v := input.list[_]}`,
	"every":          `decision if { every v in input.list { v > input.c } }`,
	"with":           "decision := x if { x := f with input.a.b as 9 }\nf := [input.a.b, input.a.z]",
	"with all":       "decision := x if { x := f with input as {\"a\": {\"b\": input.c}} }\nf := input.a.b",
	"with data":      "decision := x if { x := f with data.q as input.a }\nf := data.q",
	"object.get":     `decision := object.get(input, ["a", "b"], 0)`,
	"walk":           `decision := [v | walk(input, [_, v]); is_number(v)]`,
	"head key":       `decision[input.a.b] := input.c`,
	"head set":       `decision contains input.list[_]`,
	"template":       `decision := $"{input.a.b} {input.c}"`,
	"import":         "import input.a as x\ndecision := x.b",
	"alias":          "decision := y if { x := input.a; y := x.z }",
	"compare":        `decision := input.a == {"b": 1, "z": "w"}`,
	"membership":     `decision if "z" in object.keys(input.a)`,
	"member":         `decision := 2 in input.list`,
	"deep array":     `decision := input.objects[_].p`,
	"null on path":   `decision := input.nothing.below`,
	"array on path":  `decision := input.list.below`,
	"other package":  "decision := data.other.r",
}

func TestOnlyWhatIsReadIsBuilt(t *testing.T) {
	document := `{"a": {"b": 1, "z": "w"}, "c": 2, "list": [1, 2, 3], "objects": [{"p": 7, "q": 8}], "nothing": null, "unread": {"x": [{}]}}`
	for name, rules := range readers {
		t.Run(name, func(t *testing.T) {
			set := load(t, map[string]string{
				"a.rego": "package z\n" + rules + "\n", "b.rego": "package other\nr := input.objects[0].q\n",
			})
			pruned, status := answerOf(set, document)
			set.reads, set.kept = everything, nil
			whole, wholeStatus := answerOf(set, document)
			if pruned != whole || status != wholeStatus {
				t.Fatalf("pruned %v %s, whole %v %s", status, pruned, wholeStatus, whole)
			}
			if err := set.analyse(); err != nil {
				t.Fatal(err)
			}
			found, err := set.Describe()
			if err != nil {
				t.Fatal(err)
			}
			for _, read := range found.Reads {
				if !covered(read, found.MayRead) {
					t.Fatalf("%s is read, but not in %v", read, found.MayRead)
				}
			}
		})
	}
}

// covered tells whether a reference lies at, below or above one of the list: what lies above is built in part.
func covered(ref string, list []string) bool {
	for _, one := range list {
		if strings.HasPrefix(ref+".", one+".") || strings.HasPrefix(ref, one+"[") || strings.HasPrefix(one, ref) {
			return true
		}
	}
	return false
}

func TestUnreadPartsAreNotBuilt(t *testing.T) {
	set := load(t, map[string]string{"a.rego": "package z\ndecision := input.a.b\n"})
	value, err := parse(`{"a": {"b": 1, "c": [1, {"x": 2}]}, "d": {"e": "f"}}`, set.reads, nil)
	if err != nil || value.String() != `{"a": {"b": 1}}` {
		t.Fatal(value, err)
	}
}

func TestOnlyWhatTheEntrypointReachesCounts(t *testing.T) {
	cases := map[string]struct {
		rules string
		want  string
	}{
		"another rule":          {"decision := input.a\nother := input.b", "[input.a]"},
		"a function":            {"decision := f(1)\nf(_) := input.a\ng(_) := input.b", "[input.a]"},
		"else":                  {"decision := 1 if { false } else := r\nr := 1 if { false } else := input.a", "[input.a]"},
		"default":               {"default decision := 1\ndecision := input.a if input.b", "[input.a input.b]"},
		"a name worked out":     {"decision := data.z[input.a]\nb := input.b", ""}, // recursive: refused
		"another package":       {"decision := data.other[input.a]\nb := input.b", "[input.a input.q]"},
		"packages worked out":   {"decision := x if { some p; x := data.deep[p].r }\nb := input.b", "[input.deep]"},
		"in a comprehension":    {"decision := {x | x := r}\nr := input.a\nb := input.b", "[input.a]"},
		"in every":              {"decision if { every x in [1] { x == r } }\nr := input.a\nb := input.b", "[input.a]"},
		"stands in":             {"decision := x if { x := f with f as g }\nf := 1\ng := input.a\nb := input.b", "[input.a]"},
		"stands in as function": {"decision := x if { x := f(1) with f as g }\nf(_) := 1\ng(_) := input.a\nb := input.b", "[input.a]"},
		"instead of data":       {"decision := x if { x := f with data.q as r }\nf := data.q\nr := input.a\nb := input.b", "[input.a]"},
		"in the head's key":     {"decision[r] := 1\nr := input.a\nb := input.b", "[input.a]"},
		"by a prefix":           {"decision := data.deep\nb := input.b", "[input.deep]"},
		"a partial object":      {"decision := p.x\np.x := input.a\np[k] := 2 if { k := input.b }\nb := input.c", "[input.a input.b]"},
		"through the index":     {"decision := 1 if { input.a == 1 }\ndecision := 2 if { input.a == 2 }", "[input.a]"},
		"a key that is no text": {"decision := input.a[0].b", "[input.a]"},
	}
	for name, one := range cases {
		t.Run(name, func(t *testing.T) {
			set, err := tryLoad(t, map[string]string{"a.rego": "package z\n" + one.rules + "\n",
				"b.rego": "package other\nr := input.q\n", "c.rego": "package deep.er\nr := input.deep\n"})
			if one.want == "" {
				if err == nil {
					t.Fatal("it loads")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if found := fmt.Sprint(set.reads.paths()); found != one.want {
				t.Fatalf("%s, want %s", found, one.want)
			}
		})
	}
}

func TestPlacesAreListsOfKeys(t *testing.T) {
	set := load(t, map[string]string{"a.rego": `package z
decision := [input.request.headers["x-\"ro.le"], input.a[0].b, input["q"][input.c]]
`})
	found, err := set.Describe()
	if err != nil || fmt.Sprintf("%q", found.Places) != `[["a"] ["c"] ["q"] ["request" "headers" "x-\"ro.le"]]` {
		t.Fatalf("%q %v", found.Places, err)
	}
}
