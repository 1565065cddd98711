package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/rollcall-metrics/rollcall/internal/yamltext"
)

// Load reads and checks a file. The error lists every fault, each with its line and the remedy.
func Load(file string) (*Config, error) {
	b, err := yamltext.Read(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, faults := parse(b, os.LookupEnv)
	for i, err := range faults {
		faults[i] = fmt.Errorf("%s: %w", file, err)
	}
	return c, errors.Join(faults...)
}

// Parse reads and checks the text of a configuration; ${NAME} in a string is taken from env.
func Parse(text []byte, env func(string) (string, bool)) (*Config, error) {
	c, faults := parse(text, env)
	return c, errors.Join(faults...)
}

// parse has every fault apart; without any there is a configuration.
func parse(text []byte, env func(string) (string, bool)) (*Config, []error) {
	if err := yamltext.Check(text); err != nil {
		return nil, []error{err}
	}
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, []error{err}
	}
	c := &Config{}
	x := &expander{env: env}
	var errs []error
	var lost []loss // what cannot be read: nothing is said of what may follow from that
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		ast.Walk(x, d.Body)
		if x.tagged {
			return nil, x.errs
		}
		for _, at := range x.missing {
			if found, path := takeOut(d.Body, at, "$"); found == taken {
				lost = append(lost, loss{path: path})
			}
		}
		faults, unread, whole := decode(d.Body, c)
		errs = append(append(errs, x.errs...), faults...)
		if lost = append(lost, unread...); !whole {
			return nil, errs
		}
		x.errs, x.missing = nil, nil
	}
	if len(f.Docs) > 1 {
		return nil, append(errs, errors.New("more than one YAML document; keep one"))
	}
	faults := slices.DeleteFunc(c.validate(), func(ft fault) bool { return follows(ft.path, lost) })
	for i := range faults {
		faults[i].line = faults[i].lineIn(f)
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.path, b.path)) })
	for _, ft := range faults {
		errs = append(errs, ft.err())
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return c, nil
}

// fault is something wrong with a value; path finds its line.
type fault struct {
	path string // such as $.scrape_configs[0].job_name
	text string
	line int // 0: it stands nowhere
}

// lineIn is where the value stands, or what it would stand in.
func (ft *fault) lineIn(f *ast.File) int {
	for path := ft.path; path != "$" && path != ""; path = parent(path) {
		p, err := yaml.PathString(path)
		if err != nil {
			continue
		}
		if n, err := p.FilterFile(f); err == nil && n != nil {
			return n.GetToken().Position.Line
		}
	}
	return 0
}

func (ft *fault) err() error {
	where := strings.TrimPrefix(ft.path, "$.")
	if ft.line == 0 {
		return fmt.Errorf("%s: %s", where, ft.text)
	}
	return fmt.Errorf("line %d: %s: %s", ft.line, where, ft.text)
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
	env     func(string) (string, bool)
	errs    []error
	tagged  bool           // there is a tag
	missing []*token.Token // strings that the environment has no value for
}

// Visit implements ast.Visitor.
func (x *expander) Visit(n ast.Node) ast.Visitor {
	if t, ok := n.(*ast.TagNode); ok { // the YAML library falls over some of them, and nothing here needs one
		x.errs = append(x.errs, fmt.Errorf("line %d: %s is a YAML tag; remove it", t.GetToken().Position.Line, t.GetToken().Value))
		x.tagged = true
		return nil
	}
	if list, ok := n.(*ast.SequenceNode); ok {
		for i, v := range list.Values {
			if s := addressOf(v); s != nil {
				list.Values[i] = s
			}
		}
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
			x.missing = append(x.missing, s.GetToken())
		}
		return v
	})
	return x
}

// addressOf is the host:port that the YAML library has taken for a map: in [a:1] a colon parts key and value for it, though YAML wants a space behind it.
func addressOf(n ast.Node) *ast.StringNode {
	pair, ok := n.(*ast.MappingValueNode)
	if m, is := n.(*ast.MappingNode); is && len(m.Values) == 1 && m.Start.Value != "{" {
		pair, ok = m.Values[0], true
	}
	if !ok {
		return nil
	}
	key, value := pair.Key.GetToken(), pair.Value.GetToken()
	if _, scalar := pair.Value.(ast.ScalarNode); !scalar || key == nil || value == nil || key.Position.Line != value.Position.Line || value.Position.Column != key.Position.Column+len(key.Value)+1 {
		return nil
	}
	text := key.Value + ":" + value.Value
	return ast.String(token.New(text, text, key.Position))
}

var unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)

// instead is what to do about keys that Prometheus has and this file has not.
var instead = map[string]string{
	"username_file":          "write the user in username; only the password is read from a file",
	"sigv4":                  "requests are not signed; put a proxy that signs them in proxy_url",
	"ca":                     "write it to a file and name that in ca_file",
	"cert":                   "write it to a file and name that in cert_file",
	"key":                    "write it to a file and name that in key_file",
	"min_version":            "it is TLS 1.2 at least, and cannot be set; remove it",
	"max_version":            "the newest that both sides speak is taken; remove it",
	"client_secret_ref":      "there is no store of secrets; write it to a file and name that in client_secret_file",
	"client_certificate_key": "a token is asked for with a secret; give client_secret or client_secret_file",
	"grant_type":             "it is client_credentials, and cannot be set; remove it",
}

var wrongType = regexp.MustCompile(`cannot unmarshal (.+?) into Go (?:value|struct field \S+) of type (\S+)`)

// inPlainWords says of a value of the wrong type what it is and what is wanted, in words of YAML instead of Go's.
func inPlainWords(err error) error {
	text := err.Error()
	if m := unknownField.FindStringSubmatch(text); m != nil && instead[m[1]] != "" {
		return said{strings.Replace(text, m[0], m[0]+": "+instead[m[1]], 1), err}
	}
	m := wrongType.FindStringSubmatchIndex(text)
	if m == nil {
		return err
	}
	return said{text[:m[0]] + "want " + kindOf(text[m[4]:m[5]]) + ", and this is " + kindOf(text[m[2]:m[3]]) + text[m[1]:], err}
}

// said is an error in other words.
type said struct {
	text string
	err  error
}

func (s said) Error() string { return s.text }
func (s said) Unwrap() error { return s.err }

// kindOf names a Go type as one who writes YAML knows it.
func kindOf(goType string) string {
	t := strings.TrimPrefix(goType, "*")
	switch {
	case strings.HasPrefix(t, "map["):
		return "a map"
	case strings.HasPrefix(t, "[]"):
		return "a list"
	case t == "string":
		return "text"
	case t == "bool":
		return "true or false"
	case strings.HasPrefix(t, "int"), strings.HasPrefix(t, "uint"), strings.HasPrefix(t, "float"):
		return "a number"
	case strings.HasPrefix(t, "config."):
		return "a map"
	}
	return t
}

// YAML writes the configuration with its secrets hidden.
func (c *Config) YAML() (string, error) {
	b, err := yaml.MarshalWithOptions(c, yaml.OmitZero(), yaml.Indent(2), yaml.IndentSequence(false))
	return string(b), err
}
