package tag

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/collector/stats"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// What applications really serve, through the parser that reads it in production.
func TestVersionOfRealBodies(t *testing.T) {
	for _, tc := range []struct{ name, typ, body, want string }{
		{"Ostrich", "application/json", `{"counters":{"requests":7},"gauges":{"jvm_uptime":1000},"labels":{"boiler":"on","version":"1.42.0"},"metrics":{}}`, "1.42.0 labels"},
		{"Ostrich as text", "text/plain", "counters:\n  requests: 7\ngauges:\n  jvm_uptime: 1000\nlabels:\n  build_version: 1.42.0\nmetrics:\n", "1.42.0 labels"},
		{"Prometheus", "text/plain; version=0.0.4", "# TYPE requests_total counter\nrequests_total 7\n# TYPE checkout_build_info gauge\ncheckout_build_info{goversion=\"go1.26\",revision=\"abc\",version=\"1.42.0\"} 1\n# TYPE go_build_info gauge\ngo_build_info{path=\"x\",version=\"(devel)\"} 1\n", "1.42.0 build_info"},
		{"OpenMetrics", "application/openmetrics-text; version=1.0.0", "# TYPE target info\ntarget_info{service_version=\"1.42.0\"} 1\n# EOF\n", "1.42.0 build_info"},
		{"expvar", "application/json", `{"cmdline":["/app","-x"],"memstats":{"Alloc":1,"TotalAlloc":2,"Sys":3},"requests":7,"version":"1.42.0"}`, "1.42.0 expvar"},
		{"nested", "application/json", `{"app":{"build":{"version":"1.42.0","time":"noon"}},"requests":7}`, "1.42.0 expvar"},
		{"nobody says", "application/json", `{"counters":{"requests":7},"gauges":{},"labels":{"mode":"warm"},"metrics":{}}`, " "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := snapshot(t0)
			var p stats.Parser
			if err := p.Parse(s, []byte(tc.body), tc.typ, stats.Options{}); err != nil {
				t.Fatal(err)
			}
			e := mustNew(t, Config{})
			e.Enrich(s)
			if got := s.Tags.Get(Version) + " " + s.Tags.Get(VersionSource); got != tc.want {
				t.Fatalf("got %q, want %q from %+v", got, tc.want, s.Samples)
			}
		})
	}
	info, err := stats.ServerInfo([]byte(`{"name":"checkout","version":"1.42.0","build":"20261104","build_revision":"abc"}`))
	if err != nil {
		t.Fatal(err)
	}
	s := snapshot(t0)
	s.Info = discovery.TagsOf(info)
	if mustNew(t, Config{}).Enrich(s); s.Tags.Get(Version) != "1.42.0" || s.Tags.Get(VersionSource) != "server_info" {
		t.Fatalf("server_info %v: %v", info, s.Tags.Map())
	}
}
