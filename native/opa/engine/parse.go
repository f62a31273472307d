package engine

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

const (
	// MaxInput bounds an input document, in bytes.
	MaxInput = 1 << 20
	// MaxDepth bounds how deep arrays and objects may nest.
	MaxDepth    = 200
	termsAtOnce = 64
)

var errDepth = fmt.Errorf("nested deeper than %d", MaxDepth)

// parser turns JSON (RFC 8259) into OPA's values in one pass, numbers kept as written. It refuses what two readers could
// read differently: duplicate names, lone surrogates, invalid UTF-8, anything after the value. Members that no rule
// names are checked for their form but not built.
type parser struct {
	text  string
	at    int
	depth int
	terms []ast.Term // made many at a time, handed out one by one
	kept  *kept      // nil where nothing is shared with other documents
}

// parse reads text, building only what wanted holds. The values share text's memory, or that of documents before, of which
// the same parts are kept.
func parse(text string, wanted *reads, kept *kept) (value ast.Value, err error) {
	if len(text) > MaxInput {
		return nil, fmt.Errorf("longer than %d bytes", MaxInput)
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("not valid UTF-8")
	}
	p := parser{text: text, kept: kept}
	p.space()
	value, err = p.value(wanted)
	if err == nil {
		if p.space(); p.at != len(p.text) {
			err = errors.New("something follows the value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("byte %d: %w", p.at, err)
	}
	return value, nil
}

func (p *parser) term(value ast.Value) *ast.Term {
	if len(p.terms) == 0 {
		p.terms = make([]ast.Term, termsAtOnce)
	}
	term := &p.terms[0]
	p.terms = p.terms[1:]
	term.Value = value
	return term
}

func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) value(wanted *reads) (ast.Value, error) {
	switch c := p.peek(); c {
	case '{':
		return p.object(wanted)
	case '[':
		return p.array(wanted != nil)
	case '"':
		text, err := p.str()
		return ast.String(text), err
	case 't':
		return ast.Boolean(true), p.word("true")
	case 'f':
		return ast.Boolean(false), p.word("false")
	case 'n':
		return ast.NullValue, p.word("null")
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return p.number()
		}
		return nil, errors.New("a value was expected")
	}
}

func (p *parser) word(word string) error {
	if !strings.HasPrefix(p.text[p.at:], word) {
		return errors.New("a value was expected")
	}
	p.at += len(word)
	return nil
}

// descend begins an array or object and tells whether it is empty.
func (p *parser) descend(end byte) (empty bool, err error) {
	if p.depth++; p.depth > MaxDepth {
		return false, errDepth
	}
	p.at++
	p.space()
	if p.peek() == end {
		p.at++
		p.depth--
		return true, nil
	}
	return false, nil
}

// next goes past a comma, or past the end, and tells which it was.
func (p *parser) next(end byte) (more bool, err error) {
	p.space()
	switch p.peek() {
	case ',':
		p.at++
		p.space()
		return true, nil
	case end:
		p.at++
		p.depth--
		return false, nil
	}
	return false, fmt.Errorf("',' or %q was expected", end)
}

func (p *parser) array(build bool) (ast.Value, error) {
	empty, err := p.descend(']')
	if empty || err != nil {
		return ast.NewArray(), err
	}
	var wanted *reads // the members of an array are wanted all or none
	if build {
		wanted = everything
	}
	var members []*ast.Term
	for {
		value, err := p.value(wanted)
		if err != nil {
			return nil, err
		}
		if build {
			members = append(members, p.term(value))
		}
		if more, err := p.next(']'); err != nil || !more {
			return ast.NewArray(members...), err
		}
	}
}

func (p *parser) object(wanted *reads) (ast.Value, error) {
	empty, err := p.descend('}')
	if empty || err != nil {
		return ast.NewObject(), err
	}
	var space [16][2]*ast.Term
	members := space[:0]
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		below, key := p.choose(wanted, name)
		value, err := p.member(name, below)
		if err != nil {
			return nil, err
		}
		if below != nil {
			members = append(members, [2]*ast.Term{key, p.term(value)})
		}
		more, err := p.next('}')
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	if wanted == nil {
		return nil, nil
	}
	if repeated(members) {
		return nil, errors.New("a name is there twice")
	}
	return ast.NewObject(members...), nil
}

func (p *parser) member(name string, wanted *reads) (ast.Value, error) {
	if p.depth == 1 && p.kept != nil && wanted != nil && p.kept.names[name] && p.peek() == '{' {
		return p.shared(wanted)
	}
	return p.value(wanted)
}

// repeated looks for a name that is there twice; ast.NewObject would keep both.
func repeated(members [][2]*ast.Term) bool {
	if len(members) > 16 {
		names := make(map[ast.Value]struct{}, len(members))
		for _, member := range members {
			names[member[0].Value] = struct{}{}
		}
		return len(names) != len(members)
	}
	for i, member := range members {
		for _, other := range members[:i] {
			if member[0].Value == other[0].Value { // both are ast.String
				return true
			}
		}
	}
	return false
}

// choose tells what is wanted below a name, nil for nothing, and gives the term of the name.
func (p *parser) choose(wanted *reads, name string) (*reads, *ast.Term) {
	switch {
	case wanted == nil:
		return nil, nil
	case wanted.all:
		return everything, p.term(ast.String(name))
	}
	if child := wanted.keys[name]; child != nil {
		return &child.reads, child.term
	}
	return nil, nil
}

func (p *parser) name() (string, error) {
	if p.peek() != '"' {
		return "", errors.New("a name was expected")
	}
	name, err := p.str()
	if err != nil {
		return "", err
	}
	if p.space(); p.peek() != ':' {
		return "", errors.New("':' was expected")
	}
	p.at++
	p.space()
	return name, nil
}
