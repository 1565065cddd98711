package tag

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

func ptr(s string) *string { return &s }

func TestTargets(t *testing.T) {
	base := discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: "10.0.0.5", Port: 8001}, Source: "apps",
		Tags: discovery.TagsOf(map[string]string{Version: "1.42.0", "team": "pay"}), Meta: discovery.TagsOf(map[string]string{"__meta_serverset_status": "ALIVE", "__meta_serverset_path": "/discovery/checkout/prod"})}
	set := func(target, value string) Relabel { return Relabel{TargetLabel: target, Replacement: ptr(value)} }
	for _, tc := range []struct {
		name  string
		rules []Relabel
		want  string // what changed, or why it was dropped
	}{
		{"no rules", nil, ""},
		{"kept", []Relabel{{SourceLabels: []string{"__meta_serverset_status"}, Regex: ptr("ALIVE"), Action: "keep"}}, ""},
		{"dropped", []Relabel{{SourceLabels: []string{"__meta_serverset_status"}, Regex: ptr("DEAD"), Action: "keep"}}, `dropped: relabel_configs[0] of job "apps": keep "DEAD", __meta_serverset_status = "ALIVE"`},
		{"dropped by the second", []Relabel{set("x", "y"), {SourceLabels: []string{"team", "env"}, Regex: ptr("pay;prod"), Action: "drop"}}, `dropped: relabel_configs[1] of job "apps": drop "pay;prod", team, env = "pay;prod"`},
		{"dropped for being equal", []Relabel{{SourceLabels: []string{"team"}, TargetLabel: "__scheme__", Action: "keepequal"}}, `dropped: relabel_configs[0] of job "apps": keepequal, team = "pay", __scheme__ = "http"`},
		{"port", []Relabel{{SourceLabels: []string{"__address__"}, Regex: ptr(`(.*):\d+`), Replacement: ptr("$1:9990"), TargetLabel: "__address__"}}, "addr=10.0.0.5:9990"},
		{"host", []Relabel{set("__address__", "proxy:80")}, "addr=proxy:80"},
		{"an address without a port", []Relabel{set("__address__", "10.0.0.5"), set("__scheme__", "https")}, "addr=10.0.0.5:443 scheme=https"},
		{"IPv6 without a port", []Relabel{set("__address__", "[2001:db8::1]")}, "addr=[2001:db8::1]:80"},
		{"no address", []Relabel{set("__address__", "a:b")}, `dropped: relabel_configs of job "apps" made __address__ "a:b"`},
		{"scheme", []Relabel{set("__scheme__", "ftp")}, `dropped: relabel_configs of job "apps" made __scheme__ "ftp"`},
		{"path", []Relabel{set("__metrics_path__", "/vars.json")}, "path=/vars.json?period=60"},
		{"a path that is none", []Relabel{set("__metrics_path__", "x")}, "dropped: relabel_configs of job \"apps\" made __metrics_path__ \"x\""},
		{"a parameter", []Relabel{set("__param_module", "a b")}, "path=/stats.json?module=a+b&period=60"},
		{"a parameter less", []Relabel{set("__param_period", "")}, "path=/stats.json"},
		{"namespace", []Relabel{set("__param_namespace", "me")}, "dropped: relabel_configs of job \"apps\" made the parameter namespace"},
		{"service and environment stay", []Relabel{{Regex: ptr("job|env"), Action: "labeldrop"}}, ""},
		{"tags", []Relabel{{SourceLabels: []string{"__meta_serverset_path"}, Regex: ptr("/discovery/(.+)/.*"), TargetLabel: "path"}, {Regex: ptr("team"), Action: "labeldrop"}, set("instance", "i-1")}, "tags=map[path:checkout service.instance.id:i-1 service.version:1.42.0]"},
		{"a tag as source", []Relabel{{SourceLabels: []string{Version}, Regex: ptr(`(\d+)\..*`), TargetLabel: "major"}}, "tags=map[major:1 service.version:1.42.0 team:pay]"},
		{"labelmap", []Relabel{{Regex: ptr("__meta_serverset_(status)"), Action: "labelmap"}}, "tags=map[service.version:1.42.0 status:ALIVE team:pay]"},
		{"hashmod", []Relabel{{SourceLabels: []string{"__address__"}, Modulus: 1, TargetLabel: "__tmp", Action: "hashmod"}, {SourceLabels: []string{"__tmp"}, Regex: ptr("0"), Action: "keep"}}, ""},
		{"intervals can be read", []Relabel{{SourceLabels: []string{"__scrape_interval__"}, Regex: ptr("10s"), Action: "keep"}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ts, err := NewTargets([]Job{{Name: "apps", Params: map[string][]string{"period": {"60"}}, Interval: 10 * time.Second, Relabel: tc.rules}})
			if err != nil {
				t.Fatal(err)
			}
			i := base
			reason, keep := ts.Filter(&i)
			var out []string
			if !keep {
				out = append(out, "dropped: "+reason)
			} else {
				if i.Key != base.Key {
					out = append(out, "key="+i.Key.String())
				}
				if i.ScrapeAddr() != base.ScrapeAddr() {
					out = append(out, "addr="+i.ScrapeAddr())
				}
				if i.Scheme != base.Scheme {
					out = append(out, "scheme="+i.Scheme)
				}
				if i.StatsPath != base.StatsPath {
					out = append(out, "path="+i.StatsPath)
				}
				if i.Tags != base.Tags {
					out = append(out, fmt.Sprint("tags=", i.Tags.Map()))
				}
			}
			if got := strings.Join(out, " "); got != tc.want && !(strings.HasPrefix(tc.want, "dropped") && strings.HasPrefix(got, tc.want)) {
				t.Fatalf("got %s\nwant %s", got, tc.want)
			}
		})
	}
	// Another job's instances pass; what the member's data say is seen.
	ts, err := NewTargets([]Job{{Name: "apps", Relabel: []Relabel{{SourceLabels: []string{"__metrics_path__", "__param_a", "__scheme__"}, Regex: ptr("/m;1;https"), Action: "keep"}}}})
	if err != nil {
		t.Fatal(err)
	}
	// Parameters that a target brings, as file_sd has them, count with and without rules.
	params, err := NewTargets([]Job{{Name: "apps", MetricsPath: "/probe", Params: map[string][]string{"module": {"x"}, "a": {"b"}}}})
	if err != nil {
		t.Fatal(err)
	}
	brings := base
	brings.Meta = discovery.TagsOf(map[string]string{"__param_module": "http", "__meta_filepath": "t.json"})
	if why, keep := params.Filter(&brings); !keep || brings.StatsPath != "/probe?a=b&module=http" || brings.Tags != base.Tags {
		t.Fatalf("%s %+v", why, brings)
	}
	second := base
	second.Source = "apps#2"
	if _, keep := ts.Filter(&second); keep {
		t.Fatal("the second source of a job does not go by the job's rules")
	}
	other, own := base, base
	other.Source, own.StatsPath, own.Scheme = "else", "/m?a=1", "https"
	if _, keep := ts.Filter(&other); !keep {
		t.Fatal("an instance of a job without rules was dropped")
	}
	if why, keep := ts.Filter(&own); !keep || own.StatsPath != "/m?a=1" {
		t.Fatalf("%s %+v", why, own)
	}
}

func TestRelabelFaults(t *testing.T) {
	for _, tc := range []struct {
		rule Relabel
		want string
	}{
		{Relabel{Action: "kep"}, `"kep" is no action`},
		{Relabel{Regex: ptr("(")}, "missing closing"},
		{Relabel{Action: "hashmod", TargetLabel: "x"}, "non-zero modulus"},
		{Relabel{SourceLabels: []string{"a"}}, "requires 'target_label'"},
		{Relabel{TargetLabel: "__scrape_interval__", Replacement: ptr("1s")}, "give those targets a job of their own"},
		{Relabel{TargetLabel: "job", Replacement: ptr("x")}, "it names the service"},
	} {
		_, err := NewTargets([]Job{{Name: "apps", Relabel: []Relabel{{TargetLabel: "x"}, tc.rule}}})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), `job "apps": relabel_configs[1]`) {
			t.Errorf("%+v: got %v, want %q with job and index", tc.rule, err, tc.want)
		}
	}
	if _, err := NewTargets([]Job{{Name: "a"}, {Name: "a"}}); err == nil {
		t.Error("two jobs of one name")
	}
}

func TestMetricRelabel(t *testing.T) {
	body := func() []collector.Sample {
		return []collector.Sample{counter("http_requests_total", "1", "code", "200", "path", "/a"), gauge("go_goroutines", "5"), {Name: "latency_ms", Kind: collector.Distribution, Fields: []collector.Field{{Name: "p99", Value: "9"}}}}
	}
	all := "go_goroutines:gauge:5\nhttp_requests_total code=200 path=/a:counter:1\nlatency_ms:distribution"
	for _, tc := range []struct {
		name  string
		rules []Relabel
		want  string
	}{
		{"drop by name", []Relabel{{SourceLabels: []string{"__name__"}, Regex: ptr("go_.*"), Action: "drop"}}, "http_requests_total code=200 path=/a:counter:1\nlatency_ms:distribution"},
		{"keep by label", []Relabel{{SourceLabels: []string{"code"}, Regex: ptr("2.."), Action: "keep"}}, "http_requests_total code=200 path=/a:counter:1"},
		{"rename", []Relabel{{SourceLabels: []string{"__name__"}, Regex: ptr("go_(.*)"), TargetLabel: "__name__"}}, "goroutines:gauge:5\nhttp_requests_total code=200 path=/a:counter:1\nlatency_ms:distribution"},
		{"labeldrop", []Relabel{{Regex: ptr("path"), Action: "labeldrop"}}, "go_goroutines:gauge:5\nhttp_requests_total code=200:counter:1\nlatency_ms:distribution"},
		{"new label", []Relabel{{SourceLabels: []string{"code"}, Regex: ptr("(.).."), TargetLabel: "class", Replacement: ptr("${1}xx")}}, "go_goroutines:gauge:5\nhttp_requests_total class=2xx code=200 path=/a:counter:1\nlatency_ms:distribution"},
		{"temporary labels go", []Relabel{{TargetLabel: "__tmp", Replacement: ptr("x")}}, all},
		{"no name left", []Relabel{{SourceLabels: []string{"__name__"}, Regex: ptr("go_.*"), TargetLabel: "__name__", Replacement: ptr("")}}, "http_requests_total code=200 path=/a:counter:1\nlatency_ms:distribution"},
		{"the target's labels can be asked", []Relabel{{SourceLabels: []string{"job", "instance", "env", "team", "__name__"}, Regex: ptr("checkout;10.0.0.5:8001;prod;pay;go_.*"), Action: "drop"}}, "http_requests_total code=200 path=/a:counter:1\nlatency_ms:distribution"},
		{"and given to a sample", []Relabel{{SourceLabels: []string{"team"}, TargetLabel: "squad"}}, "go_goroutines squad=pay:gauge:5\nhttp_requests_total code=200 path=/a squad=pay:counter:1\nlatency_ms squad=pay:distribution"},
		{"a rule that changes nothing", []Relabel{{SourceLabels: []string{"nope"}, Regex: ptr("x"), Action: "drop"}}, all},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := mustNew(t, Config{MetricRelabel: map[string][]Relabel{"apps": tc.rules}})
			for i := range 3 { // made, then remembered
				s := snapshot(t0.Add(time.Duration(i)*time.Second), body()...)
				s.Tags = discovery.TagsOf(map[string]string{"team": "pay"})
				e.Enrich(s)
				if got := show(s); got != tc.want {
					t.Fatalf("got\n%s\nwant\n%s", got, tc.want)
				}
				if (s.RulesHash != "") != (tc.want != all) {
					t.Fatalf("rules %q", s.RulesHash)
				}
			}
			s := snapshot(t0, body()...)
			s.Instance.Source = "another job"
			if e.Enrich(s); show(s) != all {
				t.Fatalf("another job: %s", show(s))
			}
		})
	}
	if _, err := New(Config{MetricRelabel: map[string][]Relabel{"apps": {{Action: "kep"}}}}); err == nil || !strings.Contains(err.Error(), `job "apps": metric_relabel_configs[0]`) {
		t.Fatalf("got %v", err)
	}
}
