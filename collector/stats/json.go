package stats

import (
	"bytes"
	"errors"
	"strconv"
	"unsafe"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// sectionOf is the section that a key of the outermost object names, or flat.
func sectionOf(k jsonscan.Text) space {
	switch string(k.Raw) {
	case "counters":
		return secCounters
	case "gauges":
		return secGauges
	case "labels":
		return secLabels
	case "metrics":
		return secMetrics
	case "histograms":
		return secHistograms
	case "meters":
		return secMeters
	case "timers":
		return secTimers
	}
	return flat
}

var sectionNames = [numSpaces]string{secCounters: "counters", secGauges: "gauges", secLabels: "labels", secMetrics: "metrics", secHistograms: "histograms", secMeters: "meters", secTimers: "timers"}

// json reads any JSON. An object under one of Ostrich's or Dropwizard's section names is read as that section; what does not look like an entry of the
// section, and everything under other names, is flattened: numbers at any depth with their path joined by '/'.
func (p *Parser) json(body []byte) error {
	doc := bytes.TrimPrefix(body, bom)
	s := &p.scan
	s.Reset(doc, jsonscan.Options{Nonfinite: true, MaxDepth: p.o.Depth})
	var ranges [numSpaces]struct {
		from, to int
		read     bool
		object   bool
	}
	version := -1 // the sample of the outermost "version"
	s.Object()
	for k, ok := s.Key(); ok && p.err == nil; k, ok = s.Key() {
		sec := sectionOf(k)
		if sec == flat {
			n := len(p.samples)
			if string(k.Raw) == "value" && s.Peek() == jsonscan.Object && p.asked() != "" {
				p.mbean(p.asked())
			} else {
				p.child("", k)
			}
			if string(k.Raw) == "version" && len(p.samples) > n && p.samples[n].Kind == collector.Label {
				version = n
			}
			continue
		}
		r := &ranges[sec]
		if r.read {
			p.kill(int32(r.from), int32(r.to))
			p.duplicates++
		}
		r.read, r.from = true, len(p.samples)
		if r.object = s.Peek() == jsonscan.Object; r.object {
			p.section(sec)
		} else {
			p.value(sectionNames[sec])
		}
		r.to = len(p.samples)
	}
	if p.err != nil {
		return p.err
	}
	if err := s.End(); err != nil {
		var e *jsonscan.SyntaxError
		if errors.As(err, &e) {
			if e.TooDeep {
				p.limit("depth", p.o.Depth, p.newest())
				return p.err
			}
			e.Offset += len(body) - len(doc)
			return &ParseError{Format: JSON, Offset: e.Offset, Err: e}
		}
		return err
	}
	if version >= 0 && ranges[secHistograms].object && ranges[secMeters].object && ranges[secTimers].object {
		p.kill(int32(version), int32(version)+1) // Dropwizard's: the version of its format, not of the application
	}
	p.gather()
	return nil
}

// newest is the name that was read last, under which the scanner stands.
func (p *Parser) newest() string {
	if n := len(p.seen.entries); n > 0 {
		return p.seen.entries[n-1].name
	}
	return ""
}

// name is a key as a string: a view where it can be one.
func (p *Parser) name(k jsonscan.Text) string {
	if k.Plain() && len(k.Raw) > 0 {
		return k.View()
	}
	return p.under("", k)
}

// under is a key below prefix, joined by '/' and mended, in the Parser's memory. An empty key would be lost in most places that names go to: it becomes "_".
func (p *Parser) under(prefix string, k jsonscan.Text) string {
	from := len(p.text)
	if prefix != "" {
		p.text = append(append(p.text, prefix...), '/')
	}
	mended := false
	if len(k.Raw) == 0 {
		p.text, mended = append(p.text, '_'), true
	} else {
		p.text, mended = k.Append(p.text)
	}
	if mended {
		p.invalid++
	}
	return p.kept(from)
}

// kept is what was added to the Parser's own text since from.
func (p *Parser) kept(from int) string {
	return unsafe.String(unsafe.SliceData(p.text[from:]), len(p.text)-from)
}

// register enters a name into a space before its value is read; an earlier value under it is dropped.
func (p *Parser) register(sp space, name string) (at int) {
	at, again := p.seen.add(sp, name, len(p.samples))
	if again {
		e := &p.seen.entries[at]
		p.kill(e.from, e.to)
		e.from = int32(len(p.samples))
		p.duplicates++
	}
	return at
}

// close tells the entry how far its samples go.
func (p *Parser) close(at int) { p.seen.entries[at].to = int32(len(p.samples)) }

// child reads the value of a key below prefix, which is empty in the outermost object.
func (p *Parser) child(prefix string, k jsonscan.Text) {
	if p.scan.Peek() == jsonscan.Object && isMBean(k.Raw) {
		p.mbean(p.name(k))
		return
	}
	name := ""
	if prefix == "" {
		name = p.name(k)
	} else {
		name = p.under(prefix, k)
	}
	at := p.register(flat, p.id(name))
	p.value(name)
	p.close(at)
}

// value reads one value of any kind and flattens it under name.
func (p *Parser) value(name string) {
	s := &p.scan
	switch s.Peek() {
	case jsonscan.Number:
		p.number(name, collector.Untyped, s.Number())
		if p.labelled == nil {
			p.dot(name)
		}
	case jsonscan.Nonfinite:
		s.Skip()
		p.nonfinite++
	case jsonscan.True, jsonscan.False:
		p.boolean(name)
	case jsonscan.String:
		p.string(name)
	case jsonscan.Array:
		n, within := 0, p.o.Arrays != nil && p.o.Arrays.MatchString(name)
		for s.Array(); s.More() && p.err == nil; n++ {
			if within {
				p.element(name, n)
			} else {
				s.Skip()
			}
		}
		p.emit(name, collector.Gauge, p.itoa(n))
	case jsonscan.Object:
		s.Object()
		for k, ok := s.Key(); ok && p.err == nil; k, ok = s.Key() {
			p.child(name, k)
		}
	default:
		s.Skip() // null
	}
}

// element reads the n-th value of the array called name.
func (p *Parser) element(name string, n int) {
	from := len(p.text)
	p.text = append(append(p.text, name...), '/')
	p.text = strconv.AppendInt(p.text, int64(n), 10)
	one := p.kept(from)
	at := p.register(flat, p.id(one))
	p.value(one)
	p.close(at)
}

// emit adds one sample with a value.
func (p *Parser) emit(name string, kind collector.Kind, value string) {
	if p.take(name) {
		p.samples = append(p.samples, collector.Sample{Name: name, Kind: kind, Value: value, Labels: p.labelled})
	}
}

func (p *Parser) number(name string, kind collector.Kind, digits []byte) {
	p.emit(name, kind, unsafe.String(unsafe.SliceData(digits), len(digits)))
}

func (p *Parser) boolean(name string) {
	v := "0"
	if p.scan.Bool() {
		v = "1"
	}
	p.emit(name, collector.Gauge, v)
}

// string reads a text: a Label if it is short, nothing if it is prose, and a number left out if it spells one that JSON cannot.
func (p *Parser) string(name string) {
	t := p.scan.String()
	switch {
	case nonfinite(t.Raw):
		p.nonfinite++
	case len(t.Raw) <= MaxText || t.Escaped && len(t.Raw) <= 6*MaxText: // six bytes an escape
		if v := p.textOf(t); len(v) <= MaxText {
			p.emit(name, collector.Label, v)
		}
	}
}

// textOf is a text's value: a view where it can be one.
func (p *Parser) textOf(t jsonscan.Text) string {
	if t.Plain() {
		return t.View()
	}
	from := len(p.text)
	var mended bool
	if p.text, mended = t.Append(p.text); mended {
		p.invalid++
	}
	return p.kept(from)
}

// nonfinite reports whether a text is one of the spellings of NaN and the infinities that are in the wild.
func nonfinite(b []byte) bool {
	if len(b) < 3 || len(b) > 9 {
		return false
	}
	switch string(b) {
	case "NaN", "Infinity", "-Infinity", "+Infinity", "Inf", "-Inf", "+Inf":
		return true
	}
	return false
}

func (p *Parser) itoa(n int) string {
	if n < 100 {
		return strconv.Itoa(n) // without allocating
	}
	from := len(p.text)
	p.text = strconv.AppendInt(p.text, int64(n), 10)
	return p.kept(from)
}
