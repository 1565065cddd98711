package trial

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
)

// fault is one way to break a fleet.
type fault struct {
	kind   string
	within time.Duration // by when it must be found; 0: two polls
	// plan chooses, by chance, whom it hits, before the fleet lives.
	plan func(w *world, rng *rand.Rand) hit
}

// hit is one fault of one fleet.
type hit struct {
	begin func()
	right func(f *dashboards.Finding) bool
}

// Kinds names the faults.
func Kinds() (out []string) {
	for i := range faults {
		out = append(out, faults[i].kind)
	}
	return out
}

// services that have ten requests a second and instance at least: of fewer, two polls of a second do not hold five errors.
var services = []string{"checkout", "search", "payments", "feed", "images", "users"}

func pick(rng *rand.Rand, of []string) string { return of[rng.IntN(len(of))] }

func between(rng *rand.Rand, lo, hi float64) float64 { return lo + (hi-lo)*rng.Float64() }

func of(name string) func(*sim.Instance) bool {
	return func(in *sim.Instance) bool { return in.Service.Name == name }
}

// about reports whether a finding is about a service, and its place is told by one of the words.
func about(name string, words ...string) func(*dashboards.Finding) bool {
	return func(f *dashboards.Finding) bool {
		if f.Service != name || len(f.Services) > 0 {
			return false
		}
		for _, w := range words {
			if strings.HasPrefix(f.Only, w) || strings.Contains(f.Title, w) {
				return true
			}
		}
		return len(words) == 0
	}
}

// only are the ways to say where it is.
func only(place string) []string { return []string{"Only " + place, "Mostly " + place} }

var faults = []fault{
	{kind: "canary", plan: func(w *world, rng *rand.Rand) hit {
		s, e := pick(rng, services), between(rng, .2, .7)
		return hit{func() {
			w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: e, Slower: 1.4, Class: "NullPointerException", Hits: func(in *sim.Instance) bool { return in.Service.Name == s && in.Track == "canary" }})
		}, about(s, append(only("1.42.0"), only("track canary")...)...)}
	}},
	{kind: "zone", plan: func(w *world, rng *rand.Rand) hit {
		s, z, e := pick(rng, services), pick(rng, sim.Zones), between(rng, .05, .4)
		return hit{func() {
			w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: e, Hits: func(in *sim.Instance) bool { return in.Service.Name == s && in.Zone == z }})
		}, about(s, only(z)...)}
	}},
	{kind: "AS", plan: func(w *world, rng *rand.Rand) hit {
		s, c, e := pick(rng, services), sim.Clients[rng.IntN(5)], between(rng, .3, .8)
		return hit{func() {
			w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: e, Client: c.AS, Class: "ClientDisconnected", Hits: of(s)})
		}, about(s, only("clients of AS "+c.AS+" ("+c.Country+"):")...)}
	}},
	{kind: "one host", plan: func(w *world, rng *rand.Rand) hit {
		z, e, slow := rng.IntN(len(sim.Zones)), between(rng, .2, .5), between(rng, 2, 5)
		host := fmt.Sprintf("shared-%d", z+1)
		w.Move(host, func(in *sim.Instance) bool {
			return in.Zone == sim.Zones[z] && strings.HasSuffix(in.Addr, ".3:8001") && in.Service.Env == "prod"
		})
		return hit{func() {
			w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: e, Slower: slow, Class: "IOException", Hits: func(in *sim.Instance) bool { return in.Host == host }})
		}, func(f *dashboards.Finding) bool {
			return len(f.Services) >= 3 && strings.Contains(f.Title+" "+f.Only, "host "+host)
		}}
	}},
	{kind: "bad deploy", plan: func(w *world, rng *rand.Rand) hit {
		s, e, slow := pick(rng, services), between(rng, .05, .15), between(rng, 1, 2.5)
		return hit{func() {
			w.Deploy(w.b, "1.43.0", w.now, of(s))
			w.Effects = append(w.Effects, sim.Effect{From: w.now, Errors: e, Slower: slow, Class: "IllegalStateException", Hits: of(s)})
		}, func(f *dashboards.Finding) bool {
			return f.Service == s && strings.HasPrefix(f.Only, "Everywhere alike; it began as ") && strings.Contains(f.Only, "→ 1.43.0")
		}}
	}},
	{kind: "stopped service", plan: func(w *world, rng *rand.Rand) hit {
		s, how := pick(rng, services), rng.IntN(3)
		return hit{func() {
			switch how {
			case 0: // stopped, and its registrations are gone
				w.Leave(w.b, w.now, of(s))
			case 1: // dead, and still registered
				w.Effects = append(w.Effects, sim.Effect{From: w.now, Outcome: collector.Refused, Hits: of(s)})
			default: // it answers, and nobody asks it for anything
				w.Effects = append(w.Effects, sim.Effect{From: w.now, Rate: 1e-9, Hits: of(s)})
			}
		}, about(s, s+" has stopped")}
	}},
	{kind: "wave of leaves", plan: func(w *world, rng *rand.Rand) hit {
		s, z := pick(rng, services), pick(rng, sim.Zones)
		return hit{func() {
			w.Leave(w.b, w.now, func(in *sim.Instance) bool { return in.Service.Name == s && in.Zone == z })
		}, about(s, "all in "+z)}
	}},
	{kind: "new exception class", plan: func(w *world, rng *rand.Rand) hit {
		s, p, canary := pick(rng, services), between(rng, .02, .1), rng.IntN(2) == 0
		if canary {
			p *= 10 // one instance of a dozen: of less, two polls do not hold five
		}
		words := append(only("1.42.0"), only("track canary")...)
		if !canary {
			words = []string{"Everywhere alike"}
		}
		where := about(s, words...)
		return hit{func() {
			w.Effects = append(w.Effects, sim.Effect{From: w.now, Throws: p, Class: "com.example.StaleTokenException", Hits: func(in *sim.Instance) bool {
				return in.Service.Name == s && (!canary || in.Track == "canary")
			}})
		}, func(f *dashboards.Finding) bool { return strings.Contains(f.Title, "StaleTokenException") && where(f) }}
	}},
	{kind: "slow drift", within: 5 * time.Minute, plan: func(w *world, rng *rand.Rand) hit {
		s, what := pick(rng, services), rng.IntN(3)
		slow, e, use := between(rng, 2, 3), between(rng, .01, .03), between(rng, .75, .9)
		over := func(d time.Duration) float64 { return min(d.Seconds()/300, 1) }
		return hit{func() {
			fx := sim.Effect{From: w.now, Shape: over, Hits: of(s)}
			switch what {
			case 0:
				fx.Slower = slow
			case 1:
				fx.Errors = e
			default:
				fx.Use = use
			}
			w.Effects = append(w.Effects, fx)
		}, about(s, "Everywhere alike")}
	}},
}
