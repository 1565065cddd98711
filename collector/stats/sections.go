package stats

import (
	"unsafe"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// maxFields is how many numbers a distribution may have. Ostrich writes eleven and Dropwizard fifteen: an object with more is something else.
const maxFields = 32

// section reads the object of one of Ostrich's or Dropwizard's sections.
func (p *Parser) section(sec space) {
	s := &p.scan
	s.Object()
	kind := collector.Counter
	if sec == secGauges {
		kind = collector.Gauge
	}
	for p.err == nil {
		if sec == secCounters || sec == secGauges {
			if key, digits, ok := s.Entry(); ok { // most are like that
				name := jsonscan.Text{Raw: key}.View()
				at := p.register(sec, name)
				p.number(name, kind, digits)
				p.close(at)
				continue
			}
		}
		k, ok := s.Key()
		if !ok {
			return
		}
		name := p.name(k)
		at := p.register(sec, name)
		if !p.fits(sec, name) {
			p.value(p.under(sectionNames[sec], k))
		}
		p.close(at)
	}
}

// fits reads an entry that is what its section says; else it reads nothing, and reports false.
func (p *Parser) fits(sec space, name string) bool {
	s := &p.scan
	kind := s.Peek()
	switch {
	case sec == secLabels:
		if kind != jsonscan.String {
			return false
		}
		t := s.String()
		v := p.textOf(t)
		if len(v) > p.o.LabelValue {
			p.limit("label value", p.o.LabelValue, name)
			return true
		}
		p.emit(name, collector.Label, v)
		return true
	case sec == secCounters && kind == jsonscan.Number:
		p.number(name, collector.Counter, s.Number())
		return true
	case sec == secGauges && kind == jsonscan.Number:
		p.number(name, collector.Gauge, s.Number())
		return true
	case sec == secCounters || sec == secGauges:
		switch kind {
		case jsonscan.Nonfinite:
			s.Skip()
			p.nonfinite++
			return true
		case jsonscan.String:
			m := s.Mark()
			if nonfinite(s.String().Raw) {
				p.nonfinite++
				return true
			}
			s.Rewind(m)
		case jsonscan.True, jsonscan.False:
			if sec == secGauges {
				p.boolean(name)
				return true
			}
		case jsonscan.Object:
			if sec == secCounters {
				return p.wrapped(name, "count", collector.Counter)
			}
			return p.wrapped(name, "value", collector.Gauge)
		}
		return false
	case kind != jsonscan.Object:
		return false
	case sec == secMeters:
		return p.meter(name)
	case sec == secMetrics:
		return p.distribution(name, p.o.Window)
	}
	return p.distribution(name, collector.Decaying) // Dropwizard's reservoir
}

// wrapped reads Dropwizard's {"value": 1} and {"count": 1}: an object with that key alone.
func (p *Parser) wrapped(name, key string, kind collector.Kind) bool {
	s := &p.scan
	was := p.mark()
	s.Object()
	k, ok := s.Key()
	if !ok || string(k.Raw) != key {
		p.back(was)
		return false
	}
	switch s.Peek() {
	case jsonscan.Number:
		p.number(name, kind, s.Number())
	case jsonscan.Object:
		p.back(was)
		return false
	default:
		p.value(name)
	}
	if _, more := s.Key(); more {
		p.back(was)
		return false
	}
	return true
}

// meter reads Dropwizard's meter: its count is a counter, its rates are gauges below its name.
func (p *Parser) meter(name string) bool {
	fields, ok := p.numbersOf(name)
	if !ok {
		return false
	}
	for _, f := range fields {
		if f.Name == "count" {
			p.samples = append(p.samples, collector.Sample{Name: name, Kind: collector.Counter, Value: f.Value})
			continue
		}
		from := len(p.text)
		p.text = append(append(append(p.text, name...), '/'), f.Name...)
		p.samples = append(p.samples, collector.Sample{Name: p.kept(from), Kind: collector.Gauge, Value: f.Value})
	}
	p.fields = p.fields[:len(p.fields)-len(fields)]
	return true
}

// distribution reads Ostrich's metrics and Dropwizard's histograms and timers.
func (p *Parser) distribution(name string, w collector.Window) bool {
	fields, ok := p.numbersOf(name)
	if ok && p.err == nil {
		p.samples = append(p.samples, collector.Sample{Name: name, Kind: collector.Distribution, Window: w, Fields: fields})
	}
	return ok
}

// numbersOf reads an object of numbers with a count among them. Texts beside the numbers (units) become Label samples below its name.
func (p *Parser) numbersOf(name string) ([]collector.Field, bool) {
	s := &p.scan
	was := p.mark()
	counted := false
	s.Object()
	for p.err == nil {
		if len(p.fields)-was.fields < maxFields && len(p.samples)-was.samples < maxFields {
			if key, digits, ok := s.Entry(); ok { // most are like that
				f := fieldName(jsonscan.Text{Raw: key}.View())
				counted = counted || f == "count"
				if p.take(name) {
					p.field(was.fields, f, digits)
				}
				continue
			}
		}
		k, ok := s.Key()
		if !ok {
			break
		}
		switch kind := s.Peek(); {
		case len(p.fields)-was.fields >= maxFields || len(p.samples)-was.samples >= maxFields || kind == jsonscan.Object || kind == jsonscan.Array:
			p.back(was)
			return nil, false
		case kind == jsonscan.Number:
			f := fieldName(p.name(k))
			counted = counted || f == "count"
			if p.take(name) {
				p.field(was.fields, f, s.Number())
			}
		case kind == jsonscan.Nonfinite:
			s.Skip()
			p.nonfinite++
		default:
			p.beside(was.samples, p.under(name, k))
		}
	}
	if !counted {
		p.back(was)
		return nil, false
	}
	return p.fields[was.fields:len(p.fields):len(p.fields)], true
}

// beside reads what is no number; a sample of the same name since from is replaced.
func (p *Parser) beside(from int, name string) {
	n := len(p.samples)
	p.value(name)
	for i := from; i < n; i++ {
		if p.samples[i].Name == name {
			p.kill(int32(i), int32(i)+1)
			p.duplicates++
		}
	}
}

// field adds a number to the distribution whose fields begin at from; a second one of the same name takes the first one's place.
func (p *Parser) field(from int, name string, digits []byte) {
	v := unsafe.String(unsafe.SliceData(digits), len(digits))
	for i := from; i < len(p.fields); i++ {
		if p.fields[i].Name == name {
			p.fields[i].Value = v
			p.duplicates++
			return
		}
	}
	p.fields = append(p.fields, collector.Field{Name: name, Value: v})
}

// fieldName is the one spelling that collector.Field has for a number of a distribution.
func fieldName(n string) string {
	switch n {
	case "avg", "mean":
		return "average"
	case "max":
		return "maximum"
	case "min":
		return "minimum"
	case "standard_deviation", "std_dev":
		return "stddev"
	case "p9990":
		return "p999"
	}
	return n
}

// state is what the Parser had before it tried to read an object as something.
type state struct {
	at                                                          jsonscan.Mark
	samples, fields, numbers, dead, nonfinite, dup, inv, dotted int
}

func (p *Parser) mark() state {
	return state{p.scan.Mark(), len(p.samples), len(p.fields), p.numbers, p.dead, p.nonfinite, p.duplicates, p.invalid, len(p.dotted)}
}

// back forgets what was read since, so that it can be read in another way.
func (p *Parser) back(w state) {
	p.scan.Rewind(w.at)
	p.samples, p.fields, p.dotted = p.samples[:w.samples], p.fields[:w.fields], p.dotted[:w.dotted]
	p.numbers, p.dead, p.nonfinite, p.duplicates, p.invalid = w.numbers, w.dead, w.nonfinite, w.dup, w.inv
}
