package config

import (
	"errors"
	"fmt"
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
// the tree, and the rest is tried again. lost is what was taken out; whole: all else is in c.
func decode(body ast.Node, c *Config) (errs []error, lost []loss, whole bool) {
	whole = true
	for {
		*c = Config{}
		err := yaml.NewDecoder(strings.NewReader(""), yaml.Strict()).DecodeFromNode(body, c)
		if err == nil || errors.Is(err, io.EOF) {
			break
		}
		errs = append(errs, inPlainWords(err))
		var at interface{ GetToken() *token.Token }
		if len(errs) == maxDecodeFaults || !errors.As(err, &at) {
			whole = false
			break
		}
		found, path := takeOut(body, at.GetToken(), "$")
		if found != taken {
			whole = false
			break
		}
		var unknown *yaml.UnknownFieldError
		lost = append(lost, loss{path, errors.As(err, &unknown)})
	}
	slices.SortStableFunc(errs, func(a, b error) int { return lineOf(a) - lineOf(b) })
	return errs, lost, whole
}

// loss is a key that was taken out, as nobody knows it, or as its value cannot be read.
type loss struct {
	path    string
	unknown bool
}

// follows reports whether a fault may be there only because something was taken out: it is of that, of a map around it, or of what stands in the same map.
func follows(fault string, lost []loss) bool {
	return slices.ContainsFunc(lost, func(l loss) bool {
		around := parent(l.path)
		switch {
		case within(fault, l.path) || within(l.path, fault):
			return true
		case (within(fault, around) || around == "$.global") && (strings.HasSuffix(fault, ".scrape_interval") || strings.HasSuffix(fault, ".scrape_timeout")):
			return strings.HasPrefix(l.path, around+".scrape_") // one is held against the other, and each job has them from global
		case l.unknown || around == "$":
			return false
		}
		return within(fault, around) && !strings.Contains(strings.TrimPrefix(fault[len(around):], "."), ".")
	})
}

// within reports whether a path is another, or leads on from it.
func within(path, of string) bool {
	rest, ok := strings.CutPrefix(path, of)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
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

// takeOut takes the key out that stands at a token, or whose value does, and says its path; n is at the path given.
func takeOut(n ast.Node, at *token.Token, path string) (int, string) {
	is := func(n ast.Node) bool {
		t := n.GetToken()
		return at != nil && t != nil && t.Position.Line == at.Position.Line && t.Position.Column == at.Position.Column
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for i, v := range n.Values {
			switch found, key := takeOut(v, at, path); found {
			case taken:
				return taken, key
			case here:
				n.Values = slices.Delete(n.Values, i, i+1)
				return taken, key
			}
		}
	case *ast.MappingValueNode:
		if key := n.Key.GetToken(); key != nil {
			path += "." + key.Value
		}
		if is(n.Key) {
			return here, path
		}
		return takeOut(n.Value, at, path)
	case *ast.SequenceNode:
		for i, v := range n.Values {
			if found, key := takeOut(v, at, fmt.Sprintf("%s[%d]", path, i)); found != nothing {
				return found, key
			}
		}
	}
	if is(n) {
		return here, path
	}
	return nothing, ""
}
