package stats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/rollcall-metrics/rollcall/collector"
)

// openMetrics reads OpenMetrics text with Prometheus' own parser, and takes the digits of the values from the body. Time stamps are checked and
// left.
func (p *Parser) openMetrics(body []byte) error {
	var fam family
	sound := 0 // bytes up to the end of the last good entry
	tp := textparse.NewOpenMetricsParser(body, labels.NewSymbolTable())
	for p.err == nil {
		entry, err := tp.Next()
		if errors.Is(err, io.EOF) {
			return p.err
		}
		if err != nil {
			return &ParseError{Format: OpenMetrics, Offset: sound, Err: fmt.Errorf("after byte %d: %w", sound, err)}
		}
		switch entry {
		case textparse.EntryType:
			name, kind := tp.Type()
			fam.name, fam.kind = view(name), familyKinds[kind]
			if kind == model.MetricTypeInfo {
				fam.name += "_info"
			}
			sound = max(sound, offset(body, name)+len(name))
		case textparse.EntrySeries:
			series, _, f := tp.Series()
			end := offset(body, series) + len(series)
			value := bytes.TrimLeft(body[end:], " ")
			if n := bytes.IndexAny(value, " \n"); n >= 0 {
				value = value[:n]
			}
			sound = end
			p.point(tp, &fam, value, f, false)
		}
	}
	return p.err
}

// offset is where a part of body begins.
func offset(body, part []byte) int { return cap(body) - cap(part) }

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

// identity is the name of the series that tp stands at; its labels are added to p.pairs. plainBounds has the bounds of buckets and quantiles written as text
// exposition does it: 1, not 1.0.
func (p *Parser) identity(tp textparse.Parser, plainBounds bool) (name string, ok bool) {
	tp.Labels(&p.scratch.labels)
	from := len(p.pairs)
	ok = true
	p.scratch.labels.Range(func(l labels.Label) {
		switch {
		case l.Name == model.MetricNameLabel:
			name = l.Value
		case ok:
			if plainBounds && (l.Name == "le" || l.Name == "quantile") {
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
func (p *Parser) point(tp textparse.Parser, fam *family, value []byte, f float64, plainBounds bool) {
	from := len(p.pairs)
	name, ok := p.identity(tp, plainBounds)
	if !ok {
		return
	}
	entry := p.register(flat, p.canonical(name, from))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		p.nonfinite++
		p.pairs = p.pairs[:from]
	} else if p.take(name) {
		s := collector.Sample{Name: name, Kind: fam.kindOf(name), Value: view(value)}
		if len(p.pairs) > from {
			s.Labels = p.pairs[from:len(p.pairs):len(p.pairs)]
		}
		s.Exemplar, _ = p.exemplar(tp)
		p.samples = append(p.samples, s)
	}
	p.close(entry)
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
	e = &collector.Exemplar{Value: x.Value, Labels: p.pairs[from:len(p.pairs):len(p.pairs)]}
	if x.HasTs {
		e.Time = x.Ts
	}
	return e, true
}
