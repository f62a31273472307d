package engine

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// MaxResult bounds a decision, in bytes of JSON.
const MaxResult = 64 << 10

const maxResultDepth = 64

var errResultSize = fmt.Errorf("the result is longer than %d bytes", MaxResult)

// encode appends the JSON of a value. Sets become arrays in order; names that are no strings, invalid UTF-8 and what is
// too deep or too long are errors.
func encode(out []byte, value ast.Value, depth int) ([]byte, error) {
	if depth > maxResultDepth {
		return nil, errors.New("the result is nested too deep")
	}
	if len(out) > MaxResult {
		return nil, errResultSize
	}
	switch value := value.(type) {
	case ast.Null:
		return append(out, "null"...), nil
	case ast.Boolean:
		if value {
			return append(out, "true"...), nil
		}
		return append(out, "false"...), nil
	case ast.Number:
		if !isNumber(string(value)) {
			return nil, fmt.Errorf("the result holds %q, which JSON cannot say", string(value))
		}
		return append(out, value...), nil
	case ast.String:
		return quote(out, string(value))
	case *ast.Array:
		return encodeArray(out, value, depth)
	case ast.Set:
		return encodeArray(out, value.Sorted(), depth)
	case ast.Object:
		return encodeObject(out, value, depth)
	}
	return nil, fmt.Errorf("the result holds a %s", ast.ValueName(value))
}

func encodeArray(out []byte, array *ast.Array, depth int) ([]byte, error) {
	var err error
	out = append(out, '[')
	for i := range array.Len() {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = encode(out, array.Elem(i).Value, depth+1); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

func encodeObject(out []byte, object ast.Object, depth int) ([]byte, error) {
	out = append(out, '{')
	first := true
	err := object.Iter(func(key, value *ast.Term) error {
		name, ok := key.Value.(ast.String)
		if !ok {
			return errors.New("the result has a name that is not a string")
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		var err error
		if out, err = quote(out, string(name)); err != nil {
			return err
		}
		out, err = encode(append(out, ':'), value.Value, depth+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	return append(out, '}'), nil
}

func quote(out []byte, text string) ([]byte, error) {
	if len(out)+len(text) > MaxResult {
		return nil, errResultSize
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("the result holds a string that is not valid UTF-8")
	}
	const digits = "0123456789abcdef"
	out = append(out, '"')
	from := 0
	for i := range len(text) {
		c := text[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		out = append(out, text[from:i]...)
		from = i + 1
		if c < 0x20 {
			out = append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		} else {
			out = append(out, '\\', c)
		}
	}
	return append(append(out, text[from:]...), '"'), nil
}

func isNumber(text string) bool {
	p := parser{text: text}
	if c := p.peek(); c != '-' && (c < '0' || c > '9') {
		return false
	}
	_, err := p.number()
	return err == nil && p.at == len(text)
}
