package dashboards

import (
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

func TestSearch(t *testing.T) {
	f := newFleet(t, Options{})
	for _, of := range []struct{ service, instance, host, zone string }{
		{"checkout", "10.0.0.1:80", "east-1a-h01", "us-east-1a"}, {"checkout", "10.0.0.2:80", "east-1b-h01", "us-east-1b"},
		{"search", "10.0.0.1:81", "east-1a-h01", "us-east-1a"}, {"latency-lab", "10.0.0.9:80", "lab", "us-east-1a"},
	} {
		r := f.record(of.instance, 1, gauge("latency", 3), gauge("heap_mb", 5))
		r.Service = of.service
		r.Tags = []collector.LabelPair{{Name: TagZone, Value: of.zone}, {Name: TagHost, Value: of.host}}
		f.b.Add(r)
	}
	f.tick(2)
	for _, tc := range []struct{ text, want string }{
		{"", ""},
		{"  ", ""},
		{"check", "checkout"},
		{"CHECKOUT", "checkout"},
		{"latency", "latency-lab, latency checkout, latency latency-lab, latency search"},
		{"latency checkout", "latency checkout"},
		{"checkout latency prod", "latency checkout"},
		{"east-1a-h01", "east-1a-h01, 10.0.0.1:80, 10.0.0.1:81"},
		{"h01 checkout", "10.0.0.1:80, 10.0.0.2:80"},
		{"h01", "east-1a-h01, east-1b-h01, 10.0.0.1:80, 10.0.0.2:80, 10.0.0.1:81"},
		{"10.0.0.2", "10.0.0.2:80"},
		{"search us-east-1b", ""},
		{"search us-east-1a", "10.0.0.1:81"},
		{"nobody", ""},
		{strings.Repeat("checkout ", 500), "checkout"},
	} {
		h := f.b.Search(tc.text)
		var got []string
		for _, s := range h.Services {
			got = append(got, s.Service)
		}
		for _, s := range h.Hosts {
			got = append(got, s.Host)
		}
		for _, s := range h.Instances {
			got = append(got, s.Instance)
		}
		for _, s := range h.Metrics {
			got = append(got, s.Metric+" "+s.Service)
		}
		if tc.want != strings.Join(got, ", ") {
			t.Errorf("%.40q finds %q, want %q", tc.text, strings.Join(got, ", "), tc.want)
		}
	}
}
