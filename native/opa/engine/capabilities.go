package engine

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Outside lists the builtins that reach past the policy, its data and its input: to the network, to files, to the
// process. A policy that calls one does not compile unless the configuration names it.
//
//   - http.send, net.lookup_ip_addr: the network.
//   - opa.runtime: the process's environment variables and configuration.
//   - json.match_schema, json.verify_schema: follow a schema's "$ref", and "file://" is followed whatever allow_net says.
//
// rand.intn, uuid.rfc4122 and time.now_ns stay: they are not repeatable, but they reach nothing.
var Outside = []string{"http.send", "json.match_schema", "json.verify_schema", "net.lookup_ip_addr", "opa.runtime"}

// Capabilities gives what a policy may call. allowed names members of Outside.
func Capabilities(allowed []string) (*ast.Capabilities, error) {
	known := ast.CapabilitiesForThisVersion()
	for _, name := range allowed {
		if !slices.Contains(Outside, name) {
			return nil, fmt.Errorf("allow_builtins: %q is not one of the builtins that need to be allowed: %v", name, Outside)
		}
	}
	caps := *known
	caps.Builtins = slices.DeleteFunc(slices.Clone(known.Builtins), func(b *ast.Builtin) bool {
		return slices.Contains(Outside, b.Name) && !slices.Contains(allowed, b.Name)
	})
	if !slices.Contains(allowed, "http.send") {
		caps.AllowNet = []string{}
	}
	return &caps, nil
}
