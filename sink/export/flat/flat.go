// Package flat makes of a record one JSON object a sample, and of counters what they grew by, so that SUM(delta) is right for anyone.
//
// It owns the form of topic rollcall.samples and the arithmetic of counters; it must not know Kafka.
package flat

import (
	"bytes"
	"context"
	"strconv"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Topic is the name that everybody expects, Schema what its header rollcall-schema says.
const (
	Topic  = "rollcall.samples"
	Schema = "sample/1"
)

// Intervals is for how many scrape intervals an Encoder wants to see what was before, so that no increase is lost where one export takes over from another.
const Intervals = 3

// Encoder makes samples of the records of one partition. It is used by one goroutine.
type Encoder struct {
	counters *counters
	key      []byte
	head     []byte
	tail     []byte
	one      []byte
}

// NewEncoder makes an encoder whose series are counted in m.
func NewEncoder(m *Memory) *Encoder { return &Encoder{counters: newCounters(m)} }

// Close gives the room of its series back.
func (e *Encoder) Close() { e.counters.close() }

// Encode gives one JSON object a sample; key is service/env/instance, so that all series of an instance stay in one partition, in order. Labels, which are texts,
// come as kind label. A record that is Known gives nothing; what it says of counters is remembered.
func (e *Encoder) Encode(_ context.Context, r *export.Record, emit func(key, value []byte)) error {
	in := e.counters.begin(r.Record)
	defer e.counters.end(in)
	if !r.Known {
		e.frame(r.Record)
	}
	for i := range r.Samples {
		s := &r.Samples[i]
		var g growth
		if s.Kind == collector.Counter {
			g = e.counters.see(in, r.Record, s)
		}
		if r.Known {
			continue
		}
		if b, ok := e.sample(r.Record, s, g); ok {
			emit(e.key, bytes.Clone(b))
		}
	}
	return nil
}

// frame prepares what all samples of a record have in common.
func (e *Encoder) frame(r *wire.Record) {
	e.key = []byte(r.Service + "/" + r.Env + "/" + r.Instance) // of all its samples
	b := append(e.head[:0], `{"id":"`...)
	b = r.ID.Append(b)
	b = append(b, `","ts":`...)
	b = strconv.AppendInt(b, r.TS, 10)
	b = wire.AppendString(append(b, `,"service":`...), r.Service)
	b = wire.AppendString(append(b, `,"env":`...), r.Env)
	e.head = wire.AppendString(append(b, `,"instance":`...), r.Instance)
	b = e.tail[:0]
	if ms := r.Source.Interval.Milliseconds(); ms > 0 {
		b = strconv.AppendInt(append(b, `,"interval_ms":`...), ms, 10)
	}
	if len(r.Tags) > 0 {
		b = wire.AppendLabels(append(b, `,"tags":`...), r.Tags)
	}
	e.tail = append(b, '}')
}

// sample is one object; false where the sample has no number that JSON can say.
func (e *Encoder) sample(r *wire.Record, s *collector.Sample, g growth) ([]byte, bool) {
	b := wire.AppendString(append(append(e.one[:0], e.head...), `,"name":`...), s.Name)
	b = append(append(append(b, `,"kind":"`...), s.Kind.String()...), '"')
	if len(s.Labels) > 0 {
		b = wire.AppendLabels(append(b, `,"labels":`...), s.Labels)
	}
	ok := true
	switch s.Kind {
	case collector.Label:
		b = wire.AppendString(append(b, `,"text":`...), s.Value)
	case collector.Distribution:
		if s.Window != collector.WindowUnknown {
			b = append(append(append(b, `,"window":"`...), s.Window.String()...), '"')
		}
		b, ok = wire.AppendFields(append(b, `,"fields":`...), s.Fields)
	case collector.Histogram:
		b, ok = wire.AppendHistogram(append(b, `,"histogram":`...), s.Hist)
	default:
		b, ok = wire.AppendNumber(append(b, `,"value":`...), s.Value)
	}
	switch s.Kind {
	case collector.Counter:
		b = g.append(b)
	case collector.Delta: // it is an increase already, which nobody else tells of
		b = append(append(b, `,"delta":`...), s.Value...)
		b = strconv.AppendInt(append(b, `,"dt_ms":`...), s.Since.Milliseconds(), 10)
		b = append(b, `,"reset":false`...)
	}
	e.one = append(b, e.tail...)
	return e.one, ok
}
