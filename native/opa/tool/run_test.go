package tool

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func run(t *testing.T, request map[string]any) (answer map[string]any) {
	t.Helper()
	directory := t.TempDir()
	for name, text := range map[string]string{
		"a.rego": "package z\n\ndefault decision := false\n\ndecision if {\n\tinput.a == 1\n\tinput.b == data.b\n}\n\nnever if input.q\n",
		"a_test.rego": "package z_test\n\nimport data.z\n\ntest_good if z.decision with input as {\"a\": 1, \"b\": 2}\n\n" +
			"test_bad if {\n\tprint(\"seen\")\n\tz.decision with input as {\"a\": 1, \"b\": 3}\n}\n\ntest_error if 1 / 0\n\ntodo_test_later if false\n",
		"data.json": `{"b": 2}`,
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	request["directory"] = directory
	text, _ := json.Marshal(request)
	text, err := json.Marshal(Run(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestTest(t *testing.T) {
	answer := run(t, map[string]any{"command": "test"})
	if answer["passed"] != 1.0 || answer["failed"] != 2.0 || answer["skipped"] != 1.0 {
		t.Fatal(answer)
	}
	bad := answer["tests"].([]any)[1].(map[string]any)
	at, cause := bad["failed_at"].(map[string]any), bad["causes"].([]any)[0].(map[string]any)
	if bad["name"] != "test_bad" || bad["output"] != "seen\n" || at["row"] != 9.0 || at["file"] != "a_test.rego" {
		t.Fatal(bad)
	}
	if cause["file"] != "a.rego" || cause["row"] != 7.0 || cause["rule"] != "decision" {
		t.Fatal(cause)
	}
	coverage := answer["coverage"].([]any)
	if len(coverage) != 1 || coverage[0].(map[string]any)["file"] != "a.rego" || answer["percent"].(float64) >= 100 {
		t.Fatal(coverage)
	}
}

func TestFilter(t *testing.T) {
	if answer := run(t, map[string]any{"command": "test", "filter": "good"}); answer["passed"] != 1.0 || answer["failed"] != 0.0 {
		t.Fatal(answer)
	}
}

func TestCheck(t *testing.T) {
	if answer := run(t, map[string]any{"command": "check", "entrypoint": "z/decision"}); len(answer["errors"].([]any)) != 0 {
		t.Fatal(answer)
	}
	for _, request := range []map[string]any{
		{"command": "check", "entrypoint": "z/other"}, {"command": "nonsense"}, {"command": "check", "allow_builtins": []string{"x"}},
	} {
		if answer := run(t, request); len(answer["errors"].([]any)) == 0 {
			t.Fatal(request)
		}
	}
}

func TestExplain(t *testing.T) {
	answer := run(t, map[string]any{"command": "explain", "entrypoint": "z/decision", "input": map[string]any{"a": 1, "b": 3}})
	rules := answer["rules"].([]any)
	first := rules[0].(map[string]any)
	if answer["status"] != "ok" || answer["value"] != false || first["true"] != false || first["row"] != 5.0 || answer["trace"] == "" {
		t.Fatal(answer)
	}
}

func TestDeps(t *testing.T) {
	answer := run(t, map[string]any{"command": "deps", "entrypoint": "z/decision"})
	about, input := answer["about"].(map[string]any), answer["input"].([]any)
	if fmt.Sprint(about["may_read"], about["data"], about["unrepeatable"]) != "[input.a input.b] [data.b] []" {
		t.Fatal(about)
	}
	first := input[0].(map[string]any)
	if len(input) != 2 || first["what"] != "input.a" || first["file"] != "a.rego" || first["row"] != 6.0 {
		t.Fatal(input)
	}
}
