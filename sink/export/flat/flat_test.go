package flat

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

type sample struct {
	ID, Service, Env, Instance, Name, Kind, Text, Window string
	TS                                                   int64
	Labels, Tags                                         map[string]string
	Value                                                json.Number
	Delta                                                *json.Number
	DT                                                   *int64 `json:"dt_ms"`
	Interval                                             int64  `json:"interval_ms"`
	Reset, Gap, Late, New                                bool
	Fields                                               map[string]json.Number
	Histogram                                            map[string]any
}

// pull is one record: of a collector, at a time in seconds, in the slot of ten of them.
type pull struct {
	collector uint64
	at        float64
	values    string // "a=1 b=2"
	change    func(*wire.Record)
}

func (p pull) record(n int) *wire.Record {
	ms := int64(p.at*1000) + 1_000_000_000
	r := &wire.Record{ID: wire.ID{Collector: p.collector + 1, Start: 1, Partition: 3, Sequence: uint64(n + 1)}, TS: ms, Service: "s", Env: "prod", Instance: "10.0.0.5:80",
		Source: wire.Source{Interval: 10 * time.Second, Slot: ms / 10_000 * 10_000}}
	for _, f := range strings.Fields(p.values) {
		name, value, _ := strings.Cut(f, "=")
		r.Samples = append(r.Samples, collector.Sample{Name: name, Kind: collector.Counter, Value: value})
	}
	if p.change != nil {
		p.change(r)
	}
	return r
}

func encode(t interface{ Fatal(...any) }, e *Encoder, r export.Record) (out []sample) {
	if err := e.Encode(context.Background(), &r, func(key, value []byte) {
		var s sample
		if err := json.Unmarshal(value, &s); err != nil {
			t.Fatal(fmt.Sprintf("%v: %s", err, value))
		}
		if string(key) != s.Service+"/"+s.Env+"/"+s.Instance {
			t.Fatal(fmt.Sprintf("key %s of %s", key, value))
		}
		out = append(out, s)
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// short is what counters grew by: "a+17" in 10 s, "a?" unknown.
func short(ss []sample) string {
	var out []string
	for _, s := range ss {
		text := s.Name + "?"
		if s.Delta != nil {
			text = s.Name + "+" + s.Delta.String()
			if *s.DT != 10_000 {
				text += fmt.Sprintf("/%gs", float64(*s.DT)/1000)
			}
		}
		for _, f := range []struct {
			is   bool
			name string
		}{{s.Reset, "reset"}, {s.Gap, "gap"}, {s.Late, "late"}, {s.New, "new"}} {
			if f.is {
				text += " " + f.name
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func TestGrowth(t *testing.T) {
	parts := func(r *wire.Record) { r.ID.Part, r.Parts = 1, 2 }
	failed := func(r *wire.Record) { r.Outcome, r.Samples = collector.Timeout, nil }
	for _, tc := range []struct {
		name  string
		pulls []pull
		want  string
	}{
		{"the first sight tells nothing", []pull{{0, 0, "a=100", nil}}, "a?"},
		{"an increase", []pull{{0, 0, "a=100", nil}, {0, 10, "a=117", nil}}, "a? | a+17"},
		{"nothing", []pull{{0, 0, "a=100", nil}, {0, 10, "a=100", nil}}, "a? | a+0"},
		{"a reset counts from nothing", []pull{{0, 0, "a=100", nil}, {0, 10, "a=7", nil}, {0, 20, "a=9", nil}}, "a? | a+7 reset | a+2"},
		{"a failed scrape between", []pull{{0, 0, "a=100", nil}, {0, 10, "", failed}, {0, 20, "a=130", nil}}, "a? |  | a+30/20s"},
		{"a gap of more than two intervals", []pull{{0, 0, "a=100", nil}, {0, 50, "a=150", nil}}, "a? | a+50/50s gap"},
		{"late ones are in the difference already", []pull{{0, 0, "a=100", nil}, {0, 50, "a=150", nil}, {0, 10, "a=110", nil}, {0, 60, "a=160", nil}}, "a? | a+50/50s gap | a? late | a+10"},
		{"a series that was not there before is new", []pull{{0, 0, "a=1", nil}, {0, 10, "a=1 b=3", nil}}, "a? | a+0, b+3 new"},
		{"not after a gap", []pull{{0, 0, "a=1", nil}, {0, 50, "a=1 b=3", nil}}, "a? | a+0/50s gap, b?"},
		{"nor in parts", []pull{{0, 0, "a=1", nil}, {0, 10, "a=1 b=3", parts}}, "a? | a+0, b?"},
		{"nor after parts", []pull{{0, 0, "a=1", parts}, {0, 10, "a=1 b=3", nil}}, "a? | a+0, b?"},
		{"a series that comes back goes on", []pull{{0, 0, "a=1 b=5", nil}, {0, 10, "a=1", nil}, {0, 20, "a=1 b=9", nil}}, "a?, b? | a+0 | a+0, b+4/20s"},
		{"two collectors in one slot", []pull{{0, 0, "a=100", nil}, {0, 10, "a=110", nil}, {1, 10.5, "a=111", nil}, {1, 20.5, "a=121", nil}}, "a? | a+10 | a? late | a+11/10.5s gap"},
		{"a falling one in the same slot is no reset", []pull{{0, 0, "a=100", nil}, {0, 10, "a=110", nil}, {1, 10.5, "a=109", nil}, {1, 20.5, "a=121", nil}}, "a? | a+10 | a? late | a+11/10.5s gap"},
		{"numbers past a float", []pull{{0, 0, "a=9007199254740993", nil}, {0, 10, "a=9007199254740996", nil}}, "a? | a+3"},
		{"numbers past whole ones", []pull{{0, 0, "a=18446744073709551614", nil}, {0, 10, "a=18446744073709551616", nil}}, "a? | a+0"},
		{"fractions", []pull{{0, 0, "a=1.5", nil}, {0, 10, "a=2.25", nil}, {0, 20, "a=3", nil}}, "a? | a+0.75 | a+0.75"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := NewEncoder(NewMemory(0, "x", nil, nil))
			var got []string
			for i, p := range tc.pulls {
				got = append(got, short(encode(t, e, export.Record{Record: p.record(i)})))
			}
			if s := strings.Join(got, " | "); s != tc.want {
				t.Errorf("%s\nwant %s", s, tc.want)
			}
		})
	}
}

// Every form of sample comes through the wire and out flat.
func TestSamples(t *testing.T) {
	snap := &collector.Snapshot{
		Instance: discovery.Instance{Key: discovery.Key{Service: "check\"out", Env: "prod", Host: "10.0.0.5", Port: 80}, Shard: discovery.NoShard}, Time: time.UnixMilli(1764000000123),
		Interval: 10 * time.Second, Tags: discovery.TagsOf(map[string]string{"team": "payments"}),
		Samples: []collector.Sample{
			{Name: "c", Kind: collector.Counter, Value: "12345678901234567890"},
			{Name: "g", Kind: collector.Gauge, Value: "1.50"},
			{Name: "u", Kind: collector.Untyped, Value: "7"},
			{Name: "m", Kind: collector.Label, Value: "warm"},
			{Name: "d", Kind: collector.Distribution, Window: collector.Latched, Fields: []collector.Field{{Name: "p99", Value: "9"}, {Name: "count", Value: "3"}}},
			{Name: "h", Kind: collector.Delta, Value: "17", Since: 10 * time.Second, Labels: []collector.LabelPair{{Name: "as", Value: "15169"}}},
			{Name: "n", Kind: collector.Histogram, Window: collector.Buckets, Hist: &collector.NativeHistogram{Schema: 3, Count: 3, Sum: 4.5, PositiveSpans: []collector.Span{{Offset: 0, Length: 2}}, PositiveCounts: []float64{1, 2}}},
		}}
	var r wire.Record
	if err := wire.Decode(wire.AppendSnapshot(nil, snap, wire.ID{Collector: 1, Start: 1, Partition: 3, Sequence: 7}, wire.Provenance{}), &r); err != nil {
		t.Fatal(err)
	}
	by := map[string]sample{}
	for _, s := range encode(t, NewEncoder(NewMemory(0, "x", nil, nil)), export.Record{Record: &r}) {
		if s.TS != 1764000000123 || s.Service != "check\"out" || s.Instance != "10.0.0.5:80" || s.ID != r.ID.String() || s.Tags["team"] != "payments" || s.Interval != 10_000 {
			t.Errorf("%+v", s)
		}
		by[s.Name] = s
	}
	if s := by["c"]; s.Value != "12345678901234567890" || s.Kind != "counter" || s.Delta != nil {
		t.Errorf("%+v", s)
	}
	if by["g"].Value != "1.50" || by["u"].Value != "7" || by["m"].Text != "warm" || by["m"].Kind != "label" {
		t.Errorf("%+v", by)
	}
	if s := by["d"]; s.Window != "latched" || s.Fields["p99"] != "9" || s.Fields["count"] != "3" {
		t.Errorf("%+v", s)
	}
	if s := by["h"]; s.Delta.String() != "17" || *s.DT != 10_000 || s.Labels["as"] != "15169" {
		t.Errorf("%+v", s)
	}
	if s := by["n"]; s.Histogram["count"] != 3.0 || len(by) != 7 {
		t.Errorf("%+v", s)
	}
}

// Whatever is lost, late or pulled twice, and wherever an export takes over: the deltas never add up to more than a counter grew, and to all of it where nothing began anew.
func TestSumOfDeltas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := 0
		value := rapid.IntRange(0, 1000).Draw(t, "begins at")
		var rs []*wire.Record
		resets := false
		for i := range rapid.IntRange(2, 40).Draw(t, "pulls") {
			if i > 0 && rapid.IntRange(0, 15).Draw(t, "restart") == 0 {
				value, resets = 0, true
			}
			grow := rapid.IntRange(0, 50).Draw(t, "grows")
			value += grow
			if i > 0 {
				total += grow
			}
			r := pull{uint64(rapid.IntRange(0, 1).Draw(t, "collector")), float64(10 * i), fmt.Sprint("a=", value), nil}.record(i)
			if i > 0 && rapid.IntRange(0, 5).Draw(t, "lost") == 0 {
				continue
			}
			rs = append(rs, r)
		}
		for i := range rs {
			if i > 0 && i+1 < len(rs) && rapid.IntRange(0, 6).Draw(t, "late") == 0 {
				rs[i], rs[i+1] = rs[i+1], rs[i]
			}
		}
		e, sum := NewEncoder(NewMemory(0, "x", nil, nil)), 0
		over := rapid.IntRange(0, len(rs)).Draw(t, "taken over at")
		for i, r := range rs {
			if i == over { // another export shows itself the last three intervals, in order
				e = NewEncoder(NewMemory(0, "x", nil, nil))
				newest := int64(0)
				for _, k := range rs[:i] {
					newest = max(newest, k.TS)
				}
				for ts := newest - 30_000; ts <= newest; ts += 10_000 {
					for _, k := range rs[:i] {
						if k.TS == ts {
							encode(t, e, export.Record{Record: k, Known: true})
						}
					}
				}
			}
			for _, s := range encode(t, e, export.Record{Record: r}) {
				if s.Delta != nil {
					n, _ := s.Delta.Int64()
					sum += int(n)
				}
			}
		}
		if sum > total {
			t.Fatalf("the deltas add up to %d, the counter grew by %d", sum, total)
		}
		grew := 0
		newest := rs[0]
		for _, r := range rs {
			if r.TS > newest.TS {
				newest = r
			}
		}
		fmt.Sscan(newest.Samples[0].Value, &grew)
		first := 0
		fmt.Sscan(rs[0].Samples[0].Value, &first)
		if !resets && rs[0].TS == 1_000_000_000 && sum != grew-first {
			t.Fatalf("the deltas add up to %d, the counter grew by %d", sum, grew-first)
		}
	})
}

// Of more series than there is memory for the instances heard of least lately are forgotten, as a whole.
func TestEviction(t *testing.T) {
	m := NewMemory(4, "x", nil, nil)
	e := NewEncoder(m)
	of := func(port, n int, at float64, values string) string {
		p := pull{0, at, values, func(r *wire.Record) { r.Instance = fmt.Sprint("10.0.0.5:", port) }}
		return short(encode(t, e, export.Record{Record: p.record(n)}))
	}
	of(1, 0, 0, "a=1 b=1")
	of(2, 1, 0, "a=1 b=1")
	if got := of(3, 2, 0, "a=1"); got != "a?" || m.used != 3 || m.evicted.Get() != 2 {
		t.Errorf("%s, %d series, %d evicted", got, m.used, m.evicted.Get())
	}
	if got := of(2, 3, 10, "a=3 b=4"); got != "a+2, b+3" {
		t.Error(got)
	}
	if got := of(1, 4, 10, "a=3 b=4"); got != "a?, b?" { // forgotten, and not taken for new
		t.Error(got)
	}
	e.Close()
	if m.used != 0 {
		t.Errorf("%d series are left", m.used)
	}
}

func BenchmarkEncode(b *testing.B) {
	p := pull{0, 0, "", nil}
	r := p.record(0)
	for i := range 200 {
		r.Samples = append(r.Samples, collector.Sample{Name: fmt.Sprint("http/requests/status/", i), Kind: collector.Counter, Value: fmt.Sprint(1000 + i)})
	}
	e, size := NewEncoder(NewMemory(0, "x", nil, nil)), 0
	b.ReportAllocs()
	for b.Loop() {
		r.TS += 10_000
		r.Source.Slot += 10_000
		size = 0
		if err := e.Encode(context.Background(), &export.Record{Record: r}, func(key, value []byte) { size += len(value) }); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(size))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200, "ns/sample")
}
