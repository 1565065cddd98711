package stats

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/collector"
)

// maxColumns is how many columns a body of statistics may have: timestamp, type, name and value.
const maxColumns = 4

// csvField is one field of a record, without its quotes.
type csvField struct {
	raw     []byte
	doubled bool // there are doubled quotes in raw
	quoted  bool
	at      int
}

// csvLine reads CSV as RFC 4180 has it, one record at a time; empty lines are no records.
type csvLine struct {
	b      []byte
	i      int
	fields [maxColumns]csvField
	n      int
	at     int
	msg    string
}

func (l *csvLine) fault(at int, msg string) bool {
	l.at, l.msg = at, msg
	return false
}

// next reads one record. False means that there is none left, or a fault.
func (l *csvLine) next() bool {
	for l.i < len(l.b) && (l.b[l.i] == '\n' || l.b[l.i] == '\r' && l.lineEnds(l.i+1)) {
		l.i++
	}
	if l.i >= len(l.b) {
		return false
	}
	for l.n = 0; ; l.n++ {
		if l.n == maxColumns {
			return l.fault(l.i, fmt.Sprintf("more than %d fields", maxColumns))
		}
		f := &l.fields[l.n]
		*f = csvField{at: l.i}
		if l.i < len(l.b) && l.b[l.i] == '"' {
			if !l.quoted(f) {
				return false
			}
		} else {
			end := l.i
			for end < len(l.b) && l.b[end] != ',' && l.b[end] != '\n' && l.b[end] != '"' {
				end++
			}
			if end < len(l.b) && l.b[end] == '"' {
				return l.fault(end, "a quote within a field that does not begin with one")
			}
			f.raw, l.i = l.b[f.at:end], end
			if l.lineEnds(end) {
				f.raw = bytes.TrimSuffix(f.raw, []byte("\r"))
			}
		}
		if l.i < len(l.b) && l.b[l.i] == ',' {
			l.i++
			continue
		}
		l.n++
		if l.i++; l.i > len(l.b) {
			l.i = len(l.b)
		}
		return true
	}
}

// lineEnds reports a line feed or the end of the body there.
func (l *csvLine) lineEnds(i int) bool { return i >= len(l.b) || l.b[i] == '\n' }

// quoted reads a field in quotes, and leaves the line at what follows it.
func (l *csvLine) quoted(f *csvField) bool {
	f.quoted = true
	from := l.i + 1
	for i := from; ; {
		n := bytes.IndexByte(l.b[i:], '"')
		if n < 0 {
			return l.fault(f.at, "the body ends within quotes that begin here")
		}
		i += n
		if i+1 < len(l.b) && l.b[i+1] == '"' {
			f.doubled = true
			i += 2
			continue
		}
		f.raw, l.i = l.b[from:i], i+1
		if l.i < len(l.b) && l.b[l.i] == '\r' && l.lineEnds(l.i+1) {
			l.i++
		}
		if !l.lineEnds(l.i) && l.b[l.i] != ',' {
			return l.fault(l.i, "want a comma or the end of the line after the closing quote")
		}
		return true
	}
}

// csvColumns says where in a record its parts stand; -1 is nowhere.
type csvColumns struct{ time, kind, name, value, n int }

// csvHeader reads a record as a header. ok is false where it is none.
func csvHeader(l *csvLine) (c csvColumns, ok bool) {
	c = csvColumns{-1, -1, -1, -1, l.n}
	for i := range l.n {
		at := (*int)(nil)
		switch strings.ToLower(string(bytes.TrimSpace(l.fields[i].raw))) {
		case "timestamp", "time", "ts":
			at = &c.time
		case "type", "kind":
			at = &c.kind
		case "name", "metric", "stat":
			at = &c.name
		case "value":
			at = &c.value
		}
		if at == nil || *at >= 0 {
			return c, false
		}
		*at = i
	}
	return c, c.name >= 0 && c.value >= 0
}

// csvShape tells the columns of a body without a header by a record of it.
func csvShape(l *csvLine) (c csvColumns, ok bool) {
	value := func(f *csvField) bool {
		_, ok := textNumber(f.raw)
		return ok
	}
	switch {
	case l.n == 2 && len(l.fields[0].raw) > 0 && value(&l.fields[1]):
		return csvColumns{-1, -1, 0, 1, 2}, true
	case l.n == 3 && csvType(l.fields[0].raw) != flat && len(l.fields[1].raw) > 0:
		return csvColumns{-1, 0, 1, 2, 3}, true
	case l.n == 3 && isStamp(l.fields[0].raw) && len(l.fields[1].raw) > 0 && value(&l.fields[2]):
		return csvColumns{0, -1, 1, 2, 3}, true
	}
	return csvColumns{}, false
}

// csvType is the section that a type names, or flat.
func csvType(word []byte) space {
	switch string(word) {
	case "counter", "counters":
		return secCounters
	case "gauge", "gauges":
		return secGauges
	case "label", "labels":
		return secLabels
	case "metric", "metrics":
		return secMetrics
	}
	return flat
}

// isStamp reports a time: seconds or milliseconds since 1970, or a date as RFC 3339 has it.
func isStamp(b []byte) bool {
	if finite, ok := textNumber(b); ok {
		return finite
	}
	if len(b) < 19 || b[10] != 'T' && b[10] != ' ' {
		return false
	}
	day, clock := view(b[:10]), view(b[11:])
	_, err := time.Parse(time.DateOnly, day)
	if err == nil {
		if _, err = time.Parse(time.TimeOnly, clock); err != nil {
			_, err = time.Parse("15:04:05Z07:00", clock)
		}
	}
	return err == nil
}

// csv reads name,value · type,name,value · timestamp,name,value, in the order that a header says, or in this one. Times are checked and left. A number of a
// distribution is called as Ostrich calls the distribution, a dot, and the number: latency_ms.p99, with the type metric; without a type it is told as in JSON.
func (p *Parser) csv(body []byte) error {
	l := csvLine{b: body, i: len(body) - len(bytes.TrimPrefix(body, bom))}
	var cols csvColumns
	for first := true; p.err == nil && l.next(); first = false {
		if first {
			var header, ok bool
			if cols, header = csvHeader(&l); header {
				continue
			}
			if cols, ok = csvShape(&l); !ok {
				return fault(CSV, l.fields[0].at, "want name,value or type,name,value or timestamp,name,value")
			}
		}
		if l.n != cols.n {
			return fault(CSV, l.fields[0].at, fmt.Sprintf("%d fields, where the first record has %d", l.n, cols.n))
		}
		if at, msg := p.csvRecord(&l, &cols); msg != "" {
			return fault(CSV, at, msg)
		}
	}
	if p.err == nil && l.msg != "" {
		return fault(CSV, l.at, l.msg)
	}
	if p.err == nil {
		p.gather()
	}
	return p.err
}

// csvRecord reads one record. A message is a fault at that byte.
func (p *Parser) csvRecord(l *csvLine, c *csvColumns) (at int, msg string) {
	if c.time >= 0 && !isStamp(l.fields[c.time].raw) {
		return l.fields[c.time].at, "want a time, not " + quoteCut(l.fields[c.time].raw)
	}
	sec := flat
	if c.kind >= 0 {
		f := &l.fields[c.kind]
		if sec = csvType(f.raw); sec == flat && len(f.raw) > 0 && string(f.raw) != "untyped" {
			return f.at, "want counter, gauge, label, metric or untyped, not " + quoteCut(f.raw)
		}
	}
	if len(l.fields[c.name].raw) == 0 {
		return l.fields[c.name].at, "the name is empty"
	}
	name, v := p.csvText(&l.fields[c.name]), &l.fields[c.value]
	entry := p.register(sec, name)
	defer p.close(entry)
	switch finite, number := textNumber(v.raw); {
	case sec == secLabels:
		p.state(name, p.csvText(v))
	case number && !finite:
		p.nonfinite++
	case number && sec == secMetrics:
		p.number(name, collector.Untyped, v.raw)
		if !p.ofDistribution(name) {
			return l.fields[c.name].at, "want name.number, as latency_ms.p99, not " + quoteCut(l.fields[c.name].raw)
		}
	case number:
		p.number(name, [numSpaces]collector.Kind{secCounters: collector.Counter, secGauges: collector.Gauge}[sec], v.raw)
		if sec == flat {
			p.dot(name)
		}
	case sec != flat:
		return v.at, "want a number, not " + quoteCut(v.raw)
	case len(v.raw) > 0:
		p.maybeState(name, p.csvText(v))
	}
	return 0, ""
}

// csvText is a field as a string.
func (p *Parser) csvText(f *csvField) string {
	if !f.doubled {
		return p.mended(f.raw)
	}
	from := len(p.text)
	for i := 0; i < len(f.raw); i++ {
		p.text = append(p.text, f.raw[i])
		if f.raw[i] == '"' {
			i++
		}
	}
	return p.mended(p.text[from:])
}

// state adds a text that its section says to be one.
func (p *Parser) state(name, value string) {
	if len(value) > p.o.LabelValue {
		p.limit("label value", p.o.LabelValue, name)
		return
	}
	p.emit(name, collector.Label, value)
}

// maybeState adds a text that nobody said to be state: one long enough for prose is left out.
func (p *Parser) maybeState(name, value string) {
	if len(value) <= MaxText {
		p.emit(name, collector.Label, value)
	}
}

func quoteCut(b []byte) string { return fmt.Sprintf("%q", cut(string(b[:min(len(b), 4*40)]), 40)) }

// looksCSV tells a body by its first record.
func looksCSV(body []byte) bool {
	l := csvLine{b: body[:min(len(body), 4096)]}
	if !bytes.ContainsRune(l.b, ',') || !l.next() {
		return false
	}
	if _, header := csvHeader(&l); header {
		return true
	}
	_, ok := csvShape(&l)
	return ok && utf8.RuneStart(body[0])
}
