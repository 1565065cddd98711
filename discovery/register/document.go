package register

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/rollcall-metrics/rollcall/internal/yamltext"
)

// documents parses text and calls f for each document that is not empty.
func documents(text []byte, env func(string) (string, bool), f func(ast.Node) error) (err error) {
	defer func() { // the library falls over some texts that no person writes; one of them must not end the agent
		if r := recover(); r != nil {
			err = fmt.Errorf("not YAML that can be read: %v", r)
		}
	}()
	if err := yamltext.Check(text); err != nil {
		return err
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return withLine(err)
	}
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.NullType || d.Body.Type() == ast.CommentType {
			continue
		}
		x := &expander{env: env}
		ast.Walk(x, d.Body)
		if err := errors.Join(x.errs...); err != nil {
			return err
		}
		if err := f(d.Body); err != nil {
			return err
		}
	}
	return nil
}

func decode(body ast.Node, into any) error {
	err := yaml.NewDecoder(strings.NewReader(""), yaml.Strict()).DecodeFromNode(body, into)
	if err != nil && !errors.Is(err, io.EOF) {
		return withLine(err)
	}
	return nil
}

var unknownField = regexp.MustCompile(`^unknown field "(.*)"$`)

// withLine puts the library's errors in our words.
func withLine(err error) error {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil || y.GetToken().Position == nil {
		return errors.New(firstLine(err.Error()))
	}
	text := y.GetMessage()
	if m := unknownField.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("nothing is called %.60q here; remove it", m[1])
		if near := nearest(m[1]); near != "" {
			text = fmt.Sprintf("nothing is called %.60q here; is it %s?", m[1], near)
		}
	}
	return fmt.Errorf("line %d: %s", y.GetToken().Position.Line, text)
}

// words is every key there is.
var words = strings.Fields(`zookeeper servers session_timeout digest_file protect tls_config ca_file cert_file key_file server_name insecure_skip_verify
	root verify_interval flap half_life defaults services service_files service env host port checks version zone region track host_name owner tags
	stats_port stats_path scheme shard expected http https tcp interval timeout rise fall status`)

// nearest is the key that was probably meant: one or two slips away.
func nearest(word string) string {
	best, least := "", 3
	for _, w := range words {
		if n := slips(word, w); n < least && n < len(w) {
			best, least = w, n
		}
	}
	return best
}

// slips is the distance in letters left out, put in, changed or swapped with the next, of words up to 40 bytes.
func slips(a, b string) int {
	if len(a) > 40 {
		return len(a)
	}
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			changed := row[j]
			if a[i] != b[j] {
				changed++
			}
			next[j+1] = min(changed, next[j]+1, row[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}

var envName = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expander puts the environment's values where ${NAME} stands in a text, and refuses YAML tags, which nothing here needs and the library stumbles over.
type expander struct {
	env  func(string) (string, bool)
	errs []error
}

// Visit implements ast.Visitor.
func (x *expander) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.TagNode:
		x.errs = append(x.errs, fmt.Errorf("line %d: %s is a YAML tag; remove it", n.GetToken().Position.Line, n.GetToken().Value))
		return nil
	case *ast.StringNode:
		n.Value = envName.ReplaceAllStringFunc(n.Value, func(m string) string {
			name := m[2 : len(m)-1]
			v, ok := x.env(name)
			if !ok && !slices.ContainsFunc(x.errs, func(e error) bool { return strings.Contains(e.Error(), " "+name+";") }) {
				x.errs = append(x.errs, fmt.Errorf("line %d: the environment has no %s; set it, or write the value here", n.GetToken().Position.Line, name))
			}
			return v
		})
	}
	return x
}
