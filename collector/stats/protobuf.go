package stats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/rollcall-metrics/rollcall/collector"
)

// maxMetric is the most bytes that one metric of a protobuf body may have, with all its buckets and labels. Prometheus' decoder makes 30 times as much of the
// smallest buckets.
const maxMetric = 256 << 10

// protobuf reads io.prometheus.client.MetricFamily messages, each behind its length, with Prometheus' own parser. Before it sees anything, every message is
// known to be whole, of a bounded size, and to hold a metric: the parser calls itself for each family that holds none.
func (p *Parser) protobuf(body []byte) error {
	run := 0 // of families that hold a metric
	for at := 0; at < len(body); {
		f, err := p.nextFamily(body, at)
		if err != nil {
			return err
		}
		if f.metrics == 0 {
			if err := p.families(body, run, at); err != nil {
				return err
			}
			run = f.end
		}
		at = f.end
	}
	return p.families(body, run, len(body))
}

// familyWire has the wire types of a family's fields by number: name, help, type, metric, unit.
var familyWire = [...]uint64{1: 2, 2: 2, 3: 0, 4: 2, 5: 2}

// frame is one message of the body, and how many metrics it holds.
type frame struct{ start, end, metrics int }

// nextFamily walks the outermost fields of the message there.
func (p *Parser) nextFamily(body []byte, at int) (frame, error) {
	size, n := binary.Uvarint(body[at:])
	if n <= 0 || n > binary.MaxVarintLen32 {
		return frame{}, fault(Protobuf, at, "want the length of a metric family")
	}
	f := frame{start: at}
	i, name := at+n, []byte(nil)
	if size > uint64(len(body)-i) {
		return frame{}, fault(Protobuf, at, fmt.Sprintf("a metric family of %d bytes, of which %d are there", size, len(body)-i))
	}
	f.end = i + int(size)
	for i < f.end {
		field := i
		tag, n := binary.Uvarint(body[i:f.end])
		if n <= 0 {
			return frame{}, fault(Protobuf, field, "want a field of a metric family")
		}
		number := int32(tag >> 3) // as Prometheus' decoder has it
		if known := number >= 1 && number <= 5; number <= 0 || known && tag&7 != familyWire[number] {
			return frame{}, fault(Protobuf, field, "want a field of a metric family")
		}
		i += n
		var skip uint64
		switch tag & 7 {
		case 0:
			if _, n = binary.Uvarint(body[i:f.end]); n <= 0 {
				return frame{}, fault(Protobuf, i, "want a number")
			}
			skip = uint64(n)
		case 1:
			skip = 8
		case 5:
			skip = 4
		case 2:
			size, n := binary.Uvarint(body[i:f.end])
			if n <= 0 {
				return frame{}, fault(Protobuf, i, "want the length of a field")
			}
			i += n
			skip = size
			if number == 1 {
				name = body[i:min(uint64(i)+min(size, 80), uint64(f.end))]
			}
			if number == 4 {
				if f.metrics++; f.metrics > p.o.Samples {
					p.limit("samples", p.o.Samples, view(name))
					return f, p.err
				}
				if size > maxMetric {
					p.limit("metric", maxMetric, view(name))
					return f, p.err
				}
			}
		default:
			return frame{}, fault(Protobuf, field, "want a field of a metric family")
		}
		if skip > uint64(f.end-i) {
			return frame{}, fault(Protobuf, field, "a field is longer than the metric family it stands in")
		}
		i += int(skip)
	}
	return f, nil
}

// families reads whole families from one place of the body to another. An error has the offset of the family that is to blame.
func (p *Parser) families(body []byte, from, to int) error {
	if from == to {
		return nil
	}
	err := p.decode(body[from:to:to], true)
	if err == nil || p.err != nil {
		return p.err
	}
	// Prometheus' parser does not say where it was. One family at a time does, once; nothing of it is kept.
	for at := from; at < to; {
		f, _ := p.nextFamily(body, at)
		if one := p.decode(body[at:f.end:f.end], false); one != nil {
			from, err = at, one
			break
		}
		at = f.end
	}
	return &ParseError{Format: Protobuf, Offset: from, Err: fmt.Errorf("metric family at byte %d: %w", from, err)}
}

// decode reads families, each with a metric in it. take is false where only the verdict counts.
func (p *Parser) decode(b []byte, take bool) (err error) {
	defer func() {
		// The parser checks the spans of a family's first histogram only, and goes by those of the others.
		if r := recover(); r != nil {
			err = fmt.Errorf("not consistent: %v", r)
		}
	}()
	var fam family
	tp := textparse.NewProtobufParser(b, false, false, false, false, labels.NewSymbolTable())
	for p.err == nil {
		entry, err := tp.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch entry {
		case textparse.EntryType:
			name, kind := tp.Type()
			from := len(p.text)
			p.text = append(p.text, name...) // the parser uses its own again
			fam = family{p.kept(from), familyKinds[kind]}
		case textparse.EntrySeries:
			_, at, f := tp.Series()
			if take {
				p.point(tp, &fam, timeOf(at), f)
			}
		case textparse.EntryHistogram:
			_, at, h, fh := tp.Histogram()
			if h != nil {
				fh = h.ToFloat(nil)
			}
			if !spansFit(fh.PositiveSpans, fh.PositiveBuckets) || !spansFit(fh.NegativeSpans, fh.NegativeBuckets) {
				return errSpans
			}
			if take {
				p.native(tp, fh, timeOf(at))
			}
		}
	}
	return nil
}

// timeOf is a time stamp in milliseconds, or none.
func timeOf(at *int64) int64 {
	if at == nil {
		return noTime
	}
	return *at
}

var errSpans = errors.New("the spans of a native histogram do not fit its buckets")

func spansFit(spans []histogram.Span, buckets []float64) bool {
	n := uint64(0)
	for _, s := range spans {
		n += uint64(s.Length)
	}
	return n == uint64(len(buckets))
}

// float is a number as it would be written.
func (p *Parser) float(f float64) []byte {
	from := len(p.text)
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		p.text = strconv.AppendInt(p.text, int64(f), 10)
	} else {
		p.text = strconv.AppendFloat(p.text, f, 'g', -1, 64)
	}
	return p.text[from:]
}

// native adds a native histogram. Only those with exponential buckets that count up have words in a record: others are left out and counted.
func (p *Parser) native(tp textparse.Parser, h *histogram.FloatHistogram, at int64) {
	from := len(p.pairs)
	name, ok := p.identity(tp)
	if !ok {
		return
	}
	entry := p.register(flat, p.canonical(name, from))
	defer p.close(entry)
	switch {
	case h.Schema < -4 || h.Schema > 8 || h.CounterResetHint == histogram.GaugeType:
		p.leftOut++
		p.pairs = p.pairs[:from]
		return
	case !finites(h.Count, h.ZeroCount, h.ZeroThreshold) || !finites(h.PositiveBuckets...) || !finites(h.NegativeBuckets...):
		p.nonfinite++
		p.pairs = p.pairs[:from]
		return
	case p.far(at):
		p.stale++
		p.pairs = p.pairs[:from]
		return
	}
	p.numbers += len(h.PositiveBuckets) + len(h.NegativeBuckets)
	if !p.take(name) {
		return
	}
	spans := func(in []histogram.Span) (out []collector.Span) {
		for _, s := range in {
			out = append(out, collector.Span{Offset: s.Offset, Length: s.Length})
		}
		return out
	}
	s := collector.Sample{Name: name, Kind: collector.Histogram, Window: collector.Buckets, Hist: &collector.NativeHistogram{
		Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, ZeroCount: h.ZeroCount, Sum: h.Sum, Count: h.Count,
		PositiveSpans: spans(h.PositiveSpans), PositiveCounts: h.PositiveBuckets, NegativeSpans: spans(h.NegativeSpans), NegativeCounts: h.NegativeBuckets}}
	if len(p.pairs) > from {
		s.Labels = p.pairs[from:len(p.pairs):len(p.pairs)]
	}
	for e, more := p.exemplar(tp); more; e, more = p.exemplar(tp) {
		if e != nil && len(s.Hist.Exemplars) < maxExemplars {
			s.Hist.Exemplars = append(s.Hist.Exemplars, *e)
		}
	}
	p.samples = append(p.samples, s)
}

// maxExemplars is how many exemplars of one native histogram are taken.
const maxExemplars = 10

func finites(fs ...float64) bool {
	for _, f := range fs {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return true
}

// looksProtobuf tells a body of delimited families by its first bytes: a length, then the family's name, a metric name, then another field of a family.
func looksProtobuf(body []byte) bool {
	size, n := binary.Uvarint(body)
	if n <= 0 || n > binary.MaxVarintLen32 || size > uint64(len(body)-n) || size < 4 || body[n] != 0x0a {
		return false
	}
	b := body[n+1 : n+int(size)]
	size, n = binary.Uvarint(b)
	if n <= 0 || size == 0 || size >= uint64(len(b)-n) {
		return false
	}
	name := b[n : n+int(size)]
	next := b[n+int(size)]
	return isNameStart(name[0]) && strings.IndexFunc(view(name), func(r rune) bool { return r > 0x7f || !isNameByte(byte(r)) }) < 0 &&
		(next == 0x12 || next == 0x18 || next == 0x22)
}

// scratch is what Prometheus' parser fills for us: here, so that each series does not bring its own.
type scratch struct {
	labels   labels.Labels
	exemplar exemplar.Exemplar
}

// familyKinds are what Prometheus' parser calls the kinds of families.
var familyKinds = map[model.MetricType]familyKind{
	model.MetricTypeCounter: counterFamily, model.MetricTypeGauge: gaugeFamily, model.MetricTypeInfo: gaugeFamily, model.MetricTypeStateset: gaugeFamily,
	model.MetricTypeSummary: summaryFamily, model.MetricTypeHistogram: histogramFamily, model.MetricTypeGaugeHistogram: gaugeHistogramFamily,
}

// identity is the name of the series that tp stands at; its labels are added to p.pairs. The bounds of buckets and quantiles are written as text exposition
// does it: 1, not 1.0.
func (p *Parser) identity(tp textparse.Parser) (name string, ok bool) {
	tp.Labels(&p.scratch.labels)
	from := len(p.pairs)
	ok = true
	p.scratch.labels.Range(func(l labels.Label) {
		switch {
		case l.Name == model.MetricNameLabel:
			name = l.Value
		case ok:
			if l.Name == "le" || l.Name == "quantile" {
				l.Value = strings.TrimSuffix(l.Value, ".0")
			}
			ok = p.label(l.Name, l.Value, from)
		}
	})
	if !ok {
		return name, false
	}
	p.sort(from, true)
	if strings.ToValidUTF8(name, "\ufffd") != name {
		name = strings.ToValidUTF8(name, "\ufffd")
		p.invalid++
	}
	return name, true
}

// point adds the series that tp stands at.
func (p *Parser) point(tp textparse.Parser, fam *family, at int64, f float64) {
	from := len(p.pairs)
	name, ok := p.identity(tp)
	if !ok {
		return
	}
	s := collector.Sample{Name: name, Kind: fam.kindOf(name), Value: view(p.float(f)), Labels: p.pairs[from:len(p.pairs):len(p.pairs)]}
	id := p.canonical(name, from) // of the labels alone: those of the exemplar come behind them
	s.Exemplar, _ = p.exemplar(tp)
	p.add(id, &s, from, finites(f), at)
}

// exemplar is the next one of the series that tp stands at. One past the limits of labels, or of no finite number, is left out and counted: it is an ornament,
// and no reason to lose a scrape.
func (p *Parser) exemplar(tp textparse.Parser) (e *collector.Exemplar, more bool) {
	x := &p.scratch.exemplar
	*x = exemplar.Exemplar{}
	if !tp.Exemplar(x) {
		return nil, false
	}
	from := len(p.pairs)
	fits := finites(x.Value)
	x.Labels.Range(func(l labels.Label) {
		fits = fits && len(l.Name) <= p.o.LabelName && len(l.Value) <= p.o.LabelValue && len(p.pairs)-from < p.o.Labels
		if fits {
			p.pairs = append(p.pairs, collector.LabelPair{Name: l.Name, Value: l.Value})
		}
	})
	if !fits {
		p.leftOut++
		p.pairs = p.pairs[:from]
		return nil, true
	}
	e = p.ornament(collector.Exemplar{Value: x.Value, Labels: p.pairs[from:len(p.pairs):len(p.pairs)]})
	if x.HasTs {
		e.Time = x.Ts
	}
	return e, true
}
