package dashboards

import (
	"math"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

// versioned is a record with a version, a text and totals.
func (f *fleet) versioned(instance string, s float64, version, flag string) *Record {
	r := f.record(instance, s, counter("requests", 10*s), counter("errors", s/2), dist("latency_ms", collector.Latched, "count", 10*s, "p99", 12),
		collector.Sample{Name: "flags", Kind: collector.Label, Value: flag})
	r.Tags = []collector.LabelPair{{Name: TagHost, Value: "h1"}, {Name: TagVersion, Value: version}}
	return r
}

func TestTraces(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 60 {
		version, flag := "1.0", "a"
		if s >= 20 {
			version = "1.1"
		}
		if s >= 30 {
			flag = "b"
		}
		f.b.Add(f.versioned("10.0.0.1:80", float64(s), version, flag))
		f.b.Add(f.versioned("10.0.0.2:80", float64(s), "1.0", "a"))
	}
	f.tick(60)
	traces, latency := f.b.Traces("checkout", "prod", at(10), at(60))
	if len(traces) != 2 || latency != "p99" {
		t.Fatalf("%d traces, latency %q", len(traces), latency)
	}
	one, two := traces[0], traces[1]
	if len(one.Moves) != 2 || len(two.Moves) != 0 || !one.Answering || !one.Expected || !one.Begun.Equal(t0) || one.Every != time.Second {
		t.Errorf("got %+v", one)
	}
	for _, tc := range []struct {
		name string
		at   float64
		want string
	}{{TagVersion, 5, "1.0"}, {TagVersion, 19, "1.0"}, {TagVersion, 20, "1.1"}, {TagVersion, 50, "1.1"}, {"flags", 29, "a"}, {"flags", 30, "b"}, {TagHost, 0, "h1"}, {"unknown", 5, ""}} {
		if got := one.At(tc.name, at(tc.at)); got != tc.want {
			t.Errorf("%s is %q at %v, want %q", tc.name, got, tc.at, tc.want)
		}
	}
	if len(one.Steps) != 49 {
		t.Fatalf("%d steps", len(one.Steps))
	}
	for _, s := range one.Steps {
		if s.To-s.From != 1000 || s.Requests != 10 || s.Errors != 0.5 || s.Latency != 12 || s.Reset {
			t.Fatalf("step %+v", s)
		}
	}
	if got, _ := f.b.Traces("nobody", "prod", at(0), at(9)); got != nil {
		t.Errorf("a service that is not there has %d traces", len(got))
	}
	if _, latency := newFleetWithout(t).b.Traces("checkout", "prod", at(0), at(9)); latency != "" {
		t.Errorf("latency %q", latency)
	}
}

func newFleetWithout(t *testing.T) *fleet {
	f := newFleet(t, Options{})
	for s := range 5 {
		f.add("10.0.0.1:80", float64(s), counter("requests", float64(s)))
	}
	f.tick(5)
	if traces, _ := f.b.Traces("checkout", "prod", at(0), at(5)); !math.IsNaN(traces[0].Steps[0].Errors) || !math.IsNaN(traces[0].Steps[0].Latency) {
		t.Errorf("step %+v", traces[0].Steps[0])
	}
	return f
}

// History that is read backwards gives the same versions as when it happened.
func TestChangesBackwards(t *testing.T) {
	f := newFleet(t, Options{})
	for s := 59; s >= 0; s-- {
		version := "1.0"
		if s >= 20 {
			version = "1.1"
		}
		f.b.Add(f.versioned("10.0.0.1:80", float64(s), version, "a"))
	}
	f.tick(60)
	traces, _ := f.b.Traces("checkout", "prod", at(0), at(60))
	if c := traces[0].Moves; len(c) != 1 || c[0] != (Move{at(20).UnixMilli(), TagVersion, "1.0", "1.1"}) {
		t.Errorf("changes are %+v", c)
	}
}

// What an application says anew in each scrape does not push its versions out.
func TestChangesBounded(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 300 {
		version := "1.0"
		if s >= 20 {
			version = "1.1"
		}
		f.b.Add(f.versioned("10.0.0.1:80", float64(s), version, num(float64(s))))
	}
	f.tick(300)
	traces, _ := f.b.Traces("checkout", "prod", at(0), at(9))
	if c := traces[0].Moves; len(c) != maxMoves || c[0].Name != TagVersion {
		t.Errorf("%d changes, the oldest %+v", len(c), c[0])
	}
}
