// Package expr parses PromQL within bounds: a query of people and a rule of theirs are held to the same.
//
// It owns how long and how deep an expression may be, which Prometheus' parser does not ask. What an expression means is the engine's.
package expr

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// The bounds. Parsing takes time with the square of length and depth and cannot be cut short, and the engine walks an expression before it looks at the time.
const (
	MaxBytes = 16 << 10
	MaxDepth = 500
)

var (
	errLong = fmt.Errorf("the expression is longer than %d bytes", MaxBytes)
	errDeep = fmt.Errorf("the expression is nested more than %d deep", MaxDepth)
)

// Check says why an expression is not to be given to a parser; nil: it may be.
func Check(text string) error {
	switch {
	case len(text) > MaxBytes:
		return errLong
	case nested(text):
		return errDeep
	}
	return nil
}

// Parse parses an expression. The error is the parser's, or names the bound.
func Parse(p parser.Parser, text string) (parser.Expr, error) {
	if err := Check(text); err != nil {
		return nil, err
	}
	e, err := p.ParseExpr(text)
	if err != nil {
		return nil, err
	}
	if deeper(e, MaxDepth) {
		return nil, errDeep
	}
	return e, nil
}

// nested reports whether parentheses, and signs one after the other, nest too deep. What the parser would take seconds for it finds in one walk.
func nested(text string) bool {
	var open []int // of each parenthesis that is open: itself, and the signs before it
	depth, signs := 0, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t', '\n', '\r':
			continue
		case '#':
			i += span(text[i:], "\n", false)
			continue
		case '-', '+':
			signs++
		case '(':
			open = append(open, signs+1)
			depth, signs = depth+signs+1, 0
		case ')':
			if n := len(open); n > 0 {
				depth, open = depth-open[n-1], open[:n-1]
			}
			signs = 0
		case '"', '\'', '`':
			i += 1 + span(text[i+1:], text[i:i+1], c != '`')
			signs = 0
		default:
			signs = 0
		}
		if depth+signs > MaxDepth {
			return true
		}
	}
	return false
}

// span is how far it is to what ends a string or a comment.
func span(text, end string, escapes bool) int {
	for i := 0; i < len(text); i++ {
		switch {
		case escapes && text[i] == '\\':
			i++
		case strings.HasPrefix(text[i:], end):
			return i
		}
	}
	return len(text)
}

func deeper(n parser.Node, left int) bool {
	if left == 0 {
		return true
	}
	for c := range parser.ChildrenIter(n) {
		if deeper(c, left-1) {
			return true
		}
	}
	return false
}
