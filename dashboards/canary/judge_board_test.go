package canary

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

var t0 = time.Unix(1764000000, 0).UTC()

// host is one made-up instance: what it is may change by the second.
type host struct {
	addr, zone, track string
	version           func(s int) string
	joins, leaves     int // seconds; leaves 0: never
	slower            float64
	errors            float64
	resets            int // at this second its totals begin anew
	silent            int // from this second on its scrapes fail; 0: never
}

func runs(v string) func(int) string { return func(int) string { return v } }

// world feeds a Board with hosts for so many seconds, every second.
func world(t testing.TB, hosts []host, seconds int, every time.Duration) *dashboards.Board {
	t.Helper()
	f := feedOf(t, hosts, nil)
	f.every = every
	f.to(t, seconds)
	return f.b
}

// fed is a Board with the hosts that it is fed with.
type fed struct {
	b      *dashboards.Board
	hosts  []host
	every  time.Duration
	r      *rand.Rand
	seq    uint64
	counts [][2]float64
	at     int // second
}

func feedOf(t testing.TB, hosts []host, judge func(time.Time, *dashboards.Board) []dashboards.Finding) *fed {
	t.Helper()
	b, err := dashboards.NewBoard(dashboards.Options{Judge: judge})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	return &fed{b: b, hosts: hosts, every: time.Second, r: rand.New(rand.NewPCG(8, 8)), counts: make([][2]float64, len(hosts))}
}

// to lets time pass until a second.
func (f *fed) to(t testing.TB, seconds int) {
	t.Helper()
	for ; f.at < seconds; f.at += int(f.every / time.Second) {
		s, at := f.at, t0.Add(time.Duration(f.at)*time.Second)
		for i := range f.hosts {
			h := &f.hosts[i]
			if s < h.joins || h.leaves > 0 && s >= h.leaves {
				continue
			}
			n := 40.0 + float64(f.r.IntN(20))
			e := 0.0
			for range int(n) {
				if f.r.Float64() < 0.002+h.errors {
					e++
				}
			}
			if h.resets > 0 && s == h.resets {
				f.counts[i] = [2]float64{}
			}
			f.counts[i][0] += n * f.every.Seconds()
			f.counts[i][1] += e * f.every.Seconds()
			ms := 40 * math.Exp(0.05*f.r.NormFloat64()) * (1 + h.slower)
			num := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
			f.seq++
			rec := &dashboards.Record{ID: dashboards.RecordID{Collector: 1, Start: 1, Sequence: f.seq}, Seen: at, Service: "checkout", Env: "prod", Instance: h.addr, Time: at,
				Interval: f.every, Tags: []collector.LabelPair{{Name: dashboards.TagZone, Value: h.zone}, {Name: dashboards.TagTrack, Value: h.track}, {Name: dashboards.TagVersion, Value: h.version(s)}},
				Samples: []collector.Sample{{Name: "requests", Kind: collector.Counter, Value: num(f.counts[i][0])}, {Name: "errors", Kind: collector.Counter, Value: num(f.counts[i][1])},
					{Name: "latency_ms", Kind: collector.Distribution, Window: collector.Latched, Fields: []collector.Field{{Name: "count", Value: num(f.counts[i][0])}, {Name: "p99", Value: num(ms)}}},
					{Name: "queue", Kind: collector.Gauge, Value: num(10 * ms)}, {Name: "aborts", Kind: collector.Counter, Value: num(3 * f.counts[i][1])}}}
			slices.SortFunc(rec.Tags, func(a, b collector.LabelPair) int { return strings.Compare(a.Name, b.Name) })
			if h.track == "" {
				rec.Tags = slices.DeleteFunc(rec.Tags, func(l collector.LabelPair) bool { return l.Name == dashboards.TagTrack })
			}
			if h.silent > 0 && s >= h.silent {
				rec.Outcome, rec.Reason, rec.Samples = collector.Timeout, "no answer", nil
			}
			f.b.Add(rec)
		}
	}
	f.b.Tick(t0.Add(time.Duration(seconds) * time.Second))
}

// crew is n hosts that are alike, told apart by their address.
func crew(n, from int, h host) (out []host) {
	for i := range n {
		h.addr = fmt.Sprintf("10.0.%d.%d:80", from, i)
		if h.zone == "" {
			h.zone = "a"
		}
		out = append(out, h)
		h.zone = ""
	}
	return out
}

func TestJudge(t *testing.T) {
	old, young := host{track: "production", version: runs("1.41.3")}, host{track: "canary", version: runs("1.42.0")}
	with := func(h host, f func(*host)) host { f(&h); return h }
	untracked := func(h host) host { h.track = ""; return h }
	for _, tc := range []struct {
		name    string
		hosts   []host
		seconds int
		ask     Ask
		verdict Verdict
		says    string
		by      string
	}{
		{"no harm", append(crew(8, 1, old), crew(3, 2, young)...), 240, Ask{}, Pass, "excluded", "track"},
		{"errors", append(crew(8, 1, old), crew(3, 2, with(young, func(h *host) { h.errors = 0.05 }))...), 60, Ask{}, Fail, "errors", "track"},
		{"slow", append(crew(8, 1, old), crew(3, 2, with(young, func(h *host) { h.slower = 1 }))...), 60, Ask{}, Fail, "latency", "track"},
		{"fewer requests fail nobody", append(crew(8, 1, old), crew(3, 2, young)...), 240, Ask{Measures: []Measure{Golden()[2]}}, Hold, "nothing that may fail", "track"},
		{"by version", append(crew(8, 1, untracked(old)), crew(3, 2, with(untracked(young), func(h *host) { h.errors = 0.05 }))...), 60, Ask{}, Fail, "errors", "version"},
		{"one version", crew(8, 1, untracked(old)), 60, Ask{}, Hold, "all 8 instances run 1.41.3", ""},
		{"no version", crew(8, 1, host{version: runs("")}), 60, Ask{}, Hold, "no instance says its version", ""},
		{"a canary alone", crew(3, 1, young), 60, Ask{}, Hold, "nobody of another track", ""},
		{"the canary that is meant is not there yet", append(crew(8, 1, old), crew(3, 2, young)...), 60, Ask{Version: "1.43.0"}, Hold, "no canary runs 1.43.0 yet", ""},
		{"nor without tracks", append(crew(8, 1, untracked(old)), crew(3, 2, untracked(young))...), 60, Ask{Version: "1.43.0"}, Hold, "nobody runs 1.43.0 yet", ""},
		{"an older version may be meant", append(crew(8, 1, untracked(young)), crew(3, 2, with(untracked(old), func(h *host) { h.errors = 0.05 }))...), 60, Ask{Version: "1.41.3"}, Fail, "errors", "version"},
		{"new canaries warm up", append(crew(8, 1, old), crew(3, 2, with(young, func(h *host) { h.joins, h.slower = 60, 1 }))...), 120, Ask{Warmup: 5 * time.Minute}, Hold, "3 of 3 instances of the canary are warming up", "track"},
		{"and are judged when they are warm", append(crew(8, 1, old), crew(3, 2, with(young, func(h *host) { h.joins, h.slower = 60, 1 }))...), 240, Ask{Warmup: time.Minute}, Fail, "latency", "track"},
		{"an upgrade in place begins anew", append(crew(8, 1, old), crew(3, 2, host{track: "production", slower: 1, version: func(s int) string {
			if s < 100 {
				return "1.41.3"
			}
			return "1.42.0"
		}})...), 130, Ask{Warmup: time.Minute, Version: "1.42.0"}, Hold, "warming up", "version"},
		{"a restart warms up again", append(crew(8, 1, old), crew(3, 2, with(young, func(h *host) { h.slower, h.resets = 1, 50 }))...), 100, Ask{Warmup: time.Minute}, Hold, "warming up", "track"},
		{"the canary does not answer", append(crew(8, 1, old), crew(3, 2, with(young, func(h *host) { h.silent = 60 }))...), 100, Ask{}, Hold, "3 of 3 instances of the canary do not answer", "track"},
		{"a gauge by name", append(crew(8, 1, old), crew(3, 2, with(young, func(h *host) { h.slower = 1 }))...), 60,
			Ask{Measures: []Measure{{Name: "queue", Metric: "queue", Kind: Gauge, Direction: Increase, Action: Fails, Margin: 0.2, Spread: 0.1}}}, Fail, "queue", "track"},
		{"a total by name, of requests", append(crew(8, 1, old), crew(3, 2, with(young, func(h *host) { h.errors = 0.05 }))...), 60,
			Ask{Measures: []Measure{{Name: "aborts", Metric: "aborts", Kind: Ratio, Direction: Increase, Action: Fails, Margin: 0.2, Floor: 0.01, Spread: 0.5}}}, Fail, "aborts", "track"},
		{"a metric that nobody has", append(crew(8, 1, old), crew(3, 2, young)...), 60,
			Ask{Measures: []Measure{{Name: "x", Metric: "x", Kind: Gauge, Direction: Increase, Action: Fails, Margin: 0.2}}}, Hold, "no poll yet", "track"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.ask.Service, tc.ask.Env = "checkout", "prod"
			a, err := Judge(world(t, tc.hosts, tc.seconds, time.Second), tc.ask)
			if err != nil {
				t.Fatal(err)
			}
			if a.Verdict != tc.verdict || !strings.Contains(a.Reason, tc.says) || a.By != tc.by {
				t.Errorf("%s by %q: %s", a.Verdict, a.By, a.Reason)
				for _, m := range a.Metrics {
					t.Logf("%s %s most %v margin %v", m.Verdict, m.Text, m.Most, m.Margin)
				}
			}
			if _, err := json.Marshal(a); err != nil {
				t.Error(err)
			}
		})
	}
}

// A baseline that is as bad is no harm of the canary's: and the control, not production, is compared with.
func TestControl(t *testing.T) {
	hosts := slices.Concat(crew(8, 1, host{track: "production", version: runs("1")}), crew(4, 2, host{track: "canary", version: runs("2"), slower: 1}),
		crew(4, 3, host{track: "control", version: runs("1"), slower: 1}))
	a, err := Judge(world(t, hosts, 600, time.Second), Ask{Service: "checkout", Env: "prod"})
	if err != nil || a.Verdict != Pass || a.Baseline.Name != "control" || a.Baseline.Instances != 4 {
		t.Errorf("%+v, %v", a, err)
	}
}

// A slow zone is not the version's doing: the baseline is of the canary's zones.
func TestZones(t *testing.T) {
	hosts := slices.Concat(crew(8, 1, host{track: "production", version: runs("1")}), crew(6, 4, host{zone: "b", track: "production", version: runs("1"), slower: 1}),
		crew(4, 2, host{zone: "b", track: "canary", version: runs("2"), slower: 1}))
	for i := range hosts {
		if i >= 8 {
			hosts[i].zone = "b"
		}
	}
	a, err := Judge(world(t, hosts, 240, time.Second), Ask{Service: "checkout", Env: "prod"})
	if err != nil || a.Verdict != Pass || a.Baseline.Instances != 6 || !slices.Equal(a.Zones, []string{"b"}) {
		t.Errorf("%+v, %v", a, err)
	}
}

// A version that fails in one zone only is failed there, though over all zones most of its hosts are well.
func TestOneZone(t *testing.T) {
	var hosts []host
	for i := range 18 {
		h := host{addr: fmt.Sprintf("10.0.0.%d:80", i), zone: string(rune('a' + i%3)), track: "production", version: runs("1")}
		if i >= 12 {
			h.track, h.version = "canary", runs("2")
			if h.zone == "b" {
				h.errors = 0.4
			}
		}
		hosts = append(hosts, h)
	}
	a, err := Judge(world(t, hosts, 60, time.Second), Ask{Service: "checkout", Env: "prod"})
	if err != nil || a.Verdict != Fail || !strings.HasPrefix(a.Reason, "in b: failed at ") || !strings.Contains(a.Reason, " UTC with errors ") || a.Metrics[0].Zone != "b" || a.Metrics[0].Name != "errors" || a.Metrics[0].FailedAt != a.At || a.Metrics[0].FailedAs == "" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestBlind(t *testing.T) {
	b := world(t, crew(4, 1, host{version: runs("1")}), 30, time.Second)
	if _, err := Judge(b, Ask{Service: "nobody", Env: "prod"}); !errors.Is(err, dashboards.ErrNoService) {
		t.Errorf("a service that is not there: %v", err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedDead, Error: "Kafka does not answer"})
	if _, err := Judge(b, Ask{Service: "checkout", Env: "prod"}); !errors.Is(err, ErrBlind) || !strings.Contains(err.Error(), "Kafka does not answer") {
		t.Errorf("a dead feed: %v", err)
	}
}

func TestConverge(t *testing.T) {
	at := func(second int) func(int) string {
		return func(s int) string {
			if s < second {
				return "1.9"
			}
			return "1.10"
		}
	}
	var hosts []host
	for i := range 20 {
		hosts = append(hosts, host{addr: fmt.Sprintf("10.0.0.%d:80", i), version: at(20 + 10*i)})
	}
	hosts[19].version = runs("1.9")
	hosts[5].version = func(s int) string {
		if s >= 70 && s < 100 {
			return "1.10"
		}
		return "1.9"
	}
	hosts = append(hosts, host{addr: "10.0.1.1:80", version: runs("1.9"), leaves: 40})
	b := world(t, hosts, 400, time.Second)
	traces, _ := b.Traces("checkout", "prod", t0, t0.Add(400*time.Second))
	for i := range traces {
		traces[i].Expected = traces[i].Answering // the roster would say that the one that left is gone
	}
	c := Converge(traces, "version", "")
	ms := func(p *int64) int64 {
		if p == nil {
			return -1
		}
		return *p
	}
	// The half is ten of the twenty that are left: hosts 0 to 10 but for the one that went back, host 10 at 120 s, 100 s after the first.
	if c.Target != "1.10" || ms(c.Began) != t0.Add(20*time.Second).UnixMilli() || ms(c.T50) != 100_000 || ms(c.T95) != -1 || ms(c.T100) != -1 || c.On != 18 || c.Of != 20 {
		t.Errorf("got %+v, half after %d ms", c, ms(c.T50))
	}
	if len(c.Stragglers) != 2 || c.Stragglers[0].Instance != "10.0.0.19:80" || c.Stragglers[1].Instance != "10.0.0.5:80" || len(c.Reverts) != 1 || c.Reverts[0] != (Revert{"10.0.0.5:80", t0.Add(100 * time.Second).UnixMilli(), "1.9"}) {
		t.Errorf("stragglers %+v, reverts %+v", c.Stragglers, c.Reverts)
	}
	// Who tells no version for a while went nowhere; one that goes to and fro is one.
	odd := slices.Clone(traces)
	for i := range odd {
		at := func(s int) int64 { return t0.Add(time.Duration(s) * time.Second).UnixMilli() }
		v := dashboards.TagVersion
		switch odd[i].Instance {
		case "10.0.0.0:80":
			odd[i].Moves = append(slices.Clone(odd[i].Moves), dashboards.Move{T: at(300), Name: v, Was: "1.10"}, dashboards.Move{T: at(310), Name: v, Now: "1.10"})
		case "10.0.0.5:80":
			odd[i].Moves = append(slices.Clone(odd[i].Moves), dashboards.Move{T: at(300), Name: v, Was: "1.9", Now: "1.10"}, dashboards.Move{T: at(310), Name: v, Was: "1.10", Now: "1.9"})
		}
	}
	if o := Converge(odd, "version", ""); len(o.Reverts) != 1 || o.Reverts[0] != (Revert{"10.0.0.5:80", t0.Add(310 * time.Second).UnixMilli(), "1.9"}) || o.On != 18 {
		t.Errorf("on %d, reverts %+v", o.On, o.Reverts)
	}
	if back := Converge(traces, "version", "1.9"); ms(back.T100) != 0 || back.On != 2 {
		t.Errorf("of the old version: %+v", back)
	}
	all := Converge(traces, "zone", "")
	if all.By != dashboards.TagZone || all.Target != "" || all.Of != 20 || len(all.Values) != 1 {
		t.Errorf("of a tag that nobody has: %+v", all)
	}
	if none := Converge(nil, "", "x"); none.Began != nil || none.Of != 0 || none.By != dashboards.TagVersion {
		t.Errorf("of nobody: %+v", none)
	}
	if b, err := json.Marshal(c); err != nil || !strings.Contains(string(b), `"t95_ms":null`) {
		t.Errorf("%s, %v", b, err)
	}
}

func TestCompareVersions(t *testing.T) {
	for _, tc := range [][2]string{{"1.9", "1.10"}, {"1.9.9", "1.10"}, {"2026.46", "2026.47"}, {"88", "89"}, {"311", "1000"}, {"1.42.0-rc1", "1.42.0-rc2"}, {"a", "b"}, {"1", "1.1"}, {"007", "8"}, {"", "0"}} {
		if compareVersions(tc[0], tc[1]) >= 0 || compareVersions(tc[1], tc[0]) <= 0 || compareVersions(tc[0], tc[0]) != 0 {
			t.Errorf("%q is not below %q", tc[0], tc[1])
		}
	}
}
