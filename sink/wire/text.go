package wire

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// plain has the bytes that stand in a JSON string as they are.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD, one for each bad byte, as encoding/json does it.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	if jsonscan.Plain(s) { // almost every name
		return append(append(dst, s...), '"')
	}
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			dst = append(dst, s[from:i]...)
			dst = append(dst, "\uFFFD"...)
			i++
			from = i
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// appendNumber appends the digits of s, or, where JSON does not allow such a text (+1, .5, 007, 0xff), the number again in its shortest form;
// integers keep all their digits. It reports false, with nothing appended, for what is no finite number.
func appendNumber(dst []byte, s string) ([]byte, bool) {
	if jsonscan.IsNumber(s) {
		return append(dst, s...), true
	}
	if t, ok := strings.CutPrefix(s, "+"); ok && jsonscan.IsNumber(t) && t[0] != '-' {
		return append(dst, t...), true
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return strconv.AppendInt(dst, n, 10), true
	}
	if n, err := strconv.ParseUint(s, 0, 64); err == nil && len(s) > 2 && s[1]|0x20 == 'x' {
		return strconv.AppendUint(dst, n, 10), true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return dst, false
	}
	return appendFloat(dst, f)
}

// appendFloat appends the shortest text of f that parses back to it; false for NaN and the infinities.
func appendFloat(dst []byte, f float64) ([]byte, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, false
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64), true
}

func finite(fs ...float64) bool {
	for _, f := range fs {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return true
}
