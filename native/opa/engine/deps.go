package engine

import (
	"cmp"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Use is a place in the rules where something is read or called.
type Use struct {
	What string `json:"what"`
	File string `json:"file"`
	Row  int    `json:"row"`
	Col  int    `json:"col"`
	// Members are what is used of it, where that is read through a rule that gives it another name.
	Members []string `json:"members,omitempty"`
}

// Uses are where a decision gets what it rests on from.
type Uses struct {
	Input []Use `json:"input"` // every read of the input
	Calls []Use `json:"calls"` // of the clock, and of builtins that are not known to repeat themselves
}

// Uses tells where the rules that the decision can rest on read and call what.
func (s *Set) Uses() Uses {
	uses := Uses{Input: []Use{}, Calls: []Use{}}
	members := s.membersUsed()
	for _, found := range references(s.rules, isInput) {
		uses.Input = append(uses.Input, use(found.ref.String(), found.at, members[found.rule]))
	}
	for _, found := range calls(s.rules) {
		if found.name == clock || !pure[found.name] {
			uses.Calls = append(uses.Calls, use(found.name, found.at, nil))
		}
	}
	uses.Input, uses.Calls = ordered(uses.Input), ordered(uses.Calls)
	return uses
}

func use(what string, at *ast.Location, members []string) Use {
	one := Use{What: what, Members: members}
	if at != nil {
		one.File, one.Row, one.Col = at.File, at.Row, at.Col
	}
	return one
}

func ordered(list []Use) []Use {
	slices.SortFunc(list, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.File, b.File), cmp.Compare(a.Row, b.Row), cmp.Compare(a.Col, b.Col))
	})
	return slices.CompactFunc(list, func(a, b Use) bool { return a.What == b.What && a.File == b.File && a.Row == b.Row })
}

// membersUsed tells, by rule, which members of its value others use; nothing where one of them uses all of it. It serves
// advice alone.
func (s *Set) membersUsed() map[*ast.Rule][]string {
	used := map[*ast.Rule][]string{}
	whole := map[*ast.Rule]bool{}
	for _, found := range append(references(s.rules, isData), reference{ref: s.entrypoint}) {
		for _, rule := range s.compiler.GetRulesDynamicWithOpts(found.ref, ast.RulesOptions{IncludeHiddenModules: true}) {
			length := len(rule.Ref())
			if len(found.ref) <= length {
				whole[rule] = true
			} else if name, ok := found.ref[length].Value.(ast.String); ok {
				used[rule] = append(used[rule], string(name))
			} else {
				whole[rule] = true
			}
		}
	}
	for rule, names := range used {
		slices.Sort(names)
		used[rule] = slices.Compact(names)
		if whole[rule] || len(rule.Head.Args) > 0 {
			delete(used, rule)
		}
	}
	return used
}
