package stats

import (
	"bytes"

	"github.com/rollcall-metrics/rollcall/collector"
)

// varsText reads twitter commons' /vars: a name, a blank, a value a line. A value that is no number is a text, such as a version or a system property. A body
// without any number is no statistics: prose has names and values, too.
func (p *Parser) varsText(body []byte) error {
	numbers, at := 0, len(body)-len(bytes.TrimPrefix(body, bom))
	first := at
	for at < len(body) && p.err == nil {
		start := at
		line, _, _ := bytes.Cut(body[at:], []byte("\n"))
		at += len(line) + 1
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		n := varsName(line)
		if n == 0 {
			return fault(VarsText, start, "want a name, a blank and a value, not "+quoteCut(line))
		}
		value := bytes.TrimSpace(line[n:])
		finite, number := textNumber(value)
		if number {
			numbers++
		}
		name := p.mended(line[:n])
		entry := p.register(flat, name)
		switch {
		case number && finite:
			p.number(name, collector.Untyped, value)
			p.dot(name)
		case number:
			p.nonfinite++
		case len(value) > 0:
			p.maybeState(name, p.mended(value))
		}
		p.close(entry)
	}
	if p.err != nil {
		return p.err
	}
	if numbers == 0 {
		return fault(VarsText, first, "lines of names and values, and no number among them")
	}
	p.gather()
	return nil
}

// varsName is the length of the name that a line begins with, or 0 where it begins with none: letters, digits and what stands in the names of statistics, no
// quotes, brackets or punctuation of prose, and a blank behind it.
func varsName(line []byte) int {
	for i, c := range line {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z', c == '_', c == '/', c >= 0x80:
		case i > 0 && ('0' <= c && c <= '9' || bytes.IndexByte([]byte(".-:$[]()%#@~+*|"), c) >= 0):
		case i > 0 && (c == ' ' || c == '\t') && line[i-1] != ':' && line[i-1] != '.':
			return i
		default:
			return 0
		}
	}
	return 0
}
