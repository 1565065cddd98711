package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Text is a string of the document as it stands between its quotes: a view, valid as long as the document is.
type Text struct {
	Raw     []byte
	Escaped bool // there is a backslash in Raw
	Invalid bool // Raw is not valid UTF-8
}

// Plain reports that Raw is the value itself: nothing to unescape, nothing to mend.
func (t Text) Plain() bool { return !t.Escaped && !t.Invalid }

// View is Raw as a string that shares the document's memory: only for a Plain text, only as long as the document is not changed.
func (t Text) View() string { return unsafe.String(unsafe.SliceData(t.Raw), len(t.Raw)) }

// Is reports whether the value, unescaped, is w.
func (t Text) Is(w string) bool {
	if t.Plain() {
		return string(t.Raw) == w
	}
	var few [64]byte
	b, _ := t.Append(few[:0])
	return string(b) == w
}

// Append adds the value, unescaped, to dst. Bytes that are not UTF-8, and halves of surrogate pairs, become U+FFFD one by one, as encoding/json does it;
// mended reports that there were any.
func (t Text) Append(dst []byte) (out []byte, mended bool) {
	if t.Plain() {
		return append(dst, t.Raw...), false
	}
	b := t.Raw
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '\\' && b[i+1] == 'u':
			r := rune(hex4(b[i+2:]))
			i += 6
			if utf16.IsSurrogate(r) {
				two := rune(-1)
				if i+6 <= len(b) && b[i] == '\\' && b[i+1] == 'u' {
					two = utf16.DecodeRune(r, rune(hex4(b[i+2:])))
				}
				if r = two; two == utf8.RuneError || two < 0 {
					r, mended = utf8.RuneError, true
				} else {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		case c == '\\':
			dst = append(dst, unescaped[b[i+1]])
			i += 2
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				mended = true
			}
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return dst, mended
}

// unescaped gives the byte that a backslash and a letter stand for; 0 for letters that may not follow one, and for u, which is longer.
var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// hex4 is the number that the first four bytes of b spell; -1 where one is no hexadecimal digit or there are fewer.
func hex4(b []byte) int {
	if len(b) < 4 {
		return -1
	}
	n := 0
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		n = n<<4 | int(c)
	}
	return n
}

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// special has the top bit set in the first byte of x (the lowest, as x was loaded little-endian) that is a quote, a backslash or a control character. Bytes
// after the first may be marked wrongly: a borrow runs upwards only.
func special(x uint64) uint64 {
	q, e := x^(ones*'"'), x^(ones*'\\')
	return ((q-ones)&^q | (e-ones)&^e | (x-ones*0x20)&^x) & tops
}

// text reads the string whose opening quote is at s.i.
func (s *Scanner) text() (Text, bool) {
	b := s.b
	start := s.i + 1
	i := start
	high := uint64(0) // all bytes seen, or-ed: the top bits tell whether all was ASCII
	escaped := false
	for {
		if i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			m := special(x)
			if m == 0 {
				high |= x
				i += 8
				continue
			}
			n := bits.TrailingZeros64(m) &^ 7
			high |= x & (1<<n - 1)
			i += n >> 3
		} else {
			for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
				high |= uint64(b[i])
				i++
			}
			if i >= len(b) {
				s.fault(i, `the end of the string, '"'`)
				return Text{}, false
			}
		}
		switch b[i] {
		case '"':
			s.i = i + 1
			t := Text{Raw: b[start:i:i], Escaped: escaped}
			if high&tops != 0 {
				t.Invalid = !utf8.Valid(t.Raw)
			}
			return t, true
		case '\\':
			escaped = true
			i++
			switch {
			case i >= len(b):
				s.fault(i, "the rest of an escape")
				return Text{}, false
			case b[i] == 'u':
				for j := i + 1; j < i+5; j++ {
					if j >= len(b) || !isHex(b[j]) {
						s.fault(j, "a hexadecimal digit")
						return Text{}, false
					}
				}
				i += 5
			case unescaped[b[i]] == 0:
				s.fault(i, `one of "\/bfnrtu after a backslash`)
				return Text{}, false
			default:
				i++
			}
		default:
			s.fault(i, "a character that may stand in a string; control characters must be escaped")
			return Text{}, false
		}
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// Plain reports whether s may stand between quotes as it is: all ASCII, no quote, no backslash, no control character.
func Plain(s string) bool {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	bad := uint64(0)
	switch n := len(b); {
	case n >= 8:
		for i := 0; i < n-8; i += 8 {
			x := binary.LittleEndian.Uint64(b[i:])
			bad |= special(x) | x
		}
		x := binary.LittleEndian.Uint64(b[n-8:]) // some of it for the second time
		bad |= special(x) | x
	case n >= 4:
		x := uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<32
		bad = special(x) | x
	default:
		for _, c := range b {
			x := ones*' '&^0xff | uint64(c)
			bad |= special(x) | x
		}
	}
	return bad&tops == 0
}
