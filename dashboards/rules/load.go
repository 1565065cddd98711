package rules

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/rollcall-metrics/rollcall/dashboards/promql/expr"
	"github.com/rollcall-metrics/rollcall/internal/textfile"
	"github.com/rollcall-metrics/rollcall/internal/yamltext"
)

// Options are what rules take that do not say otherwise, and what their templates know.
type Options struct {
	Interval       time.Duration // default 1 min, as in Prometheus
	Offset         time.Duration
	ExternalLabels map[string]string
	ExternalURL    string // of the page
}

func (o *Options) defaults() { o.Interval = cmp.Or(o.Interval, time.Minute) }

// Load reads and checks the files that patterns name. The error lists everything that is wrong, with file, place, group and rule; a pattern that names no file is none.
func Load(patterns []string, o Options) (*Set, error) {
	o.defaults()
	var files []string
	var errs []error
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule file pattern %q: %w", p, err))
			continue
		}
		if len(found) == 0 && !strings.ContainsAny(p, `*?[`) {
			found = []string{p} // Prometheus passes over a file that is not there; here it is told when it is opened
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	files = slices.Compact(files)
	if len(files) > MaxFiles {
		return nil, fmt.Errorf("%d rule files; %d are the most", len(files), MaxFiles)
	}
	set := &Set{Files: files}
	left := budget{rules: MaxRules, bytes: maxExprs, texts: maxTextBytes}
	for _, f := range files {
		groups, err := loadFile(f, o, &left)
		if err != nil {
			errs = append(errs, err)
		}
		set.Groups = append(set.Groups, groups...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(set.Groups, func(a, b *Group) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Name, b.Name)) })
	set.Rules = MaxRules - left.rules
	return set, nil
}

// budget is what may yet be read.
type budget struct{ rules, bytes, texts int }

func loadFile(file string, o Options, left *budget) ([]*Group, error) {
	b, err := textfile.Read(file, MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return parseFile(file, b, o, left)
}

// maxFaults bounds what is said of one file.
const maxFaults = 20

// parseFile reads the text of a file. What Prometheus refuses is refused in its words.
func parseFile(file string, b []byte, o Options, left *budget) ([]*Group, error) {
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%s: longer than %d bytes; divide it", file, MaxFile)
	}
	if err := yamltext.CheckDepth(b); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := bounded(b, left); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := parser.NewParser(parser.Options{})
	read, faults := rulefmt.Parse(b, false, model.UTF8Validation, p, slog.New(slog.DiscardHandler))
	if len(faults) > 0 {
		var errs []error
		for i, err := range faults {
			if i == maxFaults {
				errs = append(errs, fmt.Errorf("%s: and %d more", file, len(faults)-i))
				break
			}
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
		}
		return nil, errors.Join(errs...)
	}
	var out []*Group
	var errs []error
	for i := range read.Groups {
		g, err := makeGroup(file, &read.Groups[i], o, p)
		if err != nil {
			errs = append(errs, err)
		}
		out = append(out, g)
	}
	return out, errors.Join(errs...)
}

// bounded looks at the sizes of what was written before anybody looks at what it says: Prometheus' own reader has no bounds.
func bounded(b []byte, left *budget) error {
	var read rulefmt.RuleGroups
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&read); err != nil && !errors.Is(err, io.EOF) {
		return errors.New(clip(err.Error()))
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return errors.New("more than one YAML document; keep one")
	}
	for i := range read.Groups {
		g := &read.Groups[i]
		for j := range g.Rules {
			r := &g.Rules[j]
			if err := small(g, r); err != nil {
				return fmt.Errorf("group %q, rule %d, %q: %w", clip(g.Name), j+1, clip(cmp.Or(r.Alert, r.Record)), err)
			}
			left.rules--
			left.bytes -= len(r.Expr)
			for _, m := range []map[string]string{g.Labels, r.Labels, r.Annotations} { // each rule has its group's for itself
				for k, v := range m {
					left.texts -= len(k) + len(v)
				}
			}
		}
		if left.rules < 0 {
			return fmt.Errorf("group %q: more than %d rules in all files", clip(g.Name), MaxRules)
		}
		if left.bytes < 0 {
			return fmt.Errorf("group %q: more than %d bytes of expressions in all files", clip(g.Name), maxExprs)
		}
		if left.texts < 0 {
			return fmt.Errorf("group %q: more than %d bytes of labels and annotations in all files, a group's labels counted once for each of its rules", clip(g.Name), maxTextBytes)
		}
	}
	return nil
}

func small(g *rulefmt.RuleGroup, r *rulefmt.Rule) error {
	if err := expr.Check(r.Expr); err != nil {
		return err
	}
	if len(g.Name) > maxName || len(r.Alert) > maxName || len(r.Record) > maxName {
		return fmt.Errorf("a name is longer than %d bytes", maxName)
	}
	if len(g.Labels)+len(r.Labels)+len(r.Annotations) > maxTexts {
		return fmt.Errorf("more than %d labels and annotations", maxTexts)
	}
	for _, m := range []map[string]string{g.Labels, r.Labels, r.Annotations} {
		for k, v := range m {
			if len(k) > maxName || len(v) > maxText {
				return fmt.Errorf("label or annotation %q is longer than %d bytes", clip(k), maxText)
			}
		}
	}
	return nil
}

func makeGroup(file string, in *rulefmt.RuleGroup, o Options, p parser.Parser) (*Group, error) {
	g := &Group{File: file, Name: in.Name, Interval: cmp.Or(time.Duration(in.Interval), o.Interval), Offset: o.Offset, Limit: in.Limit, named: map[string][]int{}, machine: newMachine(o)}
	if in.QueryOffset != nil {
		g.Offset = time.Duration(*in.QueryOffset)
	}
	if g.Interval < least || g.Interval > most {
		return nil, fmt.Errorf("%s: group %q: interval %s is not within %s..%s", file, g.Name, g.Interval, least, most)
	}
	var errs []error
	for i := range in.Rules {
		r, err := makeRule(in, &in.Rules[i], g.machine, p)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: group %q, rule %d, %q: %w", file, g.Name, i+1, cmp.Or(in.Rules[i].Alert, in.Rules[i].Record), err))
			continue
		}
		g.Rules = append(g.Rules, r)
		g.reach = max(g.reach, reachOf(r.expr)+g.Offset)
		if r.Alert {
			g.named[r.Name] = append(g.named[r.Name], len(g.Rules)-1)
		}
	}
	return g, errors.Join(errs...)
}

func makeRule(g *rulefmt.RuleGroup, in *rulefmt.Rule, m *machine, p parser.Parser) (*Rule, error) {
	parsed, err := expr.Parse(p, in.Expr)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(g.Labels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, in.Labels)
	r := &Rule{Name: cmp.Or(in.Alert, in.Record), Alert: in.Alert != "", Expr: parsed.String(), For: time.Duration(in.For), KeepFiringFor: time.Duration(in.KeepFiringFor),
		Labels: labels.FromMap(all), Annotations: labels.FromMap(in.Annotations), expr: parsed, ask: in.Expr, static: map[string]string{}}
	if !r.Alert {
		return r, nil
	}
	var errs []error
	compile := func(kind string, ls labels.Labels) (out []text) {
		ls.Range(func(l labels.Label) {
			t, err := m.compile("__alert_"+r.Name, l.Value)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s %q: %w", kind, l.Name, err))
				return
			}
			if kind == "label" && t.parsed == nil {
				r.static[l.Name] = l.Value
			}
			out = append(out, text{l.Name, t})
		})
		return out
	}
	r.labels, r.notes = compile("label", r.Labels), compile("annotation", r.Annotations)
	return r, errors.Join(errs...)
}
