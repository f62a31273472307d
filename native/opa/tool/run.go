// Package tool is what the command line asks of OPA: check, test, deps, explain. Nothing here is on the way of a request.
package tool

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"ztproxy.dev/opa/engine"
)

// Request is what the command line sends.
type Request struct {
	Command       string          `json:"command"` // check | test | deps | explain
	Directory     string          `json:"directory"`
	Entrypoint    string          `json:"entrypoint"`
	AllowBuiltins []string        `json:"allow_builtins"`
	Filter        string          `json:"filter"`     // test: a regular expression over names
	TimeoutNS     int64           `json:"timeout_ns"` // of one test, or of the explained evaluation; 0 is ten seconds
	Input         json.RawMessage `json:"input"`      // explain
	NowNS         int64           `json:"now_ns"`     // explain
	Trace         string          `json:"trace"`      // explain: full | fails | notes
}

// Errors is what every answer has; empty when the policy could be compiled.
type Errors struct {
	Errors engine.Problems `json:"errors"`
}

// Run does what the request says.
func Run(text []byte) any {
	var request Request
	if err := json.Unmarshal(text, &request); err != nil {
		return Errors{engine.ProblemsOf(fmt.Errorf("request: %w", err))}
	}
	if request.TimeoutNS <= 0 {
		request.TimeoutNS = 10e9
	}
	var answer any
	var err error
	switch request.Command {
	case "check":
		answer, err = check(request)
	case "test":
		answer, err = test(request)
	case "deps":
		answer, err = deps(request)
	case "explain":
		answer, err = explain(request)
	default:
		err = errors.New("unknown command " + request.Command)
	}
	if err != nil {
		return Errors{engine.ProblemsOf(err).Under(request.Directory)}
	}
	return answer
}

// Checked lists what was compiled.
type Checked struct {
	Errors
	Files []string `json:"files"`
}

// check compiles rules and tests as strictly as serving does, and looks for the entrypoint.
func check(request Request) (any, error) {
	caps, err := engine.Capabilities(request.AllowBuiltins)
	if err != nil {
		return nil, err
	}
	sources, err := engine.Read(request.Directory, true, caps)
	if err != nil {
		return nil, err
	}
	compiler, _, err := engine.Compile(sources, caps, true)
	if err != nil {
		return nil, err
	}
	if request.Entrypoint != "" {
		ref, err := engine.EntrypointRef(request.Entrypoint)
		if err != nil {
			return nil, err
		}
		if err := engine.CheckEntrypoint(compiler, ref); err != nil {
			return nil, err
		}
	}
	return Checked{Errors{engine.Problems{}}, sources.Files}, nil
}

// shortened leaves the policy directory out of a text.
func shortened(directory, text string) string {
	return strings.ReplaceAll(text, filepath.Clean(directory)+string(filepath.Separator), "")
}

// within names a file as seen from the policy directory.
func within(directory, file string) string {
	if rel, err := filepath.Rel(directory, file); err == nil && !strings.HasPrefix(rel, "..") {
		return filepath.ToSlash(rel)
	}
	return file
}
