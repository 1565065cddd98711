package dashboards

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

// A block holds some dozens of rows of one instance, column by column, in one piece of memory: what moves evenly costs a few bits a value,
// what stands still costs nothing. The columns are independent, so that reading one does not touch the others.
//
// The bytes are: lengths of the columns as uint16 each, with the absolute offset as uint32 before every 64th, then the columns. A column is a byte of
// mode, a bitmap of the rows that have a value where some have none, and the values:
//
//	absent  nothing
//	same    one float64
//	whole   integers, or decimals times a power of ten, as fixed-width differences from the least
//	steps   the same over the differences between neighbours: counters
//	bits64  the bytes of float64 in which they differ
//	bits32  the same for float32, where the caller can spare the digits
const (
	modeAbsent = iota
	modeSame
	modeWhole
	modeSteps
	modeBits64
	modeBits32
	modeMask  = 0x07
	partly    = 0x80 // a bitmap of rows follows the mode
	scaleBits = 3    // decimals of whole and steps stand in bits 3..6 of the mode
	anchor    = 64
)

// maxBlockRows bounds a block: its bitmap is one uint64.
const maxBlockRows = 64

var errBlock = errors.New("block is damaged")

// packer builds blocks; it keeps its scratch memory between them.
type packer struct {
	body  []byte
	lens  []int
	ints  []int64
	diffs []uint64
	vals  []float64
}

// pack encodes columns of n rows; col(i) gives the values of column i with NaN where there is none, and lossy says that 24 bits of mantissa are enough.
func (p *packer) pack(n, cols int, col func(i int, dst []float64) (vals []float64, lossy bool)) []byte {
	p.body, p.lens = p.body[:0], p.lens[:0]
	if cap(p.vals) < n {
		p.vals = make([]float64, n)
	}
	for i := range cols {
		from := len(p.body)
		v, lossy := col(i, p.vals[:n])
		p.column(v, lossy)
		p.lens = append(p.lens, len(p.body)-from)
	}
	return assembled(p.lens, p.body)
}

// assembled is a block of columns of these lengths, which stand in the body.
func assembled(lens []int, body []byte) []byte {
	head := 2*len(lens) + 4*((len(lens)+anchor-1)/anchor)
	out := make([]byte, 0, head+len(body))
	at := uint32(head)
	for i, l := range lens {
		if i%anchor == 0 {
			out = binary.LittleEndian.AppendUint32(out, at)
		}
		out = binary.LittleEndian.AppendUint16(out, uint16(l))
		at += uint32(l)
	}
	return append(out, body...)
}

// column appends one column. Its length stays below 64 KB: 64 rows of 8 bytes and a dozen of head.
func (p *packer) column(v []float64, lossy bool) {
	var mask uint64
	present := v[:0:0]
	n := 0
	for i, x := range v {
		if !math.IsNaN(x) {
			mask |= 1 << i
			n++
		}
	}
	if n == 0 {
		p.body = append(p.body, modeAbsent)
		return
	}
	var flag byte
	if n < len(v) {
		flag = partly
		for _, x := range v {
			if !math.IsNaN(x) {
				present = append(present, x)
			}
		}
	} else {
		present = v
	}
	head := func(mode byte) {
		p.body = append(p.body, mode|flag)
		if flag != 0 {
			p.body = binary.LittleEndian.AppendUint64(p.body, mask)
		}
	}
	same := true
	for _, x := range present[1:] {
		same = same && math.Float64bits(x) == math.Float64bits(present[0])
	}
	if same {
		head(modeSame)
		p.body = binary.LittleEndian.AppendUint64(p.body, math.Float64bits(present[0]))
		return
	}
	if scale, ok := p.decimals(present); ok {
		p.integers(head, byte(scale))
		return
	}
	p.rawBits(present, lossy, head)
}

// pow10 are the scales at which decimals become integers.
var pow10 = [...]float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6}

// decimals fills p.ints if the values are integers below 2^53, or become such times a power of ten and come back unchanged.
func (p *packer) decimals(v []float64) (scale int, ok bool) {
next:
	for s, f := range pow10 {
		p.ints = p.ints[:0]
		for _, x := range v {
			r := math.Round(x * f)
			if math.Abs(r) >= 1<<53 || r/f != x || r == 0 && math.Signbit(x) {
				if math.Abs(r) >= 1<<53 {
					return 0, false
				}
				continue next
			}
			p.ints = append(p.ints, int64(r))
		}
		return s, true
	}
	return 0, false
}

// width is the bits that the span of the values needs, and the least of them.
func width(v []int64) (least int64, w int) {
	least, most := v[0], v[0]
	for _, x := range v[1:] {
		least, most = min(least, x), max(most, x)
	}
	return least, bits.Len64(uint64(most - least))
}

func (p *packer) integers(head func(byte), scale byte) {
	mode := byte(modeWhole)
	first := p.ints[0]
	least, w := width(p.ints)
	if len(p.ints) > 1 {
		p.diffs = p.diffs[:0]
		steps := make([]int64, 0, maxBlockRows)
		for i := 1; i < len(p.ints); i++ {
			steps = append(steps, p.ints[i]-p.ints[i-1])
		}
		if sl, sw := width(steps); sw < w {
			mode, least, w, p.ints = modeSteps, sl, sw, append(p.ints[:0], steps...)
		}
	}
	head(mode | scale<<scaleBits)
	if mode == modeSteps {
		p.body = binary.AppendVarint(p.body, first)
	}
	p.body = binary.AppendVarint(p.body, least)
	p.body = append(p.body, byte(w))
	var acc uint64
	used := 0
	for _, x := range p.ints {
		u := uint64(x - least)
		acc |= u << used
		if used+w >= 64 {
			p.body = binary.LittleEndian.AppendUint64(p.body, acc)
			acc = 0
			if used > 0 {
				acc = u >> (64 - used)
			}
			if w == 64 && used == 0 {
				acc = 0
			}
			used = used + w - 64
		} else {
			used += w
		}
	}
	for ; used > 0; used -= 8 {
		p.body = append(p.body, byte(acc))
		acc >>= 8
	}
}

func (p *packer) rawBits(v []float64, lossy bool, head func(byte)) {
	raw := func(x float64) uint64 { return math.Float64bits(x) }
	mode, size := byte(modeBits64), 8
	if lossy {
		mode, size = modeBits32, 4
		raw = func(x float64) uint64 { return uint64(math.Float32bits(float32(x))) }
		for _, x := range v {
			if f := float32(x); math.IsInf(float64(f), 0) || f == 0 && x != 0 {
				mode, size = modeBits64, 8
				raw = func(x float64) uint64 { return math.Float64bits(x) }
				break
			}
		}
	}
	first := raw(v[0])
	var differ uint64
	for _, x := range v[1:] {
		differ |= raw(x) ^ first
	}
	high := size
	for high > 0 && differ>>(8*(high-1)) == 0 {
		high--
	}
	low := 0
	for low < high && byte(differ>>(8*low)) == 0 {
		low++
	}
	head(mode)
	p.body = binary.LittleEndian.AppendUint64(p.body, first)[:len(p.body)+size]
	p.body = append(p.body, byte(low), byte(high))
	for _, x := range v {
		u := raw(x) >> (8 * low)
		for range high - low {
			p.body = append(p.body, byte(u))
			u >>= 8
		}
	}
}

// unpack decodes column i of a block of n rows into dst[:n]; NaN where a row has no value.
func unpack(b []byte, i, n int, dst []float64) error {
	c, err := packed(b, i)
	if err != nil {
		return err
	}
	return unpackColumn(c, dst[:n])
}

// packed is the bytes of column i, one at least.
func packed(b []byte, i int) ([]byte, error) {
	at := i/anchor*(2*anchor+4) + 4
	if len(b) < at+2*(i%anchor)+2 {
		return nil, errBlock
	}
	off := int(binary.LittleEndian.Uint32(b[at-4:]))
	for k := range i % anchor {
		off += int(binary.LittleEndian.Uint16(b[at+2*k:]))
	}
	l := int(binary.LittleEndian.Uint16(b[at+2*(i%anchor):]))
	if l == 0 || off < 0 || off+l > len(b) {
		return nil, errBlock
	}
	return b[off : off+l], nil
}

func unpackColumn(c []byte, dst []float64) error {
	mode, c := c[0], c[1:]
	mask := ^uint64(0)
	if mode&partly != 0 {
		if len(c) < 8 {
			return errBlock
		}
		mask, c = binary.LittleEndian.Uint64(c), c[8:]
	}
	rows := len(dst)
	if rows < 64 {
		mask &= 1<<rows - 1
	}
	count := bits.OnesCount64(mask)
	// The values are decoded to the front, then spread to their rows from the back.
	out := dst[:count]
	switch mode & modeMask {
	case modeAbsent:
		mask, out = 0, dst[:0]
	case modeSame:
		if len(c) < 8 {
			return errBlock
		}
		x := math.Float64frombits(binary.LittleEndian.Uint64(c))
		for k := range out {
			out[k] = x
		}
	case modeWhole, modeSteps:
		if err := unpackIntegers(c, mode, out); err != nil {
			return err
		}
	case modeBits64, modeBits32:
		if err := unpackBits(c, mode, out); err != nil {
			return err
		}
	default:
		return errBlock
	}
	k := len(out) - 1
	for r := rows - 1; r >= 0; r-- {
		if mask&(1<<r) == 0 {
			dst[r] = math.NaN()
			continue
		}
		dst[r] = dst[k]
		k--
	}
	return nil
}

func unpackIntegers(c []byte, mode byte, out []float64) error {
	if len(out) == 0 {
		return errBlock
	}
	scale := int(mode >> scaleBits & 0x0f)
	if scale >= len(pow10) {
		return errBlock
	}
	var first int64
	n := 0
	if mode&modeMask == modeSteps {
		if first, n = binary.Varint(c); n <= 0 {
			return errBlock
		}
		c = c[n:]
	}
	least, n := binary.Varint(c)
	if n <= 0 || len(c) <= n || c[n] > 64 {
		return errBlock
	}
	w := int(c[n])
	c = c[n+1:]
	f := pow10[scale]
	vals := len(out)
	k := 0
	if mode&modeMask == modeSteps {
		out[0] = float64(first) / f
		k, vals = 1, vals-1
	}
	if len(c) < (vals*w+7)/8 {
		return errBlock
	}
	x := first
	bit := 0
	for ; k < len(out); k++ {
		u := readBits(c, bit, w)
		bit += w
		v := least + int64(u)
		if mode&modeMask == modeSteps {
			x += v
			v = x
		}
		out[k] = float64(v) / f
	}
	return nil
}

// readBits reads w bits from bit on, little-endian; the caller has checked that they are there.
func readBits(c []byte, bit, w int) uint64 {
	if w == 0 {
		return 0
	}
	i, s := bit/8, bit%8
	var u uint64
	if i+8 <= len(c) {
		u = binary.LittleEndian.Uint64(c[i:]) >> s
	} else {
		for k := len(c) - 1; k >= i; k-- {
			u = u<<8 | uint64(c[k])
		}
		u >>= s
	}
	if s+w > 64 {
		u |= uint64(c[i+8]) << (64 - s)
	}
	if w < 64 {
		u &= 1<<w - 1
	}
	return u
}

func unpackBits(c []byte, mode byte, out []float64) error {
	size := 8
	if mode&modeMask == modeBits32 {
		size = 4
	}
	if len(c) < size+2 {
		return errBlock
	}
	var first uint64
	for k := size - 1; k >= 0; k-- {
		first = first<<8 | uint64(c[k])
	}
	low, high := int(c[size]), int(c[size+1])
	c = c[size+2:]
	if high > size || low > high || len(c) < (high-low)*len(out) {
		return errBlock
	}
	var keep uint64 // the bytes that all share
	for k := range size {
		if k < low || k >= high {
			keep |= 0xff << (8 * k)
		}
	}
	for k := range out {
		var u uint64
		for j := high - low - 1; j >= 0; j-- {
			u = u<<8 | uint64(c[j])
		}
		c = c[high-low:]
		u = u<<(8*low) | first&keep
		if size == 4 {
			out[k] = float64(math.Float32frombits(uint32(u)))
		} else {
			out[k] = math.Float64frombits(u)
		}
	}
	return nil
}
