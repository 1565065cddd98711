package stats

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/collector"
)

// openMetrics reads OpenMetrics text 1.0 with the verdict of Prometheus' own parser: one blank between words, no empty lines, no comments but its own, and
// "# EOF" at the end, without which a body that was cut off at the end of a line would pass for a whole one.
func (p *Parser) openMetrics(body []byte) error {
	l := promLine{b: body}
	l.i = len(body) - len(bytes.TrimPrefix(body, bom))
	var fam family
	for p.err == nil {
		start := l.i
		switch {
		case start >= len(body):
			l.fault("the body ends without # EOF")
		case body[start] == '#':
			if l.meta(p, &fam) {
				return p.err
			}
		case body[start] == '{' || isNameStart(body[start]):
			p.omSeries(&l, &fam)
		default:
			l.fault("want a metric name, '{' or '#'")
		}
		if l.msg != "" {
			return fault(OpenMetrics, l.at, l.msg)
		}
	}
	return p.err
}

// meta reads a line of HELP, TYPE, UNIT or EOF; of its kinds only TYPE says something to us, but each is checked. True means the end.
func (l *promLine) meta(p *Parser, fam *family) (end bool) {
	rest := l.b[l.i:]
	word := rest[:min(len(rest), 7)]
	switch {
	case string(word) == "# HELP " || string(word) == "# TYPE " || string(word) == "# UNIT ":
		l.i += len(word)
	case bytes.HasPrefix(rest, []byte("# EOF")):
		rest = bytes.TrimPrefix(rest[5:], []byte("\n"))
		if len(rest) > 0 {
			l.i = len(l.b) - len(rest)
			return l.fault("want nothing behind # EOF")
		}
		return true
	default:
		l.fault("want # HELP, # TYPE, # UNIT or # EOF")
		return
	}
	name, ok := p.family(l, "want a metric name after HELP, TYPE or UNIT")
	if !ok {
		return
	}
	from := l.i
	n := bytes.IndexByte(l.b[from:], '\n')
	if n < 1 || l.b[from] != ' ' {
		l.fault("want a blank, a text and the end of the line")
		return
	}
	text := l.b[from+1 : from+n]
	l.i = from + n + 1
	switch kind, known := omKinds[string(text)]; {
	case word[2] == 'H' && !utf8.Valid(text):
		l.i = from
		l.fault("the help text is not UTF-8")
	case word[2] == 'U' && len(text) > 0 && !endsIn(name, text):
		l.i = from
		l.fault("the metric's name does not end in its unit " + quoteCut(text))
	case word[2] == 'T' && !known:
		l.i = from
		l.fault("no metric type is called " + quoteCut(text))
	case word[2] == 'T':
		*fam = family{name, kind}
	}
	return false
}

// endsIn reports a name that ends in '_' and a unit.
func endsIn(name string, unit []byte) bool {
	n := len(name) - len(unit)
	return n > 0 && name[n-1] == '_' && name[n:] == string(unit)
}

// omKinds are the kinds of families by what OpenMetrics calls them.
var omKinds = map[string]familyKind{"counter": counterFamily, "gauge": gaugeFamily, "histogram": histogramFamily, "gaugehistogram": gaugeHistogramFamily,
	"summary": summaryFamily, "info": infoFamily, "stateset": gaugeFamily, "unknown": untypedFamily}

// omSeries reads one line of a series, a value, and perhaps a time in seconds and an exemplar.
func (p *Parser) omSeries(l *promLine, fam *family) {
	start, from := l.i, len(p.pairs)
	name := ""
	named, plain := false, true
	if l.b[l.i] != '{' {
		name, named = l.name(true), true
	}
	if l.i < len(l.b) && l.b[l.i] == '{' {
		if name, plain = p.omLabels(l, name, named, from); l.msg != "" || p.err != nil {
			return
		}
	}
	if name == "" {
		l.i = start
		l.fault("the series has no name")
		return
	}
	id := view(l.b[start:l.i])
	if !plain {
		id = p.canonical(name, from)
	}
	value, finite, ok := l.number("a blank and a number after the series")
	if !ok {
		return
	}
	s := collector.Sample{Name: name, Kind: fam.kindOf(name), Value: view(value), Labels: p.pairs[from:len(p.pairs):len(p.pairs)]}
	at := int64(noTime)
	if l.more() && l.b[l.i+1] != '#' {
		t, ok := l.seconds("a blank and a time in seconds, or the end of the line")
		if !ok {
			return
		}
		at = t
	}
	if l.more() {
		if s.Exemplar, ok = p.omExemplar(l); !ok {
			return
		}
	}
	if l.i >= len(l.b) || l.b[l.i] != '\n' {
		l.fault("want the end of the line")
		return
	}
	l.i++
	p.add(id, &s, from, finite, at)
}

// more reports that another word follows on the line.
func (l *promLine) more() bool { return l.i+1 < len(l.b) && l.b[l.i] == ' ' }

// number reads a blank and a number.
func (l *promLine) number(want string) (digits []byte, finite, ok bool) {
	from := l.i
	if l.more() {
		for l.i++; l.i < len(l.b) && l.b[l.i] != ' ' && l.b[l.i] != '\n'; l.i++ {
		}
		digits = l.b[from+1 : l.i]
		if finite, ok = floatText(digits); ok {
			return digits, finite, true
		}
		l.i = from + 1
	}
	word, _, _ := bytes.Cut(l.b[l.i:min(len(l.b), l.i+200)], []byte("\n"))
	return nil, false, l.fault(fmt.Sprintf("want %s, not %s", want, quoteCut(word)))
}

// seconds reads a blank and a time, and gives it in milliseconds.
func (l *promLine) seconds(want string) (ms int64, ok bool) {
	from := l.i
	digits, finite, ok := l.number(want)
	if !ok {
		return 0, false
	}
	if !finite {
		l.i = from
		return 0, l.fault("the time is no number")
	}
	if n := len(digits); n < 16 && !bytes.ContainsAny(digits, ".eE") {
		if s, err := strconv.ParseInt(view(digits), 10, 64); err == nil {
			return s * 1000, true
		}
	}
	f, _ := strconv.ParseFloat(view(digits), 64)
	return int64(min(max(f*1000, math.MinInt64/2), math.MaxInt64/2)), true
}

// omExemplar reads " # {labels} value", perhaps with a time. One past the limits of labels, or of no finite number, is left out and counted: it is an ornament,
// and no reason to lose a scrape.
func (p *Parser) omExemplar(l *promLine) (e *collector.Exemplar, ok bool) {
	if !bytes.HasPrefix(l.b[l.i:], []byte(" # {")) {
		return nil, l.fault("want # and the labels of an exemplar")
	}
	l.i += 3
	from, fits := len(p.pairs), true
	for l.i++; l.i < len(l.b) && l.b[l.i] != '}'; {
		at := l.i
		key, value, _, ok := p.omLabel(l)
		if !ok || bytes.IndexByte(l.b[at:l.i], '\n') >= 0 {
			return nil, l.fault("want a label of an exemplar")
		}
		fits = fits && len(key) <= p.o.LabelName && len(value) <= p.o.LabelValue && len(p.pairs)-from < p.o.Labels
		if fits {
			p.pairs = append(p.pairs, collector.LabelPair{Name: key, Value: value})
		}
		if !l.comma() {
			return nil, false
		}
	}
	if l.i >= len(l.b) {
		return nil, l.fault("the body ends within the labels")
	}
	l.i++
	digits, finite, ok := l.number("a blank and the number of the exemplar")
	at := int64(0)
	if ok && l.more() {
		at, ok = l.seconds("a blank and a time in seconds, or the end of the line")
	}
	if !ok {
		return nil, false
	}
	if !fits || !finite {
		p.leftOut++
		p.pairs = p.pairs[:from]
		return nil, true
	}
	v, _ := strconv.ParseFloat(view(digits), 64)
	slices.SortStableFunc(p.pairs[from:], byName)
	return p.ornament(collector.Exemplar{Value: v, Labels: p.pairs[from:len(p.pairs):len(p.pairs)], Time: at}), true
}

// ornament keeps an exemplar in the Parser's memory. Where that has to grow, those before stay where they are.
func (p *Parser) ornament(e collector.Exemplar) *collector.Exemplar {
	p.exemplars = append(p.exemplars, e)
	return &p.exemplars[len(p.exemplars)-1]
}

// omLabels reads what is in braces into p.pairs, sorted, without empty values, and the name where it stands within. plain is that of labels.
func (p *Parser) omLabels(l *promLine, name string, named bool, from int) (_ string, plain bool) {
	plain = named
	for l.i++; l.i < len(l.b) && l.b[l.i] != '}'; {
		key, value, simple, ok := p.omLabel(l)
		switch {
		case ok:
			plain = plain && simple
			if !p.label(key, value, from) {
				return "", false
			}
		case l.msg != "":
			return "", false
		case named:
			l.fault("the series has two names")
			return "", false
		default:
			name, named = key, true
		}
		if !l.comma() {
			return "", false
		}
		plain = plain && l.i < len(l.b) && (l.b[l.i] != '}' || l.b[l.i-1] != ',')
	}
	if l.i >= len(l.b) {
		l.fault("the body ends within the labels")
		return "", false
	}
	l.i++
	return name, p.sort(from, plain) && len(p.pairs) > from
}

// omLabel reads one label. Neither ok nor a fault is a text in quotes alone, the name of a series. simple reports a label that needed no change.
func (p *Parser) omLabel(l *promLine) (key, value string, simple, ok bool) {
	simple = true
	switch c := l.b[l.i]; {
	case c == '"':
		raw, escaped, ok := l.quoted()
		if !ok {
			return "", "", false, false
		}
		simple, key = false, p.unquote(raw, escaped, true)
		if l.i < len(l.b) && (l.b[l.i] == ',' || l.b[l.i] == '}') {
			return key, "", false, false
		}
	case isNameStart(c) && c != ':':
		key = l.name(false)
	default:
		return "", "", false, l.fault("want a label name or '}'")
	}
	if l.i+1 >= len(l.b) || l.b[l.i] != '=' || l.b[l.i+1] != '"' {
		return "", "", false, l.fault("want '=' and a label value in quotes")
	}
	l.i++
	at := l.i
	raw, escaped, ok := l.quoted()
	if !ok {
		return "", "", false, false
	}
	if n := bytes.IndexByte(raw, '\n'); n >= 0 || !utf8.Valid(raw) {
		l.i = at
		return "", "", false, l.fault("the label value is not UTF-8, or has a line feed in it")
	}
	return key, p.unquote(raw, escaped, false), simple && !escaped && len(raw) > 0, true
}

// comma reads what follows a label: a comma, or the closing brace, which stays.
func (l *promLine) comma() bool {
	switch {
	case l.i < len(l.b) && l.b[l.i] == ',':
		l.i++
	case l.i >= len(l.b) || l.b[l.i] != '}':
		return l.fault("want ',' or '}' after the label")
	}
	return true
}

func byName(a, b collector.LabelPair) int { return strings.Compare(a.Name, b.Name) }
