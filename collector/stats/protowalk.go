package stats

import (
	"encoding/binary"
	"math"
)

// protoWalk goes over the fields of one protobuf message, [i, end) of a body, in their order.
type protoWalk struct {
	b      []byte
	i, end int

	num      int32  // of the field
	wire     uint8  // its wire type: 0 a number, 1 eight bytes, 2 a length and so many bytes, 5 four bytes
	u        uint64 // the number, where it is one
	from, to int    // the bytes, where it has a length

	at  int
	msg string // of the first fault, which is at the byte at
}

func (w *protoWalk) fault(at int, msg string) bool {
	if w.msg == "" {
		w.at, w.msg = at, msg
	}
	return false
}

// next reads one field. False means the end of the message, or a fault.
func (w *protoWalk) next() bool {
	if w.i >= w.end || w.msg != "" {
		return false
	}
	w.at = w.i
	tag, ok := w.varint()
	if !ok {
		return false
	}
	if w.num, w.wire = int32(tag>>3), uint8(tag&7); w.num <= 0 { // as Prometheus' decoder has it
		return w.fault(w.at, "want the number of a field")
	}
	switch w.wire {
	case 0:
		w.u, ok = w.varint()
		return ok
	case 1:
		if w.end-w.i < 8 {
			return w.fault(w.i, "want eight bytes of a number")
		}
		w.u = binary.LittleEndian.Uint64(w.b[w.i:])
		w.i += 8
	case 5:
		if w.end-w.i < 4 {
			return w.fault(w.i, "want four bytes of a number")
		}
		w.i += 4
	case 2:
		size, ok := w.varint()
		if !ok {
			return false
		}
		if size > uint64(w.end-w.i) {
			return w.fault(w.at, "a field is longer than the message it stands in")
		}
		w.from, w.to = w.i, w.i+int(size)
		w.i = w.to
	case 3:
		return w.fault(w.at, "want no group")
	default:
		return w.fault(w.at, "want the type of a field")
	}
	return true
}

func (w *protoWalk) varint() (uint64, bool) {
	if w.i < w.end && w.b[w.i] < 0x80 {
		w.i++
		return uint64(w.b[w.i-1]), true
	}
	v, n := binary.Uvarint(w.b[w.i:w.end])
	if n < 0 {
		return 0, w.fault(w.i, "want a number of at most 64 bits")
	}
	if n == 0 {
		return 0, w.fault(w.i, "want a number")
	}
	w.i += n
	return v, true
}

func (w *protoWalk) float() float64 { return math.Float64frombits(w.u) }

// within is a walk over the message that the field is.
func (w *protoWalk) within() protoWalk { return protoWalk{b: w.b, i: w.from, end: w.to} }

func (w *protoWalk) text() string { return view(w.b[w.from:w.to]) }

// message is a kind of message of io.prometheus.client.
type message uint8

const (
	opaque message = iota // a text, or nothing that has fields
	familyMessage
	metricMessage
	labelMessage
	valueMessage // of a gauge or an untyped number
	counterMessage
	summaryMessage
	quantileMessage
	histogramMessage
	bucketMessage
	spanMessage
	exemplarMessage
	timeMessage
	numMessages
)

// protoField is what the schema says of a field.
type protoField struct {
	known  bool
	wire   uint8
	packed bool // may stand packed: many numbers behind one length
	of     message
}

// protoSchema has the fields of each message by number.
var protoSchema = func() (s [numMessages][17]protoField) {
	set := func(m message, wire uint8, of message, numbers ...int) {
		for _, n := range numbers {
			s[m][n] = protoField{known: true, wire: wire, of: of}
		}
	}
	set(familyMessage, 2, opaque, 1, 2, 5)
	set(familyMessage, 0, opaque, 3)
	set(familyMessage, 2, metricMessage, 4)
	set(metricMessage, 2, labelMessage, 1)
	set(metricMessage, 2, valueMessage, 2, 5)
	set(metricMessage, 2, counterMessage, 3)
	set(metricMessage, 2, summaryMessage, 4)
	set(metricMessage, 0, opaque, 6)
	set(metricMessage, 2, histogramMessage, 7)
	set(labelMessage, 2, opaque, 1, 2)
	set(valueMessage, 1, opaque, 1)
	set(counterMessage, 1, opaque, 1)
	set(counterMessage, 2, exemplarMessage, 2)
	set(counterMessage, 2, timeMessage, 3)
	set(summaryMessage, 0, opaque, 1)
	set(summaryMessage, 1, opaque, 2)
	set(summaryMessage, 2, quantileMessage, 3)
	set(summaryMessage, 2, timeMessage, 4)
	set(quantileMessage, 1, opaque, 1, 2)
	set(histogramMessage, 0, opaque, 1, 5, 7, 10, 13)
	set(histogramMessage, 1, opaque, 2, 4, 6, 8, 11, 14)
	set(histogramMessage, 2, bucketMessage, 3)
	set(histogramMessage, 2, spanMessage, 9, 12)
	set(histogramMessage, 2, timeMessage, 15)
	set(histogramMessage, 2, exemplarMessage, 16)
	for _, n := range []int{10, 11, 13, 14} {
		s[histogramMessage][n].packed = true
	}
	set(bucketMessage, 0, opaque, 1)
	set(bucketMessage, 1, opaque, 2, 4)
	set(bucketMessage, 2, exemplarMessage, 3)
	set(spanMessage, 0, opaque, 1, 2)
	set(exemplarMessage, 2, labelMessage, 1)
	set(exemplarMessage, 1, opaque, 2)
	set(exemplarMessage, 2, timeMessage, 3)
	set(timeMessage, 0, opaque, 1, 2)
	return s
}()

// check holds a message, with all in it, to the schema: what is behind a field that we do not read has to be sound, too.
func (w protoWalk) check(m message) (at int, msg string) {
	for w.next() {
		if int(w.num) >= len(protoSchema[m]) || !protoSchema[m][w.num].known {
			continue
		}
		switch f := protoSchema[m][w.num]; {
		case f.packed && w.wire == 2:
			if !w.checkPacked(f.wire) {
				return w.at, w.msg
			}
		case f.wire != w.wire:
			return w.at, "want another type of this field"
		case f.of != opaque:
			if at, msg := w.within().check(f.of); msg != "" {
				return at, msg
			}
		}
	}
	return w.at, w.msg
}

func (w *protoWalk) checkPacked(wire uint8) bool {
	in := w.within()
	for in.i < in.end {
		if wire == 0 {
			if _, ok := in.varint(); !ok {
				return w.fault(in.at, "want whole numbers behind a length")
			}
		} else if in.i += 8; in.i > in.end {
			return w.fault(w.from, "want whole numbers behind a length")
		}
	}
	return true
}

// numbers calls take with each number of a repeated field, packed or not.
func (w *protoWalk) numbers(wire uint8, take func(uint64)) {
	if w.wire != 2 {
		take(w.u)
		return
	}
	for in := w.within(); in.i < in.end; {
		if wire == 0 {
			u, _ := in.varint()
			take(u)
			continue
		}
		take(binary.LittleEndian.Uint64(in.b[in.i:]))
		in.i += 8
	}
}

// signed undoes the zigzag of a sint.
func signed(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
