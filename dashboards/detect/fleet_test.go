package detect

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
	"github.com/rollcall-metrics/rollcall/discovery"
)

var start = time.Unix(1764000000, 0)

// world is a fleet, its Board and a Detector, in made-up time.
type world struct {
	*sim.Fleet
	b   *dashboards.Board
	now time.Time
}

func newWorld(t testing.TB, f *sim.Fleet) *world {
	t.Helper()
	d, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := dashboards.NewBoard(dashboards.Options{Percentile: quantile.Over, Judge: d.Judge})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
	f.Register(b)
	return &world{Fleet: f, b: b, now: start}
}

// run lets time pass, with a tick each second; each may end it.
func (w *world) run(d time.Duration, each func() bool) {
	for end := w.now.Add(d); w.now.Before(end); {
		next := w.now.Add(time.Second)
		w.Scrape(w.b, w.now, next)
		w.now = next
		w.b.Tick(w.now.Add(100 * time.Millisecond))
		if each != nil && !each() {
			return
		}
	}
}

func (w *world) open() (out []dashboards.Finding) {
	for _, f := range w.b.Findings() {
		if f.Ended == nil {
			out = append(out, f)
		}
	}
	return out
}

func (w *world) show() string {
	s := ""
	for _, f := range w.b.Findings() {
		s += fmt.Sprintf("\n%s %s since %s ended %v\n  %s\n  cleared %q\n  events %v", f.Level, f.Title, time.UnixMilli(f.Since).Sub(start), f.Ended != nil, f.Only, f.Cleared, f.Events)
	}
	return s
}

func checkout(in *sim.Instance) bool { return in.Service.Name == "checkout" }

// racks are two in each zone, by the last digit of an address: a service has several instances in one, or one, or none.
func racks(w *world) {
	w.Racks(func(in *sim.Instance) string {
		return fmt.Sprintf("%c%d", in.Zone[len(in.Zone)-1], 1+(in.Addr[len(in.Addr)-6]-'0')%2)
	})
}

// faults are what a fleet suffers, with the words that must stand in the finding.
var faults = []struct {
	name    string
	service string
	metric  string
	only    string         // the place, as it must be named
	before  func(w *world) // at the start
	hit     func(w *world)
}{
	{"canary", "checkout", "errors", "Only 1.42.0:", nil, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .5, Hits: func(in *sim.Instance) bool { return checkout(in) && in.Track == "canary" }})
	}},
	{"version in zone", "checkout", "errors", "Only 1.42.0 in us-east-1c:", func(w *world) {
		w.Deploy(w.b, "1.42.0", w.now, func(in *sim.Instance) bool { return checkout(in) && in.Addr[len(in.Addr)-6]%2 == 1 })
	}, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .5, Hits: func(in *sim.Instance) bool {
			return checkout(in) && in.Version == "1.42.0" && in.Zone == "us-east-1c"
		}})
	}},
	{"zone", "checkout", "errors", "Only us-east-1b:", nil, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .1, Hits: func(in *sim.Instance) bool { return checkout(in) && in.Zone == "us-east-1b" }})
	}},
	{"network", "checkout", "errors", "Only clients of AS 3320 (DE):", nil, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .3, Client: "3320", Hits: checkout})
	}},
	{"host", "search", "errors", "Only host ip-10-1-0-1:", nil, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .4, Hits: func(in *sim.Instance) bool { return in.Host == "ip-10-1-0-1" }})
	}},
	{"host of several services", "", "errors", "Only host shared-1: ", func(w *world) {
		w.Move("shared-1", func(in *sim.Instance) bool { return in.Zone == "us-east-1a" && in.Addr[len(in.Addr)-6] == '1' })
	}, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .5, Slower: 4, Hits: func(in *sim.Instance) bool { return in.Host == "shared-1" && in.Service.Env == "prod" }})
	}},
	{"dead host of several services", "", "instances", "Only host shared-1: ", func(w *world) {
		w.Move("shared-1", func(in *sim.Instance) bool { return in.Zone == "us-east-1a" && in.Addr[len(in.Addr)-6] == '1' })
	}, func(w *world) {
		w.Leave(w.b, w.now, func(in *sim.Instance) bool { return in.Host == "shared-1" && in.Service.Env == "prod" })
	}},
	{"rack of several services", "", "errors", "Only rack=a2: ", racks, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .5, Hits: func(in *sim.Instance) bool { return in.Rack == "a2" && in.Service.Env == "prod" }})
	}},
	{"dead rack of several services", "", "instances", "Only rack=a2: ", racks, func(w *world) {
		w.Leave(w.b, w.now, func(in *sim.Instance) bool { return in.Rack == "a2" && in.Service.Env == "prod" })
	}},
	{"zone of several services", "", "errors", "Only everything in us-east-1b: ", racks, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .5, Hits: func(in *sim.Instance) bool { return in.Zone == "us-east-1b" && in.Service.Env == "prod" }})
	}},
	{"dead zone of several services", "", "instances", "Only everything in us-east-1b: ", racks, func(w *world) {
		w.Leave(w.b, w.now, func(in *sim.Instance) bool { return in.Zone == "us-east-1b" && in.Service.Env == "prod" })
	}},
	{"bad deploy", "checkout", "errors", "Everywhere alike; it began as 13 instances went 1.41.3 → 1.43.0.", nil, func(w *world) {
		w.Deploy(w.b, "1.43.0", w.now, checkout)
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .1, Hits: checkout})
	}},
	{"half a deploy", "checkout", "errors", "Only 1.43.0:", nil, func(w *world) {
		half := func(in *sim.Instance) bool { return checkout(in) && in.Addr[len(in.Addr)-6]%2 == 1 }
		w.Deploy(w.b, "1.43.0", w.now, half)
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .1, Hits: half})
	}},
	{"slow zone", "payments", "latency", "us-east-1a: ", nil, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Slower: 4, Hits: func(in *sim.Instance) bool { return in.Service.Name == "payments" && in.Zone == "us-east-1a" }})
	}},
	{"slow everywhere", "users", "latency", "Everywhere", nil, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Slower: 3, Hits: func(in *sim.Instance) bool { return in.Service.Name == "users" }})
	}},
	{"traffic gone", "feed", "rate", "Everywhere", nil, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Rate: .1, Hits: func(in *sim.Instance) bool { return in.Service.Name == "feed" }})
	}},
	{"wave of leaves", "search", "instances", "They left the roster within a second", nil, func(w *world) {
		w.Leave(w.b, w.now, func(in *sim.Instance) bool { return in.Service.Name == "search" && in.Zone == "us-east-1b" })
	}},
	{"hanging zone", "feed", "instances", "Scrapes end: timeout", nil, func(w *world) {
		w.Effects = append(w.Effects, sim.Effect{From: w.now, Outcome: collector.Timeout, Hits: func(in *sim.Instance) bool { return in.Service.Name == "feed" && in.Zone == "us-east-1a" }})
	}},
}

// wheres are where some of them are, as a question about a series would say it.
var wheres = map[string]string{
	"version in zone": "service.version=1.42.0 cloud.availability_zone=us-east-1c", "network": "client.as.number=3320", "host": "host.name=ip-10-1-0-1",
	"dead host of several services": "host.name=shared-1", "slow everywhere": "", "wave of leaves": "cloud.availability_zone=us-east-1b",
}

// hits are the lines of checkout that some of them are to be seen in.
var hits = map[string]string{
	"canary": "errors", "dead host of several services": "answering", "host of several services": "errors latency", "slow everywhere": "", "host": "",
}

// A feed that was away tells nothing of the instances: not of those whose records come a little later than the first, either. Who stays away is named.
func TestFeedComesBack(t *testing.T) {
	w := newWorld(t, sim.Demo(5, start, time.Second))
	tick := func(n int) {
		for range n {
			w.now = w.now.Add(time.Second)
			w.b.Tick(w.now.Add(100 * time.Millisecond))
		}
	}
	w.run(time.Minute, nil)
	w.b.SetFeed(dashboards.Feed{State: dashboards.FeedDead, Since: w.now.UnixMilli()})
	tick(30)
	w.b.SetFeed(dashboards.Feed{State: dashboards.FeedLive, Since: w.now.UnixMilli()})
	tick(4)
	if open := w.open(); len(open) > 0 {
		t.Errorf("nobody has been heard of yet:%s", w.show())
	}
	w.run(time.Minute, nil)
	if open := w.open(); len(open) > 0 {
		t.Errorf("all are well:%s", w.show())
	}
	tick(20)
	if open := w.open(); len(open) == 0 {
		t.Error("nobody is scraped any more, and nobody says so")
	}
}

// The headline is the news alone; what stands below it counts by the second, however long a tick is.
func TestFirstSentence(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 10 * time.Second} {
		w := newWorld(t, sim.Demo(3, start, every))
		w.run(20*every, nil)
		faults[0].hit(w)
		var text string
		w.run(10*every, func() bool {
			if open := w.open(); len(open) > 0 {
				text = open[0].Only
				if n := strings.Count(open[0].Title, "%"); n != 2 || open[0].Title != "checkout is failing: "+open[0].Why {
					t.Errorf("the headline is %q", open[0].Title)
				}
			}
			return text == ""
		})
		var errs, of, rate float64
		if i := strings.Index(text, "≈ "); i < 0 {
			t.Fatalf("every %s: %q", every, text)
		} else if _, err := fmt.Sscanf(strings.ReplaceAll(text[i:], ",", ""), "≈ %f of %f requests a second", &errs, &of); err != nil {
			t.Fatalf("every %s: %q: %v", every, text, err)
		}
		for _, r := range w.b.Rows() {
			if r.Service == "checkout" && r.Env == "prod" {
				rate = float64(r.Rate)
			}
		}
		if of < rate/1.5 || of > rate*1.5 {
			t.Errorf("every %s: %q, and the service has %.0f requests a second", every, text, rate)
		}
	}
}

// Several of one service that come and go are one finding, which stands while they do, whether they are there at the moment or not; one alone is none.
func TestCrashLoop(t *testing.T) {
	for _, n := range []int{1, 4} {
		w := newWorld(t, sim.Demo(6, start, time.Second))
		w.run(time.Minute, nil)
		var who []*sim.Instance
		for _, in := range w.Instances {
			if checkout(in) && in.Service.Env == "prod" && len(who) < n {
				who = append(who, in)
			}
		}
		flap := func(state discovery.State, flaps int) {
			for _, in := range who {
				e := in.Entry()
				e.State, e.Since, e.Flaps = state, w.now, flaps
				if state == discovery.Departed {
					e.Cause = discovery.Removed
					if n == 1 {
						e.Excuse = "it was quarantined: it left and came back 4 times"
					}
				}
				w.b.RosterChange(discovery.Change{Entry: e, Was: discovery.Present, At: w.now})
			}
		}
		titles := map[string]bool{}
		for i := range 6 {
			flap(discovery.Departed, 4+i)
			w.run(5*time.Second, nil)
			flap(discovery.Quarantined, 5+i)
			w.run(5*time.Second, func() bool {
				for _, f := range w.open() {
					titles[f.ID] = true
				}
				return true
			})
		}
		open := w.open()
		if n == 1 && (len(open) > 0 || len(titles) > 0) {
			t.Errorf("one alone is a finding:%s", w.show())
		}
		if n > 1 && (len(open) != 1 || len(titles) != 1 || !strings.Contains(open[0].Title, fmt.Sprintf("checkout: %d of ", n)) || !strings.Contains(open[0].Title, "instances come and go since")) {
			t.Errorf("findings are:%s", w.show())
		}
		flap(discovery.Present, 4)
		w.run(5*time.Second, nil)
		if open := w.open(); len(open) > 0 {
			t.Errorf("it is over:%s", w.show())
		}
	}
}

// A closer look at a service, or at a part of it, is no news: not while it is on, not when it begins, and not when it ends. What breaks under it is found.
func TestCloserLook(t *testing.T) {
	w := newWorld(t, sim.Demo(28, start, 10*time.Second))
	look := func(every time.Duration, of func(*sim.Instance) bool) {
		for _, in := range w.Instances {
			if of(in) {
				in.Every = every
			}
		}
	}
	calm := func() bool {
		if open := w.open(); len(open) > 0 {
			t.Errorf("at %v:%s", w.now.Sub(start), w.show())
			return false
		}
		return true
	}
	w.run(12*time.Minute, nil)
	part := func(in *sim.Instance) bool { return checkout(in) && in.Zone == sim.Zones[2] }
	for _, of := range []func(*sim.Instance) bool{checkout, part} {
		look(time.Second, of)
		w.run(2*time.Minute, calm)
		look(0, of)
		w.run(time.Minute, calm)
	}
	look(time.Second, part)
	w.run(30*time.Second, calm)
	w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: .65, Hits: func(in *sim.Instance) bool { return checkout(in) && in.Version == "1.42.0" }})
	found := false
	w.run(2*time.Minute, func() bool {
		for _, f := range w.open() {
			found = found || f.Service == "checkout" && f.Metric == "errors" && strings.Contains(f.Only, "1.42.0")
		}
		return !found
	})
	if !found {
		t.Errorf("what broke under a closer look is not found:%s", w.show())
	}
}
