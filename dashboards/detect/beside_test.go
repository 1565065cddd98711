package detect

import (
	"math"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// ticks makes n of them, by their place.
func ticks(n int, at func(i int) float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = at(i)
	}
	return out
}

func wiggle(i int) float64 { return math.Sin(float64(i)*1.7) + math.Sin(float64(i)*0.61) }

func step(i, at int, before, after float64) float64 {
	if i >= at {
		return after
	}
	return before
}

// What stands beside the golden signals: when it is news and when it is not.
func TestBesides(t *testing.T) {
	const n = 120
	use, queue, class := dashboards.SideUse, dashboards.SideQueue, dashboards.SideException
	for _, c := range []struct {
		name  string
		kind  dashboards.SideKind
		at    func(i int) float64
		first int
		want  string // the metric of the verdict; empty: none
		is    float64
	}{
		{"a pool as usual", use, func(i int) float64 { return .4 + .05*wiggle(i) }, -1, "", 0},
		{"a pool that is full", use, func(i int) float64 { return step(i, n-3, .4+.02*wiggle(i), .97) }, -1, "saturation", .97},
		{"a pool that is full for one poll", use, func(i int) float64 { return step(i, n-1, .4, .97) }, -1, "", 0},
		{"a pool that is always full", use, func(i int) float64 { return .95 + .01*wiggle(i) }, -1, "", 0},
		{"a pool that was often full", use, func(i int) float64 { return .7 + .3*float64(i%3/2) }, -1, "", 0},
		{"a leak", use, func(i int) float64 { return min(.2+.75*max(float64(i-20), 0)/95, 1) }, -1, "saturation", .95},
		{"a pool that is busier", use, func(i int) float64 { return step(i, n-10, .3, .7) }, -1, "", 0},
		{"a queue as usual", queue, func(i int) float64 { return 5 + wiggle(i) }, -1, "", 0},
		{"a queue that grows", queue, func(i int) float64 { return step(i, n-4, 5+wiggle(i), 80) }, -1, "saturation", 80},
		{"a queue that grows a little", queue, func(i int) float64 { return step(i, n-4, 1, 8) }, -1, "", 0},
		{"a queue that comes in waves", queue, func(i int) float64 { return step(i%30, 25, 5, 80) }, -1, "", 0},
		{"a class as usual", class, func(i int) float64 { return 2 }, -1, "", 0},
		{"a new class", class, func(i int) float64 { return step(i, n-2, 0, 8) }, 2, "exceptions", .004},
		{"a new class in one poll", class, func(i int) float64 { return step(i, n-1, 0, 8) }, 1, "", 0},
		{"a rare class that is seen late", class, func(i int) float64 { return step(i%50, 48, 0, 3) }, 72, "", 0},
		{"a class that is known, thrown much more", class, func(i int) float64 { return step(i, n-5, 2, 60) }, -1, "exceptions", .03},
		{"a class that is known, thrown a little more", class, func(i int) float64 { return step(i, n-5, 2, 4) }, -1, "", 0},
	} {
		s := &dashboards.Signals{Width: time.Second, Newest: time.Unix(1764000000, 0), Rate: ticks(n, func(int) float64 { return 2000 }),
			Beside: []dashboards.SideLine{{Kind: c.kind, Name: "it", Values: ticks(n, c.at), First: c.first}}}
		vs := lines(s, &watch{}).besides(6)
		switch {
		case c.want == "" && len(vs) > 0:
			t.Errorf("%s: %+v", c.name, vs)
		case c.want != "" && (len(vs) != 1 || vs[0].Metric != c.want || vs[0].Name != "it" || math.Abs(vs[0].Is-c.is) > 0.3*c.is):
			t.Errorf("%s: %+v", c.name, vs)
		}
	}
}

// What rises over minutes is found while it does, what stays is not; and what breaks before there is a history is compared with what is usual anywhere.
func TestDriftAndEarly(t *testing.T) {
	const requests = 500.0
	for _, c := range []struct {
		name    string
		of      int
		width   time.Duration
		errors  func(i int) float64 // of the requests
		latency func(i int) float64
		want    string
	}{
		{"calm", 400, time.Second, func(i int) float64 { return .002 }, func(i int) float64 { return 40 * (1 + .03*wiggle(i)) }, ""},
		{"latency rises by the minute", 260, time.Second, nil, func(i int) float64 { return 40 * (1 + .02*wiggle(i) + max(float64(i-60)/200, 0)) }, "latency"},
		{"latency rises by the minute, long polls", 90, 10 * time.Second, nil, func(i int) float64 { return 40 * (1 + .02*wiggle(i) + max(float64(i-60)/20, 0)) }, "latency"},
		{"latency swings with the day", 600, 10 * time.Second, nil, func(i int) float64 { return 40 * (1 + .2*math.Sin(float64(i)/120) + .03*wiggle(i)) }, ""},
		{"errors rise by the minute", 260, time.Second, func(i int) float64 { return .002 + .01*max(float64(i-60)/200, 0) }, nil, "errors"},
		{"errors from the first moment", 20, time.Second, func(i int) float64 { return .3 }, nil, "errors"},
		{"errors from the third second on", 20, time.Second, func(i int) float64 { return step(i, 3, 0, .2) }, nil, "errors"},
		{"a few errors from the first moment", 20, time.Second, func(i int) float64 { return .03 }, nil, ""},
		{"errors all the time", 300, time.Second, func(i int) float64 { return .3 }, nil, ""},
	} {
		s := &dashboards.Signals{Width: c.width, Newest: time.Unix(1764000000, 0), LatencyName: "p99", LatencyP: .99, Rate: ticks(c.of, func(int) float64 { return requests }),
			Latency: ticks(c.of, func(int) float64 { return 40 }), Answering: make([]int, c.of)}
		if c.errors != nil {
			s.Errors = ticks(c.of, func(i int) float64 { return requests * c.errors(i) })
		}
		if c.latency != nil {
			s.Latency = ticks(c.of, c.latency)
		}
		got := ""
		if vs := lines(s, &watch{}).verdicts(6); len(vs) > 0 {
			got = vs[0].Metric
		}
		if got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// A window that reaches into a finding that is over says nothing of now.
func TestPast(t *testing.T) {
	newest := time.Unix(1764000000, 0)
	s := &dashboards.Signals{Width: time.Second, Newest: newest, Rate: ticks(100, func(int) float64 { return 1000 }),
		Errors: ticks(100, func(i int) float64 { return step(i, 80, 2, 500) - step(i, 94, 0, 498) }), Latency: ticks(100, func(int) float64 { return 40 }), Answering: make([]int, 100)}
	w := &watch{calm: [][2]time.Time{{newest.Add(-21 * time.Second), newest.Add(-4 * time.Second)}}}
	if vs := lines(s, w).verdicts(6); len(vs) > 0 {
		t.Errorf("it is over: %+v", vs)
	}
	s.Errors[98], s.Errors[99] = 500, 500
	if vs := lines(s, w).verdicts(6); len(vs) != 1 {
		t.Errorf("it has come back: %+v", vs)
	}
}
