package export

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// The memory answers as a set of all ids would, whatever their order.
func TestMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, all := newMemory(), map[wire.ID]bool{}
		for range rapid.IntRange(0, 200).Draw(t, "records") {
			id := wire.ID{Collector: rapid.Uint64Range(1, 2).Draw(t, "collector"), Start: rapid.Uint64Range(1, 2).Draw(t, "start"), Sequence: rapid.Uint64Range(1, 60).Draw(t, "sequence")}
			parts := 0
			if id.Sequence%7 == 0 { // those come in three parts
				parts, id.Part = 3, rapid.IntRange(1, 3).Draw(t, "part")
			}
			if got := m.has(id); got != all[id] {
				t.Fatalf("%v: %v, want %v", id, got, all[id])
			}
			m.add(id, parts)
			all[id] = true
		}
	})
}

// Past its bounds the memory forgets what is oldest, and never takes for delivered what was not.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory()
	id := wire.ID{Collector: 1, Start: 1}
	for seq := uint64(1); seq <= 10*maxRuns; seq += 2 {
		id.Sequence = seq
		m.add(id, 0)
	}
	if n := len(m.of(id).list); n != maxRuns {
		t.Errorf("%d runs", n)
	}
	for seq := uint64(1); seq <= 10*maxRuns; seq++ {
		if id.Sequence = seq; m.has(id) && seq%2 == 0 {
			t.Fatalf("%d was never delivered", seq)
		}
	}
	if id.Sequence = 10*maxRuns - 1; !m.has(id) {
		t.Error("the newest is forgotten")
	}
	for start := uint64(2); start < 2*maxStreams; start++ {
		m.add(wire.ID{Collector: 1, Start: start, Sequence: 1}, 0)
		for part := 1; part < 3; part++ {
			m.add(wire.ID{Collector: 1, Start: start, Sequence: 2, Part: part}, 5)
		}
	}
	if n := len(m.streams); n != maxStreams {
		t.Errorf("%d streams", n)
	}
	for seq := uint64(1); seq <= 3*maxParts; seq++ {
		m.add(wire.ID{Collector: 1, Start: 1, Sequence: 100_000 + seq, Part: 1}, 2)
	}
	if n := len(m.of(wire.ID{Collector: 1, Start: 1}).parts); n > maxParts {
		t.Errorf("%d records in parts", n)
	}
}

// What was delivered behind a mark may be a whole topic, where the mark is lost: it is remembered as runs, and no id is taken for delivered that was not.
func TestIDsAreBounded(t *testing.T) {
	var s IDs
	if s.Has(wire.ID{}) {
		t.Error("an empty set has one")
	}
	id := wire.ID{Collector: 1, Start: 1}
	for id.Sequence = 1; id.Sequence <= 100_000; id.Sequence++ {
		s.Add(id)
	}
	if n := len(s.m.look(id).list); n != 1 {
		t.Errorf("%d runs", n)
	}
	part := wire.ID{Collector: 1, Start: 1, Sequence: 200_000, Part: 2}
	s.Add(part)
	other := part
	other.Part = 1
	if !s.Has(part) || s.Has(other) {
		t.Error("of a record in parts")
	}
	for start := uint64(2); start < 3*maxStreams; start++ {
		s.Has(wire.ID{Collector: 9, Start: start}) // a question costs nothing
	}
	if len(s.m.streams) != 1 {
		t.Errorf("%d streams", len(s.m.streams))
	}
}

// The streams that go first are those that were looked at least lately.
func TestMemoryForgetsTheLeastUsed(t *testing.T) {
	m := newMemory()
	for start := uint64(1); start <= maxStreams; start++ {
		m.add(wire.ID{Start: start, Sequence: 1}, 0)
	}
	kept := wire.ID{Start: 1, Sequence: 1}
	m.has(kept)
	for start := uint64(maxStreams + 1); start < 2*maxStreams; start++ {
		m.add(wire.ID{Start: start, Sequence: 1}, 0)
	}
	if !m.has(kept) || m.has(wire.ID{Start: 2, Sequence: 1}) || m.lately.Len() != maxStreams {
		t.Errorf("%d streams", m.lately.Len())
	}
}

// A start of a collector that nobody has heard of costs the same however many are remembered.
func BenchmarkMemoryNewStream(b *testing.B) {
	m := newMemory()
	b.ReportAllocs()
	for i := uint64(1); b.Loop(); i++ {
		m.add(wire.ID{Start: i, Sequence: 1}, 0)
	}
}

func TestFilter(t *testing.T) {
	f := Filter{Services: []string{"checkout", "pay*/prod", "a/b"}, Metrics: []string{"requests", `http/.*`}}
	if err := f.compile(); err != nil {
		t.Fatal(err)
	}
	for service, want := range map[string]bool{"checkout/prod": true, "checkout/test": true, "payments/prod": true, "payments/test": false, "check/prod": false, "a/b": true, "a/c": false} {
		name, env, _ := strings.Cut(service, "/")
		if got := f.service(name, env); got != want {
			t.Errorf("%s: %v", service, got)
		}
	}
	in, known := []collector.Sample{{Name: "requests"}, {Name: "requests_total"}, {Name: "http/x"}, {Name: "xhttp/x"}, {Name: "requests"}}, map[string]bool{}
	for range 2 { // the second time from memory
		got := f.samples(append([]collector.Sample{}, in...), known)
		if len(got) != 3 || got[0].Name != "requests" || got[1].Name != "http/x" || got[2].Name != "requests" {
			t.Errorf("%+v", got)
		}
	}
	bad := Filter{Services: []string{"[", ""}, Metrics: []string{"("}}
	if err := bad.compile(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("%v", err)
	}
	if _, err := New(Config{From: -1, BatchRecords: -1}); err == nil || strings.Count(err.Error(), "\n") < 4 {
		t.Errorf("%v", err)
	}
}
