package config

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxDecodeFaults bounds how many faults are looked for that keep a file from being decoded.
const maxDecodeFaults = 50

// decode reads a document into c, and names all keys that nobody knows and all values of the wrong type: the YAML library stops at the first, so that one is taken out of
// the tree, and the rest is tried again. wrong: some values are missing in c for that, so nothing can be said of what depends on them.
func decode(body ast.Node, c *Config) (errs []error, wrong bool) {
	for {
		*c = Config{}
		err := yaml.NewDecoder(strings.NewReader(""), yaml.Strict()).DecodeFromNode(body, c)
		if err == nil || errors.Is(err, io.EOF) {
			break
		}
		errs = append(errs, inPlainWords(err))
		var unknown *yaml.UnknownFieldError
		wrong = wrong || !errors.As(err, &unknown)
		var at interface{ GetToken() *token.Token }
		if len(errs) == maxDecodeFaults || !errors.As(err, &at) || takeOut(body, at.GetToken()) != taken {
			wrong = true
			break
		}
	}
	slices.SortStableFunc(errs, func(a, b error) int { return lineOf(a) - lineOf(b) })
	return errs, wrong
}

func lineOf(err error) int {
	var at interface{ GetToken() *token.Token }
	if errors.As(err, &at) && at.GetToken() != nil {
		return at.GetToken().Position.Line
	}
	return 0
}

// What takeOut has found.
const (
	nothing = iota
	here    // it is the node itself, or of no key below it
	taken
)

// takeOut takes the key out that stands at a token, or whose value does.
func takeOut(n ast.Node, at *token.Token) int {
	is := func(n ast.Node) bool {
		t := n.GetToken()
		return at != nil && t != nil && t.Position.Line == at.Position.Line && t.Position.Column == at.Position.Column
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for i, v := range n.Values {
			switch takeOut(v, at) {
			case taken:
				return taken
			case here:
				n.Values = slices.Delete(n.Values, i, i+1)
				return taken
			}
		}
	case *ast.MappingValueNode:
		if is(n.Key) {
			return here
		}
		return takeOut(n.Value, at)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			if found := takeOut(v, at); found != nothing {
				return found
			}
		}
	}
	if is(n) {
		return here
	}
	return nothing
}
