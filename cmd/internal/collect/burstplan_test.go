package collect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
)

// sliceOf is n candidates, of which every tenth runs 2.0 and which are spread over three zones; 2.0 is in one of them only.
func sliceOf(n int) (out []candidate) {
	for i := range n {
		c := candidate{Key: discovery.Key{Service: "checkout", Env: "prod", Host: fmt.Sprintf("10.0.%d.%d", i>>8, i&255), Port: 80}, Version: "1.0", Zone: string(rune('a' + i%3)), usual: 10 * time.Second}
		if i%10 == 0 {
			c.Version, c.Zone = "2.0", "a"
		}
		out = append(out, c)
	}
	return out
}

func burstOrder(id string, every time.Duration, n int) share.Placed {
	return share.Placed{Scope: share.ScopeGroup, Order: orderOf(id, every, n)}
}

func orderOf(id string, every time.Duration, n int) discovery.Order {
	return discovery.Order{ID: id, Kind: discovery.BurstOrder, Path: "/", Burst: discovery.Burst{Service: "checkout", Env: "prod", EveryMS: every.Milliseconds(), Instances: n}}
}

func count(in []candidate) map[string]int {
	out := map[string]int{}
	for _, c := range in {
		out[c.Version+c.Zone]++
	}
	return out
}

func TestSpread(t *testing.T) {
	all := sliceOf(300)
	alone := func(in []candidate) []candidate { return spread(in, countPlaces(in)) }
	got := alone(all)
	if len(got) != 300 {
		t.Fatalf("%d of 300", len(got))
	}
	// One of each version, then one of each version in each zone, then in proportion.
	if c := count(got[:2]); len(c) != 2 || c["2.0a"] != 1 {
		t.Errorf("first two: %v", c)
	}
	if c := count(got[:4]); c["2.0a"] != 1 || c["1.0a"] != 1 || c["1.0b"] != 1 || c["1.0c"] != 1 {
		t.Errorf("first four: %v", c)
	}
	if c := count(got[:100]); c["2.0a"] < 8 || c["2.0a"] > 12 || c["1.0b"] < 27 || c["1.0b"] > 33 {
		t.Errorf("first hundred: %v", c)
	}
	// It is the same in any order, and who goes moves few.
	shuffled := slices.Clone(all)
	slices.Reverse(shuffled)
	if !slices.Equal(alone(shuffled), got) {
		t.Error("the choice hangs on the order")
	}
	was := map[discovery.Key]bool{}
	for _, c := range got[:100] {
		was[c.Key] = true
	}
	stay := 0
	for _, c := range alone(slices.DeleteFunc(shuffled, func(c candidate) bool { return c.Key == got[50].Key }))[:100] {
		if was[c.Key] {
			stay++
		}
	}
	if stay < 95 {
		t.Errorf("%d of 99 stay when one goes", stay)
	}
}

func TestPlan(t *testing.T) {
	twice := func(of []candidate) []candidate {
		for i := range of {
			of[i].asked = asked(&scrape.Job{OstrichPeriod: time.Minute})
		}
		return of
	}
	slow := func(of []candidate, n int) []candidate { return of[n:] }
	for name, tc := range map[string]struct {
		slices []slice
		budget float64
		want   map[string]covered
		added  float64
	}{
		"all of it": {[]slice{{order: burstOrder("a", time.Second, 0), all: sliceOf(100)}}, 500, map[string]covered{"a": {Taken: 100, Of: 100}}, 90},
		"as much as the budget has": {[]slice{{order: burstOrder("a", time.Second, 0), all: sliceOf(100)}}, 45,
			map[string]covered{"a": {Taken: 50, Of: 100, Full: 50}}, 45},
		"slow ones aside": {[]slice{{order: burstOrder("a", time.Second, 0), all: slow(sliceOf(100), 10), slow: 10}}, 500,
			map[string]covered{"a": {Taken: 90, Of: 100, Slow: 10}}, 81},
		"an older one keeps what it has": {[]slice{{order: burstOrder("a", time.Second, 0), all: sliceOf(100)}, {order: burstOrder("b", 500*time.Millisecond, 0), all: sliceOf(100)}}, 100,
			map[string]covered{"a": {Taken: 100, Of: 100}, "b": {Taken: 10, Of: 100, Full: 90}}, 100},
		"of two the shorter interval": {[]slice{{order: burstOrder("a", time.Second, 0), all: sliceOf(10)}, {order: burstOrder("b", 500*time.Millisecond, 0), all: sliceOf(5)}}, 500,
			map[string]covered{"a": {Taken: 10, Of: 10}, "b": {Taken: 5, Of: 5}}, 14},
		"a longer one costs nothing more": {[]slice{{order: burstOrder("a", 500*time.Millisecond, 0), all: sliceOf(5)}, {order: burstOrder("b", time.Second, 0), all: sliceOf(10)}}, 500,
			map[string]covered{"a": {Taken: 5, Of: 5}, "b": {Taken: 10, Of: 10}}, 14},
		"not shorter than the job's": {[]slice{{order: burstOrder("a", 10*time.Second, 0), all: sliceOf(10)}}, 0, map[string]covered{"a": {Taken: 10, Of: 10}}, 0},
		"asked twice in each scrape": {[]slice{{order: burstOrder("a", time.Second, 0), all: twice(sliceOf(100))}}, 90,
			map[string]covered{"a": {Taken: 50, Of: 100, Full: 50}}, 90},
		"no budget": {[]slice{{order: burstOrder("a", time.Second, 0), all: sliceOf(10)}}, 0, map[string]covered{"a": {Of: 10, Full: 10}}, 0},
		"so many":   {[]slice{{order: burstOrder("a", time.Second, 7), all: sliceOf(10)}}, 500, map[string]covered{"a": {Taken: 7, Of: 10}}, 6.3},
		"so many, and the others have not said": {[]slice{{order: burstOrder("a", time.Second, 7), all: sliceOf(10), waits: true}}, 500,
			map[string]covered{"a": {Of: 10}}, 0},
	} {
		p := makePlan(tc.slices, tc.budget)
		for id, want := range tc.want {
			if got := p.covered[id]; got != want {
				t.Errorf("%s: %s is %+v, want %+v", name, id, got, want)
			}
		}
		if d := p.added - tc.added; d > 1e-6 || d < -1e-6 {
			t.Errorf("%s: adds %v, want %v", name, p.added, tc.added)
		}
	}
}

// So many instances of all are exactly so many, or as many as there are and have room, however the fleet is made, whoever has whom and whatever a collector may add.
// They stand for all as well as if one collector had chosen, where nobody is short of room.
func TestPlanOfGroup(t *testing.T) {
	const rounds = 1000
	alike, asked := 0, 0
	for round := range rounds {
		rng := rand.New(rand.NewPCG(uint64(round), 1))
		parts := make([][]candidate, 2+rng.IntN(4))
		var all []candidate
		versions, zones := 1+rng.IntN(3), 1+rng.IntN(4)
		for i := range 10 + rng.IntN(200) {
			c := candidate{Key: discovery.Key{Service: "checkout", Env: "prod", Host: fmt.Sprintf("10.%d.%d.%d", round>>8, i, round&255), Port: 80}, job: "apps", usual: 10 * time.Second}
			c.Version, c.Zone = fmt.Sprint(rng.IntN(10)*versions/11), fmt.Sprint(rng.IntN(zones))
			at := rng.IntN(len(parts))
			if round%3 == 0 { // one has most, of a version of its own
				at = min(at, rng.IntN(len(parts)))
				c.Version = fmt.Sprint(at)
			}
			parts[at] = append(parts[at], c)
			all = append(all, c)
		}
		n := 1 + rng.IntN(len(all)+5)
		budget := 1e9
		if round%2 == 1 {
			budget = 0.9 * float64(rng.IntN(40)) // so many of 0.9 a second
		}
		slice := func(i int, others []offer, waits bool) []slice {
			return []slice{{order: burstOrder("a", time.Second, n), all: parts[i], others: others, waits: waits}}
		}
		offers, room := make([]offer, len(parts)), 0
		for i := range parts {
			offers[i] = makePlan(slice(i, nil, true), budget).offers["a"]
			room += min(len(parts[i]), int(budget/0.9+1e-6))
		}
		chosen := map[discovery.Key]bool{}
		for i := range parts {
			p := makePlan(slice(i, slices.Delete(slices.Clone(offers), i, i+1), false), budget)
			if c := p.covered["a"]; c.Taken != len(p.paces) || p.added > budget+1e-6 {
				t.Fatalf("round %d: %+v of %d, %v of %v", round, c, len(p.paces), p.added, budget)
			}
			for k := range p.paces {
				chosen[k] = true
			}
		}
		if want := min(n, room); len(chosen) != want {
			t.Fatalf("round %d: %d chosen of %d with room, asked for %d", round, len(chosen), room, n)
		}
		if budget == 1e9 {
			for _, c := range spread(all, countPlaces(all))[:len(chosen)] {
				if asked++; chosen[c.Key] {
					alike++
				}
			}
		}
	}
	if alike*100 < asked*95 {
		t.Errorf("%d of %d are whom one collector would have chosen", alike, asked)
	}
}

// An older burst leaves what it takes of the budget, a younger one what is left, and what is offered to the others is what there is room for then.
func TestOffersBesideAnother(t *testing.T) {
	p := makePlan([]slice{{order: burstOrder("a", time.Second, 0), all: sliceOf(10)}, {order: burstOrder("b", 500*time.Millisecond, 30), all: sliceOf(100)}}, 20)
	if got := p.covered["a"]; got != (covered{Taken: 10, Of: 10}) {
		t.Errorf("a: %+v", got)
	}
	// 11 a second are left: a second more each for those of a, 1.9 for others.
	o := p.offers["b"]
	cost := 0.0
	for _, c := range o.First {
		if cost += 1.9; slices.ContainsFunc(sliceOf(10), func(in candidate) bool { return in.Key == c.Key }) {
			cost -= 0.9
		}
	}
	if c := p.covered["b"]; c.Taken != len(o.First) || c.Full != 30-c.Taken || cost > 11+1e-6 || cost < 11-1.9 {
		t.Errorf("b: %+v for %v", c, cost)
	}
}

// What is heard of a burst that ended meanwhile is not kept.
func TestHeardTooLate(t *testing.T) {
	b := newBursts()
	words := map[string]sliceWord{"two": {offer: offer{First: sliceOf(3)}}}
	b.heard("a", words)
	if len(b.others) != 0 {
		t.Errorf("kept: %v", b.others)
	}
	b.plan.Store(makePlan([]slice{{order: burstOrder("a", time.Second, 2)}}, 1))
	if b.heard("a", words); len(b.others["a"]["two"].First) != 3 {
		t.Errorf("not kept: %v", b.others)
	}
	b.forget(makePlan(nil, 1))
	if len(b.others) != 0 {
		t.Errorf("kept: %v", b.others)
	}
}

func TestCoveredInWords(t *testing.T) {
	for want, c := range map[string]covered{"312 of 1,840 instances": {Taken: 312, Of: 1840}, "0 of 1 instance": {Of: 1}, "1,000,007 of 2,000,000 instances": {Taken: 1000007, Of: 2000000}} {
		if c.String() != want {
			t.Errorf("%q, want %q", c, want)
		}
	}
}

// BenchmarkBurst is the look at a burst of a service of 10,000 that comes each second while it is on.
func BenchmarkBurst(b *testing.B) {
	var of []*discovery.Member
	for i := range 10_000 {
		of = append(of, member("checkout", "/discovery/checkout/prod", fmt.Sprintf("10.0.%d.%d:80", i>>8, i&255)))
	}
	d, _ := rollOf(b, 0, discovery.Set{Source: "apps", Path: "/discovery/checkout/prod", Members: of, Verified: time.Now()})
	now := time.Now()
	o := orderOf("a", time.Second, 0)
	o.Until = now.Add(time.Hour)
	placed := []share.Placed{{Order: o, Scope: share.ScopeHere}}
	b.ReportAllocs()
	for b.Loop() {
		d.burst(placed, now)
	}
	if c := d.bursts.plan.Load().covered["a"]; c.Of != 10_000 || c.Taken != 555 {
		b.Errorf("%+v", c)
	}
}

// BenchmarkBurstOrders is the same look where 950 orders are each of one host of the 10,000.
func BenchmarkBurstOrders(b *testing.B) {
	var of []*discovery.Member
	for i := range 10_000 {
		of = append(of, member("checkout", "/discovery/checkout/prod", fmt.Sprintf("10.0.%d.%d:80", i>>8, i&255)))
	}
	d, _ := rollOf(b, 0, discovery.Set{Source: "apps", Path: "/discovery/checkout/prod", Members: of, Verified: time.Now()})
	now := time.Now()
	var placed []share.Placed
	for i := range 950 {
		o := orderOf(fmt.Sprint("o", i), time.Second, 0)
		o.Until, o.Burst.Tags = now.Add(time.Hour), discovery.TagsOf(map[string]string{discovery.TagHostName: fmt.Sprintf("10.0.%d.%d", i>>8, i&255)})
		placed = append(placed, share.Placed{Order: o, Scope: share.ScopeHere})
	}
	b.ReportAllocs()
	for b.Loop() {
		d.burst(placed, now)
	}
	if n := len(d.bursts.plan.Load().paces); n != 555 {
		b.Errorf("%d are pulled more often", n)
	}
}

// Whom the look finds for an order by the value of a tag are those whom Burst.Holds holds.
func TestBurstLook(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var of []*discovery.Member
	for i := range 300 {
		m := member("checkout", "/discovery/checkout/prod", fmt.Sprintf("10.0.0.%d:%d", i%150, 80+i/150))
		tags := map[string]string{"service.version": fmt.Sprint(rng.IntN(3)), "cloud.availability_zone": string(rune('a' + rng.IntN(3)))}
		if i%7 == 0 {
			tags[discovery.TagHostName] = fmt.Sprintf("10.0.0.%d", rng.IntN(150)) // as another one's address
		}
		m.Tags = discovery.TagsOf(tags)
		of = append(of, m)
	}
	d, _ := rollOf(t, 0, discovery.Set{Source: "apps", Path: "/discovery/checkout/prod", Members: of, Verified: time.Now()})
	look := d.lookAtBursts(d.bursts.plan.Load(), time.Now())
	found := 0
	for range 500 {
		tags := map[string]string{}
		for name, values := range map[string][]string{
			"service.version": {"0", "1", "9"}, "cloud.availability_zone": {"a", "b"},
			discovery.TagHostName: {fmt.Sprintf("10.0.0.%d", rng.IntN(160)), fmt.Sprintf("10.0.0.%d:%d", rng.IntN(150), 80+rng.IntN(2))},
		} {
			if rng.IntN(2) == 0 {
				tags[name] = values[rng.IntN(len(values))]
			}
		}
		o := orderOf("a", time.Second, 0)
		o.Burst.Tags = discovery.TagsOf(tags)
		var got, want []discovery.Key
		look.members(&o.Burst, func(m *burstMember) { got = append(got, m.Key) })
		for _, e := range d.roster.Of("checkout", "prod") {
			if d.pulls(&e) && o.Burst.Holds(e.Key, d.tagsOf(&e)) {
				want = append(want, e.Key)
			}
		}
		if found += len(want); !slices.Equal(got, want) {
			t.Fatalf("%v: %v, want %v", tags, got, want)
		}
	}
	if found == 0 {
		t.Error("nobody was to be found")
	}
}
