package promtext

import (
	"strconv"
	"strings"
)

// Name is a name as Prometheus takes it without quotes: letters, digits, _, and in a metric's name colons; anything else becomes _, one for each character, and a
// digit in front gets one before it.
func Name(s string, metric bool) string {
	ok := func(i int, c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' && metric || i > 0 && c >= '0' && c <= '9'
	}
	good := s != ""
	for i, c := range s {
		good = good && ok(i, c)
	}
	if good {
		return s
	}
	var b strings.Builder
	for i, c := range s {
		switch {
		case ok(i, c):
			b.WriteRune(c)
		case i == 0 && c >= '0' && c <= '9':
			b.WriteByte('_')
			b.WriteRune(c)
		default:
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

// Quantile reads p50, p99, p999 as 0.5, 0.99, 0.999.
func Quantile(field string) (string, bool) {
	digits, ok := strings.CutPrefix(field, "p")
	if !ok || len(digits) < 1 || len(digits) > 8 {
		return "", false
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	switch {
	case digits == "100":
		return "1", true
	case len(digits) == 1: // p5 is the fifth, as p05 is
		digits = "0" + digits
	}
	f, err := strconv.ParseFloat("0."+digits, 64)
	return strconv.FormatFloat(f, 'f', -1, 64), err == nil
}
