package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Load reads and checks a file. The error lists every fault, each with its line and the remedy.
func Load(file string) (*Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(b, os.LookupEnv)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", file, err)
	}
	return c, nil
}

// Parse reads and checks the text of a configuration; ${NAME} in a string is taken from env.
func Parse(text []byte, env func(string) (string, bool)) (*Config, error) {
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	c := &Config{}
	x := &expander{env: env}
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		ast.Walk(x, d.Body)
		if len(x.errs) > 0 {
			return nil, errors.Join(x.errs...)
		}
		dec := yaml.NewDecoder(strings.NewReader(""), yaml.Strict())
		if err := dec.DecodeFromNode(d.Body, c); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if len(f.Docs) > 1 {
		return nil, errors.New("more than one YAML document; keep one")
	}
	faults := c.validate()
	var errs []error
	for _, ft := range faults {
		errs = append(errs, ft.at(f))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// fault is something wrong with a value; path finds its line.
type fault struct {
	path string // such as $.scrape_configs[0].job_name
	text string
}

func (ft fault) at(f *ast.File) error {
	for path := ft.path; path != "$" && path != ""; path = parent(path) {
		p, err := yaml.PathString(path)
		if err != nil {
			continue
		}
		if n, err := p.FilterFile(f); err == nil && n != nil {
			return fmt.Errorf("line %d: %s: %s", n.GetToken().Position.Line, strings.TrimPrefix(ft.path, "$."), ft.text)
		}
	}
	return fmt.Errorf("%s: %s", strings.TrimPrefix(ft.path, "$."), ft.text)
}

func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i > 0 {
		return path[:i]
	}
	return ""
}

var envName = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expander puts the environment's values where ${NAME} stands in a string.
type expander struct {
	env  func(string) (string, bool)
	errs []error
}

// Visit implements ast.Visitor.
func (x *expander) Visit(n ast.Node) ast.Visitor {
	if t, ok := n.(*ast.TagNode); ok { // the YAML library falls over some of them, and nothing here needs one
		x.errs = append(x.errs, fmt.Errorf("line %d: %s is a YAML tag; remove it", t.GetToken().Position.Line, t.GetToken().Value))
		return nil
	}
	s, ok := n.(*ast.StringNode)
	if !ok {
		return x
	}
	s.Value = envName.ReplaceAllStringFunc(s.Value, func(m string) string {
		name := m[2 : len(m)-1]
		v, ok := x.env(name)
		if !ok {
			x.errs = append(x.errs, fmt.Errorf("line %d: the environment has no %s; set it, or write the value here", s.GetToken().Position.Line, name))
		}
		return v
	})
	return x
}

// YAML writes the configuration with its secrets hidden.
func (c *Config) YAML() (string, error) {
	b, err := yaml.MarshalWithOptions(c, yaml.OmitZero(), yaml.Indent(2), yaml.IndentSequence(false))
	return string(b), err
}
