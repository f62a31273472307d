package engine

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/dependencies"
)

// reads is the part of the input that a policy set can see at all: a tree of object keys. A key that is not in it is
// named by no rule, so the parser does not build it: the decision is a function of what is in the tree, which is what
// the memo rests on. It errs to the wide side: it is read from the text of every rule that the entrypoint may reach, and
// `input` used in any way but `input.a.b` counts as everything.
type reads struct {
	all  bool
	keys map[string]*read
}

type read struct {
	term *ast.Term // the key, made once
	reads
}

var everything = &reads{all: true}

// readsOf collects every reference into the input that the given rules make.
func readsOf(rules []*ast.Rule) *reads {
	tree := &reads{}
	for _, found := range references(rules, isInput) {
		tree.add(found.ref[1:])
	}
	return tree
}

// reference is a place in a policy that names a part of the input or of the data.
type reference struct {
	ref  ast.Ref
	at   *ast.Location // nil where OPA made it up
	rule *ast.Rule     // that holds it
}

// references lists every reference below a root, the root alone among them.
func references(rules []*ast.Rule, root func(ast.Value) bool) []reference {
	var list []reference
	var at *ast.Location
	var holder *ast.Rule
	var visit func(x any) bool
	visit = func(x any) bool {
		switch x := x.(type) {
		case *ast.Rule:
			at = located(x.Location, at)
		case *ast.Expr:
			at = located(x.Location, at)
		case *ast.Term:
			at = located(x.Location, at)
		case ast.Ref:
			if len(x) == 0 || !root(x[0].Value) {
				return false
			}
			list = append(list, reference{x, at, holder})
			for _, term := range x[1:] {
				ast.NewGenericVisitor(visit).Walk(term)
			}
			return true // the head was dealt with
		case ast.Var:
			if root(x) {
				list = append(list, reference{ast.Ref{ast.NewTerm(x)}, at, holder})
			}
		}
		return false
	}
	for _, rule := range rules {
		holder = rule
		walk(rule, visit)
	}
	return list
}

func located(own, outer *ast.Location) *ast.Location {
	if own == nil || own.File == "" {
		return outer
	}
	return own
}

func isInput(value ast.Value) bool {
	name, ok := value.(ast.Var)
	return ok && name == "input"
}

func (r *reads) add(path ast.Ref) {
	if r.all {
		return
	}
	if len(path) == 0 {
		r.all = true
		return
	}
	key, ok := path[0].Value.(ast.String)
	if !ok {
		r.all = true
		return
	}
	if r.keys == nil {
		r.keys = map[string]*read{}
	}
	child := r.keys[string(key)]
	if child == nil {
		child = &read{term: ast.StringTerm(string(key))}
		r.keys[string(key)] = child
	}
	child.add(path[1:])
}

// paths lists the tree as dotted references, sorted.
func (r *reads) paths() []string {
	list := []string{}
	r.collect(ast.Ref{ast.InputRootDocument}, &list)
	slices.Sort(list)
	return list
}

func (r *reads) collect(prefix ast.Ref, list *[]string) {
	if r.all {
		*list = append(*list, prefix.String())
		return
	}
	for _, child := range r.keys {
		child.collect(prefix.Append(child.term), list)
	}
}

// steps lists the tree as lists of keys; [] alone is everything.
func (r *reads) steps() [][]string {
	list := [][]string{}
	r.collectSteps([]string{}, &list)
	slices.SortFunc(list, slices.Compare[[]string])
	return list
}

func (r *reads) collectSteps(prefix []string, list *[][]string) {
	if r.all {
		*list = append(*list, prefix)
		return
	}
	for key, child := range r.keys {
		child.collectSteps(append(slices.Clip(prefix), key), list)
	}
}

// dependsOn gives the references into input and data that the entrypoint's decision depends on, by OPA's own analysis.
func dependsOn(compiler *ast.Compiler, entrypoint ast.Ref) (input, data []ast.Ref, err error) {
	refs, err := dependencies.Base(compiler, entrypoint)
	for _, ref := range refs {
		if ref.HasPrefix(ast.InputRootRef) {
			input = append(input, ref)
		} else {
			data = append(data, ref)
		}
	}
	return input, data, err
}

func texts(refs []ast.Ref) []string {
	list := make([]string, len(refs))
	for i, ref := range refs {
		list[i] = ref.String()
	}
	slices.Sort(list)
	return slices.Compact(list)
}
