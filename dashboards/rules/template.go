package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	gotemplate "text/template"
	"text/template/parse"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Bounds of one template as it is expanded. Work is about a byte that is looked at or written; a turn of a loop and a call cost turnWork.
const (
	maxOutput   = 64 << 10
	maxWork     = 1 << 20
	turnWork    = 64
	maxQueries  = 20
	maxAnswer   = 10_000 // series that a query in a template may give
	stepName    = "rollcall_turn"
	definitions = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
)

// Why a template came to its end.
var (
	errWork   = errors.New("it does too much: loops without end, or texts that grow")
	errOutput = fmt.Errorf("its text is longer than %d bytes", maxOutput)
	errAsks   = fmt.Errorf("it asks more than %d queries", maxQueries)
)

// machine expands the templates of a group, one at a time, within bounds.
type machine struct {
	world    string // what tells two machines apart
	external map[string]string
	base     *url.URL
	funcs    gotemplate.FuncMap
	patterns map[string]*pattern
	turn     parse.Node

	// Of the expansion that goes on:
	ctx   context.Context
	at    time.Time
	query Query
	work  int
	asked int
}

func newMachine(o Options) *machine {
	m := &machine{external: maps.Clone(o.ExternalLabels), base: &url.URL{}, patterns: map[string]*pattern{}}
	if u, err := url.Parse(o.ExternalURL); err == nil {
		m.base = u
	}
	if m.external == nil {
		m.external = map[string]string{}
	}
	m.world = o.ExternalURL
	for _, k := range slices.Sorted(maps.Keys(m.external)) {
		m.world += fmt.Sprintf("%q=%q", k, m.external[k])
	}
	m.funcs = m.functions()
	turn := gotemplate.Must(gotemplate.New("").Funcs(m.funcs).Parse("{{" + stepName + "}}"))
	m.turn = turn.Root.Nodes[0]
	return m
}

// template is a text to be expanded.
type template struct {
	name   string
	plain  string
	parsed *gotemplate.Template // nil: it is plain
}

func (m *machine) compile(name, s string) (*template, error) {
	if !strings.Contains(s, "{{") {
		return &template{plain: s}, nil
	}
	t, err := gotemplate.New(name).Funcs(m.funcs).Option("missingkey=zero").Parse(definitions + s)
	if err != nil {
		return nil, err
	}
	for _, x := range t.Templates() {
		if x.Tree != nil && x.Root != nil {
			m.count(x.Root)
			x.Root.Nodes = slices.Insert(x.Root.Nodes, 0, m.turn.Copy())
		}
	}
	return &template{name: name, parsed: t}, nil
}

// count puts a step that counts into each loop. The library cannot be told to stop, but what a template calls can end it.
func (m *machine) count(n parse.Node) {
	list := func(l *parse.ListNode) {
		if l != nil {
			for _, c := range l.Nodes {
				m.count(c)
			}
		}
	}
	switch x := n.(type) {
	case *parse.ListNode:
		list(x)
	case *parse.IfNode:
		list(x.List)
		list(x.ElseList)
	case *parse.WithNode:
		list(x.List)
		list(x.ElseList)
	case *parse.RangeNode:
		list(x.List)
		list(x.ElseList)
		x.List.Nodes = slices.Insert(x.List.Nodes, 0, m.turn.Copy())
	}
}

// data is what a template sees.
type data struct {
	Labels         map[string]string
	ExternalLabels map[string]string
	ExternalURL    string
	Value          any
}

// begin says what the templates that follow are about.
func (m *machine) begin(ctx context.Context, at time.Time, q Query) {
	m.ctx, m.at, m.query = ctx, at, q
}

// expand gives the text; where that cannot be, one that says so, as Prometheus does.
func (m *machine) expand(t *template, ls map[string]string, value float64) (out string, err error) {
	if t.parsed == nil {
		return t.plain, nil
	}
	m.work, m.asked = maxWork, 0
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic expanding template %v: %v", t.name, r)
		}
		if err != nil {
			out = "<error expanding template: " + clip(err.Error()) + ">"
		}
	}()
	var w output
	if err := t.parsed.Execute(&w, data{ls, m.external, m.base.String(), value}); err != nil {
		return "", fmt.Errorf("error executing template %v: %w", t.name, err)
	}
	return strings.ToValidUTF8(w.String(), "\uFFFD"), nil
}

// spend takes so much work from what may be done.
func (m *machine) spend(n int) error {
	if m.work -= n + turnWork; m.work < 0 {
		return errWork
	}
	return m.ctx.Err()
}

// output takes a text that is not too long.
type output struct{ strings.Builder }

func (o *output) Write(b []byte) (int, error) {
	if o.Len()+len(b) > maxOutput {
		return 0, errOutput
	}
	return o.Builder.Write(b)
}

// WriteString is there so that nothing goes around Write.
func (o *output) WriteString(s string) (int, error) { return o.Write([]byte(s)) }

// expandAll expands labels or annotations into a builder. The first failure is told.
func (m *machine) expandAll(all []text, ls map[string]string, value float64, set func(name, text string)) (failed error) {
	for _, x := range all {
		s, err := m.expand(x.t, ls, value)
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", x.name, err)
		}
		set(x.name, s)
	}
	return failed
}

// labelMap is labels as templates see them.
func labelMap(ls labels.Labels) map[string]string { return ls.Map() }
