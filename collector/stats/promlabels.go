package stats

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/collector"
)

// labels reads what is in braces into p.pairs, sorted, without empty values, and the name where it stands within. plain stays true while the text is its own
// canonical form: two series of one body are the same if their texts are.
func (p *Parser) labels(l *promLine, name string, named, plain bool, from int) (string, bool) {
	l.i++
	for {
		if l.i < len(l.b) && (l.b[l.i] == ' ' || l.b[l.i] == '\t') {
			plain = false
			l.blanks()
		}
		if l.i >= len(l.b) {
			l.fault("the body ends within the labels")
			return "", false
		}
		var key string
		quoted := false
		switch c := l.b[l.i]; {
		case c == '}':
			l.i++
			return name, p.sort(from, plain) && len(p.pairs) > from
		case c == '"':
			quoted, plain = true, false
			raw, escaped, ok := l.quoted()
			if !ok {
				return "", false
			}
			key = p.unquote(raw, escaped, true)
		case isNameStart(c) && c != ':':
			key = l.name(false)
		default:
			l.fault("want a label name or '}'")
			return "", false
		}
		if l.i < len(l.b) && (l.b[l.i] == ' ' || l.b[l.i] == '\t') {
			plain = false
			l.blanks()
		}
		if quoted && l.i < len(l.b) && (l.b[l.i] == ',' || l.b[l.i] == '}') {
			if named {
				l.fault("the series has two names")
				return "", false
			}
			if name, named = key, true; l.b[l.i] == ',' {
				l.i++
			}
			continue
		}
		if l.i >= len(l.b) || l.b[l.i] != '=' {
			l.fault("want '=' after the label name")
			return "", false
		}
		l.i++
		if l.i < len(l.b) && (l.b[l.i] == ' ' || l.b[l.i] == '\t') {
			plain = false
			l.blanks()
		}
		if l.i >= len(l.b) || l.b[l.i] != '"' {
			l.fault("want a label value in quotes")
			return "", false
		}
		at := l.i
		raw, escaped, ok := l.quoted()
		if !ok {
			return "", false
		}
		if !utf8.Valid(raw) {
			l.i = at
			l.fault("the label value is not UTF-8")
			return "", false
		}
		plain = plain && !escaped && len(raw) > 0
		if !p.label(key, p.unquote(raw, escaped, false), from) {
			return "", false
		}
		if l.i < len(l.b) && (l.b[l.i] == ' ' || l.b[l.i] == '\t') {
			plain = false
			l.blanks()
		}
		switch {
		case l.i < len(l.b) && l.b[l.i] == ',':
			if l.i++; l.i < len(l.b) && l.b[l.i] == '}' {
				plain = false
			}
		case l.i < len(l.b) && l.b[l.i] != '}':
			plain = false // Prometheus' parser does without the comma
		}
	}
}

// label adds one label of the series whose labels begin at from. An empty value is the same as no label.
func (p *Parser) label(name, value string, from int) bool {
	switch {
	case len(name) > p.o.LabelName:
		return p.limit("label name", p.o.LabelName, name)
	case len(value) > p.o.LabelValue:
		return p.limit("label value", p.o.LabelValue, name)
	case len(p.pairs)-from >= p.o.Labels:
		return p.limit("labels", p.o.Labels, name)
	}
	p.pairs = append(p.pairs, collector.LabelPair{Name: name, Value: value})
	return true
}

// sort puts the labels from there in order and drops those that say nothing: empty values, and all but the last of one name. It reports whether nothing
// had to be done, given that nothing had before.
func (p *Parser) sort(from int, plain bool) bool {
	ls := p.pairs[from:]
	for i := 1; i < len(ls); i++ {
		if ls[i].Name < ls[i-1].Name {
			plain = false
			slices.SortStableFunc(ls, func(a, b collector.LabelPair) int { return strings.Compare(a.Name, b.Name) })
			break
		}
	}
	n := 0
	for i := range ls {
		if i+1 < len(ls) && ls[i].Name == ls[i+1].Name {
			p.duplicates++
			continue
		}
		if ls[i].Value == "" {
			continue
		}
		ls[n] = ls[i]
		n++
	}
	plain = plain && n == len(ls)
	p.pairs = p.pairs[:from+n]
	return plain
}

// unquote is the text between quotes, unescaped. mend replaces what is not UTF-8 and counts it.
func (p *Parser) unquote(raw []byte, escaped, mend bool) string {
	mend = mend && !utf8.Valid(raw)
	if !escaped && !mend {
		return view(raw)
	}
	from := len(p.text)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '\\' && i+1 < len(raw) {
			switch raw[i+1] {
			case 'n':
				c = '\n'
				i++
			case '"', '\\':
				c = raw[i+1]
				i++
			}
		}
		p.text = append(p.text, c)
	}
	if mend {
		p.invalid++
		mended := strings.ToValidUTF8(string(p.text[from:]), "\ufffd")
		p.text = append(p.text[:from], mended...)
	}
	return p.kept(from)
}

// canonical writes a series as the text that would have needed no change.
func (p *Parser) canonical(name string, from int) string {
	at := len(p.text)
	p.word(name)
	for i, l := range p.pairs[from:] {
		p.text = append(p.text, "{,"[min(i, 1)])
		p.word(l.Name)
		p.text = append(p.text, '=')
		p.quote(l.Value)
	}
	if len(p.pairs) > from {
		p.text = append(p.text, '}')
	}
	return p.kept(at)
}

// word writes a name, in quotes if it needs them.
func (p *Parser) word(name string) {
	for i := range len(name) {
		if !isNameByte(name[i]) || i == 0 && !isNameStart(name[i]) {
			p.quote(name)
			return
		}
	}
	p.text = append(p.text, name...)
}

func (p *Parser) quote(s string) {
	p.text = append(p.text, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			p.text = append(p.text, '\\')
		}
		p.text = append(p.text, s[i])
	}
	p.text = append(p.text, '"')
}
