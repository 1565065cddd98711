package dashboards

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

func cols(ss ...collector.Sample) (out []column) {
	for _, s := range ss {
		if len(s.Fields) == 0 {
			out = append(out, newColumn(&s, ""))
		}
		for _, f := range s.Fields {
			out = append(out, newColumn(&s, fieldName(f.Name)))
		}
	}
	return out
}

func TestRecognise(t *testing.T) {
	lat := func(name string) collector.Sample {
		return dist(name, collector.Latched, "count", 1, "sum", 1, "p50", 1, "p99", 1)
	}
	for _, tc := range []struct {
		name   string
		g      Golden
		have   []collector.Sample
		rate   string
		errors string
		lat    string
	}{
		{"ostrich", Golden{}, []collector.Sample{counter("requests", 1), counter("errors", 1), lat("latency_ms"), lat("gc_ms")}, "requests", "errors", "latency_ms p99"},
		{"finagle", Golden{}, []collector.Sample{counter("clnt/db/requests", 1), counter("srv/http/requests", 1), counter("srv/http/failures", 1), counter("clnt/db/failures", 1),
			counter("srv/http/failures/java.io.IOException", 1), lat("srv/http/request_latency_ms"), lat("clnt/db/request_latency_ms")}, "srv/http/requests", "srv/http/failures", "srv/http/request_latency_ms p99"},
		{"prometheus", Golden{}, []collector.Sample{labelled(counter("http_requests_total", 1), "code", "200"), labelled(counter("http_requests_total", 1), "code", "500"),
			labelled(counter("http_requests_total", 1), "code", "503"), labelled(counter("promhttp_metric_handler_requests_total", 1), "code", "500"),
			labelled(counter("http_request_duration_seconds_bucket", 1), "le", "0.1"), labelled(counter("http_request_duration_seconds_bucket", 1), "le", "+Inf"),
			counter("http_request_duration_seconds_count", 1), counter("http_request_duration_seconds_sum", 1)},
			"http_requests_total{code=200} http_requests_total{code=500} http_requests_total{code=503}", "http_requests_total{code=500} http_requests_total{code=503}", "http_request_duration_seconds p99"},
		{"labels in names", Golden{}, []collector.Sample{counter("http_requests_total/code/200/method/get", 1), counter("http_requests_total/code/502/method/get", 1)},
			"http_requests_total{code=200,method=get} http_requests_total{code=502,method=get}", "http_requests_total{code=502,method=get}", ""},
		{"a total beside its parts", Golden{}, []collector.Sample{counter("requests", 1), labelled(counter("requests", 1), "client.as.number", "1"), counter("errors", 1)}, "requests", "errors", ""},
		{"latency alone", Golden{}, []collector.Sample{dist("api/latency_ms", collector.Lifetime, "count", 1, "sum", 1, "p99", 1)}, "api/latency_ms.count", "", "api/latency_ms mean"},
		{"latency that resets gives no rate", Golden{}, []collector.Sample{lat("latency_ms")}, "", "", "latency_ms p99"},
		{"5xx", Golden{}, []collector.Sample{counter("http.requests", 1), counter("http.5xx", 1)}, "http.requests", "http.5xx", ""},
		{"finagle status", Golden{}, []collector.Sample{counter("http/requests", 1), counter("http/status/5XX", 1), counter("http/status/503", 1)}, "http/requests", "http{status=5XX}", ""},
		{"exceptions last", Golden{}, []collector.Sample{counter("requests", 1), counter("exceptions", 1)}, "requests", "exceptions", ""},
		{"a gauge is no rate", Golden{}, []collector.Sample{gauge("requests", 1), gauge("errors", 1)}, "", "", ""},
		{"configured", Golden{Rate: []string{"nothing", "orders*"}, Errors: []string{"oops"}, Latency: []string{"clnt/*"}},
			[]collector.Sample{counter("requests", 1), counter("orders_a", 1), counter("orders_b", 1), counter("errors", 1), counter("oops", 1), lat("latency_ms"), lat("clnt/db/wait")},
			"orders_a orders_b", "oops", "clnt/db/wait p99"},
		{"there is none", Golden{Rate: []string{NoMetric}, Errors: []string{"nothing", NoMetric, "errors"}, Latency: []string{NoMetric}},
			[]collector.Sample{counter("requests", 1), counter("errors", 1), dist("latency_ms", collector.Lifetime, "count", 1, "sum", 1, "p99", 1)}, "", "", ""},
		{"configured but not there", Golden{Rate: []string{"orders"}}, []collector.Sample{counter("requests", 1)}, "requests", "", ""},
		{"ZooKeeper's own", Golden{}, []collector.Sample{counter("zk_packets_received", 1), counter("zk_commit_count", 1), dist("zk_readlatency", collector.Lifetime, "count", 1, "sum", 1, "p99", 1), dist("zk_fsynctime", collector.Lifetime, "count", 1, "sum", 1)},
			"zk_packets_received", "", "zk_readlatency mean"},
		{"nothing", Golden{}, []collector.Sample{gauge("heap_mb", 1), counter("gc_runs", 1)}, "", "", ""},
		{"no count", Golden{}, []collector.Sample{dist("latency_ms", collector.WindowUnknown, "p50", 1, "p95", 1)}, "", "", "latency_ms p95"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cs := cols(tc.have...)
			g := recognise(cs, tc.g)
			if got := names(cs, g.rate); got != tc.rate {
				t.Errorf("rate is %q, want %q", got, tc.rate)
			}
			if got := names(cs, g.errors); got != tc.errors {
				t.Errorf("errors are %q, want %q", got, tc.errors)
			}
			what, _ := g.latency.name()
			if got := strings.TrimSpace(g.latency.metric + " " + what); got != tc.lat {
				t.Errorf("latency is %q, want %q", got, tc.lat)
			}
		})
	}
}

func recognise(cs []column, g Golden) goldenSet {
	k := newKnowing(g)
	k.learn(cs)
	return k.golden(cs)
}

func names(cs []column, ns []uint32) string {
	var out []string
	for _, n := range ns {
		c := &cs[n]
		s := c.metric
		if c.field != "" {
			s += "." + c.field
		}
		var ls []string
		for _, l := range c.labels {
			ls = append(ls, l.Name+"="+l.Value)
		}
		if ls != nil {
			s += "{" + strings.Join(ls, ",") + "}"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestBrokenDown(t *testing.T) {
	as := func(name, n string) collector.Sample { return labelled(counter(name, 1), "client.as.number", n) }
	for _, tc := range []struct {
		name   string
		have   []collector.Sample
		rate   string
		errors string
	}{
		{"of the metric itself", []collector.Sample{counter("requests", 1), as("requests", "1"), as("requests", "2"), counter("errors", 1), as("errors", "1")},
			"requests{client.as.number=1} requests{client.as.number=2}", "errors{client.as.number=1}"},
		{"of another that counts the same", []collector.Sample{counter("requests", 1), as("http_requests_by_client_total", "1"), counter("errors", 1), as("http_errors_by_client_total", "1")},
			"http_requests_by_client_total{client.as.number=1}", "http_errors_by_client_total{client.as.number=1}"},
		{"inside the name", []collector.Sample{counter("requests", 1), counter("requests_by_client/client.as.number/1/client.geo.country.iso_code/US", 1)},
			"requests_by_client{client.as.number=1,client.geo.country.iso_code=US}", ""},
		{"none", []collector.Sample{counter("requests", 1), labelled(counter("requests", 1), "method", "get")}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cs := cols(tc.have...)
			g := recognise(cs, Golden{})
			if got := names(cs, g.rateBy); got != tc.rate {
				t.Errorf("rate by is %q, want %q", got, tc.rate)
			}
			if got := names(cs, g.errsBy); got != tc.errors {
				t.Errorf("errors by is %q, want %q", got, tc.errors)
			}
		})
	}
}

func TestGlob(t *testing.T) {
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"requests", "requests", true}, {"requests", "Requests", true}, {"requests", "http_requests", false}, {"*/requests", "http/requests", true},
		{"*requests*", "a.requests.b", true}, {"http_requests", "http.requests", true}, {"a*b*c", "aXbYc", true}, {"a*b*c", "aXcYb", false}, {"*", "", true}, {"", "", true}, {"", "a", false},
	} {
		if got := glob(tc.pattern, tc.name); got != tc.want {
			t.Errorf("glob(%q, %q) = %v", tc.pattern, tc.name, got)
		}
	}
}

func TestPercentileNames(t *testing.T) {
	for _, tc := range []struct {
		field string
		want  float64
		ok    bool
	}{
		{"p50", .5, true}, {"p99", .99, true}, {"p999", .999, true}, {"p9999", .9999, true}, {"p9990", .999, true}, {"p5", .05, true}, {"p05", .05, true}, {"p100", 1, true},
		{"p", 0, false}, {"pxx", 0, false}, {"average", 0, false}, {"p123456789", 0, false},
	} {
		if p, ok := percentile(tc.field); ok != tc.ok || ok && p != tc.want {
			t.Errorf("percentile(%q) = %v, %v", tc.field, p, ok)
		}
	}
}

func TestScoped(t *testing.T) {
	for _, tc := range []struct{ name, want string }{
		{"requests", "requests []"}, {"http/requests", "http/requests []"}, {"srv/http/requests", "srv/http/requests []"},
		{"http_requests_total/code/200", "http_requests_total [{code 200}]"}, {"x/method/get/code/200", "x [{code 200} {method get}]"},
		{"x/client.as.number/15169", "x [{client.as.number 15169}]"}, {"x/path/a%2Fb%2525", "x [{path a/b%25}]"}, {"/code/1", "/code/1 []"},
	} {
		base, labels := scoped(tc.name)
		if got := fmt.Sprint(base, " ", labels); got != tc.want {
			t.Errorf("scoped(%q) = %s, want %s", tc.name, got, tc.want)
		}
	}
}
