package dashboards

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// change is one line of a roster's story.
type change struct {
	at    float64
	addr  string
	state discovery.State
}

func (f *fleet) change(c change) {
	e := entry(c.addr, c.state, c.at, map[string]string{TagVersion: "1"})
	if in := f.b.find("checkout", "prod"); in != nil {
		if old := in.instances[c.addr]; old != nil && old.roster != nil && old.roster.State != discovery.Departed {
			e.Joined, e.Tags = old.roster.Joined, old.roster.Tags
		}
	}
	f.b.RosterChange(discovery.Change{Entry: e, At: e.Since})
}

func TestTally(t *testing.T) {
	const a, b, c, d = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"
	P, D := discovery.Present, discovery.Departed
	for _, tc := range []struct {
		name    string
		roster  []change
		scraped map[string]collector.Outcome // at 99.5 s
		want    string                       // expected present answering at 100 s
	}{
		{"all there", []change{{0, a, P}, {0, b, P}}, map[string]collector.Outcome{a: 0, b: 0}, "2 2 2"},
		{"one fails", []change{{0, a, P}, {0, b, P}}, map[string]collector.Outcome{a: 0, b: collector.Timeout}, "2 2 1"},
		{"one never scraped", []change{{0, a, P}, {0, b, P}}, map[string]collector.Outcome{a: 0}, "2 2 1"},
		{"unconfirmed is expected, not present", []change{{0, a, P}, {0, b, discovery.Unconfirmed}}, map[string]collector.Outcome{a: 0, b: 0}, "2 1 2"},
		{"quarantined and failing are there", []change{{0, a, discovery.Quarantined}, {0, b, discovery.Failing}}, map[string]collector.Outcome{a: 0, b: 0}, "2 2 2"},
		{"filtered is nobody's", []change{{0, a, P}, {0, b, discovery.Filtered}}, map[string]collector.Outcome{a: 0}, "1 1 1"},
		{"one of several comes and goes", []change{{0, a, P}, {0, b, P}, {0, c, discovery.Quarantined}}, map[string]collector.Outcome{a: 0, b: 0}, "2 2 2"},
		{"several come and go", []change{{0, a, P}, {0, b, discovery.Quarantined}, {0, c, discovery.Quarantined}}, map[string]collector.Outcome{a: 0}, "3 3 1"},
		{"the only one comes and goes", []change{{0, a, discovery.Quarantined}}, nil, "1 1 0"},
		{"left without an excuse", []change{{0, a, P}, {0, b, P}, {50, b, D}}, map[string]collector.Outcome{a: 0}, "2 1 1"},
		{"left long ago", []change{{-2000, a, P}, {-2000, b, P}, {-900, b, D}}, map[string]collector.Outcome{a: 0}, "1 1 1"},
		{"replaced after", []change{{0, a, P}, {0, b, P}, {50, b, D}, {60, c, P}}, map[string]collector.Outcome{a: 0, c: 0}, "2 2 2"},
		{"replaced before", []change{{0, a, P}, {0, b, P}, {40, c, P}, {50, b, D}}, map[string]collector.Outcome{a: 0, c: 0}, "2 2 2"},
		{"one replaces one", []change{{0, a, P}, {0, b, P}, {40, c, P}, {50, b, D}, {50, a, D}}, map[string]collector.Outcome{c: 0}, "2 1 1"},
		{"who gathered replaces nobody", []change{{0, a, P}, {0, b, P}, {10, c, P}, {50, b, D}}, map[string]collector.Outcome{a: 0, c: 0}, "3 2 2"},
		{"back again", []change{{0, a, P}, {50, a, D}, {60, a, P}}, map[string]collector.Outcome{a: 0}, "1 1 1"},
		{"no roster at all", nil, map[string]collector.Outcome{a: 0, b: collector.Refused}, "2 2 1"},
		{"seen before the roster speaks", []change{{0, a, P}}, map[string]collector.Outcome{a: 0, d: 0}, "2 2 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t, Options{})
			for _, c := range tc.roster {
				f.change(c)
			}
			for addr, o := range tc.scraped {
				r := f.record(addr, 99.5, gauge("x", 1))
				if r.Outcome = o; o != collector.OK {
					r.Samples = nil
				}
				f.b.Add(r)
			}
			f.tick(100)
			r := f.row()
			if got := fmt.Sprint(r.Expected, r.Present, r.Answering); got != tc.want {
				t.Errorf("expected, present, answering are %s, want %s", got, tc.want)
			}
		})
	}
}

// TestTallyBelievesTheRoster: what the roster says of a departure is all that counts.
func TestTallyBelievesTheRoster(t *testing.T) {
	const a, b, c = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"
	for _, tc := range []struct {
		name   string
		state  discovery.State
		cause  discovery.Cause
		excuse string
		want   string // expected present answering, with a that answers
	}{
		{"it just went", discovery.Departed, discovery.Removed, "", "2 1 1"},
		{"it died", discovery.Departed, discovery.Dead, "", "2 1 1"},
		{"it said goodbye", discovery.Departed, discovery.Deregistered, "deregistered", "1 1 1"},
		{"it was filtered", discovery.Departed, discovery.Removed, "it was filtered: rule 1", "1 1 1"},
		{"its job is gone", discovery.Departed, discovery.Unconfigured, "no job looks there any more", "1 1 1"},
		{"it flaps", discovery.Quarantined, "", "", "1 1 1"},
		{"it is held, and does not answer", discovery.Unconfirmed, "", "", "2 1 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t, Options{})
			f.change(change{0, a, discovery.Present})
			f.change(change{0, b, discovery.Present})
			e := entry(b, tc.state, 50, map[string]string{TagVersion: "1"})
			e.Cause, e.Excuse = tc.cause, tc.excuse
			f.b.RosterChange(discovery.Change{Entry: e, Was: discovery.Present, At: e.Since})
			f.b.Add(f.record(a, 99.5, gauge("x", 1)))
			f.tick(100)
			r := f.row()
			if got := fmt.Sprint(r.Expected, r.Present, r.Answering); got != tc.want {
				t.Errorf("expected, present, answering are %s, want %s", got, tc.want)
			}
			// A newcomer makes up for nobody whom the roster misses.
			if f.change(change{60, c, discovery.Present}); tc.cause == discovery.Removed && tc.excuse == "" {
				f.tick(101)
				if r := f.row(); r.Expected != 3 {
					t.Errorf("with a newcomer %d are expected", r.Expected)
				}
			}
		})
	}
}

func TestRosterState(t *testing.T) {
	f := newFleet(t, Options{})
	broken := discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod"}, Path: "/discovery/checkout/prod", Member: "junk"}, State: discovery.Unparsable, Reason: "no port"}
	f.b.RosterState("checkout", "prod", []discovery.Entry{entry("10.0.0.1:80", discovery.Present, 0, nil), entry("10.0.0.2:80", discovery.Present, 0, nil), broken}, t0)
	f.tick(1)
	if r := f.row(); r.Expected != 2 {
		t.Errorf("row is %+v", r)
	}
	if l := f.b.Roster(nil); len(l) != 3 || l[2].State != "unparsable" || l[2].Member != "junk" || l[2].Reason != "no port" {
		t.Errorf("roster is %+v", l)
	}
	f.b.RosterState("checkout", "prod", []discovery.Entry{entry("10.0.0.1:80", discovery.Present, 0, nil)}, t0.Add(time.Second))
	f.tick(2)
	if r := f.row(); r.Expected != 1 {
		t.Errorf("row is %+v", r)
	}
	if l := f.b.Roster(func(l *RosterLine) bool { return l.State == "present" }); len(l) != 1 {
		t.Errorf("roster is %+v", l)
	}
}

func TestJoinAndFreshness(t *testing.T) {
	f := newFleet(t, Options{})
	f.add("10.0.0.9:80", 0, gauge("x", 1)) // from here on it is live
	f.change(change{10, "10.0.0.1:80", discovery.Present})
	f.add("10.0.0.1:80", 10.4, gauge("x", 1)) // seen 100 ms later
	f.add("10.0.0.1:80", 11.4, gauge("x", 1))
	f.add("10.0.0.2:80", 20.3, gauge("x", 1)) // the roster speaks of it afterwards
	f.change(change{20, "10.0.0.2:80", discovery.Present})
	f.change(change{30, "10.0.0.1:80", discovery.Departed})
	f.change(change{40, "10.0.0.1:80", discovery.Present})
	f.add("10.0.0.1:80", 40.9, gauge("x", 1))
	s := f.b.Stats()
	if s.Join.Count != 3 || s.Join.Max < 990 || s.Join.Max > 1010 || s.Join.P50 < 480 || s.Join.P50 > 520 {
		t.Errorf("joins are %+v", s.Join)
	}
	if s.Freshness.Count != 4 || s.Freshness.P99 < 98 || s.Freshness.P99 > 102 { // the first is history: it was scraped before anything was seen
		t.Errorf("freshness is %+v", s.Freshness)
	}
}

func TestEvents(t *testing.T) {
	f := newFleet(t, Options{})
	version := func(addr string, at float64, v string) {
		e := entry(addr, discovery.Present, 0, map[string]string{TagVersion: v})
		f.b.RosterChange(discovery.Change{Entry: e, Was: discovery.Present, At: t0.Add(time.Duration(at) * time.Second)})
	}
	for i := range 5 {
		f.change(change{float64(i), fmt.Sprintf("10.0.0.%d:80", i), discovery.Present}) // gathering: no news
	}
	for i := range 3 {
		version(fmt.Sprintf("10.0.0.%d:80", i), 60+float64(i), "2")
	}
	f.change(change{100, "10.0.0.7:80", discovery.Present})
	for i := range 2 {
		f.change(change{200 + float64(i), fmt.Sprintf("10.0.0.%d:80", i), discovery.Departed})
	}
	for i := range 2 { // replaced, each by another
		e := entry(fmt.Sprintf("10.0.0.%d:80", 3+i), discovery.Departed, 250, nil)
		e.Excuse = fmt.Sprintf("replaced by 10.0.1.%d:80", i)
		e.Reason = "left /p: " + e.Excuse
		f.b.RosterChange(discovery.Change{Entry: e, Was: discovery.Present, At: e.Since})
	}
	f.change(change{300, "10.0.0.2:80", discovery.Quarantined})
	for s := range 3 {
		f.add("10.0.0.3:80", 400+float64(s), counter("a", []float64{90, 100, 1}[s]), counter("b", []float64{900, 1000, 2}[s]))
	}
	var got []string
	for _, e := range f.b.Events("checkout", "prod", t0, t0.Add(time.Hour)) {
		got = append(got, fmt.Sprintf("%d %s", (e.T-t0.UnixMilli())/1000, e.Text))
	}
	want := "60 2 first seen on 10.0.0.0:80|60 3 instances went 1 → 2|100 10.0.0.7:80 joined|200 2 instances left|250 2 instances left /p: replaced|300 10.0.0.2:80 is quarantined|402 10.0.0.3:80 restarted"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("events are\n%s, want\n%s", s, want)
	}
}

// Instances that nobody speaks of any more are forgotten, with their service, when their window has passed.
func TestForget(t *testing.T) {
	f := newFleet(t, Options{Window: time.Minute})
	f.change(change{0, "10.0.0.1:80", discovery.Present})
	f.add("10.0.0.1:80", 1, counter("requests", 1))
	f.change(change{2, "10.0.0.1:80", discovery.Departed})
	f.tick(30)
	if len(f.b.Rows()) != 1 {
		t.Fatal("it is gone too early")
	}
	f.tick(forgetAfter.Seconds() + 120)
	f.tick(forgetAfter.Seconds() + 121)
	if len(f.b.Rows()) != 0 || len(f.b.all()) != 0 {
		t.Errorf("rows are %v", f.b.Rows())
	}
}
