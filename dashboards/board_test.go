package dashboards

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

func TestFigures(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 60 {
		for i := range 3 {
			at := float64(s) + float64(i)*0.3
			f.add(fmt.Sprintf("10.0.0.%d:80", i), at, counter("requests", 1000+at*10), counter("errors", at),
				dist("latency_ms", collector.Lifetime, "count", 10*at, "sum", 70*at, "p99", 12))
		}
		f.tick(float64(s) + 0.95)
	}
	r := f.row()
	if !near(r.Rate, 30) || !near(r.Errors, 3) || !near(r.ErrorRatio, 0.1) || r.Answering != 3 || r.Expected != 3 || r.AgeMS != 650 {
		t.Errorf("row is %+v", r)
	}
	if r.Latency == nil || r.Latency.Name != "mean" || !near(r.Latency.Est, 7) || r.Latency.Lo.Known() {
		t.Errorf("latency is %+v", r.Latency)
	}
	sp := r.Spark
	if sp.T0 != t0.Add(-840*time.Second).UnixMilli() || sp.Step != 10_000 || len(sp.Rate) != sparkPoints {
		t.Fatalf("spark begins at %v, %d points", time.UnixMilli(sp.T0).Sub(t0), len(sp.Rate))
	}
	for k := range sp.Rate {
		known := k >= sparkPoints-6
		if sp.Rate[k].Known() != known || sp.Answering[k].Known() != known || known && k > sparkPoints-6 && (!near(sp.Rate[k], 30) || !near(sp.ErrorRatio[k], .1) || sp.Answering[k] != 3) {
			t.Errorf("point %d is %v, %v, %v", k, sp.Rate[k], sp.ErrorRatio[k], sp.Answering[k])
		}
	}
	n := f.b.Now("")
	if n.Strip.Answering != 3 || n.Strip.AgeMS != 650 || len(n.Envs) != 1 {
		t.Errorf("now is %+v", n)
	}
}

// A service without a counter of errors has no ratio: unknown is not zero.
func TestUnknownIsNotZero(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 5 {
		f.add("10.0.0.1:80", float64(s), counter("requests", float64(10*s)))
	}
	f.tick(4.5)
	if r := f.row(); !near(r.Rate, 10) || r.Errors.Known() || r.ErrorRatio.Known() || r.Latency != nil {
		t.Errorf("row is %+v", r)
	}
	// And when nobody answers any more the rate is unknown too, not the last one.
	f.tick(30)
	if r := f.row(); r.Rate.Known() || r.Answering != 0 || r.Spark.Rate[sparkPoints-1].Known() {
		t.Errorf("row is %+v", r)
	}
}

// A dead feed is no dead fleet: who answered then is who answers for all we know, figures are those of then and their age grows; but nothing is drawn.
func TestDeadFeed(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 30 {
		for i := range 3 {
			f.add(fmt.Sprintf("10.0.0.%d:80", i), float64(s), counter("requests", float64(10*s)))
		}
		f.tick(float64(s) + 0.5)
	}
	f.b.SetFeed(Feed{State: FeedDead, Since: t0.Add(29 * time.Second).UnixMilli(), Error: "x"})
	f.tick(60.5)
	r := f.row()
	if r.Answering != 3 || r.Expected != 3 || !near(r.Rate, 30) || r.AgeMS != 31500 {
		t.Errorf("row is %+v", r)
	}
	for k := sparkPoints - 3; k < sparkPoints; k++ {
		if r.Spark.Answering[k].Known() || r.Spark.Rate[k].Known() {
			t.Errorf("point %d is drawn: %v, %v", k, r.Spark.Rate[k], r.Spark.Answering[k])
		}
	}
	if p := r.Spark.Rate[sparkPoints-5]; !near(p, 30) {
		t.Errorf("what was known is %v", p)
	}
	// And when it lives again, what the fleet did meanwhile is there.
	f.b.SetFeed(Feed{State: FeedLive})
	for s := 30; s < 62; s++ {
		f.add("10.0.0.1:80", float64(s), counter("requests", float64(10*s)))
	}
	f.tick(62.5)
	if r := f.row(); r.Answering != 1 || !near(r.Spark.Rate[sparkPoints-2], 10) {
		t.Errorf("row is %+v, spark %v", r, r.Spark.Rate)
	}
}

// What comes late changes the past, and the rows are told to send their sparks anew.
func TestBackfill(t *testing.T) {
	f := newFleet(t, Options{})
	one := func(s int) { f.add("10.0.0.1:80", float64(s), counter("requests", float64(10*s))) }
	for s := range 600 {
		if s < 100 || s >= 500 {
			one(s)
		}
		if s >= 500 {
			f.tick(float64(s) + 0.5)
		}
	}
	k := sparkPoints - 30 // 300 s ago: in the gap
	before := f.row()
	if before.Spark.Rate[k].Known() {
		t.Errorf("a gap is drawn as %v", before.Spark.Rate[k])
	}
	for s := 100; s < 500; s++ {
		one(s)
	}
	f.tick(600.5)
	f.tick(601.5)
	after := f.row()
	if !near(after.Spark.Rate[k], 10) || after.PastSeq == before.PastSeq {
		t.Errorf("the gap is now %v", after.Spark.Rate[k])
	}
}

// The byte budget takes the oldest values of all, and says whose.
func TestBudget(t *testing.T) {
	f := newFleet(t, Options{MaxBytes: 1 << 20})
	for s := range 1200 {
		ss := []collector.Sample{counter("requests", float64(10*s))}
		for k := range 30 {
			ss = append(ss, gauge(fmt.Sprintf("g%d", k), math.Sin(float64(s*k))))
		}
		for i := range 10 {
			f.add(fmt.Sprintf("10.0.0.%d:80", i), float64(s), ss...)
		}
		if s%20 == 0 {
			f.tick(float64(s) + 0.5)
		}
	}
	f.tick(1200.5)
	h := f.b.Health()
	if h.Bytes > 1<<20 || h.Evictions.Values == 0 || h.Evictions.Service != "checkout/prod" || h.Evictions.Before < t0.UnixMilli() {
		t.Errorf("health is %+v", h)
	}
	if ex := f.b.Now("").Strip.Exceptions; len(ex) == 0 || !strings.Contains(ex[len(ex)-1].Text, "checkout/prod begins at") {
		t.Errorf("exceptions are %+v", ex)
	}
	if r := f.row(); !near(r.Rate, 100) {
		t.Errorf("rate is %v", r.Rate)
	}
}

func TestLimits(t *testing.T) {
	f := newFleet(t, Options{MaxColumns: 3, MaxService: 1})
	for k := range 5 {
		f.add("10.0.0.1:80", 1, counter(fmt.Sprintf("c%d", k), 1))
	}
	r := f.record("10.0.0.1:80", 1, counter("x", 1))
	r.Service = "another"
	f.b.Add(r)
	f.tick(2)
	if h := f.b.Health(); h.Dropped != 2 || h.Refused != 1 || h.Services != 1 {
		t.Errorf("health is %+v", h)
	}
}

func TestWindow(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 5 {
		f.add("10.0.0.1:80", float64(s), counter("requests", float64(10*s)), labelled(counter("requests", 1), "code", "200"), counter("hits/code/200", float64(s)),
			dist("latency_ms", collector.Latched, "p99", 7))
	}
	f.tick(5)
	for _, tc := range []struct {
		instance, metric, field string
		points                  int
		last                    float64
	}{
		{"10.0.0.1:80", "requests", "", 3, 40}, {"10.0.0.1:80", "hits/code/200", "", 3, 4}, {"10.0.0.1:80", "latency_ms", "p99", 3, 7}, {"10.0.0.1:80", "latency_ms", "", 0, 0},
		{"10.0.0.1:80", "none", "", 0, 0}, {"10.0.0.2:80", "requests", "", 0, 0},
	} {
		w, ok := f.b.Window("checkout", "prod", tc.instance, tc.metric, tc.field, t0.Add(3*time.Second), t0.Add(time.Minute))
		if ok != (tc.points > 0) || len(w.Points) != tc.points || ok && w.Points[tc.points-1].V != tc.last {
			t.Errorf("%+v: %v, %+v", tc, ok, w)
		}
	}
}

func TestNum(t *testing.T) {
	for _, tc := range []struct {
		n    Num
		want string
	}{
		{0, "0"}, {1, "1"}, {-2.5, "-2.5"}, {18400.2, "18400.2"}, {0.1 + 0.2, "0.3"}, {123456789, "123456800"}, {1e-9, "1e-09"}, {0.000123456789, "0.0001234568"},
		{Num(math.NaN()), "null"}, {Num(math.Inf(1)), "null"}, {1e300, "1e+300"}, {1764000000123, "1764000000000"},
	} {
		if b, _ := json.Marshal(tc.n); string(b) != tc.want {
			t.Errorf("%v is written %s, want %s", float64(tc.n), b, tc.want)
		}
	}
	b, _ := json.Marshal(struct {
		A Nums
		B Nums
	}{Nums{1, Unknown(), 2}, nil})
	if string(b) != `{"A":[1,null,2],"B":null}` {
		t.Errorf("lines are written %s", b)
	}
}

func TestOptions(t *testing.T) {
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{}, ""}, {Options{Window: time.Second}, "1m..24h"}, {Options{MaxBytes: 1}, "1 MiB"}, {Options{Golden: Golden{Rate: []string{""}}}, "empty golden"}, {Options{MaxColumns: -1}, "positive"},
	} {
		_, err := NewBoard(tc.o)
		if got := fmt.Sprint(err); tc.want == "" && err != nil || !strings.Contains(got, tc.want) {
			t.Errorf("%+v: error is %v, want %q in it", tc.o, err, tc.want)
		}
	}
}

// Run ticks twice a second, at times that are those of the clock, and wakes those who wait.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := NewBoard(Options{Judge: func(now time.Time, _ *Board) []Finding { return []Finding{{ID: "f", Service: "checkout", Env: "prod"}} }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		for range 5 {
			<-b.Updated()
			synctest.Wait()
		}
		n := b.Now("prod")
		if at := n.AsOf.Sub(n.AsOf.Truncate(tickEvery)); at != tickAt || len(n.Findings) != 1 || len(b.Now("staging").Findings) != 0 {
			t.Errorf("ticked at %s past the second: %+v", at, n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkAdd is one record of 200 samples into a Board of 90 instances, with sealing and ticks as they come.
func BenchmarkAdd(b *testing.B) {
	bd, err := NewBoard(Options{})
	if err != nil {
		b.Fatal(err)
	}
	var ss []collector.Sample
	for k := range 150 {
		ss = append(ss, counter(fmt.Sprintf("counter_%d", k), 0))
	}
	for k := range 50 {
		ss = append(ss, gauge(fmt.Sprintf("gauge_%d", k), 0))
	}
	n := 0
	b.SetBytes(200)
	b.ReportAllocs()
	for b.Loop() {
		n++
		at := t0.Add(time.Duration(n/90) * time.Second)
		for k := range ss {
			ss[k].Value = num(float64(n/90*(k%60) + k))
		}
		bd.Add(&Record{ID: RecordID{1, 1, 0, uint64(n), 0}, Seen: at, Service: "checkout", Env: "prod", Instance: fmt.Sprintf("10.0.0.%d:80", n%90), Time: at, Interval: time.Second, Samples: ss})
		if n%90 == 0 {
			bd.Tick(at)
		}
	}
}

// BenchmarkHour is an hour of 90 instances at 1 s with 200 values each, two thirds counters: what the windows of such a fleet take. Run it once: -benchtime=1x.
func BenchmarkHour(b *testing.B) {
	const instances, values, seconds = 90, 200, 3600
	for b.Loop() {
		bd, err := NewBoard(Options{MaxBytes: 1 << 30})
		if err != nil {
			b.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		state := make([][values]float64, instances)
		var ss []collector.Sample
		for k := range values {
			if k%3 < 2 {
				ss = append(ss, counter(fmt.Sprintf("counter_%d", k), 0))
			} else {
				ss = append(ss, gauge(fmt.Sprintf("gauge_%d", k), 0))
			}
		}
		seq := uint64(0)
		for s := range seconds {
			at := t0.Add(time.Duration(s) * time.Second)
			for i := range instances {
				v := &state[i]
				for k := range ss {
					switch {
					case k%3 < 2 && k%4 == 0: // nothing happens here
					case k%3 < 2:
						v[k] += math.Round(max(0, float64(k)+math.Sqrt(float64(k))*r.NormFloat64()))
					case k%2 == 0:
						v[k] = math.Round(500 + 20*r.NormFloat64())
					default:
						v[k] = r.ExpFloat64()
					}
					ss[k].Value = strconv.FormatFloat(v[k], 'g', -1, 64)
				}
				seq++
				bd.Add(&Record{ID: RecordID{1, 1, 0, seq, 0}, Seen: at, Service: "checkout", Env: "prod", Instance: fmt.Sprintf("10.0.0.%d:80", i), Time: at, Interval: time.Second, Samples: ss})
			}
			if s%10 == 9 {
				bd.Tick(at)
			}
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(bd.Health().Bytes)/(instances*values*seconds), "bytes/value")
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
		runtime.KeepAlive(bd)
	}
}

// BenchmarkTick is one second of 2,000 services of 10 instances each at 10 s: the records of that second and the tick over all.
func BenchmarkTick(b *testing.B) {
	bd, err := NewBoard(Options{})
	if err != nil {
		b.Fatal(err)
	}
	ss := []collector.Sample{counter("requests", 0), counter("errors", 0), dist("latency_ms", collector.Lifetime, "count", 0, "sum", 0, "p99", 1)}
	for k := range 45 {
		ss = append(ss, counter(fmt.Sprintf("counter_%d", k), 0))
	}
	seq := uint64(0)
	second := func(s int) {
		at := t0.Add(time.Duration(s) * time.Second)
		for i := s % 10; i < 20_000; i += 10 {
			seq++
			for k := range ss {
				ss[k].Value = strconv.Itoa(s * (k + 1))
			}
			ss[2].Fields[0].Value, ss[2].Fields[1].Value = strconv.Itoa(s*10), strconv.Itoa(s*70)
			bd.Add(&Record{ID: RecordID{1, 1, 0, seq, 0}, Seen: at, Service: "s" + strconv.Itoa(i/10), Env: "prod", Instance: "10.0.0." + strconv.Itoa(i%10) + ":80", Time: at, Interval: 10 * time.Second, Samples: ss})
		}
		bd.Tick(at)
	}
	n := 0
	for range 60 {
		second(n)
		n++
	}
	b.ReportAllocs()
	for b.Loop() {
		second(n)
		n++
	}
	b.ReportMetric(float64(bd.Health().Bytes)/(1<<20), "window-MiB")
}

// Readers, writers and ticks at once: for the race detector.
func TestAtOnce(t *testing.T) {
	f := newFleet(t, Options{})
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for s := range 200 {
				at := t0.Add(time.Duration(s) * time.Second)
				f.b.Add(&Record{ID: RecordID{1, 1, int32(p), uint64(s + 1), 0}, Seen: at, Service: "checkout", Env: "prod", Instance: fmt.Sprintf("10.0.0.%d:80", p), Time: at, Interval: time.Second,
					Tags:    []collector.LabelPair{{Name: TagVersion, Value: fmt.Sprint(s / 50)}},
					Samples: []collector.Sample{counter("requests", float64(s)), labelled(counter("requests", float64(s)), "client.as.number", "1"), untyped(fmt.Sprint("x", s%7), float64(s)), {Name: "mode", Kind: collector.Label, Value: fmt.Sprint(s)}}})
				f.b.RosterChange(discovery.Change{Entry: entry(fmt.Sprintf("10.0.0.%d:80", s%9), discovery.Present, 0, nil), At: at})
			}
		})
	}
	wg.Go(func() {
		for s := range 100 {
			f.tick(float64(2 * s))
		}
	})
	for range 2 {
		wg.Go(func() {
			for range 100 {
				_, _ = f.b.Series(Query{Service: "checkout", Env: "prod", Metric: "requests", By: "version"}) // whatever is there yet
				f.b.Detail("checkout", "prod")
				f.b.Signals("checkout", "prod", 100)
				f.b.Leaves("checkout", "prod", t0, t0.Add(time.Minute), t0.Add(2*time.Minute), true)
				f.b.Search("check")
				f.b.Roster(nil)
				f.b.Now("prod")
				f.b.Health()
				f.b.Events("checkout", "prod", t0, t0.Add(time.Hour))
			}
		})
	}
	wg.Wait()
	f.tick(200)
	if s := f.b.Stats(); s.Seen != 800 || s.Lost != 0 {
		t.Errorf("stats are %+v", s)
	}
}

// A budget that does not hold the rows that are not packed yet is kept all the same, and what went is named.
func TestBudgetBelowTheHeads(t *testing.T) {
	f := newFleet(t, Options{MaxBytes: 1 << 20})
	for s := range 30 {
		for i := range 10 {
			samples := make([]collector.Sample, 0, 600)
			for c := range 600 {
				samples = append(samples, counter(fmt.Sprintf("c%d", c), float64(s*c)))
			}
			f.b.Add(f.record(fmt.Sprintf("10.0.0.%d:80", i), float64(s), samples...))
		}
		f.tick(float64(s))
	}
	h := f.b.Health()
	if h.Bytes > 1<<20 || h.Evictions.Values == 0 || h.Evictions.Service != "checkout/prod" || h.Evictions.Before < t0.UnixMilli() {
		t.Errorf("%d bytes, %+v", h.Bytes, h.Evictions)
	}
	if in := f.b.find("checkout", "prod").instances["10.0.0.1:80"]; len(in.head) < keepRows {
		t.Errorf("%d rows are left", len(in.head))
	}
}
