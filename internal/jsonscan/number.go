package jsonscan

import (
	"strconv"
	"unsafe"
)

// Number reads a number and returns its text, exactly as it stands; nil means a fault.
func (s *Scanner) Number() []byte {
	if s.Peek() != Number {
		s.fault(s.i, "a number")
		return nil
	}
	return s.number()
}

func (s *Scanner) number() []byte {
	start := s.i
	end, want := number(s.b, start)
	if want != "" {
		s.fault(end, want)
		return nil
	}
	s.i = end
	return s.b[start:end:end]
}

// number finds the end of the number whose first byte, a digit or '-', is at b[i]. Where want is not empty, it is missing at end.
func number(b []byte, i int) (end int, want string) {
	if b[i] == '-' {
		i++
		if i >= len(b) || b[i]-'0' > 9 {
			return i, "a digit"
		}
	}
	if b[i] == '0' {
		i++
	} else {
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
		}
	}
	if i < len(b) && b[i] == '.' {
		i++
		if i >= len(b) || b[i]-'0' > 9 {
			return i, "a digit after the point"
		}
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i >= len(b) || b[i]-'0' > 9 {
			return i, "a digit of the exponent"
		}
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
		}
	}
	return i, ""
}

// IsNumber reports whether text is a JSON number and nothing else: the form in which digits may be copied into a record as they are.
func IsNumber(text string) bool {
	if text == "" || text[0] != '-' && text[0]-'0' > 9 {
		return false
	}
	end, want := number(unsafe.Slice(unsafe.StringData(text), len(text)), 0)
	return want == "" && end == len(text)
}

// Int64 is the whole number that text, a number of a document, spells. ok is false where it has a fraction or an exponent or does not fit.
func Int64(text []byte) (n int64, ok bool) {
	digits := text
	if len(text) > 0 && text[0] == '-' {
		digits = text[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		v, err := strconv.ParseInt(unsafe.String(unsafe.SliceData(text), len(text)), 10, 64)
		return v, err == nil
	}
	for _, c := range digits {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(text) {
		n = -n
	}
	return n, true
}

// Float64 is the number nearest to text, a number of a document. ok is false where it is too large for a float64, or no number.
func Float64(text []byte) (f float64, ok bool) {
	if len(text) <= 15 { // fewer than 2^53, so exact
		if n, whole := Int64(text); whole && n != 0 { // -0 keeps its sign below
			return float64(n), true
		}
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
	return f, err == nil
}
