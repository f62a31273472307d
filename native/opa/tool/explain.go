package tool

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/lineage"

	"ztproxy.dev/opa/engine"
)

// Explained is a decision and why. Status is ok, undefined, error or timeout.
type Explained struct {
	Errors
	Status    string             `json:"status"`
	Value     json.RawMessage    `json:"value,omitempty"`
	Message   string             `json:"message,omitempty"`
	Revision  string             `json:"revision"`
	Rules     []engine.Outcome   `json:"rules"`
	Trace     string             `json:"trace"`
	Truncated bool               `json:"truncated"`
	About     engine.Description `json:"about"`
}

var statuses = map[engine.Status]string{
	engine.OK: "ok", engine.Undefined: "undefined", engine.Failed: "error", engine.BadInput: "error", engine.TimedOut: "timeout",
}

func explain(request Request) (any, error) {
	set, err := engine.Load(engine.Options{
		Directory: request.Directory, Entrypoint: request.Entrypoint, AllowBuiltins: request.AllowBuiltins,
	})
	if err != nil {
		return nil, err
	}
	defer set.Close()
	about, err := set.Describe()
	if err != nil {
		return nil, err
	}
	found := set.Explain(string(request.Input), request.NowNS, time.Duration(request.TimeoutNS))
	answer := Explained{
		Errors: Errors{engine.Problems{}}, Status: statuses[found.Answer.Status], Revision: about.Revision,
		Rules: found.Rules, Truncated: found.Truncated, About: about, Trace: shortened(request.Directory, pretty(found.Events, request.Trace)),
	}
	for i := range answer.Rules {
		answer.Rules[i].File = within(request.Directory, answer.Rules[i].File)
	}
	if found.Answer.Status == engine.OK {
		answer.Value = found.Answer.Text
	} else {
		answer.Message = shortened(request.Directory, string(found.Answer.Text))
	}
	return answer, nil
}

func pretty(events []*topdown.Event, kind string) string {
	switch kind {
	case "full":
		events = lineage.Full(events)
	case "notes":
		events = lineage.Notes(events)
	default:
		events = lineage.Fails(events)
	}
	var text bytes.Buffer
	topdown.PrettyTraceWithLocation(&text, events)
	return text.String()
}
