package collect

import (
	"fmt"
	"slices"
	"testing"
	"time"

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

func burstOrder(id string, every time.Duration, n int) discovery.Order {
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
	got := spread(all)
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
	if !slices.Equal(spread(shuffled), got) {
		t.Error("the choice hangs on the order")
	}
	was := map[discovery.Key]bool{}
	for _, c := range got[:100] {
		was[c.Key] = true
	}
	stay := 0
	for _, c := range spread(slices.DeleteFunc(shuffled, func(c candidate) bool { return c.Key == got[50].Key }))[:100] {
		if was[c.Key] {
			stay++
		}
	}
	if stay < 95 {
		t.Errorf("%d of 99 stay when one goes", stay)
	}
}

func TestPlan(t *testing.T) {
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
		"no budget":                  {[]slice{{order: burstOrder("a", time.Second, 0), all: sliceOf(10)}}, 0, map[string]covered{"a": {Of: 10, Full: 10}}, 0},
		"so many":                    {[]slice{{order: burstOrder("a", time.Second, 7), all: sliceOf(10)}}, 500, map[string]covered{"a": {Taken: 7, Of: 10}}, 6.3},
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

// So many instances of all are chosen alike by every collector, each of which has some of them.
func TestPlanOfGroup(t *testing.T) {
	all := sliceOf(90)
	parts := [][]candidate{all[:20], all[20:50], all[50:]}
	const n = 25
	first := make([][]candidate, len(parts)) // as each tells the others
	for i := range parts {
		s := slice{order: burstOrder("a", time.Second, n), all: parts[i]}
		first[i] = s.chosen()
	}
	chosen := map[discovery.Key]bool{}
	for i := range parts {
		var others []candidate
		for k := range parts {
			if k != i {
				others = append(others, first[k]...)
			}
		}
		p := makePlan([]slice{{order: burstOrder("a", time.Second, n), all: parts[i], others: others}}, 500)
		for k := range p.paces {
			chosen[k] = true
		}
	}
	if len(chosen) != n {
		t.Errorf("%d chosen, want %d", len(chosen), n)
	}
}

func TestCoveredInWords(t *testing.T) {
	for want, c := range map[string]covered{"312 of 1,840 instances": {Taken: 312, Of: 1840}, "0 of 1 instance": {Of: 1}, "1,000,007 of 2,000,000 instances": {Taken: 1000007, Of: 2000000}} {
		if c.String() != want {
			t.Errorf("%q, want %q", c, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"cart", "checkout", "checkout-legacy", "search"}
	for name, want := range map[string]string{"chekout": "[checkout]", "checkout-": "[checkout checkout-legacy]", "nothing": "[]", "saerch": "[search]"} {
		if got := fmt.Sprint(nearest(name, names)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
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
	o := burstOrder("a", time.Second, 0)
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
