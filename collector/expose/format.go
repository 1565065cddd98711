package expose

import (
	"strings"
	"unicode/utf8"
)

// appendJSON writes Ostrich's /stats.json: four objects, keys in order, no space.
func appendJSON(dst []byte, s *stats) []byte {
	gauges := s.gauges
	if s.nonfinite > 0 {
		gauges = sortByName(append(gauges[:len(gauges):len(gauges)], number{"expose_nonfinite", float64(s.nonfinite)}), func(n number) string { return n.name })
	}
	dst = append(dst, `{"counters":`...)
	dst = appendNumbers(dst, s.counters)
	dst = append(dst, `,"gauges":`...)
	dst = appendNumbers(dst, gauges)
	dst = append(dst, `,"labels":{`...)
	for i, t := range s.labels {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, t.name)
		dst = append(dst, ':')
		dst = appendString(dst, t.value)
	}
	dst = append(dst, `},"metrics":{`...)
	for i, d := range s.metrics {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, d.name)
		dst = append(dst, ':')
		dst = appendNumbers(dst, d.fields)
	}
	return append(dst, "}}"...)
}

func appendNumbers(dst []byte, numbers []number) []byte {
	dst = append(dst, '{')
	first := true
	for _, n := range numbers {
		if !finite(n.value) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, n.name)
		dst = append(dst, ':')
		dst = appendNumber(dst, n.value)
	}
	return append(dst, '}')
}

const hex = "0123456789abcdef"

// appendString writes s as a JSON string; a byte that is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendText writes Ostrich's /stats.txt: the same sections, indented by two, one line a name.
func appendText(dst []byte, s *stats) []byte {
	numbers := func(title string, list []number) {
		dst = append(dst, title...)
		for _, n := range list {
			dst = append(dst, "  "...)
			dst = appendLine(dst, n.name)
			dst = append(dst, ": "...)
			dst = appendNumber(dst, n.value)
			dst = append(dst, '\n')
		}
	}
	numbers("counters:\n", s.counters)
	numbers("gauges:\n", s.gauges)
	dst = append(dst, "labels:\n"...)
	for _, t := range s.labels {
		dst = append(dst, "  "...)
		dst = appendLine(dst, t.name)
		dst = append(dst, ": "...)
		dst = appendLine(dst, t.value)
		dst = append(dst, '\n')
	}
	dst = append(dst, "metrics:\n"...)
	for _, d := range s.metrics {
		dst = append(dst, "  "...)
		dst = appendLine(dst, d.name)
		dst = append(dst, ": ("...)
		for i, f := range d.fields {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(dst, f.name...)
			dst = append(dst, '=')
			dst = appendNumber(dst, f.value)
		}
		dst = append(dst, ")\n"...)
	}
	return dst
}

// appendLine writes s so that it stays on its line: control characters become spaces.
func appendLine(dst []byte, s string) []byte {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// appendCSV writes type,name,value with a header, quoted and ended as RFC 4180 says; a distribution has one line a field, named name.field.
func appendCSV(dst []byte, s *stats) []byte {
	dst = append(dst, "type,name,value\r\n"...)
	line := func(kind, name string, value func()) {
		dst = append(dst, kind...)
		dst = append(dst, ',')
		dst = appendCell(dst, name)
		dst = append(dst, ',')
		value()
		dst = append(dst, "\r\n"...)
	}
	for _, n := range s.counters {
		line("counter", n.name, func() { dst = appendNumber(dst, n.value) })
	}
	for _, n := range s.gauges {
		line("gauge", n.name, func() { dst = appendNumber(dst, n.value) })
	}
	for _, t := range s.labels {
		line("label", t.name, func() { dst = appendCell(dst, t.value) })
	}
	for _, d := range s.metrics {
		for _, f := range d.fields {
			line("metric", d.name+"."+f.name, func() { dst = appendNumber(dst, f.value) })
		}
	}
	return dst
}

func appendCell(dst []byte, s string) []byte {
	s = strings.ToValidUTF8(s, "\ufffd")
	if !strings.ContainsAny(s, "\",\r\n") && strings.TrimSpace(s) == s {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}
