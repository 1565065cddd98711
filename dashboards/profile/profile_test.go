package profile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
)

func TestParseFaults(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "line 1: no service in it; write one, or delete the file"},
		{"no name", "owner: a", "line 1: service: it is missing; name one, such as checkout, or several, such as checkout-*"},
		{"others' word", "service: a\ngolden: {requests: x}", `line 2: nothing is called "requests" here; it is rate`},
		{"unknown", "service: a\nowners: b", `line 2: nothing is called "owners" here; remove it`},
		{"elsewhere", "service: a\nwarmup: 1m", `line 2: "warmup" does not belong here; docs/services.md shows where`},
		{"no link", "service: a\nrunbook: wiki/checkout", `line 2: runbook: "wiki/checkout" is no http or https URL, such as https://wiki.example/checkout`},
		{"a script", "service: a\nrunbook: javascript:alert(1)", `line 2: runbook: "javascript:alert(1)" is no http or https URL, such as https://wiki.example/checkout`},
		{"all of it", "service: a\nslo: [{objective: 100%}]", `line 2: slo[0].objective: "100%" is no share of requests below all of them, such as 99.9%`},
		{"no share", "service: a\nslo:\n- latency: 300ms", `line 3: slo[0].objective: "" is no share of requests below all of them, such as 99.9%`},
		{"how fast", "service: a\nslo:\n- objective: 99%\n  latency: fast", `line 4: slo[0].latency: "fast" is no duration up to 1h, such as 300ms`},
		{"how long", "service: a\nslo:\n- objective: 99%\n  window: 1h", `line 4: slo[0].window: "1h" is no duration within 1d..90d, such as 30d`},
		{"twice", "service: a\nslo: [{objective: 99%}, {objective: 98%}]", `line 2: slo[1].name: two objectives are called availability; give one of them a name`},
		{"empty pattern", "service: a\ngolden: {errors: ['']}", "line 2: golden.errors: an empty name matches nothing; remove it, or write none"},
		{"none and some", "service: a\ngolden: {errors: [none, x]}", "line 2: golden.errors: none stands alone"},
		{"direction", "service: a\ncanary: {metrics: [{metric: heap, direction: up}]}", `line 2: canary.metrics[0].direction: "up": say what is harm: increase, decrease or either`},
		{"no metric", "service: a\ncanary: {metrics: [{name: heap}]}", "line 2: canary.metrics[0].metric: it is missing; name one, or give name: errors, latency or rate to change how that is judged"},
		{"golden's own", "service: a\ncanary: {metrics: [{name: errors, metric: x}]}", "line 2: canary.metrics[0].name: errors is the golden signal; leave out metric to change how that is judged, or give another name"},
		{"margin", "service: a\ncanary: {metrics: [{metric: heap, margin: much}]}", `line 2: canary.metrics[0].margin: "much" is no share that matters, such as 25%`},
		{"alias", "service: &a x\nowner: *a", `line 1: "&": no tags, anchors and aliases here; write it out`},
		{"tag", "service: !!str x", `line 1: "!!str": no tags, anchors and aliases here; write it out`},
		{"two at once", "service: a\nrunbook: x\n---\nowner: b", "line 2: runbook: \"x\" is no http or https URL, such as https://wiki.example/checkout\nline 4: service: it is missing; name one, such as checkout, or several, such as checkout-*"},
		{"too long", "service: a\nowner: " + strings.Repeat("x", 600), "line 2: owner: 600 bytes; at most 500"},
		{"stars", "service: '*a*b*c*d*e*'", `line 1: service: "*a*b*c*d*e*" has more * than a name needs; give 4 at most`},
	} {
		if _, err := Parse([]byte(tc.text)); err == nil || err.Error() != tc.want {
			t.Errorf("%s:\n%v\nwant %s", tc.name, err, tc.want)
		}
	}
}

// The example of the documentation is good, and says what the documentation says of it.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/examples/services.d/checkout.yml")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p := merge(entries, "checkout", "prod", nil)
	if p.Owner != "payments" || p.Chat != "#payments-oncall" || p.Runbook == "" || len(p.Golden.Errors) != 2 || len(p.Objectives) != 2 || len(p.Measures()) != 5 || p.Canary.Warmup != 2*time.Minute {
		t.Errorf("%+v", p)
	}
	if o := p.Objectives[1]; o.Under != 300 || o.Target != .99 || o.Window != DefaultWindow || o.Signal() != "latency" {
		t.Errorf("%+v", o)
	}
	doc, err := os.ReadFile("../../docs/services.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), strings.TrimSpace(string(text))) {
		t.Error("docs/services.md does not show docs/examples/services.d/checkout.yml")
	}
	for _, k := range keys {
		if !strings.Contains(string(doc), k) {
			t.Errorf("docs/services.md does not explain %q", k)
		}
	}
}

func tags(m map[string]string) func(...string) string {
	return func(names ...string) string {
		for _, n := range names {
			if m[n] != "" {
				return m[n]
			}
		}
		return ""
	}
}

// The narrowest file that says a part counts for it; what no file says members may.
func TestMerge(t *testing.T) {
	all := parse(t, "service: '*'\nchat: '#oncall'\nslo: [{objective: 99%}]\n---\nservice: checkout-*\nowner: shop\n---\nservice: checkout-eu\nenv: prod\nowner: eu\ngolden: {errors: none}\n---\nservice: checkout-eu\ncanary: {metrics: [{name: latency, margin: 10%}, {metric: heap, field: p99, direction: decrease, action: warn}]}")
	for _, tc := range []struct {
		service, env string
		tags         map[string]string
		want         string
	}{
		{"search", "prod", nil, ` "#oncall" [] [0.99] chat slo`},
		{"checkout-us", "prod", nil, `shop "#oncall" [] [0.99] chat owner slo`},
		{"checkout-eu", "prod", nil, `eu "#oncall" ["\x00none"] [0.99] canary chat golden.errors owner slo`},
		{"checkout-eu", "test", map[string]string{"rollcall.golden.errors": "a, b*", "rollcall.slo": "90%"}, `shop "#oncall" ["a" "b*"] [0.99] canary chat golden.errors owner slo`},
	} {
		p := merge(all, tc.service, tc.env, tags(tc.tags))
		targets := []float64{}
		for _, o := range p.Objectives {
			targets = append(targets, o.Target)
		}
		from, _ := json.Marshal(p.From) // sorted by key
		var said []string
		for _, part := range strings.Split(strings.Trim(string(from), "{}"), ",") {
			said = append(said, strings.Split(part, `"`)[1])
		}
		if got := fmt.Sprintf("%s %q %q %v %s", p.Owner, p.Chat, p.Golden.Errors, targets, strings.Join(said, " ")); got != tc.want {
			t.Errorf("%s/%s: %s, want %s", tc.service, tc.env, got, tc.want)
		}
	}
	p := merge(all, "checkout-eu", "prod", nil)
	ms := p.Measures()
	if len(ms) != 4 || ms[1].Name != "latency" || ms[1].Margin != .1 || ms[1].Kind != canary.Level || ms[3].Name != "heap.p99" || ms[3].Direction != canary.Decrease || ms[3].Action != canary.Warns {
		t.Errorf("%+v", ms)
	}
	if p := merge(all, "search", "prod", nil); p.Measures() != nil {
		t.Error("measures of one that says nothing of canaries")
	}
}

func TestTags(t *testing.T) {
	for _, tc := range []struct {
		name string
		tags map[string]string
		want string // objectives, measures, golden rate; wrong
	}{
		{"nothing", nil, "[] [] []; []"},
		{"objectives", map[string]string{tagSLO: "99.9%; fast: 90% < 100ms over 7d"}, "[availability 0.999 0 720h0m0s fast 0.9 100 168h0m0s] [] []; []"},
		{"a measure", map[string]string{tagCanary: "heap_used decrease 20% warn level, errors 10%"}, "[] [heap_used decrease 0.2 warn level errors increase 0.1 fail ratio] []; []"},
		{"rate", map[string]string{tagGolden + "rate": "orders , carts"}, "[] [] [orders carts]; []"},
		{"bad share", map[string]string{tagSLO: "much; 99%"}, `[availability 0.99 0 720h0m0s] [] []; [rollcall.slo: "much" is no share of requests below all of them, such as 99.9%]`},
		{"bad word", map[string]string{tagCanary: "heap sideways"}, `[] [] []; [rollcall.canary: "sideways" in "heap sideways" is no direction, margin, kind or action]`},
	} {
		p := merge(nil, "s", "e", tags(tc.tags))
		var os, ms []string
		for _, o := range p.Objectives {
			os = append(os, o.Name, fmt.Sprint(o.Target), fmt.Sprint(o.Under), o.Window.String())
		}
		for _, m := range p.Canary.Measures {
			ms = append(ms, m.Name, string(m.Direction), fmt.Sprint(m.Margin), string(m.Action), string(m.Kind))
		}
		if got := fmt.Sprintf("%v %v %v; %v", os, ms, p.Golden.Rate, p.Wrong); got != tc.want {
			t.Errorf("%s: %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

func parse(t *testing.T, text string) []*Entry {
	t.Helper()
	entries, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// A file that turns bad keeps what it said, and hurts no other; one that is gone takes its words with it.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	s, err := NewStore(Config{Files: []string{filepath.Join(dir, "*.yml")}})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour)
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		at = at.Add(time.Second)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	step := func(name string, changed bool, want string) {
		t.Helper()
		if got := s.Read(); got != changed {
			t.Errorf("%s: changed %v", name, got)
		}
		a, b := s.Of("a", "prod", nil), s.Of("b", "prod", nil)
		errs := 0
		for _, f := range s.Files() {
			if f.Error != "" {
				errs++
			}
		}
		if got := fmt.Sprintf("%s %s %d", a.Owner, b.Owner, errs); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	step("nothing", false, "  0")
	write("a.yml", "service: a\nowner: one")
	write("b.yml", "service: b\nowner: two")
	step("two files", true, "one two 0")
	step("as before", false, "one two 0")
	write("a.yml", "service: a\nowner: [")
	step("one turns bad", true, "one two 1")
	write("a.yml", "service: a\nowner: three")
	step("and good again", true, "three two 0")
	if err := os.Remove(filepath.Join(dir, "b.yml")); err != nil {
		t.Fatal(err)
	}
	step("one is gone", true, "three  0")
	write("a.yml", strings.Repeat("#", 2<<20))
	step("far too long", true, "three  1")
	s.reading.Lock() // a folder that hangs
	if p := s.Of("a", "prod", nil); p.Owner != "three" || len(s.Files()) != 1 {
		t.Errorf("while a folder hangs: %q of %v", p.Owner, s.Files())
	}
	s.reading.Unlock()
	if _, err := NewStore(Config{Files: []string{"*/x.yml", ""}}); err == nil || !strings.Contains(err.Error(), "wildcard in its folder") || !strings.Contains(err.Error(), "empty") {
		t.Errorf("bad patterns: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"service: a", "service: a\ngolden: {errors: [x, y]}\nslo: [{objective: 99.9%, latency: 1s}]", "service: a\ncanary: {warmup: 1m, metrics: [{metric: m, kind: ratio, floor: 1%}]}\n---\nservice: b",
		"service: !!x", "service: &a\n  *a", "- 1", "service: a\nslo: {}", "golden: [1]", "service: 1\nowner: {}", "? a\n: b", "service: a\nslo: [null]\ncanary: null"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := Parse(text)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.Service == "" || e.Runbook != "" && !dashboards.WebAddress(e.Runbook) || len(e.Objectives) > maxObjectives {
				t.Fatalf("%+v", e)
			}
			for _, o := range e.Objectives {
				if !(o.Target > 0 && o.Target < 1) || o.Under < 0 || o.Window < 24*time.Hour {
					t.Fatalf("%+v", o)
				}
			}
		}
		p := merge(entries, "a", "prod", nil)
		if _, err := canary.Watch(&canary.Study{Measures: p.Measures(), Polls: 1, Width: time.Second}, canary.Rules{}); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzTags(f *testing.F) {
	f.Add("99.9%; fast: 90% < 100ms over 7d", "heap increase 20% warn, errors")
	f.Fuzz(func(t *testing.T, slo, c string) {
		p := merge(nil, "s", "e", tags(map[string]string{tagSLO: slo, tagCanary: c, tagGolden + "rate": slo}))
		if len(p.Objectives) > maxObjectives || len(p.Canary.Measures) > maxMeasures || len(p.Golden.Rate) > maxPatterns {
			t.Fatalf("%+v", p)
		}
		if _, err := canary.Watch(&canary.Study{Measures: p.Measures(), Polls: 1, Width: time.Second}, canary.Rules{}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestByteOrderMark(t *testing.T) {
	plain := "service: checkout\nowner: payments\n"
	want, err := Parse([]byte(plain))
	if err != nil || len(want) != 1 {
		t.Fatal(want, err)
	}
	got, err := Parse([]byte("\ufeff" + plain))
	if err != nil || len(got) != 1 || got[0].Service != want[0].Service {
		t.Error(got, err)
	}
}
