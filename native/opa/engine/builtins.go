package engine

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// pure are the builtins that we have looked at: the answer follows from the arguments alone, and the time taken is
// about linear in them. Only these take part in a constant decision, and only a policy made of these is evaluated on
// the caller's own thread. Everything else works too, on a goroutine of its own. The list is ours and closed: a builtin
// that a later OPA brings is not on it. (OPA's own mark is not enough: crypto.x509.parse_and_verify_certificates reads
// the wall clock and is not marked nondeterministic.)
var pure = names(`
	eq equal neq lt lte gt gte assign and or minus plus mul div rem abs ceil floor round
	count sum product max min sort any all array.concat array.reverse array.slice array.flatten intersection union
	concat contains endswith format_int indexof indexof_n lower upper replace split sprintf startswith substring trim
	trim_left trim_right trim_prefix trim_suffix trim_space strings.any_prefix_match strings.any_suffix_match
	strings.count strings.replace_n strings.reverse strings.render_template
	internal.member_2 internal.member_3 internal.print internal.template_string internal.test_case
	is_array is_boolean is_null is_number is_object is_set is_string type_name to_number cast_array cast_boolean
	cast_null cast_object cast_set cast_string
	object.filter object.get object.keys object.remove object.subset object.union object.union_n
	json.filter json.is_valid json.marshal json.marshal_with_options json.remove json.unmarshal
	base64.decode base64.encode base64.is_valid base64url.decode base64url.encode base64url.encode_no_pad hex.decode
	hex.encode urlquery.decode urlquery.decode_object urlquery.encode urlquery.encode_object
	regex.match regex.is_valid regex.split regex.replace regex.find_n regex.find_all_string_submatch_n
	regex.template_match glob.match glob.quote_meta
	net.cidr_contains net.cidr_contains_matches net.cidr_intersects net.cidr_is_valid
	time.add_date time.clock time.date time.diff time.format time.parse_duration_ns time.parse_ns
	time.parse_rfc3339_ns time.weekday
	bits.and bits.lsh bits.negate bits.or bits.rsh bits.xor units.parse units.parse_bytes
	crypto.md5 crypto.sha1 crypto.sha256 crypto.hmac.sha256 crypto.hmac.sha512 crypto.hmac.equal
	io.jwt.decode semver.compare semver.is_valid uuid.parse walk trace
`)

// clock is the builtin that reads the time; the caller gives it with each evaluation.
const clock = "time.now_ns"

func names(text string) map[string]bool {
	set := map[string]bool{}
	for _, name := range strings.Fields(text) {
		set[name] = true
	}
	return set
}

// call is a place where a builtin is called, or stands in for another function.
type call struct {
	name string
	at   *ast.Location
}

// calls lists the calls of builtins that the given rules make.
func calls(rules []*ast.Rule) []call {
	var list []call
	var at *ast.Location
	see := func(value ast.Value) {
		name := ""
		switch value := value.(type) {
		case ast.Ref:
			name = value.String()
		case ast.Var:
			name = string(value)
		}
		if ast.BuiltinMap[name] != nil {
			list = append(list, call{name, at})
		}
	}
	for _, rule := range rules {
		walk(rule, func(x any) bool {
			switch x := x.(type) {
			case *ast.Rule:
				at = located(x.Location, at)
			case *ast.Term:
				at = located(x.Location, at)
			case *ast.Expr:
				at = located(x.Location, at)
				if x.IsCall() {
					see(x.Operator())
				}
			case ast.Call:
				see(x[0].Value)
			case *ast.With: // a builtin may stand in for another function
				see(x.Value.Value)
			}
			return false
		})
	}
	return list
}

// namesOf gives the names of what is called, sorted.
func namesOf(called []call) []string {
	list := make([]string, 0, len(called))
	for _, one := range called {
		list = append(list, one.name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// nondeterministic picks the names that OPA marks as such, or that are known to be although unmarked.
func nondeterministic(called []string) []string {
	list := []string{}
	for _, name := range called {
		if ast.BuiltinMap[name].Nondeterministic && name != clock || name == "crypto.x509.parse_and_verify_certificates" {
			list = append(list, name)
		}
	}
	return list
}

// unrepeatable picks the names of builtins that are not known to repeat themselves: all that are not on our list, but
// for the clock, which the caller gives. With one of them no answer may be remembered.
func unrepeatable(called []string) []string {
	list := []string{}
	for _, name := range called {
		if !pure[name] && name != clock {
			list = append(list, name)
		}
	}
	return list
}
