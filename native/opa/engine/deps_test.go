package engine

import (
	"fmt"
	"testing"
)

func TestUsesNameWhatAndWhere(t *testing.T) {
	set := load(t, map[string]string{"a.rego": `package z

claims := input.token.claims

all := input.tls

decision := [claims.a, claims.b.c, count(all), yaml.unmarshal("1"), time.now_ns(), f(input.x)]

f(x) := x
`})
	uses := set.Uses()
	list := ""
	for _, one := range append(uses.Input, uses.Calls...) {
		list += fmt.Sprintf("%s %d %v; ", one.What, one.Row, one.Members)
	}
	if list != "input.tls 5 []; input.token.claims 3 [a b]; input.x 7 []; time.now_ns 7 []; yaml.unmarshal 7 []; " {
		t.Fatal(list)
	}
}
