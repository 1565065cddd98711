package rules

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// ask is Prometheus' engine over a Store.
func ask(s *Store) Query {
	e := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true})
	return func(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
		q, err := e.NewInstantQuery(ctx, s, nil, expr, at)
		if err != nil {
			return nil, err
		}
		defer q.Close()
		res := q.Exec(ctx)
		if res.Err != nil {
			return nil, res.Err
		}
		switch v := res.Value.(type) {
		case promql.Vector:
			return slices.Clone(v), nil
		case promql.Scalar:
			return promql.Vector{{T: v.T, F: v.V}}, nil
		}
		return nil, fmt.Errorf("no vector")
	}
}

// rig is a Manager whose time is made up.
type rig struct {
	*Manager
	t     *testing.T
	store *Store
	notes []dashboards.Note
}

func newRig(t *testing.T, set *Set, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, store: NewStore(24 * time.Hour)}
	c := Config{Store: r.store, Query: ask(r.store), Publish: func(n dashboards.Note) { r.notes = append(r.notes, n) }}
	if change != nil {
		change(&c)
	}
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	m.Update(set)
	r.Manager = m
	return r
}

// turn is one slot of every group.
func (r *rig) turn(at time.Time) {
	for _, def := range r.set.Groups {
		r.groups[def.Key()].turn(context.Background(), at)
	}
}

// is tells what a rule's alerts are, such as "pending{a="b"} firing{…}".
func (r *rig) is(rule string) string {
	var out []string
	for _, a := range r.Alerts() {
		if a.Rule == rule {
			out = append(out, a.State+labels.NewBuilder(labels.FromMap(a.Labels)).Del("alertname").Labels().String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func load(t *testing.T, text string, o Options) *Set {
	t.Helper()
	f := t.TempDir() + "/rules.yml"
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := Load([]string{f}, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range set.Groups {
		g.File = "rules.yml"
	}
	return set
}

// unitTests is a file of promtool's: what it expects of Prometheus is expected here.
type unitTests struct {
	Files    []string       `yaml:"rule_files"`
	Interval model.Duration `yaml:"evaluation_interval"`
	Tests    []struct {
		Interval model.Duration                    `yaml:"interval"`
		Labels   map[string]string                 `yaml:"external_labels"`
		URL      string                            `yaml:"external_url"`
		Series   []struct{ Series, Values string } `yaml:"input_series"`
		Alerts   []struct {
			At    model.Duration `yaml:"eval_time"`
			Alert string         `yaml:"alertname"`
			Exp   []struct {
				Labels      map[string]string `yaml:"exp_labels"`
				Annotations map[string]string `yaml:"exp_annotations"`
			} `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
		Exprs []struct {
			Expr string         `yaml:"expr"`
			At   model.Duration `yaml:"eval_time"`
			Exp  []struct {
				Labels string  `yaml:"labels"`
				Value  float64 `yaml:"value"`
			} `yaml:"exp_samples"`
		} `yaml:"promql_expr_test"`
	} `yaml:"tests"`
}

// Prometheus' own tool runs a file of tests with Prometheus' own rules; the same file holds here.
func TestBesidePrometheus(t *testing.T) {
	if tool, ok := testenv.Tool(t, "promtool"); ok {
		if out, err := exec.Command(tool, "test", "rules", "testdata/rules_test.yml").CombinedOutput(); err != nil {
			t.Fatalf("promtool: %v\n%s", err, out)
		}
	}
	b, err := os.ReadFile("testdata/rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	var u unitTests
	if err := yaml.Unmarshal(b, &u); err != nil {
		t.Fatal(err)
	}
	for _, tc := range u.Tests {
		set, err := Load([]string{"testdata/rules.yml"}, Options{ExternalLabels: tc.Labels, ExternalURL: tc.URL})
		if err != nil {
			t.Fatal(err)
		}
		// Groups stand by name; the tool takes them as the file has them.
		slices.SortFunc(set.Groups, func(a, b *Group) int { return strings.Compare(b.Name, a.Name) })
		r := newRig(t, set, nil)
		for _, s := range tc.Series {
			ls, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(s.Series + " " + s.Values)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range values {
				if !v.Omitted {
					if err := r.store.Append(ls, int64(i)*time.Duration(tc.Interval).Milliseconds(), v.Value); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		checked := 0
		for at := time.Duration(0); at <= 20*time.Minute; at += time.Duration(u.Interval) {
			ts := time.Unix(0, 0).Add(at)
			r.turn(ts)
			if f := r.Faults(); len(f) > 0 {
				t.Fatal(at, f)
			}
			for _, a := range tc.Alerts {
				if time.Duration(a.At) != at {
					continue
				}
				var got, want []string
				for _, x := range r.Alerts() {
					if x.State == dashboards.AlertFiring && x.Rule == a.Alert {
						got = append(got, labels.FromMap(x.Labels).String()+labels.FromMap(x.Annotations).String())
					}
				}
				for _, x := range a.Exp {
					lb := labels.NewBuilder(labels.FromMap(x.Labels)).Set("alertname", a.Alert)
					want = append(want, lb.Labels().String()+labels.FromMap(x.Annotations).String())
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%s at %s: %s, want %s", a.Alert, at, got, want)
				}
				checked++
			}
			for _, e := range tc.Exprs {
				if time.Duration(e.At) != at {
					continue
				}
				v, err := ask(r.store)(context.Background(), e.Expr, ts)
				if err != nil {
					t.Fatal(err)
				}
				var got, want []string
				for _, s := range v {
					got = append(got, fmt.Sprintf("%s %.9g", s.Metric, s.F))
				}
				for _, x := range e.Exp {
					m, err := parser.NewParser(parser.Options{}).ParseMetric(x.Labels)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, fmt.Sprintf("%s %.9g", m, x.Value))
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%s at %s: %s, want %s", e.Expr, at, got, want)
				}
				checked++
			}
		}
		if n := len(tc.Alerts) + len(tc.Exprs); checked != n {
			t.Errorf("%d of %d were checked", checked, n)
		}
	}
}
