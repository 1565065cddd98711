package jsonscan

import (
	"encoding/binary"
	"math/bits"
)

// Entry reads the next key of the object that is open and the number behind it, if they stand there as most do: the key not empty, all ASCII and without
// escapes, the number without exponent, no white space, a comma or the end of the object behind them, and that not at the very end of the document. Else it reads
// nothing and reports false, and Key tells what is there. Both are views.
func (s *Scanner) Entry() (key, number []byte, ok bool) {
	b, i := s.b, s.i
	if !s.first {
		if i >= len(b) || b[i] != ',' {
			return nil, nil, false
		}
		i++
	}
	if i >= len(b) || b[i] != '"' {
		return nil, nil, false
	}
	i++
	from := i
	for {
		if i+8 > len(b) {
			return nil, nil, false
		}
		x := binary.LittleEndian.Uint64(b[i:])
		if m := special(x) | x&tops; m != 0 {
			i += bits.TrailingZeros64(m) >> 3
			break
		}
		i += 8
	}
	to := i
	if i+4 > len(b) || to == from || b[i] != '"' || b[i+1] != ':' {
		return nil, nil, false
	}
	i += 2
	at := i
	if b[i] == '-' {
		i++
	}
	n := digits(b, i)
	if n == 0 || n > 1 && b[i] == '0' {
		return nil, nil, false
	}
	i += n
	if i < len(b) && b[i] == '.' {
		if n = digits(b, i+1); n == 0 {
			return nil, nil, false
		}
		i += 1 + n
	}
	if i >= len(b) || b[i] != ',' && b[i] != '}' {
		return nil, nil, false
	}
	s.i, s.first = i, false
	return b[from:to:to], b[at:i:i], true
}

// digits is how many digits stand at b[i]; 0 where the document ends within 8 bytes, too.
func digits(b []byte, i int) (n int) {
	for i+n+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i+n:])
		// The top bit is set in each byte that is no digit, up to the first; of those behind it a borrow or a carry may have marked some wrongly.
		if m := ((x + ones*(0x80-'9'-1)) | (x - ones*'0') | x) & tops; m != 0 {
			return n + bits.TrailingZeros64(m)>>3
		}
		n += 8
	}
	return 0
}
