package wire

import (
	"math"
	"strconv"

	"github.com/rollcall-metrics/rollcall/collector"
)

// section is where in the record a sample stands.
type section uint8

const (
	counters section = iota
	gauges
	untyped
	metrics
	labels
	series // whatever has labels of its own or says more than a number
	numSections
)

var sectionNames = [numSections]string{"counters", "gauges", "untyped", "metrics", "labels", "series"}

func sectionOf(s *collector.Sample) section {
	if len(s.Labels) > 0 {
		return series
	}
	switch s.Kind {
	case collector.Counter:
		return counters
	case collector.Gauge:
		return gauges
	case collector.Untyped:
		return untyped
	case collector.Distribution:
		return metrics
	case collector.Label:
		return labels
	}
	return series
}

// appendSections appends the samples, grouped, and says how many numbers it left out because JSON has no word for them. body is Snapshot.JSON.
func appendSections(dst []byte, samples []collector.Sample, body []byte) (_ []byte, nonfinite int) {
	var within [numSections]struct{ from, to int } // where the samples of a section stand; most stand together
	exemplars := false
	for i := range samples {
		sec := sectionOf(&samples[i])
		if w := &within[sec]; w.to == 0 {
			w.from = i
		}
		within[sec].to = i + 1
		exemplars = exemplars || apart(&samples[i], sec)
	}
	for sec, w := range within {
		if w.to == 0 {
			continue
		}
		sec := section(sec)
		at := len(dst)
		dst = append(dst, ',', '"')
		dst = append(dst, sectionNames[sec]...)
		end := byte('}')
		if sec == series {
			dst = append(dst, `":[`...)
			end = ']'
		} else {
			dst = append(dst, `":{`...)
		}
		from := len(dst)
		for i := w.from; i < w.to; i++ {
			s := &samples[i]
			if sectionOf(s) != sec {
				continue
			}
			var bad int
			before := len(dst)
			if before > from {
				dst = append(dst, ',')
			}
			if sec <= untyped && len(body) > 0 {
				if text, n := runOf(body, samples[i:w.to], sec); n > 0 {
					dst = append(dst, text...)
					i += n - 1
					continue
				}
			}
			start := len(dst)
			dst, bad = appendSample(dst, s, sec, body)
			nonfinite += bad
			if len(dst) == start {
				dst = dst[:before]
			}
		}
		if len(dst) == from {
			dst = dst[:at] // nothing of it could be said
		} else {
			dst = append(dst, end)
		}
	}
	if exemplars {
		dst = appendExemplars(dst, samples)
	}
	return dst, nonfinite
}

// appendSample appends one sample as it stands in its section, or nothing.
func appendSample(dst []byte, s *collector.Sample, sec section, body []byte) (_ []byte, nonfinite int) {
	if sec == series {
		return appendSeries(dst, s, body)
	}
	at := len(dst)
	dst = appendString(dst, s.Name)
	dst = append(dst, ':')
	switch sec {
	case labels:
		return appendString(dst, s.Value), 0
	case metrics:
		dst = append(dst, '{')
		from := len(dst)
		dst = appendWindow(dst, s.Window)
		dst, nonfinite = appendFields(dst, from, s.Fields, body)
		if len(dst) == from && nonfinite > 0 {
			return dst[:at], nonfinite
		}
		return append(dst, '}'), nonfinite
	}
	dst, ok := appendNumber(dst, s.Value)
	if !ok {
		return dst[:at], 1
	}
	return dst, 0
}

func appendWindow(dst []byte, w collector.Window) []byte {
	if w == collector.WindowUnknown {
		return dst
	}
	dst = append(dst, `"window":"`...)
	dst = append(dst, w.String()...)
	return append(dst, '"')
}

const fieldWindow = "window"

// appendFields appends a distribution's numbers; from is where the object's members begin.
func appendFields(dst []byte, from int, fields []collector.Field, body []byte) (_ []byte, nonfinite int) {
	for i := 0; i < len(fields); i++ {
		f := &fields[i]
		before := len(dst)
		if before > from {
			dst = append(dst, ',')
		}
		if len(body) > 0 {
			if text, n := fieldRun(body, fields[i:]); n > 0 {
				dst = append(dst, text...)
				i += n - 1
				continue
			}
		}
		name := f.Name
		if name == fieldWindow {
			name = "window_value" // the word is taken
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		var ok bool
		if dst, ok = appendNumber(dst, f.Value); !ok {
			dst = dst[:before]
			nonfinite++
		}
	}
	return dst, nonfinite
}

func appendSeries(dst []byte, s *collector.Sample, body []byte) (_ []byte, nonfinite int) {
	at := len(dst)
	dst = append(dst, `{"name":`...)
	dst = appendString(dst, s.Name)
	if len(s.Labels) > 0 {
		dst = append(dst, `,"labels":`...)
		dst = appendLabels(dst, s.Labels)
	}
	dst = append(dst, `,"kind":"`...)
	dst = append(dst, s.Kind.String()...)
	dst = append(dst, '"')
	switch s.Kind {
	case collector.Label:
		dst = append(dst, `,"value":`...)
		dst = appendString(dst, s.Value)
	case collector.Distribution:
		if s.Window != collector.WindowUnknown {
			dst = append(dst, ',')
			dst = appendWindow(dst, s.Window)
		}
		dst = append(dst, `,"fields":{`...)
		dst, nonfinite = appendFields(dst, len(dst), s.Fields, body)
		if nonfinite > 0 && nonfinite == len(s.Fields) {
			return dst[:at], nonfinite
		}
		dst = append(dst, '}')
	case collector.Histogram:
		var ok bool
		dst = append(dst, `,"histogram":`...)
		if dst, ok = appendHistogram(dst, s.Hist); !ok {
			return dst[:at], 1
		}
	default:
		var ok bool
		dst = append(dst, `,"value":`...)
		if dst, ok = appendNumber(dst, s.Value); !ok {
			return dst[:at], 1
		}
		if s.Kind == collector.Delta {
			dst = append(dst, `,"since_ms":`...)
			dst = strconv.AppendInt(dst, s.Since.Milliseconds(), 10)
		}
		if s.Exemplar != nil && finite(s.Exemplar.Value) {
			dst = append(dst, `,"exemplar":`...)
			dst = appendExemplar(dst, s.Exemplar)
		}
	}
	return append(dst, '}'), nonfinite
}

// appendHistogram appends a native histogram with Prometheus' words: spans and, as long as all counts are whole, deltas from bucket to bucket, else
// counts. A sum that is not finite is left out; any other number that is not makes the histogram worthless: false.
func appendHistogram(dst []byte, h *collector.NativeHistogram) ([]byte, bool) {
	if h == nil || !finite(h.ZeroThreshold, h.ZeroCount, h.Count) || !finite(h.PositiveCounts...) || !finite(h.NegativeCounts...) {
		return dst, false
	}
	number := func(name string, f float64) {
		dst = append(dst, name...)
		dst, _ = appendFloat(dst, f)
	}
	dst = append(dst, `{"schema":`...)
	dst = strconv.AppendInt(dst, int64(h.Schema), 10)
	number(`,"zero_threshold":`, h.ZeroThreshold)
	number(`,"zero_count":`, h.ZeroCount)
	dst = appendBuckets(dst, "", h.PositiveSpans, h.PositiveCounts)
	dst = appendBuckets(dst, "negative_", h.NegativeSpans, h.NegativeCounts)
	if finite(h.Sum) {
		number(`,"sum":`, h.Sum)
	}
	number(`,"count":`, h.Count)
	before := `,"exemplars":[`
	for i := range h.Exemplars {
		if e := &h.Exemplars[i]; finite(e.Value) {
			dst = appendExemplar(append(dst, before...), e)
			before = ","
		}
	}
	if before == "," {
		dst = append(dst, ']')
	}
	return append(dst, '}'), true
}

func appendBuckets(dst []byte, prefix string, spans []collector.Span, counts []float64) []byte {
	if len(spans) > 0 {
		dst = append(dst, ',', '"')
		dst = append(dst, prefix...)
		dst = append(dst, `spans":[`...)
		for i, s := range spans {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, '[')
			dst = strconv.AppendInt(dst, int64(s.Offset), 10)
			dst = append(dst, ',')
			dst = strconv.AppendUint(dst, uint64(s.Length), 10)
			dst = append(dst, ']')
		}
		dst = append(dst, ']')
	}
	if len(counts) == 0 {
		return dst
	}
	whole := true
	for _, c := range counts {
		whole = whole && c == math.Trunc(c) && math.Abs(c) < 1<<52 && !(c == 0 && math.Signbit(c))
	}
	dst = append(dst, ',', '"')
	dst = append(dst, prefix...)
	if whole {
		dst = append(dst, `deltas":[`...)
	} else {
		dst = append(dst, `counts":[`...)
	}
	last := 0.0
	for i, c := range counts {
		if i > 0 {
			dst = append(dst, ',')
		}
		if whole {
			dst = strconv.AppendInt(dst, int64(c-last), 10)
			last = c
		} else {
			dst, _ = appendFloat(dst, c)
		}
	}
	return append(dst, ']')
}
