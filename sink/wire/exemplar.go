package wire

import (
	"math"
	"strconv"

	"github.com/rollcall-metrics/rollcall/collector"
)

// An exemplar is {"value":0.67,"ts":1764000000120,"labels":{"trace_id":"…"}}. That of a sample in series stands in its entry, those of a native histogram stand
// in the histogram, and those of counters, gauges and untyped numbers, which are no more than a name and digits, in a section of their own by the same names
// and in the same order.

// apart reports a sample whose exemplar stands in the section of exemplars.
func apart(s *collector.Sample, sec section) bool { return s.Exemplar != nil && sec <= untyped }

// appendExemplars appends the section of exemplars, if there is one.
func appendExemplars(dst []byte, samples []collector.Sample) []byte {
	at := len(dst)
	for sec := counters; sec <= untyped; sec++ {
		for i := range samples {
			s := &samples[i]
			if s.Exemplar == nil || sectionOf(s) != sec || !finite(s.Exemplar.Value) {
				continue
			}
			if _, said := appendNumber(dst, s.Value); !said {
				continue // the number itself is left out
			}
			if len(dst) == at {
				dst = append(dst, `,"exemplars":{`...)
			} else {
				dst = append(dst, ',')
			}
			dst = appendNamedExemplar(dst, s)
		}
	}
	if len(dst) > at {
		dst = append(dst, '}')
	}
	return dst
}

func appendNamedExemplar(dst []byte, s *collector.Sample) []byte {
	dst = appendString(dst, s.Name)
	dst = append(dst, ':')
	return appendExemplar(dst, s.Exemplar)
}

func appendExemplar(dst []byte, e *collector.Exemplar) []byte {
	dst = append(dst, `{"value":`...)
	dst, _ = appendFloat(dst, e.Value)
	if e.Time != 0 {
		dst = append(dst, `,"ts":`...)
		dst = strconv.AppendInt(dst, e.Time, 10)
	}
	if len(e.Labels) > 0 {
		dst = append(dst, `,"labels":`...)
		dst = appendLabels(dst, e.Labels)
	}
	return append(dst, '}')
}

// appendLabels appends labels as an object.
func appendLabels(dst []byte, ls []collector.LabelPair) []byte {
	dst = append(dst, '{')
	for i := range ls {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, ls[i].Name)
		dst = append(dst, ':')
		dst = appendString(dst, ls[i].Value)
	}
	return append(dst, '}')
}

// exemplar reads one exemplar; false for another value, and for one that observed no number.
func (r *Record) exemplar() (e collector.Exemplar, ok bool) {
	s := &r.scan
	if !r.object() {
		return e, false
	}
	e.Value = math.NaN()
	for key, more := s.Key(); more; key, more = s.Key() {
		switch string(key.Raw) {
		case "value":
			e.Value = r.float()
		case "ts":
			e.Time = r.int()
		case "labels":
			e.Labels = r.labels()
		default:
			s.Skip()
		}
	}
	return e, finite(e.Value)
}

// held is e in the record's memory.
func (r *Record) held(e collector.Exemplar) *collector.Exemplar {
	// Growing moves the list on; older pointers keep what they point to.
	r.exemplars = append(r.exemplars, e)
	return &r.exemplars[len(r.exemplars)-1]
}

// exemplarsByName reads the section of exemplars and gives them to the samples before it. Both are in the same order, so one walk over the samples is enough;
// an exemplar out of order, or of no sample, is counted as skipped.
func (r *Record) exemplarsByName() {
	s := &r.scan
	if !r.object() {
		return
	}
	at := 0
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		name := r.view(key)
		e, ok := r.exemplar()
		for at < len(r.Samples) && (r.Samples[at].Name != name || sectionOf(&r.Samples[at]) > untyped) {
			at++
		}
		if !ok || at == len(r.Samples) {
			r.Skipped++
			continue
		}
		r.Samples[at].Exemplar = r.held(e)
		at++
	}
}

// listed reads the exemplars of a histogram.
func (r *Record) listed(out []collector.Exemplar) []collector.Exemplar {
	if !r.array() {
		return out
	}
	for r.scan.More() {
		if e, ok := r.exemplar(); ok {
			out = append(out, e)
		}
	}
	return out
}
