package engine

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// reachable gives the rules that a decision at the entrypoint can rest on, `else` branches within their rules. It errs
// to the wide side: what stands in a reference and is not known counts as anything, and `data` used in any way but
// `data.a.b` as everything.
func reachable(compiler *ast.Compiler, entrypoint ast.Ref) []*ast.Rule {
	seen := map[*ast.Rule]bool{}
	var list []*ast.Rule
	reach := func(ref ast.Ref) {
		for _, rule := range compiler.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true}) {
			if !seen[rule] {
				seen[rule] = true
				list = append(list, rule)
			}
		}
	}
	var visit func(x any) bool
	visit = func(x any) bool {
		switch x := x.(type) {
		case ast.Ref:
			if len(x) == 0 || !isData(x[0].Value) {
				return false
			}
			reach(x)
			for _, term := range x[1:] {
				ast.NewGenericVisitor(visit).Walk(term)
			}
			return true // the head was dealt with
		case ast.Var:
			if isData(x) {
				reach(ast.Ref{ast.DefaultRootDocument})
			}
		}
		return false
	}
	reach(entrypoint)
	for i := 0; i < len(list); i++ { // it grows on the way
		walk(list[i], visit)
	}
	return list
}

func isData(value ast.Value) bool {
	name, ok := value.(ast.Var)
	return ok && name == "data"
}

// walk visits every node of a rule until visit returns true for it, its full head included (OPA's own visitor leaves
// the reference of a head out).
func walk(rule *ast.Rule, visit func(any) bool) {
	visitor := ast.NewGenericVisitor(visit)
	visitor.Walk(rule)
	for r := rule; r != nil; r = r.Else {
		if len(r.Head.Reference) > 1 {
			for _, term := range r.Head.Reference[1:] {
				visitor.Walk(term)
			}
		}
	}
}
