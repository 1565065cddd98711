package tag

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/rollcall-metrics/rollcall/collector"
)

// same stands for a body of which every series went on as it is, as one number: most bodies are like that, and have the series of the one before in the same order.
// To see that takes the names that were just read, and none of what is remembered of each series, which is in nobody's cache by then. The zero value stands for none.
type same struct {
	n     int32 // samples; 0: none
	sum   uint64
	tells []int32 // which of them tell of a version, a track or a start
}

// mostTelling bounds same.tells: of a body of which more tell, as of one of many texts, nothing is remembered.
const mostTelling = 64

// is reports whether a body has the very series.
func (sm *same) is(k secret, samples []collector.Sample) bool {
	return sm.n > 0 && int(sm.n) == len(samples) && sm.sum == k.sum(samples)
}

// secret is what sums begin with. It is random: nobody outside can make up two bodies that agree.
type secret struct{ a, b uint64 }

// sum tells sequences of series apart.
func (k secret) sum(samples []collector.Sample) uint64 {
	h := k.a + uint64(len(samples))
	for i := range samples {
		s := &samples[i]
		h = fold(h^k.text(s.Name), k.b^uint64(max(s.Kind, collector.Counter))<<32^uint64(len(s.Labels)))
		for j := range s.Labels {
			h = fold(h^k.text(s.Labels[j].Name), k.b)
			h = fold(h^k.text(s.Labels[j].Value), k.b)
		}
	}
	return h
}

// text is a text's part of a sum: as wyhash has it, 16 bytes at a time, the last of them perhaps for the second time.
func (k secret) text(s string) uint64 {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	var x, y uint64
	h := k.a ^ uint64(len(s))
	switch n := len(b); {
	case n >= 16:
		for len(b) > 16 {
			h = fold(le.Uint64(b)^k.b, le.Uint64(b[8:])^h)
			b = b[16:]
		}
		b = unsafe.Slice(unsafe.StringData(s), len(s))[n-16:]
		x, y = le.Uint64(b), le.Uint64(b[8:])
	case n >= 8:
		x, y = le.Uint64(b), le.Uint64(b[n-8:])
	case n >= 4:
		x, y = uint64(le.Uint32(b)), uint64(le.Uint32(b[n-4:]))
	case n > 0:
		x = uint64(b[0])<<16 | uint64(b[n/2])<<8 | uint64(b[n-1])
	}
	return fold(x^k.b, y^h)
}

var le = binary.LittleEndian

// fold multiplies two numbers and folds the halves of the product together.
func fold(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	return hi ^ lo
}

// agreed remembers a body that was compared with the shape and is the same, row by row, if all of it went on as it came.
func (w *walker) agreed(samples []collector.Sample) {
	sh := w.sh
	sh.same.n = 0
	if w.changed || w.moved || w.at != len(sh.rows) || w.at != len(samples) || sh.left != nil || len(sh.groups) > 0 || len(w.tells) > mostTelling {
		return
	}
	sh.same.sum = w.e.states.secret.sum(samples)
	sh.same.n = int32(len(samples))
	if sh.same.tells = fit(sh.same.tells, w.tells); len(w.tells) > 0 {
		w.e.weigh(sh)
	}
}
