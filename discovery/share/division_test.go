package share

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/discovery"
)

func key(n int) discovery.Key {
	return discovery.Key{Service: fmt.Sprintf("s%d", n%7), Env: "prod", Host: fmt.Sprintf("10.0.%d.%d", n>>8&255, n&255), Port: uint16(8000 + n%3)}
}

func member(id string, weight int, jobs ...string) Collector {
	c := Collector{ID: id, Weight: weight, Jobs: map[string]string{}}
	for i := 0; i < len(jobs); i += 2 {
		c.Jobs[jobs[i]] = jobs[i+1]
	}
	return c
}

func divide(self string, members ...Collector) *Division {
	return NewDivision(self, nil, members, 1, FromZooKeeper, time.Time{})
}

func owners(d *Division, n int) (out []string) {
	for i := range n {
		c, ok := d.Owner("main", key(i))
		if !ok {
			out = append(out, "")
			continue
		}
		out = append(out, c.ID)
	}
	return out
}

func drawMembers(t *rapid.T) []Collector {
	ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[0-9a-f]{16}`), 2, 8, rapid.ID[string]).Draw(t, "ids")
	var out []Collector
	for _, id := range ids {
		out = append(out, member(id, rapid.IntRange(1, FullWeight).Draw(t, "weight"), "main", "1"))
	}
	return out
}

// A member that goes moves what it had, and nothing else; one that comes takes, and moves nothing among the others.
func TestLeaveMovesOnlyItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		gone := rapid.IntRange(0, len(members)-1).Draw(t, "gone")
		rest := slices.Delete(slices.Clone(members), gone, gone+1)
		digests := map[string]string{"main": "1"}
		with := owners(NewDivision("x", digests, members, 1, "", time.Time{}), 300)
		without := owners(NewDivision("x", digests, rest, 2, "", time.Time{}), 300)
		for i := range with {
			if with[i] != members[gone].ID && with[i] != without[i] {
				t.Fatalf("%s moved from %s to %s when %s went", key(i), with[i], without[i], members[gone].ID)
			}
			if with[i] == members[gone].ID && without[i] == with[i] {
				t.Fatalf("%s stays with %s, who went", key(i), with[i])
			}
		}
	})
}

// A weight that grows takes to its member what it draws, and moves nothing between the others.
func TestWeightMovesTheDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		i := rapid.IntRange(0, len(members)-1).Draw(t, "who")
		members[i].Weight = rapid.IntRange(1, FullWeight-1).Draw(t, "from")
		before := owners(divide(members[0].ID, members...), 300)
		more := slices.Clone(members)
		more[i].Weight = rapid.IntRange(members[i].Weight+1, FullWeight).Draw(t, "to")
		after := owners(divide(members[0].ID, more...), 300)
		for n := range before {
			if before[n] != after[n] && after[n] != members[i].ID {
				t.Fatalf("%s moved from %s to %s when %s got more", key(n), before[n], after[n], members[i].ID)
			}
		}
	})
}

// Whoever sees the same members agrees, in whatever order they were read; each key has one owner.
func TestViewsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		want := owners(divide(members[0].ID, members...), 200)
		other := rapid.Permutation(members).Draw(t, "order")
		for _, m := range members {
			d := divide(m.ID, other...)
			if got := owners(d, 200); !slices.Equal(got, want) {
				t.Fatalf("%s sees other owners", m.ID)
			}
			for n := range want {
				if d.Mine("main", key(n)) != (want[n] == m.ID) {
					t.Fatalf("%s: Mine(%s) is not what Owner says", m.ID, key(n))
				}
			}
		}
	})
}

func TestSharesFollowWeights(t *testing.T) {
	d := divide("a", member("a", 16, "main", "1"), member("b", 8, "main", "1"), member("c", 8, "main", "1"))
	const n = 30_000
	got := map[string]int{}
	for _, id := range owners(d, n) {
		got[id]++
	}
	for id, want := range map[string]float64{"a": .5, "b": .25, "c": .25} {
		if share := float64(got[id]) / n; math.Abs(share-want) > 0.02 {
			t.Errorf("%s has %.3f of the keys, want %.2f", id, share, want)
		}
	}
}

func TestDigests(t *testing.T) {
	a := member("a", 16, "main", "1", "files", "x", "mine", "1")
	b := member("b", 16, "main", "1", "files", "y")
	c := member("c", 16, "main", "1", "files", "y", "theirs", "1")
	da, db := divide("a", a, b, c), divide("b", a, b, c)
	all := func(d *Division, job string) bool {
		for n := range 100 {
			if !d.Mine(job, key(n)) {
				return false
			}
		}
		return true
	}
	for _, tc := range []struct {
		name      string
		got, want any
	}{
		{"everybody has main alike", da.Alone("main") || db.Alone("main"), false},
		{"a's files are its own", da.Alone("files") && all(da, "files"), true},
		{"b and c divide theirs", db.Alone("files") || all(db, "files"), false},
		{"a job of a's only", da.Alone("mine") && all(da, "mine"), true},
		{"a job that nobody has is everybody's who sees it", all(db, "nobody"), true},
		{"a says who differs", fmt.Sprint(da.Differing()), "map[files:[b c]]"},
		{"b says who differs", fmt.Sprint(db.Differing()), "map[files:[a]]"},
		{"whoever is not a member any more yields what the others own", all(NewDivision("z", a.Jobs, []Collector{a, b, c}, 1, FromPeers, time.Time{}), "main"), false},
		{"and keeps what they do not", all(NewDivision("z", map[string]string{"own": "1"}, []Collector{a, b, c}, 1, FromPeers, time.Time{}), "own"), true},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, tc.got, tc.want)
		}
	}
	n := 0
	for _, d := range []*Division{da, db, divide("c", a, b, c)} {
		if d.Publishes("main", "checkout", "prod") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d collectors publish the roster of one service", n)
	}
}

func TestSame(t *testing.T) {
	a, b := member("a", 16, "main", "1"), member("b", 16, "main", "1")
	heavier, other := b, b
	heavier.Weight = 8
	other.Jobs = maps.Clone(b.Jobs)
	other.Jobs["main"] = "2"
	d := divide("a", a, b)
	for _, tc := range []struct {
		name string
		o    *Division
		same bool
	}{
		{"itself", d, true},
		{"another order", divide("a", b, a), true},
		{"a new term alone", NewDivision("a", nil, []Collector{a, b}, 9, FromPeers, time.Time{}), true},
		{"fewer", divide("a", a), false},
		{"other weights", divide("a", a, heavier), false},
		{"another digest", divide("a", a, other), false},
	} {
		if d.Same(tc.o) != tc.same {
			t.Errorf("%s: Same is not %v", tc.name, tc.same)
		}
	}
}

func TestTermText(t *testing.T) {
	for text, want := range map[string]Term{"0x0": 0, "0x5a10000002f": 0x5a10000002f, "0xffffffffffffffff": math.MaxUint64} {
		var got Term
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "5a", "0x", "0xg", "0x10000000000000000"} {
		if new(Term).UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is taken for a term", bad)
		}
	}
}

func FuzzDecodeCollector(f *testing.F) {
	f.Add("a", []byte(`{"id":"a","addr":"10.0.0.1:7140","weight":16,"jobs":{"main":"1f"},"version":"1","started":"2026-11-01T00:00:00Z","term":"0x5a1"}`))
	f.Add("a", []byte(`{"id":"b","weight":16}`))
	f.Add("a", []byte(`{"id":"a","weight":99}`))
	f.Add("a", []byte(`{"id":"a","weight":1,"addr":"169.254.169.254"}`))
	f.Add("a", []byte(`{"id":"a","weight":1,"scheme":"file"}`))
	f.Add("a", []byte(`{"id":"a","weight":1,"term":7}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		c, err := DecodeCollector(name, data)
		if err != nil {
			if c.ID != "" {
				t.Errorf("an error, and half a member: %+v", c)
			}
			return
		}
		if c.ID != name || c.Weight < 1 || c.Weight > FullWeight {
			t.Errorf("%q is taken: %+v", data, c)
		}
		divide(name, c).Mine("main", key(1))
	})
}

func BenchmarkMine(b *testing.B) {
	var members []Collector
	for i := range 10 {
		members = append(members, member(fmt.Sprintf("%016x", i), FullWeight, "main", "1"))
	}
	d, k := divide(members[0].ID, members...), key(1)
	b.ReportAllocs()
	for b.Loop() {
		d.Mine("main", k)
	}
}
