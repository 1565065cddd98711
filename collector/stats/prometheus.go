package stats

import (
	"bytes"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/rollcall-metrics/rollcall/collector"
)

// family is what the last TYPE line said.
type family struct {
	name string
	kind familyKind
}

type familyKind uint8

const (
	untypedFamily familyKind = iota
	counterFamily
	gaugeFamily
	summaryFamily
	histogramFamily
	gaugeHistogramFamily // OpenMetrics
	infoFamily           // OpenMetrics
)

// kindOf says what a series is, by the family it belongs to. A series that the family's type does not explain is Untyped.
func (f *family) kindOf(name string) collector.Kind {
	if len(name) < len(f.name) || name[:len(f.name)] != f.name {
		return collector.Untyped
	}
	switch suf := name[len(f.name):]; {
	case f.kind == counterFamily && (suf == "" || suf == "_total"):
		return collector.Counter
	case f.kind == gaugeFamily && suf == "", f.kind == summaryFamily && suf == "":
		return collector.Gauge
	case f.kind == infoFamily && suf == "_info":
		return collector.Gauge
	case f.kind == gaugeHistogramFamily && (suf == "_bucket" || suf == "_gsum" || suf == "_gcount"):
		return collector.Gauge
	case f.kind == histogramFamily && suf == "_bucket":
		return collector.Counter
	case (f.kind == histogramFamily || f.kind == summaryFamily) && (suf == "_sum" || suf == "_count"):
		return collector.Counter
	case f.kind >= counterFamily && suf == "_created":
		return collector.Gauge
	}
	return collector.Untyped
}

// prometheus reads text exposition 0.0.4 with the verdict of Prometheus' own parser.
func (p *Parser) prometheus(body []byte) error {
	l := promLine{b: body}
	l.i = len(body) - len(bytes.TrimPrefix(body, bom))
	var fam family
	for p.err == nil {
		l.blanks()
		if l.i >= len(l.b) {
			break
		}
		switch c := l.b[l.i]; {
		case c == '\n':
			l.i++
		case c == '#':
			p.comment(&l, &fam)
		case c == '{' || isNameStart(c):
			p.series(&l, &fam)
		default:
			l.fault("want a metric name, '{' or '#'")
		}
		if l.msg != "" {
			return fault(PrometheusText, l.at, l.msg)
		}
	}
	return p.err
}

// promLine walks the text.
type promLine struct {
	b   []byte
	i   int
	at  int
	msg string
}

func (l *promLine) fault(msg string) bool {
	if l.msg == "" {
		l.at, l.msg = l.i, msg
	}
	return false
}

func (l *promLine) blanks() {
	for l.i < len(l.b) && (l.b[l.i] == ' ' || l.b[l.i] == '\t') {
		l.i++
	}
}

// nameBytes says which bytes may stand in a name: 1 at its start, 2 behind it, 4 not in the name of a label.
var nameBytes = func() (t [256]uint8) {
	for c := range t {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
			t[c] = 1 | 2
		case '0' <= c && c <= '9':
			t[c] = 2
		case c == ':':
			t[c] = 1 | 2 | 4
		}
	}
	return t
}()

func isNameStart(c byte) bool { return nameBytes[c]&1 != 0 }

func isNameByte(c byte) bool { return nameBytes[c]&2 != 0 }

// name reads a name without quotes. Those of metrics may hold a colon, those of labels may not.
func (l *promLine) name(colon bool) string {
	from := l.i
	for l.i < len(l.b) && nameBytes[l.b[l.i]]&2 != 0 && (colon || l.b[l.i] != ':') {
		l.i++
	}
	return view(l.b[from:l.i])
}

// quoted reads a text in quotes, which may span lines, and returns what is between them.
func (l *promLine) quoted() (raw []byte, escaped, ok bool) {
	from := l.i + 1
	for i := from; ; {
		n := bytes.IndexByte(l.b[i:], '"')
		if n < 0 {
			l.i = len(l.b)
			return nil, false, l.fault("the body ends within quotes")
		}
		slash := bytes.IndexByte(l.b[i:i+n], '\\')
		if slash < 0 {
			l.i = i + n + 1
			return l.b[from : i+n], escaped, true
		}
		escaped = true
		if i += slash + 1; i < len(l.b) && l.b[i] == '\n' {
			l.i = i
			return nil, false, l.fault("a backslash ends the line")
		}
		i++
	}
}

// comment reads a line that begins with '#'; of its kinds only TYPE says something to us, but HELP is checked too.
func (p *Parser) comment(l *promLine, fam *family) {
	hash := l.i
	l.i++
	blank := l.i
	l.blanks()
	word := l.b[l.i:]
	isType := bytes.HasPrefix(word, []byte("TYPE")) && len(word) > 4 && (word[4] == ' ' || word[4] == '\t')
	isHelp := bytes.HasPrefix(word, []byte("HELP")) && len(word) > 4 && (word[4] == ' ' || word[4] == '\t')
	if l.i == blank || !isType && !isHelp {
		l.i = hash + l.lineEnd(hash)
		return
	}
	l.i += 5
	l.blanks()
	name, ok := p.family(l, "want a metric name after TYPE or HELP")
	if !ok {
		return
	}
	from := l.i
	n := l.lineEnd(from)
	text := l.b[from : from+n]
	l.i = from + n
	if len(text) > 0 {
		text = text[1:]
	}
	if isHelp {
		if !utf8.Valid(text) {
			l.i = from
			l.fault("the help text is not UTF-8")
		}
		return
	}
	fam.name = name
	switch string(text) {
	case "counter":
		fam.kind = counterFamily
	case "gauge":
		fam.kind = gaugeFamily
	case "summary":
		fam.kind = summaryFamily
	case "histogram":
		fam.kind = histogramFamily
	case "untyped":
		fam.kind = untypedFamily
	default:
		l.i = from
		l.fault("no metric type is called " + strconv.Quote(cut(string(text), 40)))
	}
}

// lineEnd is the length of what is left of the line from there.
func (l *promLine) lineEnd(from int) int {
	if n := bytes.IndexByte(l.b[from:], '\n'); n >= 0 {
		return n
	}
	return len(l.b) - from
}

// family reads the name, as it stands or quoted, that a line of metadata speaks of; want is what is missing where there is none.
func (p *Parser) family(l *promLine, want string) (name string, ok bool) {
	switch {
	case l.i < len(l.b) && isNameStart(l.b[l.i]):
		return l.name(true), true
	case l.i < len(l.b) && l.b[l.i] == '"':
		raw, escaped, ok := l.quoted()
		if !ok {
			return "", false
		}
		return p.unquote(raw, escaped, false), true
	}
	l.fault(want)
	return "", false
}

// series reads one line of a name, labels, a value and perhaps a time stamp.
func (p *Parser) series(l *promLine, fam *family) {
	start := l.i
	name, named := "", false
	if l.b[l.i] != '{' {
		name, named = l.name(true), true
	}
	l.blanks()
	end := start + len(name)
	from := len(p.pairs)
	id := name
	if l.i < len(l.b) && l.b[l.i] == '{' {
		plain := named && l.i == end
		if name, plain = p.labels(l, name, named, plain, from); l.msg != "" || p.err != nil {
			return
		}
		if id = view(l.b[start:l.i]); !plain {
			id = p.canonical(name, from)
		}
		l.blanks()
	}
	at := l.i
	for l.i < len(l.b) && l.b[l.i] != '{' && l.b[l.i] > ' ' || l.i < len(l.b) && l.b[l.i] < ' ' && l.b[l.i] != '\t' && l.b[l.i] != '\n' {
		l.i++
	}
	value := l.b[at:l.i]
	finite, ok := floatText(value)
	if !ok {
		l.i = at
		l.fault("want a number after the series, not " + strconv.Quote(cut(string(value), 40)))
		return
	}
	stamp, ok := l.stamp()
	if !ok {
		return
	}
	if name == "" {
		l.i = start
		l.fault("the series has no name")
		return
	}
	s := collector.Sample{Name: name, Kind: fam.kindOf(name), Value: view(value), Labels: p.pairs[from:len(p.pairs):len(p.pairs)]}
	p.add(id, &s, from, finite, stamp)
}

// add adds a sample whose series is called id and whose labels begin at from, but for one that is not finite or does not speak of now.
func (p *Parser) add(id string, s *collector.Sample, from int, finite bool, stamp int64) {
	entry := p.register(flat, id)
	switch {
	case !finite:
		p.nonfinite++
		p.pairs = p.pairs[:from]
	case p.far(stamp):
		p.stale++
		p.pairs = p.pairs[:from]
	case p.take(s.Name):
		if len(s.Labels) == 0 {
			s.Labels = nil
		}
		p.samples = append(p.samples, *s)
	}
	p.close(entry)
}

// far reports a time stamp that does not speak of now.
func (p *Parser) far(stamp int64) bool {
	const age = int64(MaxAge / time.Millisecond)
	return stamp != noTime && p.now != noTime && (stamp < p.now-age || stamp > p.now+age)
}

// stamp reads what may follow a value: a time stamp in milliseconds, and the end of the line.
func (l *promLine) stamp() (ms int64, ok bool) {
	l.blanks()
	ms = noTime
	from := l.i
	for l.i < len(l.b) && l.b[l.i]-'0' <= 9 {
		l.i++
	}
	if l.i > from {
		var err error
		if ms, err = strconv.ParseInt(view(l.b[from:l.i]), 10, 64); err != nil {
			l.i = from
			return noTime, l.fault("the time stamp does not fit 64 bits")
		}
		l.blanks()
	}
	if l.i < len(l.b) && l.b[l.i] != '\n' {
		return noTime, l.fault("want the end of the line or a time stamp in milliseconds")
	}
	return ms, true
}

// floatText reports whether b is a number as Go's ParseFloat reads it, but for hexadecimal ones and underscores, and whether it is finite.
func floatText(b []byte) (finite, ok bool) {
	i, digits := 0, 0
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		i++
	}
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		digits++
	}
	if i < len(b) && b[i] == '.' {
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
			digits++
		}
	}
	if i == len(b) && digits > 0 && digits < 300 {
		return true, true
	}
	if bytes.ContainsAny(b, "pP_") {
		return false, false
	}
	f, err := strconv.ParseFloat(view(b), 64)
	return !math.IsNaN(f) && !math.IsInf(f, 0), err == nil
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
