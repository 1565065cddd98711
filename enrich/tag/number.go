package tag

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"
)

// number is a counter's value: a whole number up to 2^64 exactly, anything else as a float.
type number struct {
	bits  uint64
	float bool
}

// parseNumber reads the digits that an application sent; ok is false for what is no finite number.
func parseNumber(s string) (n number, ok bool) {
	if len(s) > 0 && len(s) < 20 { // up to 19 digits never overflow
		var v uint64
		for i := 0; ; i++ {
			if i == len(s) {
				return number{bits: v}, true
			}
			c := s[i] - '0'
			if c > 9 {
				break
			}
			v = v*10 + uint64(c)
		}
	}
	if v, err := strconv.ParseUint(s, 10, 64); err == nil {
		return number{bits: v}, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return number{}, false
	}
	if f >= 0 && f < 1<<64 && f == math.Trunc(f) { // 12345.0, 1.5e+09: whole too
		return number{bits: uint64(f)}, true
	}
	return number{math.Float64bits(f), true}, true
}

func (n number) value() float64 {
	if n.float {
		return math.Float64frombits(n.bits)
	}
	return float64(n.bits)
}

// sum adds increases: whole ones exactly, beyond 2^64 too.
type sum struct {
	hi, lo uint64
	f      float64
	float  bool
	on     bool // something went into it
}

// add adds the increase from before to now: now whole where it fell, as it then began again. What is below zero is no total, and adds nothing.
func (s *sum) add(before, now number) {
	if !before.float && !now.float {
		d := now.bits
		if now.bits >= before.bits {
			d = now.bits - before.bits
		}
		s.whole(d)
		return
	}
	b, n := max(before.value(), 0), max(now.value(), 0)
	if n >= b {
		s.f += n - b
	} else {
		s.f += n
	}
	s.float = true
}

// all adds a series that is new: whole.
func (s *sum) all(now number) {
	if now.float {
		s.f += max(now.value(), 0)
		s.float = true
		return
	}
	s.whole(now.bits)
}

func (s *sum) whole(d uint64) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, d, 0)
	s.hi += carry
}

// append writes the sum as a JSON number; ok is false where it is beyond what a float can hold.
func (s *sum) append(b []byte) (_ []byte, ok bool) {
	if !s.float {
		if s.hi == 0 {
			return strconv.AppendUint(b, s.lo, 10), true
		}
		n := new(big.Int).SetUint64(s.hi)
		n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(s.lo))
		return n.Append(b, 10), true
	}
	f := s.f + float64(s.hi)*(1<<64) + float64(s.lo)
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return b, false
	}
	if math.Abs(f) < 1e15 {
		return strconv.AppendFloat(b, f, 'f', -1, 64), true
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64), true
}
