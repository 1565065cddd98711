package rules

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	gotemplate "text/template"
	"time"
	"unicode"

	"github.com/prometheus/common/helpers/templates"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/util/strutil"
)

// sample is one of a query's answer, as templates see it.
type sample struct {
	Labels map[string]string
	Value  any
}

// functions are those that Prometheus gives to templates, and the library's own where what they make could grow. Each is charged for what it looks at and makes.
func (m *machine) functions() gotemplate.FuncMap {
	one := func(f func(string) string) func(string) (string, error) {
		return func(s string) (string, error) {
			if err := m.spend(len(s)); err != nil {
				return "", err
			}
			return m.made(f(s))
		}
	}
	number := func(f func(float64) string) func(any) (string, error) {
		return func(i any) (string, error) {
			v, err := templates.ConvertToFloat(i)
			if err != nil {
				return "", err
			}
			return f(v), nil
		}
	}
	return gotemplate.FuncMap{
		stepName: func() (string, error) { return "", m.spend(0) },
		"query":  m.ask,
		"first": func(v []*sample) (*sample, error) {
			if len(v) == 0 {
				return nil, errors.New("first() called on vector with no elements")
			}
			return v[0], nil
		},
		"label":    func(label string, s *sample) string { return s.Labels[label] },
		"value":    func(s *sample) any { return s.Value },
		"strvalue": func(s *sample) string { return s.Labels["__value__"] },
		"args":     arguments,
		"reReplaceAll": func(p, repl, text string) (string, error) {
			re, err := m.pattern(p, text)
			if err != nil {
				return "", err
			}
			if longest := (len(text) + 1) * (len(repl) + strings.Count(repl, "$")*len(text)); longest > 16<<20 {
				return "", errOutput
			}
			return m.made(re.ReplaceAllString(text, repl))
		},
		"match": func(p, text string) (bool, error) {
			re, err := m.pattern(p, text)
			return err == nil && re.MatchString(text), err
		},
		"safeHtml":           func(s string) string { return s },
		"title":              one(title),
		"toUpper":            one(strings.ToUpper),
		"toLower":            one(strings.ToLower),
		"graphLink":          one(strutil.GraphLinkForExpression),
		"tableLink":          one(strutil.TableLinkForExpression),
		"urlQueryEscape":     one(url.QueryEscape),
		"sortByLabel":        m.sortByLabel,
		"stripPort":          stripPort,
		"stripDomain":        stripDomain,
		"humanize":           number(humanize),
		"humanize1024":       number(humanize1024),
		"humanizePercentage": number(func(v float64) string { return fmt.Sprintf("%.4g%%", v*100) }),
		"humanizeDuration":   templates.HumanizeDuration,
		"humanizeTimestamp":  templates.HumanizeTimestamp,
		"toTime":             m.toTime,
		"toDuration": func(i any) (*time.Duration, error) {
			v, err := templates.ConvertToFloat(i)
			if err != nil {
				return nil, err
			}
			d := time.Duration(v * float64(time.Second))
			return &d, nil
		},
		"now":         func() float64 { return float64(m.at.UnixMilli()) / 1000 },
		"pathPrefix":  func() string { return m.base.Path },
		"externalURL": func() string { return m.base.String() },
		"parseDuration": func(s string) (float64, error) {
			d, err := model.ParseDurationAllowNegative(s)
			return time.Duration(d).Seconds(), err
		},
		"printf":   m.printf,
		"print":    func(args ...any) (string, error) { return m.print(fmt.Sprint, args) },
		"println":  func(args ...any) (string, error) { return m.print(fmt.Sprintln, args) },
		"html":     func(args ...any) (string, error) { return m.escaped(gotemplate.HTMLEscapeString, args) },
		"js":       func(args ...any) (string, error) { return m.escaped(gotemplate.JSEscapeString, args) },
		"urlquery": func(args ...any) (string, error) { return m.escaped(url.QueryEscape, args) },
	}
}

// made is a text that a function gives.
func (m *machine) made(s string) (string, error) {
	if len(s) > maxOutput {
		return "", errOutput
	}
	return s, m.spend(len(s))
}

// pattern is a regular expression, and how much work a byte of text is to it.
type pattern struct {
	*regexp.Regexp
	steps int
}

// maxPatterns bounds those that are remembered.
const maxPatterns = 100

// pattern compiles a pattern and charges for trying it on a text.
func (m *machine) pattern(s, text string) (*pattern, error) {
	p := m.patterns[s]
	if p == nil {
		if err := m.spend(64 * len(s)); err != nil {
			return nil, err
		}
		tree, err := syntax.Parse(s, syntax.Perl)
		if err != nil {
			return nil, fmt.Errorf("regexp: Compile(`%s`): %w", clip(s), err)
		}
		prog, err := syntax.Compile(tree.Simplify())
		if err != nil {
			return nil, err
		}
		if err := m.spend(64 * len(prog.Inst)); err != nil {
			return nil, err
		}
		re, err := regexp.Compile(s)
		if err != nil {
			return nil, err
		}
		if len(m.patterns) >= maxPatterns {
			clear(m.patterns)
		}
		p = &pattern{re, 1 + len(prog.Inst)/4}
		m.patterns[s] = p
	}
	return p, m.spend(len(text) * p.steps)
}

func (m *machine) ask(q string) ([]*sample, error) {
	if m.asked++; m.asked > maxQueries {
		return nil, errAsks
	}
	if err := m.spend(len(q)); err != nil {
		return nil, err
	}
	v, err := m.query(m.ctx, q, m.at)
	if err != nil {
		return nil, err
	}
	if len(v) > maxAnswer {
		return nil, fmt.Errorf("query gives more than %d series", maxAnswer)
	}
	out := make([]*sample, len(v))
	for i := range v {
		out[i] = &sample{labelMap(v[i].Metric), v[i].F}
	}
	return out, nil
}

// arguments is what a template hands to another. They do not stand within each other: what holds itself twice, thirty times over, is a text without end.
func arguments(args ...any) (map[string]any, error) {
	if len(args) > 100 {
		return nil, errors.New("args of more than 100 values")
	}
	out := make(map[string]any, len(args))
	for i, a := range args {
		if _, again := a.(map[string]any); again {
			return nil, errors.New("args within args")
		}
		out[fmt.Sprintf("arg%d", i)] = a
	}
	return out, nil
}

func (m *machine) sortByLabel(label string, v []*sample) ([]*sample, error) {
	if err := m.spend(16 * len(v)); err != nil {
		return nil, err
	}
	slices.SortStableFunc(v, func(a, b *sample) int { return strings.Compare(a.Labels[label], b.Labels[label]) })
	return v, nil
}

// sizeOf is about how long a value is when it is printed.
func sizeOf(v any) int {
	switch x := v.(type) {
	case string:
		return len(x)
	case []byte:
		return 4 * len(x)
	case map[string]string:
		n := 0
		for k, v := range x {
			n += len(k) + len(v) + 2
		}
		return n
	case map[string]any:
		n := 0
		for k, v := range x {
			n += len(k) + sizeOf(v) + 2
		}
		return n
	case []*sample:
		return 20 * len(x)
	case sample:
		return sizeOf(x.Labels) + 32
	case *sample:
		if x == nil {
			return 8
		}
		return sizeOf(x.Labels) + 32
	}
	return 64
}

func (m *machine) print(f func(...any) string, args []any) (string, error) {
	n := 0
	for _, a := range args {
		if n += sizeOf(a); n > 2*maxOutput {
			return "", errOutput
		}
	}
	if err := m.spend(n); err != nil {
		return "", err
	}
	return m.made(f(args...))
}

// widths finds numbers of a format that make a text longer than its arguments are.
var widths = regexp.MustCompile(`%[^a-zA-Z%]*(\*|[0-9]{4})`)

func (m *machine) printf(format string, args ...any) (string, error) {
	longest := 0
	for _, a := range args {
		longest = max(longest, sizeOf(a))
	}
	switch n := len(format) + strings.Count(format, "%")*max(longest, 1000); {
	case n > 64*maxOutput:
		return "", errOutput
	case widths.MatchString(format):
		return "", errors.New("printf with a width of more than 999, or of an argument")
	}
	if err := m.spend(len(format) + longest); err != nil {
		return "", err
	}
	return m.made(fmt.Sprintf(format, args...))
}

func (m *machine) escaped(f func(string) string, args []any) (string, error) {
	s, ok := "", false
	if len(args) == 1 {
		s, ok = args[0].(string)
	}
	if !ok {
		var err error
		if s, err = m.print(fmt.Sprint, args); err != nil {
			return "", err
		}
	}
	if err := m.spend(len(s)); err != nil {
		return "", err
	}
	return m.made(f(s))
}

// title makes the first letter of each word a capital.
func title(s string) string {
	in := false
	return strings.Map(func(r rune) rune {
		word := unicode.IsLetter(r) || unicode.IsMark(r) || r == '_' || r == '\''
		was := in
		in = word
		if word && !was {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

func stripPort(s string) string {
	host, _, err := net.SplitHostPort(s)
	if err != nil {
		return s
	}
	return host
}

func stripDomain(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host = s
	}
	if net.ParseIP(host) != nil {
		return s
	}
	host, _, _ = strings.Cut(host, ".")
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	return host
}

func humanize(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprintf("%.4g", v)
	}
	prefix := ""
	if math.Abs(v) >= 1 {
		for _, p := range []string{"k", "M", "G", "T", "P", "E", "Z", "Y"} {
			if math.Abs(v) < 1000 {
				break
			}
			prefix, v = p, v/1000
		}
		return fmt.Sprintf("%.4g%s", v, prefix)
	}
	for _, p := range []string{"m", "u", "n", "p", "f", "a", "z", "y"} {
		if math.Abs(v) >= 1 {
			break
		}
		prefix, v = p, v*1000
	}
	return fmt.Sprintf("%.4g%s", v, prefix)
}

func humanize1024(v float64) string {
	if math.Abs(v) <= 1 || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprintf("%.4g", v)
	}
	prefix := ""
	for _, p := range []string{"ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"} {
		if math.Abs(v) < 1024 {
			break
		}
		prefix, v = p, v/1024
	}
	return fmt.Sprintf("%.4g%s", v, prefix)
}
