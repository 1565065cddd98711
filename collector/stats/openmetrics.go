package stats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/rollcall-metrics/rollcall/collector"
)

// openMetrics reads OpenMetrics text with Prometheus' own parser, and takes the digits of the values from the body. Exemplars and time stamps are checked
// and left.
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
			fam.name, fam.kind = view(name), untypedFamily
			switch kind {
			case "counter":
				fam.kind = counterFamily
			case "gauge", "info", "stateset":
				fam.kind = gaugeFamily
				if kind == "info" {
					fam.name += "_info"
				}
			case "summary":
				fam.kind = summaryFamily
			case "histogram":
				fam.kind = histogramFamily
			case "gaugehistogram":
				fam.kind = gaugeHistogramFamily
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
			p.point(tp, &fam, value, f)
		}
	}
	return p.err
}

// offset is where a part of body begins.
func offset(body, part []byte) int { return cap(body) - cap(part) }

// point adds the series that tp stands at.
func (p *Parser) point(tp textparse.Parser, fam *family, value []byte, f float64) {
	var ls labels.Labels
	tp.Labels(&ls)
	from := len(p.pairs)
	name, ok := "", true
	ls.Range(func(l labels.Label) {
		if l.Name == "__name__" {
			name = l.Value
		} else if ok {
			ok = p.label(l.Name, l.Value, from)
		}
	})
	if !ok {
		return
	}
	p.sort(from, true)
	if strings.ToValidUTF8(name, "\ufffd") != name {
		name = strings.ToValidUTF8(name, "\ufffd")
		p.invalid++
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
		p.samples = append(p.samples, s)
	}
	p.close(entry)
}
