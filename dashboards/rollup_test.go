package dashboards

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// rolledUp feeds three instances in two zones at one second, and gives what is rolled up, by slot.
type rolledUp struct {
	*fleet
	out map[int64][]Rollup
}

func newRolledUp(t *testing.T, o Options) *rolledUp {
	r := &rolledUp{out: map[int64][]Rollup{}}
	o.Roll = func(x Rollup) { r.out[x.T] = append(r.out[x.T], x) }
	r.fleet = newFleet(t, o)
	r.b.SetFeed(Feed{State: FeedLive})
	return r
}

var zones = map[string]string{"10.0.0.1:80": "a", "10.0.0.2:80": "a", "10.0.0.3:80": "b"}

// second is one scrape of an instance: 10 requests a second, 1 of 10 an error in zone b, 20 ms each.
func (r *rolledUp) second(in string, s float64) *Record {
	e := 0.0
	if zones[in] == "b" {
		e = s
	}
	x := r.record(in, s, counter("requests", 10*s), counter("errors", e), dist("latency_ms", collector.Lifetime, "count", 10*s, "sum", 200*s), gauge("heap_mb", 100), gauge("queue", 3))
	x.Tags = []collector.LabelPair{{Name: TagZone, Value: zones[in]}, {Name: TagHost, Value: in}, {Name: TagVersion, Value: "1.0"}}
	return x
}

func (r *rolledUp) run(from, to int, who ...string) {
	for s := from; s <= to; s++ {
		for _, in := range who {
			r.b.Add(r.second(in, float64(s)))
		}
		r.tick(float64(s))
	}
}

// text is a rollup's slices in short.
func (x *Rollup) text() string {
	var out []string
	for _, s := range x.Slices {
		out = append(out, strings.TrimPrefix(fmt.Sprintf("%s%s=%s %d: %.3g %.3g %.3g", s.Metric, s.Dim, s.Value, s.N, float64(s.Rate), float64(s.Errors), s.Latency.Est), "="))
	}
	return strings.Join(out, "; ")
}

func TestRollup(t *testing.T) {
	r := newRolledUp(t, Options{Pinned: []string{"que*"}})
	r.run(1, 150, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	slot := t0.UnixMilli() + 60_000
	if len(r.out[slot]) != 1 {
		t.Fatalf("%d rollups of the slot, of %d slots", len(r.out[slot]), len(r.out))
	}
	x := r.out[slot][0]
	const want = " 3: 30 1 20; cloud.availability_zone=a 2: 20 0 20; cloud.availability_zone=b 1: 10 1 20; service.version=1.0 3: 30 1 20; queue= 3: 3 NaN NaN; queuecloud.availability_zone=a 2: 3 NaN NaN; queuecloud.availability_zone=b 1: 3 NaN NaN; queueservice.version=1.0 3: 3 NaN NaN"
	if got := x.text(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if x.N != 3 || x.M != 3 || x.LatencyName != "mean" || x.Row == nil || x.Row.Expected != 3 || x.Row.Spark != nil {
		t.Errorf("%+v, row %+v", x, x.Row)
	}
	minutes := 0
	for _, xs := range r.out {
		if len(xs[0].Metrics) > 0 {
			minutes++
			if m := fmt.Sprint(xs[0].Metrics); !strings.Contains(m, "{heap_mb gauge 100 3}") || !strings.Contains(m, "{requests counter 30 3}") || !strings.Contains(m, "{latency_ms distribution 20 3}") {
				t.Errorf("by the minute: %s", m)
			}
		}
	}
	if minutes == 0 {
		t.Error("nothing by the minute")
	}
	if n := len(r.out); n < 12 || n > 15 {
		t.Errorf("%d slots in 150 s", n)
	}
}

// What comes late finds its place in the slots of the past, and opens no finding there; who is gone stays in them.
func TestRollupOfLateRecords(t *testing.T) {
	r := newRolledUp(t, Options{})
	r.run(1, 60, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	r.run(61, 180, "10.0.0.1:80", "10.0.0.2:80") // the third is heard of later
	slot := t0.UnixMilli() + 100_000
	if x := r.out[slot]; len(x) != 1 || float64(x[0].Slices[0].Rate) != 20 {
		t.Fatalf("before: %+v", x)
	}
	for s := 61; s <= 180; s++ {
		x := r.second("10.0.0.3:80", float64(s))
		x.Backfill = true
		r.b.Add(x)
	}
	r.run(181, 200, "10.0.0.1:80", "10.0.0.2:80")
	xs := r.out[slot]
	if last := xs[len(xs)-1]; len(xs) < 2 || float64(last.Slices[0].Rate) != 30 || last.N != 3 {
		t.Errorf("after: %d times, %+v", len(xs), last.text())
	}
	early := t0.UnixMilli() + 30_000
	if x := r.out[early]; len(x) > 1 {
		t.Errorf("a slot that nothing came for late is made %d times", len(x))
	}
	if x := r.out[early]; len(x) > 0 && float64(x[0].Slices[0].Rate) != 30 {
		t.Errorf("who is gone is not in the slots of its time: %s", x[0].text())
	}
}

// Of two that come late, far apart, each has its own slots made anew and none in between; one of a time long gone has none, and keeps nobody waiting.
func TestRollupOfLateStretches(t *testing.T) {
	r := newRolledUp(t, Options{Window: time.Hour})
	r.run(1, 600, "10.0.0.1:80")
	made := map[int64]int{}
	for slot, xs := range r.out {
		made[slot] = len(xs)
	}
	for _, s := range []float64{-1.7e9, 100, 500} {
		x := r.second("10.0.0.2:80", s)
		x.Backfill = true
		r.b.Add(x)
	}
	r.run(601, 604, "10.0.0.1:80")
	var again []int64
	for slot, xs := range r.out {
		for range len(xs) - max(made[slot], 1) {
			again = append(again, (slot-t0.UnixMilli())/1000)
		}
	}
	slices.Sort(again)
	if got := fmt.Sprint(again); got != "[90 100 490 500]" {
		t.Errorf("made anew: %s", got)
	}
}

// Stretches of slots are kept apart, and no more of them than the bound.
func TestReroll(t *testing.T) {
	for _, tc := range []struct {
		spans [][2]int64
		want  string
	}{
		{[][2]int64{{100_000, 119_999}, {300_000, 300_000}}, "[[100000 110000] [300000 300000]]"},
		{[][2]int64{{300_000, 300_000}, {100_000, 110_000}, {120_000, 130_000}}, "[[100000 130000] [300000 300000]]"},
		{[][2]int64{{100_000, 100_000}, {140_000, 140_000}, {110_000, 130_000}}, "[[100000 140000]]"},
		{[][2]int64{{100_000, 200_000}, {150_000, 160_000}}, "[[100000 200000]]"},
	} {
		var r rolling
		for _, s := range tc.spans {
			r.reroll(s[0], s[1])
		}
		if got := fmt.Sprint(r.again); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.spans, got, tc.want)
		}
	}
	var r rolling
	for k := range int64(3 * maxAgain) {
		r.reroll(k*k*100_000, k*k*100_000)
	}
	if n := len(r.again); n != maxAgain || r.again[0][0] != 0 || r.again[n-1][1] != 100_000*(3*maxAgain-1)*(3*maxAgain-1) {
		t.Errorf("%d stretches from %d on", n, r.again[0][0])
	}
	r.next = 1 << 62
	for n := 0; ; n++ {
		if _, ok := r.late(100_000 * 100 * 100); !ok {
			break
		} else if n > 400_000 {
			t.Fatal("there is no end")
		}
	}
}

// After a start so much is made of the past in one tick, over all services together, and all of it in the end.
func TestRollupOfThePastIsBounded(t *testing.T) {
	out, most := 0, 0
	f := newFleet(t, Options{Roll: func(Rollup) { out++ }})
	f.b.SetFeed(Feed{State: FeedLive})
	many := make([]*Record, 0, 2000)
	for i := range 2000 {
		for _, service := range []string{"a", "b"} {
			x := f.record(fmt.Sprintf("10.0.%d.%d:80", i/250, i%250), 0, counter("requests", 1))
			x.Service, x.History = service, true
			many = append(many, x)
		}
	}
	for _, x := range many {
		f.b.Add(x)
	}
	f.tick(0)
	f.b.HistoryRead()
	for _, s := range []string{"a", "b"} {
		sv := f.b.find(s, "prod")
		sv.rolling.next = t0.UnixMilli()
		sv.rolling.reroll(t0.Add(-10*time.Minute).UnixMilli(), t0.Add(-time.Minute).UnixMilli())
	}
	for k := 1; k <= 25; k++ {
		was := out
		f.tick(float64(k) / 2)
		most = max(most, out-was)
	}
	if most > rollWork/2000+2*rollAtOnce || most < 8 {
		t.Errorf("%d slots of 2,000 instances in one tick", most)
	}
	if out < 2*55 {
		t.Errorf("%d slots in all", out)
	}
}

// Who is scraped more seldom than the others is in each slot, though its next scrape is still to come: no slot dips.
func TestRollupOfSeldomScraped(t *testing.T) {
	r := newRolledUp(t, Options{})
	for s := 1; s <= 400; s++ {
		if s%5 == 0 {
			x := r.second("10.0.0.1:80", float64(s))
			x.Interval = 5 * time.Second
			r.b.Add(x)
		}
		if s%60 == 7 {
			x := r.second("10.0.0.3:80", float64(s))
			x.Interval = time.Minute
			r.b.Add(x)
		}
		r.tick(float64(s))
	}
	for slot, xs := range r.out {
		s := (slot - t0.UnixMilli()) / 1000
		if x := xs[len(xs)-1]; s >= 130 && (x.N != 2 || !near(x.Slices[0].Rate, 20) || !near(x.Slices[0].Errors, 1)) {
			t.Errorf("%d s: %d instances, %s", s, x.N, x.text())
		}
	}
	// One that is overdue is not: it has stopped, for all that is known.
	for s := 401; s <= 800; s++ {
		if s%5 == 0 {
			x := r.second("10.0.0.1:80", float64(s))
			x.Interval = 5 * time.Second
			r.b.Add(x)
		}
		r.tick(float64(s))
	}
	if x := r.out[t0.Add(700*time.Second).UnixMilli()]; len(x) == 0 || x[len(x)-1].N != 1 {
		t.Errorf("%+v", x)
	}
}

// History that is read at a start is not rolled up once more, but for what nobody has rolled up.
func TestRollupOfHistory(t *testing.T) {
	known := map[int64]bool{}
	r := newRolledUp(t, Options{Rolled: func(_, _ string, t int64) bool { return known[t] }})
	r.run(300, 400, "10.0.0.1:80")
	for s := 100; s < 300; s++ {
		x := r.second("10.0.0.1:80", float64(s))
		x.History = true
		r.b.Add(x)
	}
	r.run(401, 420, "10.0.0.1:80")
	if n := len(r.out[t0.UnixMilli()+200_000]); n != 0 {
		t.Errorf("rolled up %d times", n)
	}
	for s := 100; s < 300; s += 10 {
		if s < 200 || s >= 240 { // nobody was there then
			known[t0.UnixMilli()+int64(s)*1000] = true
		}
	}
	r.b.HistoryRead()
	r.run(421, 450, "10.0.0.1:80")
	for s, want := range map[int]int{150: 0, 200: 1, 230: 1, 250: 0} {
		if n := len(r.out[t0.UnixMilli()+int64(s)*1000]); n != want {
			t.Errorf("the slot at %d s: %d times, want %d", s, n, want)
		}
	}
}

// What others own is shown as their rollups tell, and nothing is judged or rolled up of it here.
func TestElsewhere(t *testing.T) {
	mine := true
	a := newRolledUp(t, Options{Owns: func(string, string) bool { return mine }})
	a.run(1, 150, "10.0.0.1:80")
	newest := int64(0)
	for s := range a.out {
		newest = max(newest, s)
	}
	x := a.out[newest][0]
	b := newFleet(t, Options{Owns: func(string, string) bool { return false }})
	b.b.SetFeed(Feed{State: FeedLive})
	x.Events = []Event{{T: x.T, Kind: EventDeploy, Text: "2 instances went 1.0 → 1.1", N: 2}}
	b.b.TakeRollup(&x)
	b.b.TakeRollup(&x)
	b.tick(151)
	if row := b.row(); row.Service != "checkout" || row.Expected != 1 || !near(row.Rate, 10) {
		t.Errorf("row %+v", row)
	}
	if n, _ := b.b.Pulse(); n != 0 {
		t.Errorf("%d of others' are waited for", n)
	}
	if m := b.b.Timeline("", "", t0, t0.Add(1e12)); len(m) != 1 || m[0].Service != "checkout" {
		t.Errorf("time line %+v", m)
	}
	if c := b.b.Changes("cart", "prod", t0.Add(150e9), time.Time{}, 10); len(c) != 1 || c[0].Kind != EventDeploy {
		t.Errorf("changes %+v", c)
	}
	b.tick(151 + goneAfter.Seconds() + 60)
	if n := len(b.b.Rows()); n != 0 {
		t.Errorf("%d rows of one that is gone", n)
	}
	// A replica that gives a service up forgets it, and reads it anew when it comes back.
	mine = false
	a.b.Forget(0)
	if d := a.b.Detail("checkout", "prod"); d != nil && len(d.Instances) > 0 {
		t.Errorf("%d instances are still here", len(d.Instances))
	}
	mine = true
	a.seq = 0
	a.run(1, 30, "10.0.0.1:80")
	if s := a.b.Stats(); s.Duplicated != 0 {
		t.Errorf("%+v", s)
	}
}

// What is rolled up of rows that were unpacked beforehand is what is rolled up slot by slot: with failed scrapes and gaps, and at the window's edges.
func TestRollupOfOpenedRows(t *testing.T) {
	r := newRolledUp(t, Options{Pinned: []string{"queue"}})
	for s := range 400 {
		for in := range zones {
			x := r.second(in, float64(s))
			switch {
			case s%97 < 5 && zones[in] == "b":
				continue
			case s%61 == 7:
				x.Outcome, x.Samples = collector.Timeout, nil
			}
			r.b.Add(x)
		}
		if s%20 == 0 {
			r.tick(float64(s))
		}
	}
	r.tick(400)
	s := r.b.find("checkout", "prod")
	if s == nil {
		t.Fatal("no such service")
	}
	now := t0.Add(400 * time.Second).UnixMilli()
	told := func(from, to int64) (out []string) {
		for at := from; at < to; at += rollStep.Milliseconds() {
			out = append(out, fmt.Sprint(s.roll(&r.b.opts, at, now)))
		}
		return out
	}
	for _, span := range [][2]int{{-20, 100}, {100, 250}, {300, 400}} {
		from, to := t0.Add(time.Duration(span[0])*time.Second).UnixMilli(), t0.Add(time.Duration(span[1])*time.Second).UnixMilli()
		want := told(from, to)
		s.open(from, to)
		if got := told(from, to); !slices.Equal(got, want) {
			t.Errorf("%v: they differ", span)
		}
		for _, in := range s.instances {
			if span[1] < 300 && in.opened.rows == nil {
				t.Errorf("%v: nothing of %s was unpacked", span, in.addr)
			}
			in.shut()
		}
	}
}

// History that is read behind the present is put in its places a block at a time, or when it has waited, or when all of it is there; what comes late at once.
func TestHistoryIsPlacedByTheBlock(t *testing.T) {
	for _, tc := range []struct {
		name    string
		rows    int
		ticks   []float64 // s after the first
		end     bool
		late    bool
		waiting int
	}{
		{"a few wait", 5, []float64{0, 1, 9}, false, false, 5},
		{"for ten seconds", 5, []float64{0, 10}, false, false, 0},
		{"a block does not", sealRows, []float64{0}, false, false, 0},
		{"nor does what is read to its end", 5, []float64{0}, true, false, 0},
		{"nor what came late", 5, []float64{0}, false, true, 0},
	} {
		r := newRolledUp(t, Options{})
		r.run(300, 400, "10.0.0.1:80")
		in := r.b.find("checkout", "prod").instances["10.0.0.1:80"]
		for k := range tc.rows {
			x := r.second("10.0.0.1:80", float64(100+k))
			x.History = !tc.late
			r.b.Add(x)
		}
		if tc.end {
			r.b.HistoryRead()
		}
		for _, s := range tc.ticks {
			r.tick(401 + s)
		}
		if len(in.late) != tc.waiting {
			t.Errorf("%s: %d wait, not %d", tc.name, len(in.late), tc.waiting)
		}
		r.tick(420)
		if in.blocks[0].first > t0.Add(100*time.Second).UnixMilli() {
			t.Errorf("%s: it is not there", tc.name)
		}
	}
}
