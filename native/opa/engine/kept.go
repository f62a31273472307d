package engine

import (
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
)

const (
	maxKept     = 1024
	maxKeptText = 16 << 10
)

// kept are parts of documents that many have in common (a token, a certificate), parsed once and found again by their
// exact text. OPA's values are not changed once made; those of its data are shared between evaluations as well.
type kept struct {
	names map[string]bool // members of the input that are worth it
	mu    sync.RWMutex
	parts map[string]ast.Value
}

func newKept(names []string) *kept {
	k := &kept{names: map[string]bool{}, parts: map[string]ast.Value{}}
	for _, name := range names {
		k.names[name] = true
	}
	return k
}

func (k *kept) find(text string) ast.Value {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.parts[text]
}

func (k *kept) keep(text string, value ast.Value) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.parts) >= maxKept {
		clear(k.parts)
	}
	k.parts[text] = value
}

// shared reads an object that other documents are likely to have too. Only texts that are one whole object are kept, and
// an object says itself where it ends: where one begins that is known, parsing would read just this.
func (p *parser) shared(wanted *reads) (ast.Value, error) {
	text := extent(p.text[p.at:])
	if len(text) == 0 || len(text) > maxKeptText {
		return p.value(wanted)
	}
	if value := p.kept.find(text); value != nil {
		p.at += len(text)
		return value, nil
	}
	text = strings.Clone(text) // not to keep the whole document in memory
	own := parser{text: text, depth: p.depth}
	value, err := own.value(wanted)
	if err != nil || own.at != len(text) {
		return p.value(wanted)
	}
	p.kept.keep(text, value)
	p.at += len(text)
	return value, nil
}

// extent gives the object that text begins with, by its braces and strings alone; nothing where it has no end.
func extent(text string) string {
	open := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return text[:i+1]
			}
		case '"':
			end := strings.IndexByte(text[i+1:], '"')
			for end >= 0 && escaped(text[i+1:i+1+end]) {
				more := strings.IndexByte(text[i+end+2:], '"')
				if more < 0 {
					return ""
				}
				end += more + 1
			}
			if end < 0 {
				return ""
			}
			i += end + 1
		}
	}
	return ""
}

// escaped tells whether what follows the text is escaped: an odd number of backslashes is before it.
func escaped(text string) bool {
	return (len(text)-len(strings.TrimRight(text, `\`)))%2 == 1
}
