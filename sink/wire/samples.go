package wire

import (
	"math"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// object enters an object, or skips what is none.
func (r *Record) object() bool {
	if r.scan.Peek() != jsonscan.Object {
		r.scan.Skip()
		return false
	}
	return r.scan.Object()
}

// array enters an array, or skips what is none.
func (r *Record) array() bool {
	if r.scan.Peek() != jsonscan.Array {
		r.scan.Skip()
		return false
	}
	return r.scan.Array()
}

// digits reads a number as it stands.
func (r *Record) digits() string { return jsonscan.Text{Raw: r.scan.Number()}.View() }

// numbers reads a section of numbers by name.
func (r *Record) numbers(kind collector.Kind) {
	s := &r.scan
	if !r.object() {
		return
	}
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		name := r.view(key)
		if s.Peek() != jsonscan.Number {
			s.Skip()
			r.Skipped++
			continue
		}
		r.Samples = append(r.Samples, collector.Sample{Name: name, Kind: kind, Value: r.digits()})
	}
}

// texts reads the section of labels.
func (r *Record) texts() {
	s := &r.scan
	if !r.object() {
		return
	}
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		name := r.view(key)
		if s.Peek() != jsonscan.String {
			s.Skip()
			r.Skipped++
			continue
		}
		r.Samples = append(r.Samples, collector.Sample{Name: name, Kind: collector.Label, Value: r.view(s.String())})
	}
}

// distributions reads the section of metrics.
func (r *Record) distributions() {
	s := &r.scan
	if !r.object() {
		return
	}
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		d := collector.Sample{Name: r.view(key), Kind: collector.Distribution}
		if s.Peek() != jsonscan.Object {
			s.Skip()
			r.Skipped++
			continue
		}
		d.Fields, d.Window = r.distribution()
		r.Samples = append(r.Samples, d)
	}
}

// distribution reads an object of numbers and perhaps a window.
func (r *Record) distribution() (fields []collector.Field, w collector.Window) {
	s := &r.scan
	if !s.Object() {
		return nil, w
	}
	from := len(r.fields)
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		switch s.Peek() {
		case jsonscan.Number:
			name := r.view(key)
			r.fields = append(r.fields, collector.Field{Name: name, Value: r.digits()})
		case jsonscan.String:
			if t := s.String(); key.Is("window") {
				w = window(t)
			}
		default:
			s.Skip()
		}
	}
	if len(r.fields) == from {
		return nil, w
	}
	return r.fields[from:len(r.fields):len(r.fields)], w
}

func window(t jsonscan.Text) collector.Window {
	for _, w := range [...]collector.Window{collector.Lifetime, collector.Latched, collector.Decaying, collector.Interval, collector.Buckets} {
		if t.Is(w.String()) {
			return w
		}
	}
	return collector.WindowUnknown
}

// series reads the section of samples that say more than a name and a number.
func (r *Record) series() {
	s := &r.scan
	if !r.array() {
		return
	}
	for s.More() {
		if !r.object() {
			r.Skipped++
			continue
		}
		var one collector.Sample
		var value jsonscan.Kind
		known, fields := false, false
		for key, ok := s.Key(); ok; key, ok = s.Key() {
			switch string(key.Raw) {
			case "name":
				one.Name = r.string()
			case "labels":
				one.Labels = r.labels()
			case "kind":
				one.Kind, known = kind(r.string())
			case "value":
				switch value = s.Peek(); value {
				case jsonscan.Number:
					one.Value = r.digits()
				case jsonscan.String:
					one.Value = r.string()
				default:
					s.Skip()
				}
			case "since_ms":
				one.Since = time.Duration(r.int()) * time.Millisecond
			case "window":
				if s.Peek() == jsonscan.String {
					one.Window = window(s.String())
				} else {
					s.Skip()
				}
			case "fields":
				if fields = s.Peek() == jsonscan.Object; fields {
					one.Fields, _ = r.distribution()
				} else {
					s.Skip()
				}
			case "histogram":
				one.Hist = r.histogram()
			case "exemplar":
				if e, ok := r.exemplar(); ok {
					one.Exemplar = r.held(e)
				}
			default:
				s.Skip()
			}
		}
		switch one.Kind {
		case collector.Distribution:
			known = known && fields
		case collector.Histogram:
			one.Window = collector.Buckets
			known = known && one.Hist != nil
		case collector.Label:
			known = known && value == jsonscan.String
		default:
			known = known && value == jsonscan.Number
		}
		if !known {
			r.Skipped++
			continue
		}
		r.Samples = append(r.Samples, one)
	}
}

func kind(s string) (collector.Kind, bool) {
	for k := collector.Untyped; k <= collector.Label; k++ {
		if k.String() == s {
			return k, true
		}
	}
	return 0, false
}

// histogram reads a native histogram; nil for another value.
func (r *Record) histogram() *collector.NativeHistogram {
	s := &r.scan
	if !r.object() {
		return nil
	}
	if r.nhists == len(r.hists) {
		r.hists = append(r.hists, new(collector.NativeHistogram))
	}
	h := r.hists[r.nhists]
	r.nhists++
	*h = collector.NativeHistogram{Sum: math.NaN(), PositiveSpans: h.PositiveSpans[:0], PositiveCounts: h.PositiveCounts[:0],
		NegativeSpans: h.NegativeSpans[:0], NegativeCounts: h.NegativeCounts[:0], Exemplars: h.Exemplars[:0]}
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		switch string(key.Raw) {
		case "schema":
			h.Schema = int32(r.int())
		case "zero_threshold":
			h.ZeroThreshold = r.float()
		case "zero_count":
			h.ZeroCount = r.float()
		case "sum":
			h.Sum = r.float()
		case "count":
			h.Count = r.float()
		case "spans":
			h.PositiveSpans = r.spans(h.PositiveSpans)
		case "deltas":
			h.PositiveCounts = r.floats(h.PositiveCounts, true)
		case "counts":
			h.PositiveCounts = r.floats(h.PositiveCounts, false)
		case "negative_spans":
			h.NegativeSpans = r.spans(h.NegativeSpans)
		case "negative_deltas":
			h.NegativeCounts = r.floats(h.NegativeCounts, true)
		case "negative_counts":
			h.NegativeCounts = r.floats(h.NegativeCounts, false)
		case "exemplars":
			h.Exemplars = r.listed(h.Exemplars)
		default:
			s.Skip()
		}
	}
	return h
}

func (r *Record) float() float64 {
	if r.scan.Peek() != jsonscan.Number {
		r.scan.Skip()
		return math.NaN()
	}
	f, _ := jsonscan.Float64(r.scan.Number())
	return f
}

// floats reads an array of counts; deltas are added up.
func (r *Record) floats(out []float64, deltas bool) []float64 {
	if !r.array() {
		return out
	}
	last := 0.0
	for r.scan.More() {
		f := r.float()
		if deltas {
			f += last
			last = f
		}
		out = append(out, f)
	}
	return out
}

func (r *Record) spans(out []collector.Span) []collector.Span {
	if !r.array() {
		return out
	}
	for r.scan.More() {
		if !r.array() {
			continue
		}
		var n [2]int64
		for i := 0; r.scan.More(); i++ {
			if v := r.int(); i < len(n) {
				n[i] = v
			}
		}
		out = append(out, collector.Span{Offset: int32(n[0]), Length: uint32(n[1])})
	}
	return out
}
