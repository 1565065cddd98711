package wire

import (
	"math"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// The generators draw what the stages before us may hand over, with texts that want escapes and numbers of every JSON form.

var (
	genText = rapid.OneOf(rapid.SampledFrom([]string{"requests", "http/latency_ms", "a\"b", "a\\b", "tab\there", "x\x00y", "naïve", "日本", "\u2028", "😀", "window", ""}),
		rapid.StringN(0, 12, -1).Filter(validText))
	genName   = genText.Filter(func(s string) bool { return s != "" })
	genTag    = genName.Filter(func(s string) bool { return !strings.Contains(s, "\x00") }) // a tag holds no NUL
	genNumber = rapid.OneOf(
		rapid.Custom(func(t *rapid.T) string { return strconv.FormatInt(rapid.Int64().Draw(t, "int"), 10) }),
		rapid.Custom(func(t *rapid.T) string {
			f := rapid.Float64().Filter(func(f float64) bool { return finite(f) }).Draw(t, "float")
			return strconv.FormatFloat(f, 'g', -1, 64)
		}),
		rapid.SampledFrom([]string{"0", "-0", "1.50", "1.0E8", "1e+06", "12345678901234567890123", "0.000", "1e999"}))
	genCount = rapid.OneOf(rapid.Map(rapid.Uint32(), func(n uint32) float64 { return float64(n) }), rapid.Float64Range(0, 1e12))
)

func validText(s string) bool { return string([]rune(s)) == s }

func genLabels(t *rapid.T, least int) []collector.LabelPair {
	n := rapid.IntRange(least, 4).Draw(t, "labels")
	var out []collector.LabelPair
	for range n {
		out = append(out, collector.LabelPair{Name: genText.Draw(t, "label"), Value: genText.Draw(t, "value")})
	}
	return out
}

func genFields(t *rapid.T) []collector.Field {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) collector.Field {
		return collector.Field{Name: genText.Filter(func(s string) bool { return s != "window" }).Draw(t, "field"), Value: genNumber.Draw(t, "number")}
	}), 0, 5).Draw(t, "fields")
}

func genHistogram(t *rapid.T) *collector.NativeHistogram {
	spans := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) collector.Span {
		return collector.Span{Offset: rapid.Int32().Draw(t, "offset"), Length: rapid.Uint32().Draw(t, "length")}
	}), 0, 3)
	counts := rapid.SliceOfN(genCount, 0, 6)
	h := &collector.NativeHistogram{Schema: rapid.Int32Range(-4, 8).Draw(t, "schema"), ZeroThreshold: rapid.Float64Range(0, 1).Draw(t, "threshold"),
		ZeroCount: genCount.Draw(t, "zero"), Sum: rapid.Float64Range(-1e300, 1e300).Draw(t, "sum"), Count: genCount.Draw(t, "count"),
		PositiveSpans: spans.Draw(t, "spans"), PositiveCounts: counts.Draw(t, "counts"), NegativeSpans: spans.Draw(t, "spans"), NegativeCounts: counts.Draw(t, "counts")}
	for range rapid.IntRange(0, 2).Draw(t, "exemplars") {
		h.Exemplars = append(h.Exemplars, genExemplar(t))
	}
	if rapid.Bool().Draw(t, "nan") {
		h.Sum = math.NaN()
	}
	return h
}

func genSample(t *rapid.T) collector.Sample {
	s := collector.Sample{Name: genName.Draw(t, "name"), Kind: rapid.SampledFrom([]collector.Kind{collector.Untyped, collector.Counter, collector.Gauge,
		collector.Distribution, collector.Histogram, collector.Delta, collector.Label}).Draw(t, "kind")}
	if rapid.Bool().Draw(t, "labelled") {
		s.Labels = genLabels(t, 1)
	}
	switch s.Kind {
	case collector.Distribution:
		s.Fields = genFields(t)
		s.Window = rapid.SampledFrom([]collector.Window{collector.WindowUnknown, collector.Lifetime, collector.Latched, collector.Decaying, collector.Interval, collector.Buckets}).Draw(t, "window")
	case collector.Histogram:
		s.Hist, s.Window = genHistogram(t), collector.Buckets
	case collector.Label:
		s.Value = genText.Draw(t, "text")
	case collector.Delta:
		s.Since = time.Duration(rapid.IntRange(0, 1e6).Draw(t, "since")) * time.Millisecond
		s.Value = genNumber.Draw(t, "number")
	default:
		s.Value = genNumber.Draw(t, "number")
		if rapid.Bool().Draw(t, "exemplar") {
			e := genExemplar(t)
			s.Exemplar = &e
		}
	}
	return s
}

func genExemplar(t *rapid.T) collector.Exemplar {
	return collector.Exemplar{Labels: genLabels(t, 0), Value: rapid.Float64Range(-1e300, 1e300).Draw(t, "observed"), Time: rapid.Int64Range(0, 1<<42).Draw(t, "at")}
}

func genTags(t *rapid.T) discovery.Tags {
	return discovery.TagsOf(rapid.MapOfN(genTag, genTag, 0, 4).Draw(t, "tags"))
}

func genInstance(t *rapid.T) discovery.Instance {
	return discovery.Instance{
		Key: discovery.Key{Service: genName.Draw(t, "service"), Env: genText.Draw(t, "env"),
			Host: rapid.SampledFrom([]string{"10.0.0.5", "2001:db8::1", "host-1.example"}).Draw(t, "host"), Port: rapid.Uint16Min(1).Draw(t, "port")},
		Source: rapid.SampledFrom([]string{"", "main", "a:b"}).Draw(t, "source"), Shard: rapid.Int32Range(-1, 5).Draw(t, "shard"),
		Zxid: rapid.Int64Min(0).Draw(t, "zxid"), Tags: genTags(t)}
}

func genSnapshot(t *rapid.T) *collector.Snapshot {
	s := &collector.Snapshot{
		Instance: genInstance(t), Time: time.UnixMilli(rapid.Int64Range(1, 1<<42).Draw(t, "time")),
		Took:     time.Duration(rapid.IntRange(0, 1e7).Draw(t, "took")) * time.Microsecond,
		Interval: time.Duration(rapid.IntRange(0, 1e5).Draw(t, "interval")) * time.Millisecond,
		Usual:    time.Duration(rapid.IntRange(0, 1e5).Draw(t, "usual")) * time.Millisecond,
		Outcome:  rapid.SampledFrom([]collector.Outcome{collector.OK, collector.OK, collector.OK, collector.Timeout, collector.Parse}).Draw(t, "outcome"),
		Reason:   genText.Draw(t, "reason"), Tags: genTags(t),
		BodyBytes: rapid.IntRange(0, 1e6).Draw(t, "body"), Nonfinite: rapid.IntRange(0, 3).Draw(t, "nonfinite"),
		Duplicates: rapid.IntRange(0, 3).Draw(t, "duplicates"), Invalid: rapid.IntRange(0, 3).Draw(t, "invalid"),
		Stale: rapid.IntRange(0, 2).Draw(t, "stale"), LeftOut: rapid.IntRange(0, 3).Draw(t, "left out"), Skew: time.Duration(rapid.IntRange(-1e6, 1e6).Draw(t, "skew")) * time.Millisecond,
		RulesHash: rapid.SampledFrom([]string{"", "9c1d"}).Draw(t, "rules"), GeoBuild: rapid.SampledFrom([]string{"", "2026-11-04"}).Draw(t, "geo")}
	if slot := rapid.Int64Range(0, 1<<42).Draw(t, "slot"); slot > 0 {
		s.Slot = time.UnixMilli(slot)
	}
	s.Samples = rapid.SliceOfN(rapid.Custom(genSample), 0, 12).Draw(t, "samples")
	count := map[string]int{}
	for i := range s.Samples {
		if sectionOf(&s.Samples[i]) <= untyped {
			count[s.Samples[i].Name]++
		}
	}
	for i := range s.Samples { // who has exemplars gives a name once
		if x := &s.Samples[i]; sectionOf(x) <= untyped && count[x.Name] > 1 {
			x.Exemplar = nil
		}
	}
	return s
}

// inOrder is samples in the order of the record's sections.
func inOrder(samples []collector.Sample) (out []collector.Sample) {
	for sec := range numSections {
		for _, s := range samples {
			if sectionOf(&s) == sec {
				out = append(out, s)
			}
		}
	}
	return out
}
