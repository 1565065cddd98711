package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/internal/yamltext"
)

// The document as it is written. Figures are decoded as text, so that an error has its line.
type (
	document struct {
		Service string      `yaml:"service"`
		Env     string      `yaml:"env"`
		Owner   string      `yaml:"owner"`
		Chat    string      `yaml:"chat"`
		Runbook string      `yaml:"runbook"`
		Golden  goldenYAML  `yaml:"golden"`
		SLO     []sloYAML   `yaml:"slo"`
		Canary  *canaryYAML `yaml:"canary"`
	}
	goldenYAML struct {
		Rate       words `yaml:"rate"`
		Errors     words `yaml:"errors"`
		Latency    words `yaml:"latency"`
		Saturation words `yaml:"saturation"`
	}
	sloYAML struct {
		Name      string `yaml:"name"`
		Objective string `yaml:"objective"`
		Latency   string `yaml:"latency"`
		Window    string `yaml:"window"`
	}
	canaryYAML struct {
		Warmup  string        `yaml:"warmup"`
		Metrics []measureYAML `yaml:"metrics"`
	}
	measureYAML struct {
		Name      string `yaml:"name"`
		Metric    string `yaml:"metric"`
		Field     string `yaml:"field"`
		Kind      string `yaml:"kind"`
		Direction string `yaml:"direction"`
		Margin    string `yaml:"margin"`
		Floor     string `yaml:"floor"`
		Action    string `yaml:"action"`
	}
)

// words is one text or a list of them.
type words []string

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (w *words) UnmarshalYAML(n ast.Node) error {
	if s, ok := n.(*ast.StringNode); ok {
		*w = words{s.Value}
		return nil
	}
	return yaml.NodeToValue(n, (*[]string)(w), yaml.Strict())
}

// maxEntries bounds the documents of one file.
const maxEntries = 2000

// Parse reads a file: one service each document, parted by ---. The error lists what is wrong with line and remedy; an empty file is one, because an editor may just
// be about to fill it.
func Parse(text []byte) (entries []*Entry, err error) {
	defer func() { // the library falls over some texts that no person writes
		if r := recover(); r != nil {
			entries, err = nil, fmt.Errorf("not YAML that can be read: %v", r)
		}
	}()
	if err := yamltext.Check(text); err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(bytes.TrimPrefix(text, []byte("\ufeff")), 0) // some editors begin with a byte order mark
	if err != nil {
		return nil, withLine(err)
	}
	if len(file.Docs) > maxEntries {
		return nil, fmt.Errorf("%d documents; at most %d: part them among several files", len(file.Docs), maxEntries)
	}
	var errs []error
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.NullType || d.Body.Type() == ast.CommentType {
			continue
		}
		var no refuser
		if ast.Walk(&no, d.Body); no.err != nil {
			errs = append(errs, no.err)
			continue
		}
		var y document
		if err := yaml.NewDecoder(strings.NewReader(""), yaml.Strict()).DecodeFromNode(d.Body, &y); err != nil && !errors.Is(err, io.EOF) {
			errs = append(errs, withLine(err))
			continue
		}
		r := reader{body: d.Body}
		e := r.entry(&y)
		errs = append(errs, r.errs...)
		entries = append(entries, e)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("line 1: no service in it; write one, or delete the file")
	}
	return entries, nil
}

// refuser refuses what nothing here needs and the library stumbles over: tags, and aliases, which may make much of little.
type refuser struct{ err error }

// Visit implements ast.Visitor.
func (x *refuser) Visit(n ast.Node) ast.Visitor {
	switch n.(type) {
	case *ast.TagNode, *ast.AliasNode, *ast.AnchorNode:
		if x.err == nil {
			x.err = fmt.Errorf("line %d: %.20q: no tags, anchors and aliases here; write it out", n.GetToken().Position.Line, n.GetToken().Value)
		}
		return nil
	}
	return x
}

var unknownField = regexp.MustCompile(`^unknown field "(.*)"$`)

// meant says of a key that others use what it is called here.
var meant = map[string]string{
	"requests": "rate", "request": "rate", "traffic": "rate", "error": "errors", "duration": "latency", "team": "owner", "channel": "chat", "slack": "chat", "runbook_url": "runbook",
	"slos": "slo", "objectives": "slo", "target": "objective", "threshold": "latency", "under": "latency", "period": "window", "environment": "env",
	"measures": "metrics", "better": "direction", "names": "service", "services": "service: one document each, parted by ---",
}

var keys = strings.Fields("service env owner chat runbook golden slo canary rate errors latency saturation name objective window warmup metrics metric field kind direction margin floor action")

// withLine puts the library's errors in our words.
func withLine(err error) error {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil || y.GetToken().Position == nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return errors.New(first)
	}
	text := y.GetMessage()
	if m := unknownField.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("nothing is called %.60q here; remove it", m[1])
		switch is := meant[m[1]]; {
		case is != "":
			text = fmt.Sprintf("nothing is called %.60q here; it is %s", m[1], is)
		case slices.Contains(keys, m[1]):
			text = fmt.Sprintf("%.60q does not belong here; docs/services.md shows where", m[1])
		}
	}
	return fmt.Errorf("line %d: %s", y.GetToken().Position.Line, text)
}

// reader makes an Entry of a document, and collects faults with their lines.
type reader struct {
	body ast.Node
	errs []error
}

func (r *reader) fail(field, format string, args ...any) {
	line := r.body.GetToken().Position.Line
	for path := "$." + field; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		if p, err := yaml.PathString(path); err == nil {
			if n, err := p.FilterNode(r.body); err == nil && n != nil {
				line = n.GetToken().Position.Line
				break
			}
		}
	}
	r.errs = append(r.errs, fmt.Errorf("line %d: %s: %s", line, field, fmt.Sprintf(format, args...)))
}

func (r *reader) entry(y *document) *Entry {
	e := &Entry{Service: y.Service, Env: y.Env, Line: r.body.GetToken().Position.Line}
	e.Owner, e.Chat, e.Runbook = y.Owner, y.Chat, y.Runbook
	switch {
	case y.Service == "":
		r.fail("service", "it is missing; name one, such as checkout, or several, such as checkout-*")
	case strings.Count(y.Service, "*") > 4:
		r.fail("service", "%q has more * than a name needs; give 4 at most", y.Service)
	}
	if strings.Count(y.Env, "*") > 4 {
		r.fail("env", "%q has more * than a name needs; give 4 at most", y.Env)
	}
	for field, text := range map[string]string{"service": y.Service, "env": y.Env, "owner": y.Owner, "chat": y.Chat, "runbook": y.Runbook} {
		if why := badText(text); why != "" {
			r.fail(field, "%s", why)
		}
	}
	if y.Runbook != "" && !dashboards.WebAddress(y.Runbook) {
		r.fail("runbook", "%.80q is no http or https URL, such as https://wiki.example/checkout", y.Runbook)
	}
	e.Golden = dashboards.Golden{Rate: r.patterns("golden.rate", y.Golden.Rate), Errors: r.patterns("golden.errors", y.Golden.Errors),
		Latency: r.patterns("golden.latency", y.Golden.Latency), Saturation: r.patterns("golden.saturation", y.Golden.Saturation)}
	if len(y.SLO) > maxObjectives {
		r.fail("slo", "%d objectives; at most %d", len(y.SLO), maxObjectives)
		y.SLO = y.SLO[:maxObjectives]
	}
	for i := range y.SLO {
		o, field, err := objective(&y.SLO[i])
		at := fmt.Sprintf("slo[%d]", i)
		if err == nil && slices.ContainsFunc(e.Objectives, func(p dashboards.Objective) bool { return p.Name == o.Name }) {
			field, err = "name", fmt.Errorf("two objectives are called %s; give one of them a name", o.Name)
		}
		if err != nil {
			r.fail(at+"."+field, "%s", err)
			continue
		}
		e.Objectives = append(e.Objectives, o)
	}
	if c := y.Canary; c != nil {
		e.Canary = &Canary{}
		if d, err := duration(c.Warmup); err != nil || d > maxWarmup {
			r.fail("canary.warmup", "%q is no duration within a day, such as 5m", c.Warmup)
		} else {
			e.Canary.Warmup = d
		}
		if len(c.Metrics) > maxMeasures {
			r.fail("canary.metrics", "%d metrics; at most %d", len(c.Metrics), maxMeasures)
			c.Metrics = c.Metrics[:maxMeasures]
		}
		for i := range c.Metrics {
			m, field, err := measure(&c.Metrics[i])
			at := fmt.Sprintf("canary.metrics[%d]", i)
			if err == nil && slices.ContainsFunc(e.Canary.Measures, func(o canary.Measure) bool { return o.Name == m.Name }) {
				field, err = "name", fmt.Errorf("two metrics are called %s; give one of them a name", m.Name)
			}
			if err != nil {
				r.fail(at+"."+field, "%s", err)
				continue
			}
			e.Canary.Measures = append(e.Canary.Measures, m)
		}
	}
	return e
}

// patterns reads which metrics mean a signal.
func (r *reader) patterns(field string, all []string) []string {
	out, err := patterns(all)
	if err != nil {
		r.fail(field, "%s", err)
	}
	return out
}
