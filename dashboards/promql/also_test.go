package promql

import (
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/rollcall-metrics/rollcall/dashboards/rules"
)

// What stands beside the Board is asked with it, and never twice.
func TestAlso(t *testing.T) {
	store := rules.NewStore(3600e9)
	r := newRig(t, func(c *Config) { c.Also = store })
	r.fleet()
	for _, ls := range []labels.Labels{labels.FromStrings("__name__", "job:requests", "job", "checkout"), labels.FromStrings("__name__", "requests", "job", "none"),
		labels.FromStrings("__name__", "requests", "job", "search", "env", "prod", "instance", "10.0.0.3:80", "service_version", "7", "cloud_availability_zone", "us-east-1c")} {
		if err := store.Append(ls, t0.UnixMilli()+99_000, 7); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{
		`job:requests`: "7", `sum(requests)`: "3107", `requests{job="search"}`: "100", `count(requests)`: "4", `requests{job="none"} + on () group_left job:requests`: "14", `mem_used{instance="10.0.0.1:80"}`: "100",
	} {
		if got := r.value(query, 100); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	for path, want := range map[string]string{"/api/v1/label/job/values": `"checkout","none","search"`, "/api/v1/label/__name__/values": `"job:requests"`, "/api/v1/labels": `"instance"`, "/api/v1/series": `"job":"none"`} {
		q := url.Values{}
		if path == "/api/v1/series" {
			q.Set("match[]", "requests")
		}
		if _, body := r.ask("GET", path, q); !strings.Contains(body, want) {
			t.Errorf("%s: %s, want %s", path, body, want)
		}
	}
}
