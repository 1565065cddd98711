package rollup

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

const t0 = 1_764_000_000_000

var nan = math.NaN()

// made is a rollup of the slot k: all of it, and by zone and version.
func made(service string, k int, rate float64) *dashboards.Rollup {
	part := func(dim, value string, n int, share float64) dashboards.Slice {
		return dashboards.Slice{Dim: dim, Value: value, N: n, Rate: dashboards.Num(rate * share), Errors: dashboards.Num(rate * share / 100), Latency: dashboards.Interval{Lo: 10, Est: 12, Hi: 15}}
	}
	t := int64(t0 + k*step)
	r := &dashboards.Rollup{Service: service, Env: "prod", T: t, Step: step, AsOf: t + 15_000, N: 3, M: 4, LatencyName: "p99",
		Slices: []dashboards.Slice{part("", "", 3, 1), part("client.as.number", "15169", 0, .5), part(dashboards.TagZone, "a", 2, .75), part(dashboards.TagZone, "b", 1, .25),
			{Metric: "queue", N: 3, Rate: 7, Errors: dashboards.Unknown(), Latency: dashboards.Interval{Lo: nan, Est: nan, Hi: nan}}}}
	if (t+step)%minute == 0 {
		r.Metrics = []dashboards.RolledMetric{{Name: "heap_mb", Kind: "gauge", Value: 512, N: 3}}
	}
	return r
}

func TestBothWays(t *testing.T) {
	r := made("checkout", 5, 100)
	r.Slices[1].Errors, r.Slices[1].Latency.Hi = dashboards.Unknown(), nan
	r.Events = []dashboards.Event{{T: r.T, Kind: "deploy", Text: "x", N: 2}}
	r.Row = &dashboards.Row{Service: "checkout", Env: "prod", Expected: 4, Rate: 100, AgeMS: 5, Errors: dashboards.Unknown(), ErrorRatio: .01, Why: []string{"x"}, Versions: []dashboards.Version{}}
	got, err := Decode(Append(nil, r))
	if err != nil {
		t.Fatal(err)
	}
	num := cmp.Comparer(func(a, b dashboards.Num) bool { return a == b || !a.Known() && !b.Known() })
	if d := cmp.Diff(*r, got, num, cmpopts.EquateNaNs(), cmpopts.IgnoreUnexported(dashboards.Row{})); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "{}", `{"v":1}`, `{"v":2,"service":"a","t":1764000000000,"step":10000,"all":[1]}`, `{"v":1,"service":"a","t":1764000000001,"step":10000,"all":[1]}`,
		`{"v":1,"service":"a","t":1764000000000,"step":1,"all":[1]}`, `{"v":1,"service":"a","t":1764000000000,"step":10000}`} {
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s is a rollup", bad)
		}
	}
}

func TestQuery(t *testing.T) {
	h := NewHistory(0)
	for k := range 30 {
		if k == 12 || k == 13 {
			continue // nobody was there
		}
		h.Add(made("checkout", k, 100+float64(k)))
	}
	at := func(k int) time.Time { return time.UnixMilli(t0 + int64(k)*step) }
	for _, tc := range []struct {
		name     string
		q        Query
		from, to int
		want     string // lines
		err      error
	}{
		{"rate", Query{Signal: "rate"}, 10, 15, ": 110 111 null null 114", nil},
		{"by zone", Query{Signal: "rate", By: "zone"}, 0, 2, "a: 75 75.75; b: 25 25.25", nil},
		{"by network", Query{Signal: "errors", By: "client.as.number"}, 0, 2, "15169: 0.5 0.505", nil},
		{"ratio", Query{Signal: "error_ratio"}, 0, 1, ": 0.01", nil},
		{"latency", Query{Signal: "latency"}, 0, 1, ": 12 [10,15]", nil},
		{"wider steps", Query{Signal: "rate", Step: time.Minute}, 0, 12, ": 102.5 108.5", nil},
		{"a gap within a step", Query{Signal: "rate", Step: time.Minute}, 12, 18, ": 115.5", nil},
		{"instances", Query{Signal: "instances", By: "zone"}, 0, 1, "a: 2; b: 1", nil},
		{"pinned", Query{Signal: "metric:queue"}, 0, 2, ": 7 7", nil},
		{"by the minute", Query{Signal: "metric:heap_mb"}, 0, 12, ": 512 512", nil},
		{"by the minute and zone", Query{Signal: "metric:heap_mb", By: "zone"}, 0, 12, "", ErrQuery},
		{"no such dimension", Query{Signal: "rate", By: "rack"}, 0, 1, "", ErrNone},
		{"no such service", Query{Service: "x", Signal: "rate"}, 0, 1, "", ErrNone},
		{"no such signal", Query{Signal: "x"}, 0, 1, "", ErrQuery},
		{"odd step", Query{Signal: "rate", Step: 7 * time.Second}, 0, 1, "", ErrQuery},
		{"backwards", Query{Signal: "rate"}, 2, 1, "", ErrQuery},
	} {
		q := tc.q
		if q.Service == "" {
			q.Service = "checkout"
		}
		q.Env, q.From, q.To = "prod", at(tc.from), at(tc.to)
		a, err := h.Query(q, at(40))
		if !errors.Is(err, tc.err) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err != nil {
			continue
		}
		var lines []string
		for _, l := range a.Lines {
			s := l.Name + ":"
			for k, v := range l.Values {
				b, _ := json.Marshal(v)
				s += " " + string(b)
				if l.Lo != nil {
					s += fmt.Sprintf(" [%v,%v]", float64(l.Lo[k]), float64(l.Hi[k]))
				}
			}
			lines = append(lines, s)
		}
		if got := strings.Join(lines, "; "); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		if a.Of != "3 of 4 instances" || a.Since == nil || *a.Since != t0 {
			t.Errorf("%s: %s since %v", tc.name, a.Of, a.Since)
		}
	}
	if !h.Has("checkout", "prod", t0) || h.Has("checkout", "prod", t0+12*step) {
		t.Error("what is known is not known")
	}
	if sp := h.Spark("checkout", "prod", t0+29*step); len(sp.Rate) != 90 || sp.Rate[89] != 129 || sp.Answering[89] != 3 {
		t.Errorf("spark %+v", sp)
	}
}

// The budget takes parts by dimension before it takes a service as a whole, the oldest first, and says whose.
func TestEvict(t *testing.T) {
	h := NewHistory(1 << 20)
	for k := range 24 * 360 {
		h.Add(made("checkout", k, 100))
		h.Add(made("cart", k, 100))
	}
	x := h.Health()
	if x.Bytes > 1<<20 || x.Evicted.Points == 0 || x.Evicted.Service == "" || x.Evicted.Before < t0 {
		t.Errorf("%+v", x)
	}
	newest := time.UnixMilli(t0 + 24*360*step)
	count := func(by string) (n int) {
		a, err := h.Query(Query{Service: "cart", Env: "prod", Signal: "rate", By: by, From: newest.Add(-24 * time.Hour), To: newest, Step: 10 * time.Second}, newest)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range a.Lines[0].Values {
			if v.Known() {
				n++
			}
		}
		return n
	}
	if all, zone := count(""), count("zone"); all < 8000 || zone > all/2 || zone == 0 {
		t.Errorf("%d points as a whole, %d by zone", all, zone)
	}
	h.Expire(t0 + 49*3600*1000)
	if x := h.Health(); x.Bytes != 0 || x.Services != 0 {
		t.Errorf("after a day: %+v", x)
	}
}

func FuzzDecode(f *testing.F) {
	r := made("checkout", 5, 100)
	r.Row = &dashboards.Row{Service: "checkout", Env: "prod"}
	f.Add(Append(nil, r))
	f.Add(Append(nil, made("a", 0, nan)))
	f.Add([]byte(`{"v":1,"service":"a","env":"b","t":1764000000000,"step":10000,"as_of":1764000000000,"all":[],"by":{"x":{"y":null}},"pinned":{"m":{"d":{"v":[]}}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := Decode(in)
		if err != nil {
			return
		}
		h := NewHistory(1 << 20)
		h.Add(&r)
		h.Spark(r.Service, r.Env, r.T)
		_, _ = h.Query(Query{Service: r.Service, Env: r.Env, Signal: "rate", From: time.UnixMilli(r.T).Add(-time.Minute), To: time.UnixMilli(r.T).Add(time.Minute)}, time.UnixMilli(r.T).Add(time.Hour))
		if again, err := Decode(Append(nil, &r)); err != nil || again.T != r.T || len(again.Slices) > len(r.Slices) {
			t.Errorf("%s comes back as %+v, %v", in, again, err)
		}
	})
}

func BenchmarkDecodeAdd(b *testing.B) {
	h, text := NewHistory(0), Append(nil, made("checkout", 5, 100))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := Decode(text)
		if err != nil {
			b.Fatal(err)
		}
		h.Add(&r)
	}
}

// A rollup that says to be of a time to come is none; one of a replica whose clock is days ahead keeps the others out until the next Expire, and no longer.
func TestAheadOfTime(t *testing.T) {
	h := NewHistory(0)
	h.Add(made("cart", 1, 1))
	wild := made("cart", 9*8640, 1)
	wild.AsOf = t0
	h.Add(wild)
	h.Add(made("cart", 2, 1))
	if !h.Has("cart", "prod", t0+2*step) {
		t.Error("one that cannot be keeps the others out")
	}
	h.Add(made("cart", 9*8640, 1))
	h.Expire(t0 + 3*step)
	h.Add(made("cart", 3, 1))
	if !h.Has("cart", "prod", t0+3*step) {
		t.Error("a clock that is ahead keeps the others out for good")
	}
}

// A query that reaches back for years looks only at what there is.
func TestLongQuery(t *testing.T) {
	h := NewHistory(0)
	for k := range 100 {
		h.Add(made("cart", k, 10))
	}
	now := time.UnixMilli(t0 + 100*step)
	began := time.Now()
	a, err := h.Query(Query{Service: "cart", Env: "prod", Signal: "rate", From: now.Add(-8000 * 24 * time.Hour), To: now, Step: 24 * time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for _, v := range a.Lines[0].Values {
		if v.Known() {
			known++
		}
	}
	if took := time.Since(began); known == 0 || known > 2 || took > time.Second {
		t.Errorf("%d of %d points are known, after %s", known, len(a.Lines[0].Values), took)
	}
}

// A service that is deployed with ever new names costs no more than the budget: what each was goes before the service as a whole does, and so does its name.
func TestHistoryOfEverNewNames(t *testing.T) {
	h := NewHistory(1 << 20)
	const begin = int64(1764000000000)
	for k := range int64(600) {
		r := dashboards.Rollup{Service: "checkout", Env: "prod", T: begin + k*60_000, Step: 10_000, AsOf: begin + k*60_000 + 40_000, Slices: []dashboards.Slice{{N: 3, Rate: 10}}}
		for i := range 60 {
			r.Metrics = append(r.Metrics, dashboards.RolledMetric{Name: fmt.Sprintf("build_%d/path_%d", k/10, i), Kind: "counter", Value: 1, N: 3})
		}
		h.Add(&r)
		if x := h.Health(); x.Bytes > 1<<20 {
			t.Fatalf("%d minutes: %d bytes in %d lines", k, x.Bytes, x.Lines)
		}
	}
	x := h.Health()
	if x.Evicted.Points == 0 || x.Evicted.Service != "checkout/prod" || x.Lines > 3000 || !h.Has("checkout", "prod", begin) || !h.Has("checkout", "prod", begin+599*60_000) {
		t.Errorf("%+v", x)
	}
	names := 0
	for k := range h.services[[2]string{"checkout", "prod"}].lines {
		if strings.HasPrefix(k.metric, "build_59/") {
			names++
		}
	}
	if names != 60 {
		t.Errorf("%d names of the newest build", names)
	}
}
