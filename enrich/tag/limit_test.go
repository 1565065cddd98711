package tag

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// users are n counters with a user's id in their names, from the first on.
func users(first, n int) (out []collector.Sample) {
	for i := range n {
		out = append(out, counter(fmt.Sprintf("users/%d/requests", first+i), "1"))
	}
	return out
}

func byUser(first, n int) (out []collector.Sample) {
	for i := range n {
		out = append(out, counter("requests_total", "1", "code", fmt.Sprint(200+i%2), "user_id", fmt.Sprint(first+i)))
	}
	return out
}

// names are those of a snapshot's samples, in order.
func names(s *collector.Snapshot) string {
	var out []string
	for _, x := range s.Samples {
		out = append(out, text(x.Name, x.Labels))
	}
	return strings.Join(out, " ")
}

func TestSeriesLimits(t *testing.T) {
	steady := []collector.Sample{counter("a", "1"), gauge("b", "2")}
	with := func(more ...collector.Sample) []collector.Sample {
		return append(append([]collector.Sample(nil), steady...), more...)
	}
	type scrape struct {
		port    uint16
		after   time.Duration
		body    []collector.Sample
		kept    int // samples that go on
		leftOut int
	}
	const day = 24 * time.Hour
	for _, tc := range []struct {
		name   string
		limits Limits
		rules  []Rule
		run    []scrape
		varies string
	}{
		{"none", Limits{}, nil, []scrape{{1, 0, users(0, 500), 500, 0}, {1, time.Second, users(500, 500), 500, 0}}, ""},
		{"below", Limits{10, 10}, nil, []scrape{{1, 0, users(0, 10), 10, 0}, {1, time.Second, users(0, 10), 10, 0}}, ""},
		{"of a target", Limits{Target: 5}, nil, []scrape{
			{1, 0, with(), 2, 0},
			{1, time.Second, with(users(0, 3)...), 5, 0},
			{1, 2 * time.Second, with(users(3, 3)...), 2, 3}, // what is known flows on
			{1, 3 * time.Second, with(users(0, 2)...), 4, 0}, // what came before is known
			{2, 3 * time.Second, with(users(0, 3)...), 5, 0}, // somebody else's is not touched
		}, "the name: users/*/requests"},
		{"of a target, by label", Limits{Target: 4}, nil, []scrape{{1, 0, byUser(0, 4), 4, 0}, {1, time.Second, byUser(0, 9), 4, 5}, {1, 2 * time.Second, byUser(4, 5), 0, 5}}, "the label user_id"},
		{"within one body", Limits{Target: 5}, nil, []scrape{{1, 0, users(0, 9), 5, 4}, {1, time.Second, users(0, 9), 5, 4}}, "the name: users/*/requests"},
		{"of a service: what several have is one", Limits{Service: 5}, nil, []scrape{
			{1, 0, with(users(0, 3)...), 5, 0}, {2, 0, with(users(0, 3)...), 5, 0}, {3, 0, with(users(2, 3)...), 3, 2},
			{1, time.Second, with(users(0, 3)...), 5, 0}, {2, time.Second, with(users(7, 1)...), 2, 1},
		}, "the name: users/*/requests"},
		{"midnight", Limits{Target: 5}, nil, []scrape{
			{1, 11*time.Hour + 59*time.Minute, with(users(0, 4)...), 5, 1},
			{1, 12 * time.Hour, with(users(1, 4)...), 4, 2},     // what flowed is counted first
			{1, 13 * time.Hour, with(users(0, 2)...), 4, 0},     // and is known
			{1, 12*time.Hour + day, with(users(7, 9)...), 3, 8}, // the next day has room for one
		}, "the name: users/*/requests"},
		{"what rules sum counts once", Limits{Target: 3}, []Rule{{Name: `users/(?P<id>\d+)/(?P<name>.+)`, Drop: []string{"id"}}}, []scrape{
			{1, 0, with(users(0, 100)...), 2, 0}, {1, time.Second, with(users(50, 500)...), 3, 0}, {1, 2 * time.Second, with(users(900, 100)...), 3, 0},
		}, ""},
		{"what a rule renames", Limits{Target: 3}, []Rule{{Name: `users/(?P<id>\d+)/(?P<name>.+)`}}, []scrape{{1, 0, users(0, 5), 3, 2}, {1, time.Second, users(3, 5), 0, 5}, {1, 2 * time.Second, users(0, 5), 3, 2}}, "the name: users/*/requests"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log bytes.Buffer
			e := mustNew(t, Config{Limits: tc.limits, Rules: tc.rules, Log: slog.New(slog.NewTextHandler(&log, nil))})
			left := uint64(0)
			for i, sc := range tc.run {
				s := snapshot(t0.Add(sc.after), append([]collector.Sample(nil), sc.body...)...)
				s.Instance.Port = sc.port
				e.Enrich(s)
				if len(s.Samples) != sc.kept || s.LeftOut != sc.leftOut {
					t.Fatalf("scrape %d: %d go on and %d are left out, want %d and %d: %s", i, len(s.Samples), s.LeftOut, sc.kept, sc.leftOut, names(s))
				}
				left += uint64(sc.leftOut)
			}
			var sum uint64
			for _, x := range e.Status().Exceeded {
				sum += x.LeftOut
				if x.Service != "checkout/prod" || x.Example == "" || x.Varies != tc.varies || (x.Instance == "") != (tc.limits.Target == 0) || x.Max != tc.limits.Target+tc.limits.Service {
					t.Errorf("the status says %+v, want what varies: %q", x, tc.varies)
				}
			}
			if _, turned := map[string]bool{"midnight": true}[tc.name]; sum != left && !turned {
				t.Errorf("the status counts %d, want %d", sum, left)
			}
			what := "target"
			if tc.limits.Target == 0 {
				what = "service"
			}
			if n := e.set.GetOrCreateCounter(fmt.Sprintf("rollcall_series_left_out_samples_total{service=\"checkout/prod\",limit=%q}", what)).Get(); n != left {
				t.Errorf("the metric counts %d, want %d", n, left)
			}
			if said := strings.Count(log.String(), "more series than a day may have"); (said > 0) != (left > 0) || said > 3 {
				t.Errorf("said %d times: %s", said, log.String())
			}
		})
	}
}

// Who is let through under another limit, at once and without a scrape being a first one.
func TestSeriesLimitChanges(t *testing.T) {
	e := mustNew(t, Config{Limits: Limits{Target: 3}, Rules: []Rule{{Name: `s/(?P<id>\d+)/(?P<name>.+)`, Drop: []string{"id"}}}})
	body := func(v string) []collector.Sample {
		return append(users(0, 5), counter("s/1/sum", v), counter("s/2/sum", v))
	}
	s := snapshot(t0, body("10")...)
	if e.Enrich(s); len(s.Samples) != 3 || s.LeftOut != 4 {
		t.Fatalf("%s, %d left out", names(s), s.LeftOut)
	}
	if err := e.Update(Config{Limits: Limits{Target: 6}, Rules: []Rule{{Name: `s/(?P<id>\d+)/(?P<name>.+)`, Drop: []string{"id"}}}}); err != nil {
		t.Fatal(err)
	}
	s = snapshot(t0.Add(10*time.Second), body("13")...)
	if e.Enrich(s); len(s.Samples) != 6 || s.LeftOut != 0 || s.Samples[5].Value != "6" {
		t.Fatalf("%s, %d left out: what was left out is known, and its increase counts", show(s), s.LeftOut)
	}
	if err := e.Update(Config{Limits: Limits{Target: 1}, Rules: []Rule{{Name: `s/(?P<id>\d+)/(?P<name>.+)`, Drop: []string{"id"}}}}); err != nil {
		t.Fatal(err)
	}
	s = snapshot(t0.Add(20*time.Second), append(body("13"), users(9, 1)...)...)
	if e.Enrich(s); len(s.Samples) != 6 || s.LeftOut != 1 {
		t.Fatalf("%s, %d left out: what is known flows on", show(s), s.LeftOut)
	}
}

// A service that makes new series without end takes a bounded amount of memory, and is held to what it has where that is used up; a small one beside it is not touched.
func TestSeriesMemoryIsBounded(t *testing.T) {
	const limit = 200 << 10
	e := mustNew(t, Config{Limits: Limits{Target: 1 << 30, Service: 1 << 30}, StateBytes: limit})
	at := t0
	held := false
	for i := range 300 {
		at = at.Add(time.Second)
		s := snapshot(at, users(i*200, 200)...)
		e.Enrich(s)
		held = held || s.LeftOut > 0
		small := snapshot(at, users(0, 20)...)
		small.Instance.Service, small.Instance.Port = "small", 2
		if e.Enrich(small); len(small.Samples) != 20 {
			t.Fatalf("scrape %d: %d of the small one go on", i, len(small.Samples))
		}
		if b := e.Status().StateBytes; b > limit+limit/4 {
			t.Fatalf("scrape %d: %d bytes", i, b)
		}
	}
	if !held {
		t.Fatal("nothing was ever left out for want of memory")
	}
	x := e.Status().Exceeded
	if len(x) != 1 || x[0].Limit != "memory" || x[0].Service != "checkout/prod" {
		t.Fatalf("the status says %+v", x)
	}
	e.Forget(checkout.Key)
	small := checkout.Key
	small.Service, small.Port = "small", 2
	e.Forget(small)
	if b := e.Status().StateBytes; b != 0 {
		t.Fatalf("%d bytes are left", b)
	}
}

// whoWaits is a log that holds up whoever writes into it, until it is let go.
type whoWaits struct {
	slog.Handler
	in, out chan struct{}
}

func (h whoWaits) Handle(ctx context.Context, r slog.Record) error {
	h.in <- struct{}{}
	<-h.out
	return h.Handler.Handle(ctx, r)
}

// Who is over a limit is explained once a service, limit and day, and nobody waits for that.
func TestExceededIsExplainedOnce(t *testing.T) {
	var log bytes.Buffer
	wait := whoWaits{slog.NewTextHandler(&log, nil), make(chan struct{}), make(chan struct{})}
	e := mustNew(t, Config{Limits: Limits{Target: 5}, Log: slog.New(wait)})
	const ports = 20
	at := t0
	scrape := func(port int) {
		s := snapshot(at, users(port*1000, 500)...)
		s.Instance.Port = uint16(port)
		if e.Enrich(s); s.LeftOut != 495 {
			t.Errorf("instance %d: %d are left out", port, s.LeftOut)
		}
	}
	for day := 1; day <= 2; day++ {
		done := make(chan struct{})
		go func() { scrape(1); close(done) }()
		<-wait.in // the first of the day is being explained
		for port := 2; port <= ports; port++ {
			scrape(port)
		}
		if n := len(e.Status().Exceeded); n != ports {
			t.Fatalf("day %d: %d are named", day, n)
		}
		wait.out <- struct{}{}
		<-done
		for port := 1; port <= ports; port++ {
			scrape(port)
		}
		for _, x := range e.Status().Exceeded {
			if x.Varies != "the name: users/*/requests" || x.By != "10.0.0.5:1" || x.Example == "" || x.LeftOut != 2*495 {
				t.Errorf("day %d: the status says %+v", day, x)
			}
		}
		if n := strings.Count(log.String(), "more series than"); n != day {
			t.Errorf("day %d: said %d times", day, n)
		}
		at = at.Add(24 * time.Hour)
	}
}

// However many series there are, few are looked at, and what varies among those left out is found.
func TestExplainLooksAtFew(t *testing.T) {
	e := mustNew(t, Config{Limits: Limits{Target: 20_100}})
	var steady []collector.Sample
	for i := range 20_000 {
		steady = append(steady, counter(fmt.Sprintf("jvm/pool%d/used", i), "1"))
	}
	st := e.states.get(checkout.Key)
	st.mu.Unlock()
	e.Enrich(snapshot(t0, append(steady, users(0, 300)...)...))
	w := &walker{sh: &st.shape}
	if _, all := w.population(targetLimit); len(all) == 0 || len(all) > population {
		t.Errorf("%d series are looked at", len(all))
	}
	if x := e.Status().Exceeded; len(x) != 1 || x[0].Varies != "the name: users/*/requests" {
		t.Errorf("the status says %+v", x)
	}
}

func TestSet32(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s set32
		want := map[uint32]bool{}
		for range rapid.IntRange(0, 300).Draw(t, "n") {
			h := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 5)).Draw(t, "hash")
			known := max(h, 1)
			if s.has(h) != want[known] {
				t.Fatalf("has(%d) is %v", h, s.has(h))
			}
			if !s.has(h) {
				s.add(h)
				want[known] = true
			}
			if s.n != len(want) || s.n*4 > len(s.slots)*3 {
				t.Fatalf("%d of %d in %d slots", s.n, len(want), len(s.slots))
			}
		}
	})
}

func BenchmarkSeriesLimits(b *testing.B) {
	plain := func(i int) string { return fmt.Sprintf("http/requests/%d", i) }
	for _, bm := range []struct {
		name string
		cfg  Config
	}{{"none", Config{}}, {"default", Config{Limits: Limits{50_000, 1_000_000}}}, {"far over", Config{Limits: Limits{10, 1_000_000}}}} {
		b.Run(bm.name, func(b *testing.B) {
			benchmark(b, bm.cfg, newBody(200, plain), map[string]string{Version: "1", Track: "canary"})
		})
	}
	b.Run("default, labels", func(b *testing.B) {
		body := newBody(200, func(int) string { return "http_requests_total" })
		for i := range body.all {
			body.all[i].Labels = pairs("code", fmt.Sprint(200+i%5), "handler", fmt.Sprintf("/api/v1/thing%d", i), "method", "GET")
		}
		benchmark(b, Config{Limits: Limits{50_000, 1_000_000}}, body, map[string]string{Version: "1", Track: "canary"})
	})
	b.Run("default, version from labels", func(b *testing.B) {
		benchmark(b, Config{Limits: Limits{50_000, 1_000_000}}, newBody(200, plain), nil)
	})
	b.Run("default, 2,000 targets", func(b *testing.B) { // what is remembered of them is not in the cache
		e := mustNew(b, Config{Limits: Limits{50_000, 1_000_000}})
		const targets = 2000
		body := newBody(200, plain)
		s := snapshot(t0)
		s.Instance.Tags = discovery.TagsOf(map[string]string{Version: "1", Track: "canary"})
		pull := func(i int) {
			s.Instance.Service, s.Instance.Port = fmt.Sprint("s", i%targets%100), uint16(1+i%targets)
			s.Time, s.Samples, s.Tags = t0.Add(time.Duration(i/targets)*time.Second), body.next(), s.Instance.Tags
			e.Enrich(s)
		}
		for i := range targets {
			pull(i)
		}
		b.ReportAllocs()
		i, began := targets, cpu()
		for b.Loop() {
			pull(i)
			i++
		}
		b.ReportMetric(float64((cpu()-began).Nanoseconds())/float64(b.N)/200, "cpu-ns/sample")
	})
}

// What is remembered of a target is little where its service has the same series: 8 bytes each.
func TestTargetsShareTheirSeries(t *testing.T) {
	e := mustNew(t, Config{Limits: Limits{50_000, 1_000_000}})
	const targets, series = 1000, 200
	for i := range targets {
		s := snapshot(t0, users(0, series)...)
		s.Instance.Port = uint16(i + 1)
		e.Enrich(s)
	}
	if b := e.Status().StateBytes / targets; b > series*8*5/4 {
		t.Fatalf("%d bytes a target", b)
	}
}
