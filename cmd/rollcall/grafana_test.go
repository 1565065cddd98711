package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/grafana"
	"github.com/rollcall-metrics/rollcall/dashboards/notify"
	"github.com/rollcall-metrics/rollcall/discovery/register"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/export/ndjson"
)

// exposed is the label names of each metric that daemons show.
type exposed map[string]map[string]bool

var exposedLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? `)

func (e exposed) read(text string) {
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		m := exposedLine.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		if e[m[1]] == nil {
			e[m[1]] = map[string]bool{}
		}
		for _, l := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(m[2], -1) {
			e[m[1]][l[1]] = true
		}
	}
}

// whatIsExposed is what the two daemons of the demo show, and what those do that it has none of: an export, an agent, somebody who is told of findings.
func whatIsExposed(t *testing.T, page string) exposed {
	t.Helper()
	out := exposed{}
	daemons := answersPromQL(t, page, `up{job="rollcall"}`)
	if len(daemons) != 2 {
		t.Fatalf("%s are collected of rollcall itself, collector and page are two", daemons)
	}
	for _, d := range daemons {
		var of struct{ Metric struct{ Instance string } }
		if err := json.Unmarshal(d, &of); err != nil {
			t.Fatal(err)
		}
		res, err := http.Get("http://" + of.Metric.Instance + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		out.read(readAll(t, res))
	}
	set := metrics.NewSet()
	session, err := zk.NewSession(zk.Config{Name: "agent", Servers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := register.New(register.Config{Metrics: set}, session); err != nil {
		t.Fatal(err)
	}
	file, err := ndjson.New(ndjson.Config{Dir: t.TempDir(), Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := export.New(export.Config{Name: "x", Group: "x", Brokers: []string{"127.0.0.1:1"}, Output: file, Metrics: set}); err != nil {
		t.Fatal(err)
	}
	told := notify.Receiver{URL: "http://127.0.0.1:1", Form: notify.Webhook}
	if _, err := notify.New(notify.Config{Findings: func() []dashboards.Finding { return nil }, Receivers: []notify.Receiver{told}, Metrics: set}); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	set.WritePrometheus(&text)
	out.read(text.String())
	// What is counted only once it has happened, or in another program, stands in the code as it will be shown.
	for file, lines := range map[string][]string{
		"../../sink/kafka/metrics.go":       {`rollcall_sink_set_aside_total{reason=%q}`, `rollcall_sink_produce_requests_total{lane=%q,result=%q}`},
		"../../enrich/tag/exceeded.go":      {`rollcall_series_left_out_samples_total{service=%s,limit=%q}`},
		"../../cmd/rollcall-agent/admin.go": {`rollcall_register_files_with_errors`},
	} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if !bytes.Contains(code, []byte(l)) {
				t.Errorf("%s does not count %s", file, l)
			}
			out.read(strings.NewReplacer("%q", `""`, "%s", `""`).Replace(l) + " 0")
		}
	}
	return out
}

// Grafana's dashboards ask Prometheus for nothing that no daemon shows, and the page for nothing that it does not answer.
func grafanaIsAnswered(t *testing.T, page, service string) {
	fill := strings.NewReplacer("$__rate_interval", "4s", "$split", "service_version", "$service", service, "$env", "prod", "$metric", "requests", "$owner", ".*", "$version", ".*",
		"$zone", ".*", "$instance", ".*", "$agent", ".*")
	shown := whatIsExposed(t, page)
	p := parser.NewParser(parser.Options{})
	asked := map[string]int{}
	for _, d := range grafana.All() {
		for _, v := range d.Vars {
			at := strings.LastIndex(v.Of, ", ")
			switch {
			case v.Choices != nil:
			case v.On == grafana.Own:
				if v.Of[at:] != ", instance)" || shown[strings.TrimPrefix(v.Of[:at], "label_values(")] == nil {
					t.Errorf("%s: nothing shows %s", d.UID, v.Of)
				}
			default:
				of := url.Values{"match[]": {fill.Replace(strings.TrimPrefix(v.Of[:at], "label_values("))}}
				if n := len(ofPromQL[string](t, page, "label/"+strings.TrimSuffix(v.Of[at+2:], ")")+"/values?"+of.Encode(), nil)); n == 0 {
					t.Errorf("%s: $%s has no values", d.UID, v.Name)
				}
				if n := len(ofPromQL[map[string]string](t, page, "series", of)); n == 0 {
					t.Errorf("%s: $%s is of no series", d.UID, v.Name)
				}
			}
		}
		for _, r := range d.Rows {
			for _, panel := range r.Panels {
				for _, a := range panel.Asks {
					query := fill.Replace(a.Expr)
					if panel.On == grafana.Live {
						asked[query] = len(answersPromQL(t, page, query))
						continue
					}
					expr, err := p.ParseExpr(query)
					if err != nil {
						t.Fatal(err)
					}
					for _, fault := range shown.lacks(expr) {
						t.Errorf("%s: %q: %s: %s", d.UID, panel.Title, a.Expr, fault)
					}
				}
			}
		}
	}
	some := 0
	for _, n := range asked {
		some += min(n, 1)
	}
	if some < len(asked)/2 { // a fleet of which little is wrong, without ZooKeeper's own servers
		t.Errorf("of %d questions about what is live %d have an answer", len(asked), some)
	}
}

// lacks says what an expression asks for that is not shown.
func (e exposed) lacks(expr parser.Expr) (faults []string) {
	known := map[string]bool{"instance": true, "le": true}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		of, ok := e[s.Name]
		if !ok {
			faults = append(faults, "nobody shows "+s.Name)
		}
		for _, m := range s.LabelMatchers {
			if m.Name != model.MetricNameLabel && m.Name != "instance" && !of[m.Name] {
				faults = append(faults, fmt.Sprintf("%s has no label %s", s.Name, m.Name))
			}
		}
		for l := range of {
			known[l] = true
		}
		return nil
	})
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, l := range a.Grouping {
				if !known[l] {
					faults = append(faults, "nothing has a label "+l)
				}
			}
		}
		return nil
	})
	return faults
}

// answersPromQL asks as Grafana does.
func answersPromQL(t *testing.T, page, query string) []json.RawMessage {
	t.Helper()
	res, err := http.PostForm(page+"/api/v1/query", url.Values{"query": {query}})
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(readAll(t, res)), &a); err != nil || a.Status != "success" {
		t.Errorf("%s: %v %s", query, err, a.Error)
	}
	return a.Data.Result
}

// ofPromQL is a list that the API answers with: to a form, or without one.
func ofPromQL[T any](t *testing.T, page, path string, form url.Values) []T {
	t.Helper()
	var res *http.Response
	var err error
	if form != nil {
		res, err = http.PostForm(page+"/api/v1/"+path, form)
	} else {
		res, err = http.Get(page + "/api/v1/" + path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var a struct {
		Status, Error string
		Data          []T
	}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil || a.Status != "success" {
		t.Errorf("%s: %v %s", path, err, a.Error)
	}
	return a.Data
}

func TestLacks(t *testing.T) {
	shown := exposed{}
	shown.read("# TYPE a counter\na_total{lane=\"x\"} 1\nb_bucket{le=\"1\"} 2\nc 3\n")
	for query, want := range map[string]int{
		`sum by (lane, instance) (rate(a_total{lane!="y",instance=~".*"}[1m])) / c`: 0, `histogram_quantile(0.9, sum by (le) (rate(b_bucket[1m])))`: 0,
		`d`: 1, `c{lane="x"}`: 1, `sum by (way) (a_total)`: 1, `rate(e[1m]) + max(f)`: 2,
	} {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown.lacks(expr); len(got) != want {
			t.Errorf("%s: %q, want %d faults", query, got, want)
		}
	}
}
