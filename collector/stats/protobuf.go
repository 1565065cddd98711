package stats

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/collector"
)

// maxMetric is the most bytes that one metric of a protobuf body may have, with all its buckets and labels: the smallest buckets become 30 times as much.
const maxMetric = 256 << 10

// protoFamily is a metric family, and where in the body it is.
type protoFamily struct {
	family
	from, to int // of its fields
	metrics  int
}

// protoKinds are the kinds of families by the number of their type.
var protoKinds = [...]familyKind{counterFamily, gaugeFamily, summaryFamily, untypedFamily, histogramFamily, gaugeHistogramFamily}

// protobuf reads io.prometheus.client.MetricFamily messages, each behind its length, with the verdict of Prometheus' own parser: every field of the schema is
// held to it, read or not; groups are not known.
func (p *Parser) protobuf(body []byte) error {
	for at := 0; at < len(body); {
		size, n := binary.Uvarint(body[at:])
		if n <= 0 || n > binary.MaxVarintLen32 {
			return fault(Protobuf, at, "want the length of a metric family")
		}
		if size > uint64(len(body)-at-n) {
			return fault(Protobuf, at, fmt.Sprintf("want a metric family of %d bytes, of which %d are there", size, len(body)-at-n))
		}
		f := protoFamily{from: at + n, to: at + n + int(size)}
		if at, msg := p.protoFamily(body, &f); msg != "" {
			return fault(Protobuf, at, msg)
		}
		if p.err != nil {
			return p.err
		}
		at = f.to
	}
	return nil
}

// protoFamily reads one family. A message is a fault at that byte.
func (p *Parser) protoFamily(body []byte, f *protoFamily) (at int, msg string) {
	kind, help := uint64(0), ""
	w := protoWalk{b: body, i: f.from, end: f.to}
	for w.next() {
		if w.num <= 5 && protoSchema[familyMessage][w.num].wire != w.wire {
			return w.at, "want another type of this field of a metric family"
		}
		switch w.num {
		case 1:
			f.name = w.text()
		case 2:
			help = w.text()
		case 3:
			kind = w.u
		case 4:
			if f.metrics++; f.metrics > p.o.Samples {
				p.limit("samples", p.o.Samples, f.name)
				return 0, ""
			}
			if w.to-w.from > maxMetric {
				p.limit("metric", maxMetric, f.name)
				return 0, ""
			}
		}
	}
	switch {
	case w.msg != "":
		return w.at, w.msg
	case f.metrics == 0:
		return 0, ""
	case f.name == "" || !utf8.ValidString(f.name):
		return f.from, "want the name of the metric family, as UTF-8"
	case !utf8.ValidString(help):
		return f.from, "want a help text that is UTF-8"
	case uint32(kind) >= uint32(len(protoKinds)):
		return f.from, fmt.Sprintf("want a type of metric family, not %d", int32(kind))
	}
	f.kind = protoKinds[uint32(kind)]
	for w = (protoWalk{b: body, i: f.from, end: f.to}); w.next() && p.err == nil; {
		if w.num != 4 {
			continue
		}
		if at, msg = w.within().check(metricMessage); msg != "" {
			return at, msg
		}
		if at, msg = p.protoMetric(w.within(), f); msg != "" {
			return at, msg
		}
	}
	return 0, ""
}

// protoMetric reads one metric, which has passed the check.
func (p *Parser) protoMetric(w protoWalk, f *protoFamily) (at int, msg string) {
	var (
		from  = len(p.pairs)
		value float64
		stamp = int64(noTime)
		whole = p.whole[:0] // where the messages of a summary or a histogram stand
		shown protoExemplar // of a counter
	)
	for w.next() {
		switch {
		case w.num == 1:
			name, value, msg := protoLabel(w.within(), true)
			if msg != "" {
				return w.from, msg
			}
			if !p.label(name, value, from) {
				return 0, ""
			}
		case w.num == 2 && f.kind == gaugeFamily, w.num == 5 && f.kind == untypedFamily, w.num == 3 && f.kind == counterFamily:
			for in := w.within(); in.next(); {
				switch in.num {
				case 1:
					value = in.float()
				case 2:
					if f.kind == counterFamily {
						shown.add(in.within())
					}
				}
			}
		case w.num == 4 && f.kind == summaryFamily, w.num == 7 && f.kind >= histogramFamily && f.kind <= gaugeHistogramFamily:
			whole = append(whole, w.within())
		case w.num == 6:
			if stamp = int64(w.u); stamp == 0 { // Prometheus cannot tell it from none
				stamp = noTime
			}
		}
	}
	p.whole = whole
	f.plain(p.pairs[from:])
	p.sort(from, true)
	switch m := (protoSeries{p, f, from, len(p.pairs), stamp}); f.kind {
	case summaryFamily:
		m.summary(whole)
	case histogramFamily, gaugeHistogramFamily:
		return m.histogram(whole)
	default:
		m.add("", "", p.float(value), finites(value), &shown)
	}
	return 0, ""
}

// plain writes the bounds of buckets and quantiles as text exposition does it: 1, not 1.0.
func (f *protoFamily) plain(ls []collector.LabelPair) {
	for i, l := range ls {
		if l.Name == "le" && (f.kind == histogramFamily || f.kind == gaugeHistogramFamily) || l.Name == "quantile" && f.kind == summaryFamily {
			ls[i].Value = strings.TrimSuffix(l.Value, ".0")
		}
	}
}

// protoLabel reads one label. strict has Prometheus' rules for the labels of series, not those of exemplars.
func protoLabel(w protoWalk, strict bool) (name, value, msg string) {
	for w.next() {
		switch w.num {
		case 1:
			if name = w.text(); strict && (name == "" || !utf8.ValidString(name)) {
				return "", "", "want the name of a label, as UTF-8"
			}
		case 2:
			if value = w.text(); strict && !utf8.ValidString(value) {
				return "", "", "want the value of a label, as UTF-8"
			}
		}
	}
	return name, value, ""
}

// protoSeries are the series of one metric, whose labels are pairs[from:to].
type protoSeries struct {
	p        *Parser
	f        *protoFamily
	from, to int
	stamp    int64
}

// add adds the series with a suffix to its name, and one label more where bound is not empty.
func (m *protoSeries) add(suffix, bound string, digits []byte, finite bool, e *protoExemplar) {
	p := m.p
	if p.err != nil {
		return
	}
	name, from, cut := m.f.name, m.from, len(p.pairs)
	if suffix != "" {
		at := len(p.text)
		p.text = append(append(p.text, name...), suffix...)
		name = p.kept(at)
	}
	if len(p.pairs) > m.to || bound != "" { // those of the series before stand behind
		from = cut
		p.pairs = append(p.pairs, p.pairs[m.from:m.to]...)
	}
	if bound != "" {
		label := "le"
		if m.f.kind == summaryFamily {
			label = "quantile"
		}
		if !p.label(label, bound, from) {
			return
		}
		p.sort(from, true)
	}
	s := collector.Sample{Name: name, Kind: m.f.kindOf(name), Value: view(digits), Labels: p.pairs[from:len(p.pairs):len(p.pairs)]}
	if m.f.kind == gaugeHistogramFamily {
		s.Kind = collector.Gauge
	}
	id := p.canonical(name, from)
	if e != nil && e.there {
		s.Exemplar = p.protoExemplar(e)
	}
	p.add(id, &s, cut, finite, m.stamp)
}

// summary adds _count, _sum and the quantiles.
func (m *protoSeries) summary(whole []protoWalk) {
	count, sum := uint64(0), 0.0
	for _, w := range whole {
		for w.next() {
			switch w.num {
			case 1:
				count = w.u
			case 2:
				sum = w.float()
			}
		}
	}
	m.add("_count", "", m.p.whole64(count), true, nil)
	m.add("_sum", "", m.p.float(sum), finites(sum), nil)
	for _, w := range whole {
		for w.next() {
			if w.num != 3 {
				continue
			}
			q, v := 0.0, 0.0
			for in := w.within(); in.next(); {
				switch in.num {
				case 1:
					q = in.float()
				case 2:
					v = in.float()
				}
			}
			m.add("", m.p.bound(q), m.p.float(v), finites(v), nil)
		}
	}
}

// bound is the bound of a bucket, or a quantile, as text exposition has it.
func (p *Parser) bound(f float64) string {
	from := len(p.text)
	p.text = strconv.AppendFloat(p.text, f, 'g', -1, 64)
	return p.kept(from)
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

// whole64 is a whole number with all its digits.
func (p *Parser) whole64(u uint64) []byte {
	from := len(p.text)
	p.text = strconv.AppendUint(p.text, u, 10)
	return p.text[from:]
}

// protoExemplar is an exemplar that was not read yet. Messages of one that stand twice are one.
type protoExemplar struct {
	there bool
	first protoWalk
	more  []protoWalk
}

func (e *protoExemplar) add(w protoWalk) {
	if e.there {
		e.more = append(e.more, w)
		return
	}
	e.there, e.first = true, w
}

// protoExemplar reads an exemplar. One past the limits of labels, of no finite number or with a label that is not UTF-8 is left out and counted: it is an
// ornament, and no reason to lose a scrape.
func (p *Parser) protoExemplar(e *protoExemplar) *collector.Exemplar {
	from, fits := len(p.pairs), true
	x := collector.Exemplar{}
	seconds, nanos := int64(0), int32(0)
	read := func(w protoWalk) {
		for w.next() {
			switch w.num {
			case 1:
				name, value, _ := protoLabel(w.within(), false)
				fits = fits && len(name) <= p.o.LabelName && len(value) <= p.o.LabelValue && len(p.pairs)-from < p.o.Labels && utf8.ValidString(name) && utf8.ValidString(value)
				if fits {
					p.pairs = append(p.pairs, collector.LabelPair{Name: name, Value: value})
				}
			case 2:
				x.Value = w.float()
			case 3:
				for in := w.within(); in.next(); {
					switch in.num {
					case 1:
						seconds = int64(in.u)
					case 2:
						nanos = int32(in.u)
					}
				}
				x.Time = seconds*1000 + int64(nanos/1_000_000)
			}
		}
	}
	read(e.first)
	for _, w := range e.more {
		read(w)
	}
	if !fits || !finites(x.Value) {
		p.leftOut++
		p.pairs = p.pairs[:from]
		return nil
	}
	slices.SortStableFunc(p.pairs[from:], byName)
	x.Labels = p.pairs[from:len(p.pairs):len(p.pairs)]
	return p.ornament(x)
}

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
