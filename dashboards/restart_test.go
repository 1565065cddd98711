package dashboards

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// A reader that begins in the middle of a service's life does not take the version that runs for a new one; one that comes later is.
func TestVersionsAtAStart(t *testing.T) {
	f := newFleet(t, Options{})
	e := entry("10.0.0.1:80", discovery.Present, -86_400, nil) // it joined a day ago
	f.b.RosterState("checkout", "prod", []discovery.Entry{e}, t0.Add(-time.Minute))
	for s := range 60 {
		r := f.record("10.0.0.1:80", float64(s), counter("requests", float64(s)))
		r.Tags = []collector.LabelPair{{Name: TagVersion, Value: map[bool]string{true: "1.42", false: "1.41"}[s >= 40]}}
		f.b.Add(r)
	}
	f.tick(60)
	var texts []string
	for _, e := range f.b.Events("checkout", "prod", t0.Add(-time.Hour), t0.Add(time.Hour)) {
		texts = append(texts, e.Text)
	}
	if got := strings.Join(texts, "; "); got != "1.42 first seen on 10.0.0.1:80; 10.0.0.1:80 went 1.41 → 1.42" {
		t.Error(got)
	}
}
