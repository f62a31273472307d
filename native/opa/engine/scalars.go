package engine

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// str reads a string; one without escapes is a piece of the text itself.
func (p *parser) str() (string, error) {
	start := p.at + 1
	for i := start; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			p.at = i + 1
			return p.text[start:i], nil
		case c == '\\':
			return p.escaped(start, i)
		case c < 0x20:
			p.at = i
			return "", errors.New("a control character in a string")
		}
	}
	return "", errors.New("a string without end")
}

func (p *parser) escaped(start, i int) (string, error) {
	text := []byte(p.text[start:i])
	for i < len(p.text) {
		p.at = i
		switch c := p.text[i]; {
		case c == '"':
			p.at = i + 1
			return string(text), nil
		case c < 0x20:
			return "", errors.New("a control character in a string")
		case c != '\\':
			text = append(text, c)
			i++
		default:
			char, width, err := unescape(p.text[i:])
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, char)
			i += width
		}
	}
	return "", errors.New("a string without end")
}

var short = map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape reads the escape that text begins with. A surrogate counts only in a pair.
func unescape(text string) (char rune, width int, err error) {
	if len(text) < 2 {
		return 0, 0, errors.New("a string without end")
	}
	if char, ok := short[text[1]]; ok {
		return char, 2, nil
	}
	first, ok := hex4(text)
	if !ok {
		return 0, 0, errors.New("an unknown escape")
	}
	if !utf16.IsSurrogate(first) {
		return first, 6, nil
	}
	second, ok := hex4(text[6:])
	if char = utf16.DecodeRune(first, second); !ok || char == utf8.RuneError {
		return 0, 0, errors.New("a lone surrogate")
	}
	return char, 12, nil
}

func hex4(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(n), err == nil
}

// number follows the grammar of RFC 8259 §6 and leaves the digits as they are.
func (p *parser) number() (ast.Value, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	whole := p.at
	ok := p.digits()
	ok = ok && (p.text[whole] != '0' || p.at == whole+1)
	if p.peek() == '.' {
		p.at++
		ok = p.digits() && ok
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		ok = p.digits() && ok
	}
	if !ok {
		return nil, errors.New("a malformed number")
	}
	text := p.text[start:p.at]
	if term := ast.InternedIntNumberTermFromString(text); term != nil {
		return term.Value, nil
	}
	return ast.NumberChecked(text)
}

func (p *parser) digits() bool {
	start := p.at
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}
