package dashboards

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Names come from outside: whatever they hold, they are taken apart without harm, and two names that differ stay two columns.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"requests", "http_requests_total/code/200", "x/client.as.number/15169/client.geo.country.iso_code/US", "a/b/c", "/code//", "%2F%25", "*", "p99", "x\x00y\x01z\x02"} {
		f.Add(s, "requests/code/500")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		base, labels := scoped(a)
		if len(base) > len(a) || !strings.HasPrefix(a, base) {
			t.Errorf("the base of %q is %q with %q", a, base, labels)
		}
		percentile(a)
		unitOf(a)
		side(a)
		if glob(a, b) && !strings.Contains(a, "*") && normal(a) != normal(b) {
			t.Errorf("%q matches %q", a, b)
		}
		if !glob("*", a) || !glob("*"+b, a+b) && !strings.Contains(b, "*") {
			t.Errorf("a star does not match before %q", b)
		}
		bd, err := NewBoard(Options{})
		if err != nil {
			t.Fatal(err)
		}
		for s := range 3 {
			at := t0.Add(time.Duration(s) * time.Second)
			bd.Add(&Record{ID: RecordID{1, 1, 0, uint64(s + 1), 0}, Seen: at, Service: a, Env: b, Instance: b, Time: at, Interval: time.Second,
				Tags:    []collector.LabelPair{{Name: a, Value: b}},
				Samples: []collector.Sample{counter(a, float64(s)), gauge(b, 1), labelled(counter(a, 1), b, a), dist(a, collector.Latched, b, 1)}})
		}
		bd.Tick(t0.Add(3 * time.Second))
		d := bd.Detail(a, b)
		if d == nil || len(d.Instances) != 1 {
			t.Fatalf("the service %q/%q is lost", a, b)
		}
		for _, m := range d.Metrics {
			if _, err := bd.Series(Query{Service: a, Env: b, Metric: m.Name}); err != nil && m.Kind != "distribution" {
				t.Errorf("metric %q of %q/%q: %v", m.Name, a, b, err)
			}
		}
	})
}

// Values come from outside: nothing that is no number gets in, and nothing that got in is lost.
func FuzzValues(f *testing.F) {
	f.Add("1", "2", int64(1000))
	f.Add("NaN", "1e400", int64(-5))
	f.Add("+Inf", "0x1p-2", int64(0))
	f.Add("9007199254740993", "-0", int64(1)<<60)
	f.Fuzz(func(t *testing.T, a, b string, every int64) {
		bd, err := NewBoard(Options{})
		if err != nil {
			t.Fatal(err)
		}
		for s := range 50 {
			at := t0.Add(time.Duration(s) * time.Second)
			v := a
			if s%2 == 1 {
				v = b
			}
			bd.Add(&Record{ID: RecordID{1, 1, 0, uint64(s + 1), 0}, Seen: at, Service: "checkout", Env: "prod", Instance: "i", Time: at, Interval: time.Duration(every),
				Samples: []collector.Sample{{Name: "requests", Kind: collector.Counter, Value: v}, {Name: "x", Value: v}, {Name: "g", Kind: collector.Gauge, Value: v},
					{Name: "latency_ms", Kind: collector.Distribution, Window: collector.Decaying, Fields: []collector.Field{{Name: "count", Value: v}, {Name: "p99", Value: a}}}}})
		}
		bd.Tick(t0.Add(50 * time.Second))
		for _, r := range bd.Rows() {
			if r.Rate.Known() && (r.Rate < 0 || math.IsInf(float64(r.Rate), 0)) {
				t.Errorf("rate is %v", r.Rate)
			}
		}
	})
}
