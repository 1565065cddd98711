package tag

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// app is an application that truly counts, and what an oracle knows of who has heard of it.
type app struct {
	key    discovery.Key
	series map[string]uint64 // as it says
	grown  map[string]uint64 // truly, since the last good scrape that anybody made in its turn
	order  []string
	truth  big.Int // all that it ever counted
	unseen big.Int // of it, what by the documentation nobody can count
}

// eye is what a collector should remember of an app.
type eye struct {
	last map[string]uint64 // nil: its next scrape is the first
	slot int               // of its last scrape, good or not
	term uint64
}

func (a *app) count(name string, n uint64) {
	if _, ok := a.series[name]; !ok {
		a.order = append(a.order, name)
	}
	a.series[name] += n
	a.grown[name] += n
	a.truth.Add(&a.truth, new(big.Int).SetUint64(n))
}

func (a *app) body() (out []collector.Sample) {
	for _, name := range a.order {
		out = append(out, counter(name, fmt.Sprint(a.series[name])))
	}
	return append(out, gauge("up", "1"))
}

// scraped is a good scrape by a collector: what it counts, the oracle says; what it cannot is unseen.
func (a *app) scraped(e *eye) (counts big.Int) {
	first := e.last == nil
	now := map[string]uint64{}
	for _, name := range a.order {
		v := a.series[name]
		now[name] = v
		inc := v // new: whole
		if before, ok := e.last[name]; ok && v >= before {
			inc = v - before
		}
		if !first {
			counts.Add(&counts, new(big.Int).SetUint64(inc))
		}
	}
	for name, n := range a.grown {
		a.unseen.Add(&a.unseen, new(big.Int).SetUint64(n))
		delete(a.grown, name)
	}
	a.unseen.Sub(&a.unseen, &counts)
	e.last = now
	return counts
}

// growth is what the app has truly counted since it was last scraped well.
func (a *app) growth() *big.Int {
	sum := new(big.Int)
	for _, n := range a.grown {
		sum.Add(sum, new(big.Int).SetUint64(n))
	}
	return sum
}

func deltas(s *collector.Snapshot) *big.Int {
	sum := new(big.Int)
	for _, x := range s.Samples {
		if x.Kind == collector.Delta {
			v, ok := new(big.Int).SetString(x.Value, 10)
			if !ok || v.Sign() < 0 {
				panic("a delta of " + x.Value)
			}
			sum.Add(sum, v)
		}
	}
	return sum
}

// Two collectors share applications that truly count: over restarts, series that come and go, failed scrapes, swapped databases, reloads, state that was dropped, planned and
// torn hand-overs, what both count together is the truth, less what the documentation says nobody counts; and never more than the truth.
func TestDeltasAreTheTruth(t *testing.T) {
	db := newSwapped(t)
	rules := []Rule{{Name: `h/(?P<ip>[0-9.]+)/(?P<name>.+)`, Lookup: &Lookup{From: "ip"}, Drop: []string{"ip"}}}
	rapid.Check(t, func(t *rapid.T) {
		var of [2]*Enricher
		var eyes [2][3]eye
		var extra [2]int
		current := [2][]Rule{rules, rules}
		config := func(n int) Config {
			return Config{Rules: current[n], Geo: db.db, NoTracks: true, External: map[string]string{"n": fmt.Sprint(extra[n])}}
		}
		for n := range of {
			e, err := New(config(n))
			if err != nil {
				t.Fatal(err)
			}
			of[n] = e
		}
		var apps [3]*app
		var owner [3]int
		for i := range apps {
			apps[i] = &app{key: checkout.Key, series: map[string]uint64{}, grown: map[string]uint64{}}
			apps[i].key.Port = uint16(i + 1)
		}
		term := uint64(1)
		counted := new(big.Int)
		slot := 0
		for range rapid.IntRange(1, 40).Draw(t, "slots") {
			slot++
			for _, a := range apps { // what happens between two scrapes
				for range rapid.IntRange(0, 4).Draw(t, "counts") {
					n := rapid.Uint64Range(0, 100).Draw(t, "by")
					if rapid.IntRange(0, 19).Draw(t, "much") == 0 {
						n = 1 << 54
					}
					a.count(fmt.Sprintf("h/20.0.%d.%d/hits", rapid.IntRange(0, 3).Draw(t, "net"), rapid.IntRange(1, 2).Draw(t, "host")), n)
				}
				switch rapid.IntRange(0, 11).Draw(t, "event") {
				case 0: // it restarts
					a.series, a.order = map[string]uint64{}, nil
				case 1: // it forgets a client
					if len(a.order) > 0 {
						delete(a.series, a.order[0])
						a.order = a.order[1:]
					}
				case 2: // and has its series in another order
					for i := range a.order {
						j := (i * 7) % len(a.order)
						a.order[i], a.order[j] = a.order[j], a.order[i]
					}
				}
			}
			at := t0.Add(time.Duration(slot) * 10 * time.Second)
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				db.put(t, 1-db.now)
			case 1: // a reload that leaves the rules alone
				n := rapid.IntRange(0, 1).Draw(t, "collector")
				extra[n]++
				if err := of[n].Update(config(n)); err != nil {
					t.Fatal(err)
				}
			case 2: // one that does not
				n := rapid.IntRange(0, 1).Draw(t, "collector")
				current[n] = append([]Rule{{Name: fmt.Sprintf("nothing%d", slot), Label: "x"}}, rules...)
				if err := of[n].Update(config(n)); err != nil {
					t.Fatal(err)
				}
				for i := range apps {
					eyes[n][i].last = nil
				}
			case 3: // nobody is asked for a long time, and what is remembered goes
				slot += 100
				at = t0.Add(time.Duration(slot) * 10 * time.Second)
				for n, e := range of {
					e.states.sweep(at, time.Minute)
					for i := range apps {
						eyes[n][i] = eye{}
					}
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "divide") == 0 { // the fleet is divided anew
				term++
				for i := range apps {
					to := rapid.IntRange(0, 1).Draw(t, "owner")
					if to != owner[i] && rapid.Bool().Draw(t, "in order") {
						of[owner[i]].Forget(apps[i].key)
						eyes[owner[i]][i] = eye{}
					}
					owner[i] = to
				}
			}
			for i, a := range apps {
				n := owner[i]
				inst := checkout
				inst.Key = a.key
				s := &collector.Snapshot{Instance: inst, Time: at, Slot: at, Interval: 10 * time.Second, Term: term}
				e := &eyes[n][i]
				if e.term != term && slot-e.slot > 1 {
					e.last = nil
				}
				e.term, e.slot = term, slot
				if rapid.IntRange(0, 5).Draw(t, "fails") == 0 {
					s.Outcome = collector.Timeout
					of[n].Enrich(s)
					continue
				}
				s.Samples = a.body()
				of[n].Enrich(s)
				got, most, want := deltas(s), a.growth(), a.scraped(e)
				if got.Cmp(most) > 0 {
					t.Fatalf("slot %d, app %d, collector %d: counted %d of %d: twice", slot, i, n, got, most)
				}
				if got.Cmp(&want) != 0 {
					t.Fatalf("slot %d, app %d, collector %d: counted %d, want %d: %s", slot, i, n, got, &want, show(s))
				}
				counted.Add(counted, got)
			}
			truth, unseen, open := new(big.Int), new(big.Int), new(big.Int)
			for _, a := range apps {
				truth.Add(truth, &a.truth)
				unseen.Add(unseen, &a.unseen)
				open.Add(open, a.growth())
			}
			if sum := new(big.Int).Add(new(big.Int).Add(counted, unseen), open); sum.Cmp(truth) != 0 {
				t.Fatalf("slot %d: %d counted + %d that cannot be + %d to come is not %d", slot, counted, unseen, open, truth)
			}
		}
	})
}

// Whatever is short of memory counts less than the truth, and never more.
func TestDeltasUnderAMemoryLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, err := New(Config{Rules: []Rule{{Name: `h/(?P<ip>\d+)/(?P<name>.+)`, Drop: []string{"ip"}}}, StateBytes: rapid.Int64Range(1, 6000).Draw(t, "bytes")})
		if err != nil {
			t.Fatal(err)
		}
		a, other := &app{key: checkout.Key, series: map[string]uint64{}, grown: map[string]uint64{}}, checkout
		other.Port = 2
		for i := range 30 {
			for range rapid.IntRange(0, 6).Draw(t, "counts") {
				a.count(fmt.Sprintf("h/%d/hits", rapid.IntRange(0, 30).Draw(t, "client")), rapid.Uint64Range(0, 9).Draw(t, "by"))
			}
			if rapid.IntRange(0, 4).Draw(t, "forgets a client") == 0 && len(a.order) > 0 {
				delete(a.series, a.order[0])
				a.order = a.order[1:]
			}
			at := t0.Add(time.Duration(i) * 10 * time.Second)
			// Another one takes the memory, and gives it back.
			o := &collector.Snapshot{Instance: other, Time: at, Interval: 10 * time.Second}
			for c := range rapid.IntRange(0, 30).Draw(t, "taken") {
				o.Samples = append(o.Samples, counter(fmt.Sprintf("h/%d/other", c), "1"))
			}
			e.Enrich(o)
			s := snapshot(at, a.body()...)
			e.Enrich(s)
			if got, most := deltas(s), a.growth(); got.Cmp(most) > 0 {
				t.Fatalf("scrape %d: %d counted of %d", i, got, most)
			}
			clear(a.grown)
			if b := e.Status().StateBytes; b > e.states.limit.Load()+8<<10 {
				t.Fatalf("%d bytes are remembered, of %d", b, e.states.limit.Load())
			}
		}
	})
}
