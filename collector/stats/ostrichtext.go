package stats

import (
	"bytes"
	"fmt"

	"github.com/rollcall-metrics/rollcall/collector"
)

// textSection is the section that a line of Ostrich text opens, or flat.
func textSection(line []byte) space {
	switch string(line) {
	case "counters:":
		return secCounters
	case "gauges:":
		return secGauges
	case "labels:":
		return secLabels
	case "metrics:":
		return secMetrics
	}
	return flat
}

// ostrichText reads Ostrich's /stats.txt: sections at the left edge, entries indented below them, and a distribution either in brackets behind its name or as
// lines indented once more.
func (p *Parser) ostrichText(body []byte) error {
	var (
		sec   space
		open  string // the distribution whose lines come
		entry int    // of open, in seen
		from  int    // of its fields
		outer int    // the indentation of open
	)
	finish := func() {
		if open != "" {
			p.distributionOf(open, from)
			p.close(entry)
			open = ""
		}
	}
	at := len(body) - len(bytes.TrimPrefix(body, bom))
	for at < len(body) && p.err == nil {
		line, _, _ := bytes.Cut(body[at:], []byte("\n"))
		start := at
		at += len(line) + 1
		line = bytes.TrimRight(line, " \t\r")
		text := bytes.TrimLeft(line, " \t")
		indent := len(line) - len(text)
		switch {
		case len(text) == 0:
			continue
		case indent == 0:
			finish()
			if sec = textSection(text); sec == flat {
				return fault(OstrichText, start, fmt.Sprintf("want counters:, gauges:, labels: or metrics:, not %q", cut(string(text), 40)))
			}
			continue
		case sec == flat:
			return fault(OstrichText, start, "an entry before any section")
		}
		if open != "" && indent > outer {
			key, value, ok := lastColon(text)
			if !ok || len(p.fields)-from >= maxFields || !p.textField(open, from, key, value) {
				return fault(OstrichText, start+indent, fmt.Sprintf("want a number of the distribution %q", cut(open, 40)))
			}
			continue
		}
		finish()
		if sec == secMetrics && text[len(text)-1] == ':' {
			open, from, outer = p.mended(text[:len(text)-1]), len(p.fields), indent
			entry = p.register(sec, open)
			continue
		}
		if !p.textEntry(sec, text) {
			return fault(OstrichText, start+indent, fmt.Sprintf("want name: value, not %q", cut(string(text), 40)))
		}
	}
	finish()
	return p.err
}

// lastColon splits a line at its last colon that has a blank behind it: names may hold some too.
func lastColon(text []byte) (key, value []byte, ok bool) {
	i := bytes.LastIndex(text, []byte(": "))
	if i <= 0 {
		return nil, nil, false
	}
	return text[:i], bytes.TrimLeft(text[i+2:], " \t"), true
}

// mended is a name as a string.
func (p *Parser) mended(b []byte) string { return p.unquote(b, false, true) }

// textEntry reads one entry of a section. False means that it is none.
func (p *Parser) textEntry(sec space, text []byte) bool {
	var key, value []byte
	ok := false
	switch sec {
	case secLabels: // a text may hold colons too: the name is what stands before the first
		key, value, ok = bytes.Cut(text, []byte(": "))
		if !ok && text[len(text)-1] == ':' { // the blank behind it was trimmed with the line
			key, ok = text[:len(text)-1], true
		}
	case secMetrics:
		if i := bytes.LastIndex(text, []byte(": (")); i > 0 && text[len(text)-1] == ')' {
			key, value, ok = text[:i], text[i+3:len(text)-1], true
		}
	default:
		key, value, ok = lastColon(text)
	}
	if !ok || len(key) == 0 {
		return false
	}
	name := p.mended(key)
	entry := p.register(sec, name)
	defer p.close(entry)
	switch sec {
	case secLabels:
		p.state(name, p.mended(value))
		return true
	case secMetrics:
		from := len(p.fields)
		for more := len(bytes.TrimSpace(value)) > 0; more; {
			var one []byte
			one, value, more = bytes.Cut(value, []byte(","))
			k, v, ok := bytes.Cut(bytes.TrimSpace(one), []byte("="))
			if !ok || len(p.fields)-from >= maxFields || !p.textField(name, from, k, v) {
				return false
			}
		}
		p.distributionOf(name, from)
		return true
	}
	kind := collector.Counter
	if sec == secGauges {
		kind = collector.Gauge
	}
	finite, ok := textNumber(value)
	switch {
	case !ok:
		return false
	case !finite:
		p.nonfinite++
	default:
		p.number(name, kind, value)
	}
	return true
}

// distributionOf adds the distribution whose fields begin at from, if it has any.
func (p *Parser) distributionOf(name string, from int) {
	if fields := p.fields[from:len(p.fields):len(p.fields)]; len(fields) > 0 {
		p.samples = append(p.samples, collector.Sample{Name: name, Kind: collector.Distribution, Window: p.o.Window, Fields: fields})
	}
}

// textField adds one number to the distribution called name, whose fields begin at from.
func (p *Parser) textField(name string, from int, key, value []byte) bool {
	finite, ok := textNumber(value)
	switch {
	case !ok || len(key) == 0:
		return false
	case !finite:
		p.nonfinite++
	case p.take(name):
		p.field(from, fieldName(p.mended(key)), value)
	}
	return true
}

// textNumber reports whether b is a number, or one of the words for what is none, and whether it is finite.
func textNumber(b []byte) (finite, ok bool) {
	if nonfinite(b) {
		return false, true
	}
	return floatText(b)
}
