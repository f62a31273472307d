package engine

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func problems(t *testing.T, files map[string]string, change ...func(*Options)) Problems {
	t.Helper()
	_, err := tryLoad(t, files, change...)
	var found Problems
	if !errors.As(err, &found) || len(found) == 0 {
		t.Fatalf("loaded, or failed without a problem: %v", err)
	}
	return found
}

func TestEveryProblemHasItsPlace(t *testing.T) {
	cases := map[string]struct {
		rules, message string
		row            int
	}{
		"unknown function under not": {"decision if not misspelt(input.a)", "undefined function misspelt", 2},
		"recursion":                  {"decision if other\nother if decision", "recursive", 2},
		"unsafe variable":            {"decision if x > 1", "unsafe", 2},
		"unused variable":            {"decision if { x := 1 }", "unused", 2},
		"parse error":                {"decision if {", "", 2},
		"version 0":                  {"decision { input.a }", "if", 2},
		"type error":                 {"decision if count(1) == 2", "invalid argument", 2},
		"shadowing input":            {"decision if { input := 1; input == 1 }", "shadow", 2},
	}
	for name, one := range cases {
		t.Run(name, func(t *testing.T) {
			found := problems(t, map[string]string{"a.rego": "package z\n" + one.rules + "\n"})
			first := found[0]
			if first.File != "a.rego" || first.Row < one.row || !strings.Contains(found.Error(), one.message) {
				t.Fatalf("%+v", found)
			}
		})
	}
}

func TestWhatReachesOutsideDoesNotCompileUnlessAllowed(t *testing.T) {
	calls := map[string]string{
		"http.send":          `http.send({"method": "get", "url": "http://127.0.0.1:1/"}).status_code == 200`,
		"net.lookup_ip_addr": `net.lookup_ip_addr("localhost") != set()`,
		"opa.runtime":        `opa.runtime().env.HOME`,
		"json.match_schema":  `json.match_schema({}, {})[0]`,
		"json.verify_schema": `json.verify_schema({})[0]`,
	}
	if len(calls) != len(Outside) {
		t.Fatal("a builtin of Outside is not tried")
	}
	for name, call := range calls {
		files := map[string]string{"a.rego": "package z\ndecision if " + call + "\n"}
		found := problems(t, files)
		if !strings.Contains(found[0].Message, "undefined function "+name) || found[0].Row != 2 {
			t.Fatalf("%s: %+v", name, found)
		}
		set := load(t, files, func(o *Options) { o.AllowBuiltins = []string{name} })
		if set.inline {
			t.Fatalf("%s would run on the caller's thread", name)
		}
	}
	found := problems(t, map[string]string{"a.rego": "package z\ndecision := 1"}, func(o *Options) { o.AllowBuiltins = []string{"http.sned"} })
	if !strings.Contains(found[0].Message, "http.sned") {
		t.Fatal(found)
	}
}

func TestDirectoryIsReadAsOPADoes(t *testing.T) {
	set := load(t, map[string]string{
		"a.rego": "package z\ndecision := [data.roles.admin, data.x, data.deep.er.y]\n", "roles/data.json": `{"admin": 1}`,
		"data.yaml": "x: 2\n", "deep/er/data.json": `{"y": 3}`, "a_test.rego": "package t\nnot even rego",
		"notes.txt": "no policy", ".hidden/b.rego": "no rego",
	})
	if text, _ := answerOf(set, "{}"); text != "[1,2,3]" {
		t.Fatal(text)
	}
	if description, _ := set.Describe(); !slices.Equal(description.Files, []string{"a.rego"}) {
		t.Fatal(description.Files)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := "package z\ndecision := 1\n"
	cases := map[string]map[string]string{
		"no rule there":        {"a.rego": "package z\nother := 1\n"},
		"a function":           {"a.rego": "package z\ndecision(x) := x\n"},
		"a package":            {"a.rego": "package z.decision\nother := 1\n"},
		"data alone":           {"a.rego": "package y\n", "data.json": `{"z": {"decision": true}}`},
		"data over rules":      {"a.rego": good, "data.json": `{"z": {"decision": true}}`},
		"two files, one value": {"a.rego": good, "data.json": `{"x": 1}`, "data.yaml": "x: 2"},
		"broken data":          {"a.rego": good, "data.json": `{"x": `},
		"broken yaml":          {"a.rego": good, "data.yaml": "x: [1"},
		"data that is a list":  {"a.rego": good, "data.json": `[1]`},
		"a bundle":             {"a.rego": good, "b.tar.gz": "x"},
		"nothing":              {},
	}
	for name, files := range cases {
		t.Run(name, func(t *testing.T) { t.Log(problems(t, files)) })
	}
}

func TestRevision(t *testing.T) {
	files := map[string]string{"a.rego": "package z\ndecision := data.x\nother := 1\n", "data.json": `{"x": 1}`}
	seen := map[string]bool{}
	revision := func(change ...func(*Options)) string {
		description, err := load(t, files, change...).Describe()
		if err != nil {
			t.Fatal(err)
		}
		seen[description.Revision] = true
		return description.Revision
	}
	if first := revision(); first != revision() {
		t.Fatal("the same files, another revision")
	}
	revision(func(o *Options) { o.Entrypoint = "z/other" })
	revision(func(o *Options) { o.AllowBuiltins = []string{"http.send"} })
	files["data.json"] = `{"x": 2}`
	revision()
	files["a.rego"] += "# a word\n"
	revision()
	files["b.rego"] = "package b\n"
	revision()
	if len(seen) != 6 {
		t.Fatal(len(seen), "revisions")
	}
}

func TestDescribeErrsToTheSafeSide(t *testing.T) {
	cases := map[string]struct {
		rules           string
		constant, clock bool // constant: no input, no clock, nothing that is not known to repeat itself
		chance          int
	}{
		"constant":           {"decision := {\"allow\": data.x == 1}", true, false, 0},
		"input":              {"decision := input.a", false, false, 0},
		"input elsewhere":    {"decision := 1\nother := input.a", true, false, 0},
		"input under with":   {"decision := x if { x := f with data.q as input }\nf := data.q", false, false, 0},
		"clock":              {"decision := time.now_ns()", false, true, 0},
		"chance":             {`decision := rand.intn("a", 9)`, false, false, 1},
		"unmarked clock":     {`decision := crypto.x509.parse_and_verify_certificates("a")`, false, false, 1},
		"stands in":          {"decision := x if { x := f(1) with f as g }\nf(_) := 1\ng(_) := time.now_ns()", false, true, 0},
		"builtin stands in":  {"decision := x if { x := f(\"a\", 9) with f as rand.intn }\nf(_, _) := 1", false, false, 1},
		"not on our list":    {`decision := yaml.unmarshal("a: 1")`, false, false, 0},
		"called in a head":   {"decision[time.now_ns()] := 1", false, true, 0},
		"called in template": {`decision := $"{time.now_ns()}"`, false, true, 0},
	}
	for name, one := range cases {
		t.Run(name, func(t *testing.T) {
			set := load(t, map[string]string{"a.rego": "package z\n" + one.rules + "\n", "data.json": `{"x": 1}`})
			found, err := set.Describe()
			constant := len(found.MayRead)+len(found.Places)+len(found.Unrepeatable) == 0 && !found.Clock
			if err != nil || constant != one.constant || found.Clock != one.clock || len(found.Nondeterministic) != one.chance {
				t.Fatalf("%+v %v", found, err)
			}
		})
	}
}
