package audit

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const (
	one = 0x9f3c2a7be01d44c1
	two = 0xa0b1c2d3e4f50617
)

// at is a record; its scrape time is 1,000 s and a second a sequence, unless moved.
func at(collector, start, seq uint64, change ...func(*wire.Record)) *wire.Record {
	r := &wire.Record{ID: wire.ID{Collector: collector, Start: start, Partition: 3, Sequence: seq}, TS: int64(1_000_000 + 100_000*start + 1000*seq), Service: "s", Env: "prod", Instance: "10.0.0.5:80"}
	for _, c := range change {
		c(r)
	}
	return r
}

func part(n, of int) func(*wire.Record) { return func(r *wire.Record) { r.ID.Part, r.Parts = n, of } }
func previous(start, seq uint64) func(*wire.Record) {
	return func(r *wire.Record) {
		r.Source.Previous = wire.ID{Collector: r.ID.Collector, Start: start, Partition: 3, Sequence: seq}
	}
}
func slot(n int64) func(*wire.Record) { return func(r *wire.Record) { r.Source.Slot = n } }

// feed gives records to an audit, those of the lanes one after the other.
func feed(t interface {
	Helper()
	Fatal(...any)
}, a *Audit, lanes ...[]*wire.Record) {
	t.Helper()
	for l, rs := range lanes {
		for i, r := range rs {
			if err := a.Add(Place{Topic: fmt.Sprint("lane-", l), Partition: 3, Offset: int64(i)}, r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func rows(start uint64, seqs ...uint64) (out []*wire.Record) {
	for _, s := range seqs {
		out = append(out, at(one, start, s))
	}
	return out
}

func with(lists ...[]*wire.Record) []*wire.Record { return slices.Concat(lists...) }

// told is what a report names, in short.
func told(r Report) string {
	s := ""
	for _, g := range r.Gaps {
		s += fmt.Sprintf("%s %d:%d-%d", g.Kind, g.Start, g.First, g.Last)
		if g.Why != "" {
			s += " " + g.Why
		}
		s += "; "
	}
	for _, i := range r.Incomplete {
		s += fmt.Sprintf("parts %v of %s; ", i.Missing, i.ID[17:])
	}
	for _, d := range r.Doubled.List {
		s += fmt.Sprintf("double %s at %s/%d; ", d.ID[17:], d.Topic, d.Offset)
	}
	for _, d := range r.OutOfOrder.List {
		s += fmt.Sprintf("%s behind %s; ", d.ID[17:], d.After[17:])
	}
	for _, d := range r.PulledTwice.List {
		s += fmt.Sprintf("twice %s and %s; ", d.With[17:], d.ID[17:])
	}
	return s
}

func TestFindings(t *testing.T) {
	whole := func(a *Audit) { a.Edge(3, true, time.Time{}); a.Edge(3, true, time.Time{}) }
	trimmed := func(before int64) func(*Audit) {
		return func(a *Audit) { a.Edge(3, true, time.Time{}); a.Edge(3, false, time.UnixMilli(before)) }
	}
	none := func(*Audit) {}
	for _, tc := range []struct {
		name  string
		edge  func(*Audit)
		lanes [][]*wire.Record
		want  string
		lost  uint64
	}{
		{"sound", whole, [][]*wire.Record{rows(1, 1, 2, 5, 6), rows(1, 3, 4)}, "", 0},
		{"a hole", whole, [][]*wire.Record{rows(1, 1, 2, 5, 6)}, "hole 1:3-4; ", 2},
		{"two holes, one filled by the other lane", whole, [][]*wire.Record{rows(1, 1, 3, 6), rows(1, 2, 5)}, "hole 1:4-4; ", 1},
		{"a head, where all was read", whole, [][]*wire.Record{rows(1, 4, 5)}, "head 1:1-3; ", 3},
		{"a head at retention's edge is none", trimmed(0), [][]*wire.Record{rows(1, 4, 5)}, "", 0},
		{"a head behind a start that was seen", trimmed(0), [][]*wire.Record{rows(1, 7, 8), rows(2, 3, 4)}, "head 2:1-2; ", 2},
		{"a tail that the next start tells of", none, [][]*wire.Record{with(rows(1, 7, 8), []*wire.Record{at(one, 2, 1, previous(1, 12))})}, "tail 1:9-12; ", 4},
		{"a tail that is there", none, [][]*wire.Record{with(rows(1, 7, 8), []*wire.Record{at(one, 2, 1, previous(1, 8))})}, "", 0},
		{"a start of which nothing is left", whole, [][]*wire.Record{{at(one, 2, 1, previous(1, 12))}}, "tail 1:1-12; ", 12},
		{"a start that ended before the edge", trimmed(0), [][]*wire.Record{{at(one, 2, 1, previous(1, 12))}}, "", 0},
		{"a start lost between two", trimmed(0), [][]*wire.Record{with(rows(1, 7), []*wire.Record{at(one, 3, 1, previous(2, 2))})}, "tail 2:1-2; ", 2},
		{"a tail older than what was seen is none", none, [][]*wire.Record{with(rows(1, 7, 8), []*wire.Record{at(one, 2, 1, previous(1, 5))})}, "", 0},
		{"what retention may have removed", trimmed(1_104_500), [][]*wire.Record{rows(1, 1, 3, 7, 9)}, "hole 1:8-8; ", 1},
		{"a double", whole, [][]*wire.Record{rows(1, 1, 2, 2, 3)}, "double 1/3/2 at lane-0/2; ", 0},
		{"a double in the other lane", whole, [][]*wire.Record{rows(1, 1, 2, 3), rows(1, 2)}, "double 1/3/2 at lane-1/0; ", 0},
		{"a double is not out of order, too", whole, [][]*wire.Record{rows(1, 1, 2, 3, 1, 4)}, "double 1/3/1 at lane-0/3; ", 0},
		{"two changed places", whole, [][]*wire.Record{rows(1, 1, 3, 2, 4)}, "1/3/2 behind 1/3/3; ", 0},
		{"one moved far", whole, [][]*wire.Record{rows(1, 1, 3, 4, 5, 2, 6)}, "1/3/2 behind 1/3/5; ", 0},
		{"parts", whole, [][]*wire.Record{{at(one, 1, 1, part(1, 2)), at(one, 1, 1, part(2, 2)), at(one, 1, 2)}}, "", 0},
		{"parts over both lanes", whole, [][]*wire.Record{{at(one, 1, 1, part(1, 2)), at(one, 1, 2)}, {at(one, 1, 1, part(2, 2))}}, "", 0},
		{"a part is missing", whole, [][]*wire.Record{{at(one, 1, 1, part(1, 3)), at(one, 1, 1, part(3, 3)), at(one, 1, 2)}}, "parts [2] of 1/3/1; ", 1},
		{"a part twice", whole, [][]*wire.Record{{at(one, 1, 1, part(1, 2)), at(one, 1, 1, part(1, 2)), at(one, 1, 1, part(2, 2)), at(one, 1, 1, part(2, 2))}},
			"double 1/3/1/1 at lane-0/1; double 1/3/1/2 at lane-0/3; ", 0},
		{"parts changed places", whole, [][]*wire.Record{{at(one, 1, 1, part(2, 2)), at(one, 1, 1, part(1, 2))}}, "1/3/1/1 behind 1/3/1/2; ", 0},
		{"one instance twice in a slot", whole, [][]*wire.Record{{at(one, 1, 1, slot(10)), at(one, 1, 2, slot(20)), at(one, 1, 3, slot(10))}}, "twice 1/3/1 and 1/3/3; ", 0},
		{"by two collectors", whole, [][]*wire.Record{{at(one, 1, 1, slot(10)), at(two, 1, 1, slot(10)), at(one, 2, 1, slot(10))}}, "", 0},
		{"several collectors have sequences of their own", whole, [][]*wire.Record{{at(one, 1, 1), at(two, 7, 1), at(one, 1, 2), at(two, 7, 3)}}, "hole 7:2-2; ", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := New(Config{})
			tc.edge(a)
			feed(t, a, tc.lanes...)
			for range 2 { // a report changes nothing
				if r := a.Report(); told(r) != tc.want || r.Lost != tc.lost || r.Sound() != (tc.lost == 0 && r.Doubled.N+r.PulledTwice.N == 0) {
					t.Errorf("%q, %d lost, want %q, %d", told(r), r.Lost, tc.want, tc.lost)
				}
			}
		})
	}
}

// Nothing is said of what is older than Since, and what is younger than the grace may be on its way.
func TestTimes(t *testing.T) {
	a := New(Config{Since: time.UnixMilli(1_105_000), Now: time.UnixMilli(1_121_000), Grace: 2 * time.Second})
	feed(t, a, rows(1, 1, 3, 5, 6, 8, 20), rows(1, 1, 8))
	r := a.Report()
	if got := told(r); got != "hole 1:7-7; double 1/3/8 at lane-1/1; " || r.Unproven != 2 || r.OnTheWay != 11 || r.Lost != 1 {
		t.Errorf("%q %+v", got, r)
	}
}

func TestLedgerExplains(t *testing.T) {
	a := New(Config{})
	feed(t, a, rows(4, 1, 20))
	ledger := sink.Report{Collector: wire.FormatCollector(one), Start: 4, Losses: []sink.Loss{
		{Reason: "budget", Partition: 3, First: 3, Last: 5}, {Reason: "rekeyed", Partition: 3, First: 6, Last: 7}, {Reason: "budget", Partition: 2, First: 9, Last: 9},
		{Reason: "budget", Partition: 3, Topic: "rollcall.roster", First: 9, Last: 9}, {Reason: "shutdown", Partition: 3, First: 18, Last: 30}}}
	other := ledger
	other.Start = 3
	heir := sink.Report{Collector: ledger.Collector, Start: 9, Losses: []sink.Loss{{Start: 4, Reason: "spool_damaged", Partition: 3, First: 8, Last: 8}, {Reason: "budget", Partition: 3, First: 9, Last: 9}}}
	r := a.Report(other, ledger, heir)
	if got := told(r); got != "hole 4:2-2; hole 4:3-5 budget; hole 4:8-8 spool_damaged; hole 4:9-17; hole 4:18-19 shutdown; " || r.Rekeyed != 2 || r.Lost != 16 {
		t.Errorf("%q %+v", got, r)
	}
}

func TestBounds(t *testing.T) {
	a := New(Config{List: 2, maxRuns: 100})
	var err error
	for seq := uint64(1); err == nil && seq < 1000; seq += 2 {
		err = a.Add(Place{Topic: "live", Partition: 3}, at(one, 1, seq))
	}
	r := a.Report()
	if err != ErrTooMany || r.Lost != 100 || len(r.Gaps) != 2 || r.Unlisted != 98 {
		t.Errorf("%v, %d lost, %d listed, %d not", err, r.Lost, len(r.Gaps), r.Unlisted)
	}
}

// A stream over two lanes is tampered with at random; what the audit names is what was done, and nothing else.
func TestTampered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := uint64(rapid.IntRange(1, 60).Draw(t, "records"))
		removed, doubled := map[uint64]bool{}, map[uint64]bool{}
		for _, s := range rapid.SliceOfN(rapid.Uint64Range(1, n), 0, 8).Draw(t, "removed") {
			if s != n { // the end of a start that goes on cannot be known
				removed[s] = true
			}
		}
		for _, s := range rapid.SliceOfN(rapid.Uint64Range(1, n), 0, 5).Draw(t, "doubled") {
			if !removed[s] {
				doubled[s] = true
			}
		}
		var lanes [2][]*wire.Record
		for s := uint64(1); s <= n; s++ {
			if removed[s] {
				continue
			}
			l := rapid.IntRange(0, 1).Draw(t, "lane")
			lanes[l] = append(lanes[l], at(one, 1, s))
		}
		swapped := map[int]bool{}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, 30), 0, 4).Draw(t, "swapped") {
			if i+1 < len(lanes[0]) && !swapped[i] && !swapped[i-1] && !swapped[i+1] {
				lanes[0][i], lanes[0][i+1] = lanes[0][i+1], lanes[0][i]
				swapped[i] = true
			}
		}
		for _, s := range slices.Sorted(maps.Keys(doubled)) {
			l := rapid.IntRange(0, 1).Draw(t, "lane of the double")
			i := rapid.IntRange(0, len(lanes[l])).Draw(t, "place of the double")
			lanes[l] = slices.Insert(lanes[l], i, at(one, 1, s))
		}
		a := New(Config{})
		a.Edge(3, true, time.Time{})
		feed(t, a, lanes[0], lanes[1])
		r := a.Report()
		missing := map[uint64]bool{}
		for _, g := range r.Gaps {
			for s := g.First; s <= g.Last; s++ {
				missing[s] = true
			}
		}
		twice := map[string]bool{}
		for _, d := range r.Doubled.List {
			twice[d.ID] = true
		}
		if !maps.Equal(missing, removed) || len(twice) != len(doubled) || int(r.Doubled.N) != len(doubled) {
			t.Fatalf("removed %v, doubled %v: the audit says %s", removed, doubled, told(r))
		}
		for s := range doubled {
			if !twice[at(one, 1, s).ID.String()] {
				t.Fatalf("%d doubled: the audit says %s", s, told(r))
			}
		}
		if len(doubled) == 0 && int(r.OutOfOrder.N) != len(swapped) {
			t.Fatalf("%d swapped: the audit says %s", len(swapped), told(r))
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	b.ReportAllocs()
	a := New(Config{})
	r := at(one, 1, 0, slot(1))
	for b.Loop() {
		r.ID.Sequence++
		r.Source.Slot++
		if err := a.Add(Place{Topic: "live", Partition: 3, Offset: int64(r.ID.Sequence)}, r); err != nil {
			b.Fatal(err)
		}
	}
}
