package engine

import (
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
			set.reads = everything
			whole, wholeStatus := answerOf(set, document)
			if pruned != whole || status != wholeStatus {
				t.Fatalf("pruned %v %s, whole %v %s", status, pruned, wholeStatus, whole)
			}
			set.reads = readsOf(set.compiler)
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
	value, err := parse(`{"a": {"b": 1, "c": [1, {"x": 2}]}, "d": {"e": "f"}}`, set.reads)
	if err != nil || value.String() != `{"a": {"b": 1}}` {
		t.Fatal(value, err)
	}
}
