package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/rollcall-metrics/rollcall/dashboards/promql/expr"
)

// one is a file with one rule.
func one(rule string) string { return "groups: [{name: g, rules: [" + rule + "]}]" }

func TestLoad(t *testing.T) {
	many := func(n int) string {
		return "groups:\n- name: g\n  rules:\n" + strings.Repeat("  - {record: a, expr: b}\n", n)
	}
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"no rules", "groups: []", ""},
		{"a rule of each kind", "groups: [{name: g, interval: 15s, query_offset: 1m, limit: 3, labels: {a: b}, rules: [{record: a:b, expr: c}, {alert: A, expr: c > 1, for: 1m, keep_firing_for: 1m, labels: {x: '{{ $value }}'}, annotations: {s: y}}]}]", ""},
		{"not YAML", "groups: [", "did not find"},
		{"unknown key of the file", "rules: []", "field rules not found"},
		{"unknown key of a rule", one("{alert: A, expr: a, form: 1m}"), "field form not found"},
		{"neither", one("{expr: a}"), `group "g", rule 1, "": one of 'record' or 'alert' must be set`},
		{"no expression", one("{alert: A}"), `group "g", rule 1, "A": field 'expr' must be set`},
		{"expression", one("{alert: A, expr: 'sum('}"), `group "g", rule 1, "A": could not parse expression`},
		{"template", one("{alert: A, expr: a, annotations: {s: '{{ nope }}'}}"), `function "nope" not defined`},
		{"template of a label", one("{alert: A, expr: a, labels: {s: '{{ $x }}'}}"), `undefined variable "$x"`},
		{"annotations of a record", one("{record: a, expr: a, annotations: {s: y}}"), "invalid field 'annotations' in recording rule"},
		{"twice", "groups: [{name: g, rules: []}, {name: g, rules: []}]", "repeated in the same file"},
		{"interval", "groups: [{name: g, interval: 10ms, rules: [{record: a, expr: b}]}]", "interval 10ms is not within 1s..24h0m0s"},
		{"two documents", "groups: []\n---\ngroups: []", "more than one YAML document"},
		{"every fault", "groups: [{name: g, rules: [{alert: A, expr: '('}, {alert: B, expr: ')'}]}]", `rule 2, "B"`},
		{"most rules", many(MaxRules), ""},
		{"too many rules", many(MaxRules + 1), "more than 10000 rules"},
		{"1e5 rules", strings.Replace(strings.Repeat(many(100_000), 2), "name: g", "name: h", 1), "longer than 4194304 bytes"},
		{"10 MB", "#" + strings.Repeat("x", 10<<20), "longer than 4194304 bytes"},
		{"deep", strings.Repeat("[", 100_000), "deep in each other"},
		{"long expression", one("{alert: A, expr: '" + strings.Repeat("a+", expr.MaxBytes/2) + "a'}"), "the expression is longer than 16384 bytes"},
		{"deep expression", one("{alert: A, expr: '" + strings.Repeat("-(", 4000) + "a" + strings.Repeat(")", 4000) + "'}"), "nested more than 500 deep"},
		{"signs", one("{alert: A, expr: '" + strings.Repeat("-", expr.MaxBytes-1) + "a'}"), "nested more than 500 deep"},
		{"long template", one("{alert: A, expr: a, annotations: {s: '" + strings.Repeat("x", maxText+1) + "'}}"), "longer than 16384 bytes"},
		{"aliases", "groups: [{name: g, rules: [&a {alert: A, expr: '" + strings.Repeat("a+", expr.MaxBytes/2-2) + "a'}" + strings.Repeat(", *a", 300) + "]}]", "bytes of expressions"},
		{"a group's long labels for each of many rules", "groups: [{name: g, labels: {l: " + strings.Repeat("x", maxText) + "}, rules: [&a {record: a, expr: b}" + strings.Repeat(", *a", maxTextBytes/maxText) + "]}]", "bytes of labels and annotations"},
		{"bomb", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ngroups: [*d,*d,*d,*d,*d,*d]", "not found"},
	} {
		begun := time.Now()
		left := budget{rules: MaxRules, bytes: maxExprs, texts: maxTextBytes}
		o := Options{}
		o.defaults()
		_, err := parseFile("f.yml", []byte(tc.text), o, &left)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "f.yml")):
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		case err != nil && len(err.Error()) > 5000:
			t.Errorf("%s: %d bytes of error", tc.name, len(err.Error()))
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s took %s", tc.name, took)
		}
	}
}

func TestGlobs(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b.yml": one("{record: a, expr: b}"), "a.yml": one("{record: a, expr: b}"), "bad.yaml": "x: y"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ patterns, files, err string }{
		{"*.yml", "a.yml b.yml", ""},
		{"*.yml a.yml", "a.yml b.yml", ""},
		{"*.none", "", ""},
		{"none.yml", "", "none.yml: no such file"},
		{"*.yml bad.yaml", "", "bad.yaml"},
		{"[", "", "syntax error in pattern"},
	} {
		var ps, files []string
		for _, p := range strings.Fields(tc.patterns) {
			ps = append(ps, filepath.Join(dir, p))
		}
		set, err := Load(ps, Options{})
		if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v, want %q", tc.patterns, err, tc.err)
		}
		if err == nil {
			for _, g := range set.Groups {
				files = append(files, filepath.Base(g.File))
			}
			if got := strings.Join(files, " "); got != tc.files {
				t.Errorf("%s: %s, want %s", tc.patterns, got, tc.files)
			}
		}
	}
}

func TestReach(t *testing.T) {
	for expr, want := range map[string]time.Duration{
		"a": 0, "rate(a[5m])": 5 * time.Minute, "a offset 1h": time.Hour, "rate(a[5m] offset 10m)": 15 * time.Minute, "max_over_time(rate(a[5m])[1h:1m])": 65 * time.Minute,
		"sum(rate(a[1m])) / sum(rate(b[2m] offset 1m))": 3 * time.Minute, "max_over_time(a[1h:1m] offset 30m)": 90 * time.Minute, "1": 0,
	} {
		e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachOf(e); got != want {
			t.Errorf("%s looks back %s, want %s", expr, got, want)
		}
	}
}

// Whatever a file holds, it is read or refused, within bounds.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/rules.yml", "testdata/rules_test.yml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(one("{alert: A, expr: a, labels: {x: '{{ range 3 }}{{ $labels.y }}{{ else }}z{{ end }}'}}")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 16<<10 {
			return
		}
		left := budget{rules: 100, bytes: maxExprs, texts: maxTextBytes}
		o := Options{}
		o.defaults()
		groups, err := parseFile("f.yml", b, o, &left)
		if err != nil {
			return
		}
		for _, g := range groups {
			g.machine.begin(t.Context(), t0, nobody)
			for _, r := range g.Rules {
				for _, x := range append(r.labels, r.notes...) {
					if s, _ := g.machine.expand(x.t, map[string]string{"a": "b"}, 1); len(s) > maxOutput+maxText {
						t.Fatalf("%d bytes", len(s))
					}
				}
			}
		}
		_ = fmt.Sprint(groups)
	})
}

// A pipe among the files holds up nobody.
func TestPipe(t *testing.T) {
	f := filepath.Join(t.TempDir(), "rules.yml")
	if err := syscall.Mkfifo(f, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load([]string{f}, Options{}); err == nil || !strings.Contains(err.Error(), `rules.yml" is no regular file`) {
		t.Error(err)
	}
}
