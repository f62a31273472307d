package engine

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/dependencies"
)

// reads is the part of the input that a policy set can see at all: a tree of object keys. A key that is not in it is
// named by no rule, so the parser need not build it. It errs to the wide side: it is read from the text of every rule
// of every module, whether the entrypoint reaches it or not, and `input` used in any way but `input.a.b` counts
// as everything.
type reads struct {
	all  bool
	keys map[string]*read
}

type read struct {
	term *ast.Term // the key, made once
	reads
}

var everything = &reads{all: true}

// readsOf collects every reference into the input.
func readsOf(compiler *ast.Compiler) *reads {
	tree := &reads{}
	var visit func(x any) bool
	visit = func(x any) bool {
		switch x := x.(type) {
		case ast.Ref:
			if len(x) == 0 || !isInput(x[0].Value) {
				return false
			}
			tree.add(x[1:])
			for _, term := range x[1:] {
				ast.NewGenericVisitor(visit).Walk(term)
			}
			return true // the head was dealt with
		case ast.Var:
			if isInput(x) {
				tree.all = true
			}
		}
		return false
	}
	for _, module := range compiler.Modules {
		walk(module, visit)
	}
	return tree
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

// none tells whether the input is not read at all.
func (r *reads) none() bool {
	return !r.all && len(r.keys) == 0
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

// dependsOn gives the input references that the entrypoint's decision depends on, by OPA's own analysis.
func dependsOn(compiler *ast.Compiler, entrypoint ast.Ref) ([]string, error) {
	refs, err := dependencies.Base(compiler, entrypoint)
	if err != nil {
		return nil, err
	}
	list := []string{}
	for _, ref := range refs {
		if ref.HasPrefix(ast.InputRootRef) {
			list = append(list, ref.String())
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
