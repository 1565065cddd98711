package promql

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// What one replica tells another is frames: a byte that says what follows, then it. Numbers are varints, texts their length and their bytes.
//
//	S  a series: how many labels, their names and values in order; how many points, how many bytes, the points
//	V  a text: a label's value, a name, …
//	L  a text: what is missing
//	E  a text: why there is no more. T: as the question touches more than it may
//	.  how many frames there were: the answer is whole
const (
	frameSeries  = 'S'
	frameText    = 'V'
	frameLacks   = 'L'
	frameError   = 'E'
	frameTooMany = 'T'
	frameEnd     = '.'
)

// Bounds of what is read of another replica, beside those of the query.
const (
	maxFrameText   = 64 << 10
	maxFrameLabels = 256
)

var errFrame = errors.New("it is not as it should be")

// packed is points as they travel: times as the differences of their differences, values as what is not as in the one before, so that counters take few bytes.
type packed struct {
	n    int
	data []byte
}

// pack appends what an iterator gives.
func pack(dst []byte, it chunkenc.Iterator) (out []byte, n int, err error) {
	var t, step int64
	var v uint64
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		if kind != chunkenc.ValFloat {
			return dst, n, errors.New("a native histogram, which is not told")
		}
		at, f := it.At()
		dst = binary.AppendVarint(dst, at-t-step)
		if step, t = at-t, at; n == 0 {
			step = 0 // the first is from 1970
		}
		bit := math.Float64bits(f)
		dst = binary.AppendUvarint(dst, bits.Reverse64(bit^v))
		v = bit
		n++
	}
	return dst, n, it.Err()
}

// unpack gives the points one after the other, oldest first; it ends with an error where they are no such thing.
func (p packed) unpack(fn func(t int64, v uint64)) error {
	var t, step int64
	var v uint64
	b := p.data
	for i := range p.n {
		d, k := binary.Varint(b)
		if k <= 0 {
			return errFrame
		}
		b = b[k:]
		x, k := binary.Uvarint(b)
		if k <= 0 {
			return errFrame
		}
		b = b[k:]
		was := t
		step += d
		if t += step; i == 0 {
			step = 0
		}
		v ^= bits.Reverse64(x)
		if i > 0 && t <= was {
			return errFrame
		}
		fn(t, v)
	}
	if len(b) > 0 {
		return errFrame
	}
	return nil
}

// framing writes frames until it meets a bound.
type framing struct {
	w      *bufio.Writer
	frames uint64
	bytes  int
	most   int // bytes
	buf    []byte
	points []byte

	iterator chunkenc.Iterator // to be used again
}

func (f *framing) put(b []byte) error {
	f.frames++
	if f.bytes += len(b); f.bytes > f.most {
		return tooMuch{f.most}
	}
	_, err := f.w.Write(b)
	return err
}

func (f *framing) text(kind byte, s string) error {
	f.buf = append(binary.AppendUvarint(append(f.buf[:0], kind), uint64(len(s))), s...)
	return f.put(f.buf)
}

func (f *framing) series(ls labels.Labels, it chunkenc.Iterator) error {
	b := binary.AppendUvarint(append(f.buf[:0], frameSeries), uint64(ls.Len()))
	ls.Range(func(l labels.Label) {
		b = append(binary.AppendUvarint(b, uint64(len(l.Name))), l.Name...)
		b = append(binary.AppendUvarint(b, uint64(len(l.Value))), l.Value...)
	})
	n := 0
	f.points = f.points[:0]
	if it != nil {
		var err error
		if f.points, n, err = pack(f.points, it); err != nil {
			return err
		}
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(n)), uint64(len(f.points)))
	f.buf = append(b, f.points...)
	return f.put(f.buf)
}

func (f *framing) end(err error) error {
	var many tooMany
	var much tooMuch
	switch {
	case errors.As(err, &many), errors.As(err, &much):
		err = f.closing(frameTooMany, err.Error())
	case err != nil:
		err = f.closing(frameError, err.Error())
	default:
		_, err = f.w.Write(binary.AppendUvarint([]byte{frameEnd}, f.frames))
	}
	return errors.Join(err, f.w.Flush())
}

func (f *framing) closing(kind byte, s string) error {
	s = s[:min(len(s), 1000)]
	_, err := f.w.Write(append(binary.AppendUvarint([]byte{kind}, uint64(len(s))), s...))
	return err
}

// unframing reads frames within bounds. take is asked before so many bytes of a series, or of a text, are read.
type unframing struct {
	r    *bufio.Reader
	take func(bytes int) error
}

// tooMuchAsked is another's word that the question touches more than it may.
type tooMuchAsked string

func (e tooMuchAsked) Error() string { return string(e) }

// read calls fn with each series, or text, and is nil where the answer was whole.
func (u *unframing) read(series func(labels.Labels, packed) error, text func(string) error, lacks func(string)) error {
	b := labels.NewScratchBuilder(16)
	for frames := uint64(0); ; frames++ {
		kind, err := u.r.ReadByte()
		if err != nil {
			return early(err)
		}
		switch {
		case kind == frameSeries && series != nil:
			ls, p, err := u.series(&b)
			if err != nil {
				return err
			}
			if err := series(ls, p); err != nil {
				return err
			}
		case kind == frameText && text != nil:
			s, err := u.text()
			if err != nil {
				return err
			}
			if err := text(s); err != nil {
				return err
			}
		case kind == frameLacks:
			s, err := u.text()
			if err != nil {
				return err
			}
			lacks(s)
		case kind == frameError || kind == frameTooMany:
			s, err := u.text()
			if err != nil {
				return err
			}
			if kind == frameTooMany {
				return tooMuchAsked(s)
			}
			return errors.New(s)
		case kind == frameEnd:
			n, err := binary.ReadUvarint(u.r)
			if err != nil {
				return early(err)
			}
			if n != frames {
				return errFrame
			}
			return nil
		default:
			return errFrame
		}
	}
}

// early is the error of an answer that ends too early.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (u *unframing) number(most uint64) (int, error) {
	n, err := binary.ReadUvarint(u.r)
	if err != nil {
		return 0, early(err)
	}
	if n > most {
		return 0, errFrame
	}
	return int(n), nil
}

func (u *unframing) bytes(n int) ([]byte, error) {
	if err := u.take(n + 16); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err := io.ReadFull(u.r, b)
	return b, early(err)
}

func (u *unframing) text() (string, error) {
	n, err := u.number(maxFrameText)
	if err != nil {
		return "", err
	}
	b, err := u.bytes(n)
	if err == nil && !utf8.Valid(b) {
		err = errFrame
	}
	return string(b), err
}

func (u *unframing) series(b *labels.ScratchBuilder) (ls labels.Labels, p packed, err error) {
	n, err := u.number(maxFrameLabels)
	if err != nil {
		return ls, p, err
	}
	b.Reset()
	last := ""
	for range n {
		name, err := u.text()
		if err != nil {
			return ls, p, err
		}
		value, err := u.text()
		if err != nil {
			return ls, p, err
		}
		if name <= last || value == "" {
			return ls, p, fmt.Errorf("%w: labels of a series", errFrame)
		}
		b.Add(name, value)
		last = name
	}
	points, err := u.number(math.MaxInt32)
	if err != nil {
		return ls, p, err
	}
	size, err := u.number(math.MaxInt32)
	if err != nil {
		return ls, p, err
	}
	if size < 2*points || size > 20*points {
		return ls, p, fmt.Errorf("%w: points of a series", errFrame)
	}
	p.n = points
	if p.data, err = u.bytes(size); err != nil {
		return ls, p, err
	}
	return b.Labels(), p, p.unpack(func(int64, uint64) {})
}
