package wire

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

var update = flag.Bool("update", false, "write the golden files again")

// same compares samples as a reader sees them: nil and empty are one, NaN is NaN.
var same = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateNaNs()}

func TestEncodeDecodeIsIdentity(t *testing.T) {
	var r Record // one for all: memory used again must not show
	rapid.Check(t, func(t *rapid.T) {
		s, id := genSnapshot(t), anyID(t)
		id.Sequence = max(id.Sequence, 1)
		p := Provenance{Term: rapid.Uint64().Draw(t, "term")}
		if rapid.Bool().Draw(t, "previous") {
			p.Previous = anyID(t)
		}
		b := AppendSnapshot([]byte("before"), s, id, p)[6:]
		if !json.Valid(b) {
			t.Fatalf("not JSON: %s", b)
		}
		if err := Decode(b, &r); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		slot := int64(0)
		if !s.Slot.IsZero() {
			slot = s.Slot.UnixMilli()
		}
		want := Record{ID: id, TS: s.Time.UnixMilli(), Service: s.Instance.Service, Env: s.Instance.Env, Instance: s.Instance.Addr(), Shard: int(s.Instance.Shard),
			Outcome: s.Outcome, OutcomeText: s.Outcome.String(), Reason: s.Reason, Took: s.Took,
			Source: Source{Term: p.Term, Slot: slot, Interval: s.Interval, Usual: s.Usual, Roster: s.Instance.Source, Zxid: s.Instance.Zxid, Rules: s.RulesHash, Geo: s.GeoBuild,
				Nonfinite: s.Nonfinite, Duplicates: s.Duplicates, Invalid: s.Invalid, Stale: s.Stale, LeftOut: s.LeftOut, Skew: s.Skew, BodyBytes: s.BodyBytes, Previous: p.Previous}}
		for n, v := range s.Tags.All() {
			want.Tags = append(want.Tags, collector.LabelPair{Name: n, Value: v})
		}
		if s.Outcome == collector.OK {
			want.Samples = inOrder(s.Samples)
		}
		if d := cmp.Diff(&want, &r, same, cmpopts.IgnoreUnexported(Record{})); d != "" {
			t.Fatalf("%s\n%s", d, b)
		}
		gotID, body, err := CutHead(b)
		if err != nil || gotID != id || !bytes.Equal(append(AppendHead(nil, id), body...), b) {
			t.Fatalf("CutHead = %v, %v", gotID, err)
		}
	})
}

func TestNumbers(t *testing.T) {
	for _, tc := range []struct {
		in, want string // an empty want: left out
	}{
		{"1", "1"}, {"-0", "-0"}, {"1.0E8", "1.0E8"}, {"12345678901234567890123", "12345678901234567890123"}, {"1e999", "1e999"},
		{"+1", "1"}, {"+12345678901234567890123", "12345678901234567890123"}, {".5", "0.5"}, {"5.", "5"}, {"007", "7"}, {"-007", "-7"}, {"0xff", "255"},
		{"0x1p-2", "0.25"}, {"+.5e3", "500"}, {"-.5e-9", "-5e-10"}, {"9007199254740993", "9007199254740993"}, {"+9007199254740993", "9007199254740993"},
		{"NaN", ""}, {"Infinity", ""}, {"-Infinity", ""}, {"+Inf", ""}, {"", ""}, {"-", ""}, {"1.", "1"}, {"1e", ""}, {"abc", ""}, {"+-1", ""}, {"0x", ""}, {"1 ", ""},
	} {
		got, ok := appendNumber(nil, tc.in)
		if string(got) != tc.want || ok != (tc.want != "") {
			t.Errorf("appendNumber(%q) = %q, %v; want %q", tc.in, got, ok, tc.want)
		}
		if ok && !json.Valid(got) {
			t.Errorf("appendNumber(%q) = %q: not JSON", tc.in, got)
		}
	}
}

func TestStringsAreThoseOfEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(genText, rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "s")
		b := appendString(nil, s)
		var got, want string
		ref, _ := json.Marshal(s)
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if json.Unmarshal(ref, &want); got != want {
			t.Fatalf("appendString(%q) = %q, encoding/json reads %q, its own %q", s, b, got, want)
		}
	})
}

func snapshots() map[string]*collector.Snapshot {
	at := time.UnixMilli(1764000000123)
	key := discovery.Key{Service: "checkout", Env: "prod", Host: "10.0.0.5", Port: 8001}
	return map[string]*collector.Snapshot{
		"design": {Instance: discovery.Instance{Key: key, Source: "main", Zxid: 0x5a1, Shard: 3}, Time: at, Took: 1834 * time.Microsecond, Interval: 10 * time.Second, Slot: at.Add(-3 * time.Millisecond),
			Tags: discovery.TagsOf(map[string]string{"cloud.availability_zone": "us-east-1c", "service.version": "1.42.0", "rollcall.track": "canary",
				"host.name": "ip-10-0-0-5", "team": "payments"}),
			Samples: []collector.Sample{
				{Name: "latency_ms", Kind: collector.Distribution, Window: collector.Latched, Fields: []collector.Field{{Name: "count", Value: "9"}, {Name: "sum", Value: "31"}, {Name: "p50", Value: "3"}, {Name: "p99", Value: "9"}}},
				{Name: "requests", Kind: collector.Counter, Value: "12345"}, {Name: "heap_mb", Kind: collector.Gauge, Value: "1.5"}, {Name: "x", Value: "1"},
				{Name: "mode", Kind: collector.Label, Value: "warm"},
				{Name: "hits", Kind: collector.Delta, Labels: []collector.LabelPair{{Name: "client.as.number", Value: "15169"}, {Name: "client.geo.country.iso_code", Value: "US"}}, Value: "17", Since: 10 * time.Second},
			}, RulesHash: "9c1d", GeoBuild: "2026-11-04"},
		"exemplars": {Instance: discovery.Instance{Key: key, Shard: discovery.NoShard}, Time: at, Skew: -90 * time.Second, LeftOut: 2, Samples: []collector.Sample{
			{Name: "errors_total", Kind: collector.Counter, Value: "3", Exemplar: &collector.Exemplar{Labels: []collector.LabelPair{{Name: "trace_id", Value: "KOO5S4vxi0o"}}, Value: 0.67, Time: 1764000000120}},
			{Name: "plain", Kind: collector.Counter, Value: "1"}, {Name: "lost", Kind: collector.Counter, Value: "NaN", Exemplar: &collector.Exemplar{Value: 1}},
			{Name: "bare", Kind: collector.Counter, Value: "2", Exemplar: &collector.Exemplar{Value: 2}}, {Name: "odd", Kind: collector.Counter, Value: "2", Exemplar: &collector.Exemplar{Value: math.NaN()}},
			{Name: "lat_bucket", Kind: collector.Counter, Value: "8", Labels: []collector.LabelPair{{Name: "le", Value: "1"}}, Exemplar: &collector.Exemplar{Labels: []collector.LabelPair{{Name: "trace_id", Value: "x"}}, Value: 0.5}},
			{Name: "h", Kind: collector.Histogram, Window: collector.Buckets, Hist: &collector.NativeHistogram{Schema: 3, Count: 1, Sum: 1.5, PositiveSpans: []collector.Span{{Offset: 5, Length: 1}}, PositiveCounts: []float64{1},
				Exemplars: []collector.Exemplar{{Value: math.Inf(1)}, {Labels: []collector.LabelPair{{Name: "span_id", Value: "9"}, {Name: "trace_id", Value: "y"}}, Value: 1.5, Time: 1764000000121}, {Value: 1.25}}}},
		}},
		"failed": {Instance: discovery.Instance{Key: key, Shard: discovery.NoShard}, Time: at, Took: 5 * time.Second, Interval: 10 * time.Second, Outcome: collector.Timeout,
			Reason: "no whole answer within 5s", Samples: []collector.Sample{{Name: "never", Kind: collector.Counter, Value: "1"}}},
		"odd": {Instance: discovery.Instance{Key: discovery.Key{Service: "a \"quoted\" näme", Env: "", Host: "2001:db8::1", Port: 9}, Shard: 0, Source: "file"}, Time: at, Nonfinite: 2, Duplicates: 1, Invalid: 1,
			Samples: []collector.Sample{
				{Name: "only", Kind: collector.Gauge, Value: "NaN"}, {Name: "plus", Value: "+7"}, {Name: "", Value: "1"}, {Name: "bad\xff utf8", Value: "2"},
				{Name: "d", Kind: collector.Distribution, Fields: []collector.Field{{Name: "p99", Value: "Infinity"}, {Name: "window", Value: "4"}}},
				{Name: "empty", Kind: collector.Distribution}, {Name: "gone", Kind: collector.Distribution, Fields: []collector.Field{{Name: "p50", Value: "NaN"}}},
				{Name: "h", Kind: collector.Histogram, Hist: &collector.NativeHistogram{Schema: 3, ZeroThreshold: 0.001, ZeroCount: 2, Sum: 18.4, Count: 12,
					PositiveSpans: []collector.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 2}}, PositiveCounts: []float64{1, 2, 1, 1},
					NegativeSpans: []collector.Span{{Offset: -3, Length: 1}}, NegativeCounts: []float64{0.5}}},
				{Name: "nothing", Kind: collector.Histogram}, {Name: "info", Kind: collector.Label, Labels: []collector.LabelPair{{Name: "v", Value: "1"}}, Value: "x"},
			}},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "v1", name+".json")
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.TrimSuffix(string(want), "\n"), string(got)); d != "" {
		t.Error(d)
	}
}

func TestGolden(t *testing.T) {
	id := ID{0x9f3c2a7be01d44c1, 12, 7, 345, 0}
	for name, s := range snapshots() {
		t.Run(name, func(t *testing.T) {
			p := Provenance{Term: 0x5a10000002f}
			if name == "odd" {
				p = Provenance{Previous: ID{0x9f3c2a7be01d44c1, 11, 7, 99, 0}}
			}
			b := AppendSnapshot(nil, s, id, p)
			golden(t, name, b)
			var r Record
			if err := Decode(b, &r); err != nil || r.ID != id {
				t.Errorf("Decode: %v", err)
			}
		})
	}
}

// What an earlier version wrote must be read for good, and what a later one may add must be skipped.
func TestReadsOthers(t *testing.T) {
	const head = `{"v":1,"id":"9f3c2a7be01d44c1/12/7/345","ts":1,"service":"s","env":"e","instance":"h:1"`
	for _, tc := range []struct {
		name, rec string
		samples   string
		skipped   int
	}{
		{"bare", head + `}`, "", 0},
		{"later fields", head + `,"new":{"a":[1,{"b":null}]},"counters":{"a":1},"src":{"new":[1],"term":"0x5"}}`, "a=1", 0},
		{"later forms", head + `,"counters":{"a":{"v":1},"b":2,"c":null},"metrics":{"d":5},"labels":{"l":1}}`, "b=2", 4},
		{"later kinds", head + `,"series":[{"name":"x","kind":"summary2","value":1},{"name":"y","kind":"counter","value":"1"},{"name":"z","kind":"gauge","value":3},7]}`, "z=3", 3},
		{"later sections", head + `,"counters":[1],"gauges":"x","series":{},"tags":[],"src":1,"labels":null,"metrics":true}`, "", 0},
		{"later histogram", head + `,"series":[{"name":"h","kind":"histogram","histogram":{"schema":1,"spans":[[1,2,3],5],"deltas":["x"],"custom":[1]}}]}`, "h=", 0},
		{"exemplars", head + `,"counters":{"a":1,"b":2},"exemplars":{"b":{"value":1,"new":[]},"a":{"value":2},"c":7}}`, "a=1 b=2", 2},
		{"odd exemplars", head + `,"gauges":{"a":1},"exemplars":[{"a":1}],"series":[{"name":"x","kind":"counter","value":1,"exemplar":{"ts":5}},{"name":"y","kind":"counter","value":2,"exemplar":"z"}]}`, "a=1 x=1 y=2", 0},
		{"outcome", head + `,"outcome":"eaten_by_bear"}`, "", 0},
		{"escaped", `{"v":1,"id":"9f3c2a7be01d44c1/12/7/345","ts":1,"service":"a\u0062","env":"","instance":"h:1","gauges":{"a\"":1}}`, `a"=1`, 0},
	} {
		var r Record
		if err := Decode([]byte(tc.rec), &r); err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		var got []string
		for _, s := range r.Samples {
			got = append(got, s.Name+"="+s.Value)
		}
		if g := strings.Join(got, " "); g != tc.samples || r.Skipped != tc.skipped {
			t.Errorf("%s: samples %q, skipped %d; want %q, %d", tc.name, g, r.Skipped, tc.samples, tc.skipped)
		}
		if tc.name == "outcome" && (r.Outcome != collector.NumOutcomes || r.OutcomeText != "eaten_by_bear") {
			t.Errorf("outcome %v %q", r.Outcome, r.OutcomeText)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const ok = `{"v":1,"id":"9f3c2a7be01d44c1/12/7/345","ts":1,"service":"s","env":"e","instance":"h:1"}`
	for _, tc := range []struct{ rec, want string }{
		{``, "ends early"}, {`[]`, "want an object"}, {ok[:40], "ends early"}, {ok + "x", "want the end"},
		{strings.Replace(ok, `"v":1`, `"v":2`, 1), `"v"`}, {strings.Replace(ok, `"v":1,`, ``, 1), `"v"`},
		{strings.Replace(ok, "/345", "", 1), "parse id"}, {strings.Replace(ok, `"ts":1,`, ``, 1), "missing"},
		{strings.Replace(ok, `"service":"s",`, ``, 1), "missing"}, {strings.Replace(ok, `"s"`, `5`, 1), "missing"},
		{ok[:len(ok)-1] + `,"counters":{"a":NaN}}`, "want a value"}, {ok[:len(ok)-1] + `,"src":{"previous":"x"}}`, "parse id"},
	} {
		var r Record
		if err := Decode([]byte(tc.rec), &r); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Decode(%s) = %v, want %q", tc.rec, err, tc.want)
		}
	}
}

func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSnapshot(t)
		s.Samples = append(s.Samples, rapid.SliceOfN(rapid.Custom(genSample), 0, 60).Draw(t, "more")...)
		limit := rapid.IntRange(900, 4000).Draw(t, "limit")
		id := ID{1, 2, 3, 4, 0}
		parts, of, samples, oversize := 0, 0, 0, 0
		if _, err := Split(nil, s, Provenance{}, limit, func(n, parts0 int, body []byte) {
			parts++
			if of = parts0; n != parts && of != 0 {
				t.Fatalf("part %d came as number %d", n, parts)
			}
			id.Part = n
			b := append(AppendHead(nil, id), body...)
			if len(b) > limit {
				t.Fatalf("part %d of %d has %d bytes, limit %d", n, of, len(b), limit)
			}
			var r Record
			if err := Decode(b, &r); err != nil || r.Parts != of || r.ID != id {
				t.Fatalf("part %d of %d: %v, parts %d, id %v\n%s", n, of, err, r.Parts, r.ID, b)
			}
			if r.Service != s.Instance.Service || r.TS != s.Time.UnixMilli() || r.Outcome != s.Outcome || !r.Source.TagsLeftOut && len(r.Tags) != s.Tags.Len() {
				t.Fatalf("part %d does not stand alone: %s", n, b)
			}
			samples, oversize = samples+len(r.Samples), oversize+r.Source.Oversize
			if n <= 1 && r.Source.Nonfinite != s.Nonfinite {
				t.Fatalf("nonfinite %d, want %d", r.Source.Nonfinite, s.Nonfinite)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if of != 0 && of != parts {
			t.Fatalf("%d parts of %d", parts, of)
		}
		if s.Outcome == collector.OK && samples+oversize != len(s.Samples) {
			t.Fatalf("%d samples and %d oversize of %d", samples, oversize, len(s.Samples))
		}
	})
}

func TestSplitLosesNothing(t *testing.T) {
	s := &collector.Snapshot{Instance: discovery.Instance{Key: discovery.Key{Service: "s", Env: "e", Host: "h", Port: 1}, Shard: discovery.NoShard}, Time: time.UnixMilli(1),
		Tags: discovery.TagsOf(map[string]string{"team": "payments"})}
	for i := range 40_000 {
		s.Samples = append(s.Samples, collector.Sample{Name: fmt.Sprint("a/rather/long/name/of/a/counter/", i), Kind: collector.Kind(i % 3), Value: fmt.Sprint(i)})
	}
	s.Samples = append(s.Samples, collector.Sample{Name: "huge", Kind: collector.Label, Value: strings.Repeat("x", MaxRecord)})
	seen, parts, oversize := map[string]bool{}, 0, 0
	if _, err := Split(nil, s, Provenance{}, MaxRecord, func(n, of int, body []byte) {
		parts++
		b := append(AppendHead(nil, ID{1, 1, 1, 1, n}), body...)
		var r Record
		if err := Decode(b, &r); err != nil {
			t.Fatal(err)
		}
		oversize += r.Source.Oversize
		for _, s := range r.Samples {
			seen[strings.Clone(s.Name)] = true
		}
		if r.Tag("team") != "payments" || r.Parts != of {
			t.Errorf("part %d does not stand alone", n)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 40_000 || parts < 2 || oversize != 1 {
		t.Errorf("%d samples in %d parts, %d oversize", len(seen), parts, oversize)
	}
}

func TestSplitOversizeNames(t *testing.T) {
	s := &collector.Snapshot{Instance: discovery.Instance{Key: discovery.Key{Service: strings.Repeat("s", 2000), Env: "e", Host: "h", Port: 1}}, Time: time.UnixMilli(1)}
	if _, err := Split(nil, s, Provenance{}, 1000, func(int, int, []byte) { t.Error("emitted") }); err == nil {
		t.Error("no error")
	}
	s.Instance.Service = "s"
	s.Tags = discovery.TagsOf(map[string]string{"t": strings.Repeat("x", 5000)})
	n := 0
	if _, err := Split(nil, s, Provenance{}, 1000, func(part, of int, body []byte) {
		n++
		var r Record
		if err := Decode(append(AppendHead(nil, ID{1, 1, 1, 1, part}), body...), &r); err != nil || !r.Source.TagsLeftOut {
			t.Errorf("%v: %s", err, body)
		}
	}); err != nil || n != 1 {
		t.Errorf("%v, %d parts", err, n)
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	s := snapshots()["design"]
	buf := AppendSnapshot(nil, s, ID{1, 1, 1, 1, 0}, Provenance{Term: 7})
	var r Record
	if n := testing.AllocsPerRun(100, func() { buf = AppendSnapshot(buf[:0], s, ID{1, 1, 1, 1, 0}, Provenance{Term: 7}) }); n != 0 {
		t.Errorf("AppendSnapshot allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = Decode(buf, &r) }); n != 0 {
		t.Errorf("Decode allocates %v times", n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range snapshots() {
		f.Add(AppendSnapshot(nil, s, ID{1, 2, 3, 4, 5}, Provenance{Term: 9, Previous: ID{1, 1, 3, 9, 0}}))
	}
	f.Add([]byte(`{"v":1,"id":"9f3c2a7be01d44c1/12/7/345","ts":1,"service":"s","env":"e","instance":"h:1","series":[{"name":"h","kind":"histogram","histogram":{"spans":[[]],"deltas":[1,-1]}}]}`))
	var r Record
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := Decode(b, &r); err != nil {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("taken, but not JSON: %q", b)
		}
		if r.ID.Sequence == 0 || r.Service == "" {
			t.Fatalf("taken without id or service: %q", b)
		}
		for _, s := range r.Samples {
			if s.Kind != collector.Label && s.Value != "" && !jsonscan.IsNumber(s.Value) {
				t.Fatalf("%q is no number: %q", s.Value, b)
			}
		}
	})
}
