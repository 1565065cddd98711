package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// record is one record of a packed batch; its slices are views.
type record struct {
	key   []byte
	ts    int64
	value []byte
}

var errPacked = errors.New("it is cut short or not as we pack batches")

// unpack walks the records of a batch that pack has made; unzip appends the decompressed src to dst. It serves those that must be keyed or
// divided again.
func unpack(wire []byte, unzip func(dst, src []byte) ([]byte, error), each func(record)) error {
	if len(wire) < 4+batchHeader || wire[4+16] != 2 || wire[4+22]&7 != codecZstd {
		return fmt.Errorf("unpack batch: %w", errPacked)
	}
	b := wire[4:]
	n, base := int(binary.BigEndian.Uint32(b[57:])), int64(binary.BigEndian.Uint64(b[27:]))
	records, err := unzip(nil, b[batchHeader:])
	if err != nil {
		return fmt.Errorf("unpack batch: %w", err)
	}
	r := reader{records}
	for range n {
		one := reader{r.bytes(r.varint())}
		one.bytes(1)
		ts := base + one.varint()
		one.varint()
		key := one.bytes(one.varint())
		value := one.bytes(one.varint())
		if value == nil {
			return fmt.Errorf("unpack batch: %w", errPacked)
		}
		each(record{key, ts, value})
	}
	return nil
}

// unzippedSize is how many bytes the records of a packed batch have, as its compressed frame says; of fewer than 256 ours may not say it.
func unzippedSize(wire []byte) (int, bool) {
	var h zstd.Header
	if len(wire) < 4+batchHeader || h.Decode(wire[4+batchHeader:]) != nil || h.FrameContentSize > maxUnzipped {
		return 0, false
	}
	if !h.HasFCS {
		return 256, true
	}
	return int(h.FrameContentSize), true
}

// reader takes a record apart; at a fault it has nothing left and gives nothing more.
type reader struct{ b []byte }

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b = nil
		return -1
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n int64) []byte {
	if n < 0 || n > int64(len(r.b)) {
		r.b = nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}
