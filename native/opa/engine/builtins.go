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

// calls gives the sorted names of every builtin that any rule of the compiled modules calls, reached or not.
func calls(compiler *ast.Compiler) []string {
	found := map[string]bool{}
	see := func(ref ast.Ref) {
		if name := ref.String(); ast.BuiltinMap[name] != nil {
			found[name] = true
		}
	}
	for _, module := range compiler.Modules {
		walk(module, func(x any) bool {
			switch x := x.(type) {
			case *ast.Expr:
				if x.IsCall() {
					see(x.Operator())
				}
			case ast.Call:
				if ref, ok := x[0].Value.(ast.Ref); ok {
					see(ref)
				}
			case *ast.With: // a builtin may stand in for another function
				if ref, ok := x.Value.Value.(ast.Ref); ok {
					see(ref)
				}
			}
			return false
		})
	}
	list := make([]string, 0, len(found))
	for name := range found {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
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

// allPure tells whether nothing but pure builtins, and perhaps the clock, is called.
func allPure(called []string) bool {
	for _, name := range called {
		if !pure[name] && name != clock {
			return false
		}
	}
	return true
}

// walk visits every node of a module's rules until visit returns true for it, a rule's full head included (OPA's own
// visitor leaves the reference of a head out).
func walk(module *ast.Module, visit func(any) bool) {
	visitor := ast.NewGenericVisitor(visit)
	for _, rule := range module.Rules {
		visitor.Walk(rule)
		for r := rule; r != nil; r = r.Else {
			if len(r.Head.Reference) > 1 {
				for _, term := range r.Head.Reference[1:] {
					visitor.Walk(term)
				}
			}
		}
	}
}
