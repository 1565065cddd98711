package scrape

import (
	"encoding/binary"
	"errors"
	"io"
	"unsafe"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest window of a zstd body: what RFC 8878 asks of every decoder, and what no encoder exceeds that was not told to.
const maxWindow = 8 << 20

const (
	zstdBlock = 128 << 10 // the most that one block comes to
	zstdSpare = 16        // bytes beyond what comes, with which it is quicker
)

// errShort says of a body that it lies.
var errShort = errors.New("it says that it is longer than its blocks come to")

// newZstd makes what all bodies are decoded by, as many at once as there are processors: it keeps nothing of one for the next.
func newZstd() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(maxWindow))
}

// unzstd decodes x.raw into x.decoded, at one go: so it needs no window besides. What a frame says of its size is believed up to the limit; where it says nothing, the blocks
// say how much comes at most. What is small is tried with less, and the memory doubles until it is enough: the next body of the target finds it as it is.
func (x *pull) unzstd(limit int) error {
	if len(x.raw) == 0 {
		return io.ErrUnexpectedEOF
	}
	d, err := x.all.zstd()
	if err != nil {
		return err
	}
	want := max(4096, 4*len(x.raw))
	var h zstd.Header
	if h.Decode(x.raw) == nil && h.HasFCS {
		if h.FrameContentSize > uint64(limit) {
			return errCapped
		}
		want = int(h.FrameContentSize) + zstdSpare
	}
	most, past := zstdMost(x.raw, limit)
	if past > 0 {
		if err := x.unzstdTo(d, past, limit); err != nil {
			return err
		}
		most = limit + zstdBlock
	}
	for most += zstdSpare; ; {
		if want > free && !h.HasFCS {
			want = most
		}
		if err := x.unzipTo(min(want, most)); err != nil {
			return err
		}
		room := min(cap(x.decoded), most)
		out, err := d.DecodeAll(x.raw, x.decoded[:0:room])
		full := errors.Is(err, zstd.ErrDecoderSizeExceeded)
		switch {
		case len(out) > limit, full && room == most && past > 0:
			return errCapped
		case full && room == most:
			return errShort
		case err == nil:
			x.unzippedTo(out)
			return nil
		// A block that does not fit is not always called so: whoever failed within a block of the end may have had too little room.
		case full, room < most && len(out)+zstdBlock > room && !errors.Is(err, zstd.ErrWindowSizeExceeded):
			want = 2 * room
			h.HasFCS = false
			continue
		}
		x.decoded = x.decoded[:min(len(out), room)] // for the reason
		return err
	}
}

// unzippedTo has x.decoded be what a decoder made of it. It keeps all of its room, and stays where it is: what is beside the heap goes back as it was taken, and nothing else does.
func (x *pull) unzippedTo(out []byte) {
	mine := x.decoded[:len(out)]
	if unsafe.SliceData(mine) != unsafe.SliceData(out) {
		copy(mine, out)
	}
	x.decoded = mine
}

// unzstdTo decodes only the blocks of x.raw up to the one at past, with which there may be more than limit bytes, and returns errCapped if there are. A decoder that runs out of
// room goes on in memory of its own, which is more than all that it was given; so much of the body never needs it.
func (x *pull) unzstdTo(d *zstd.Decoder, past, limit int) error {
	if err := x.unzipTo(limit + zstdBlock + zstdSpare); err != nil {
		return err
	}
	head := x.raw[past]
	x.raw[past] |= 1 // the last block
	out, _ := d.DecodeAll(x.raw[:zstdNext(x.raw, past)], x.decoded[:0])
	x.raw[past] = head
	if len(out) > limit {
		return errCapped
	}
	return nil
}

// zstdMost is how many bytes the frames of raw come to at most, by their blocks, as RFC 8878 section 3.1.1 has them. If that is more than limit, past is where the block begins with
// which it is; otherwise 0. What cannot be read ends it: no decoder gets beyond.
func zstdMost(raw []byte, limit int) (most, past int) {
	for at := 0; at < len(raw); {
		var h zstd.Header
		if h.Decode(raw[at:]) != nil {
			return most, 0
		}
		if h.Skippable {
			if int64(h.SkippableSize) > int64(len(raw)-at-h.HeaderSize) {
				return most, 0
			}
			at += h.HeaderSize + int(h.SkippableSize)
			continue
		}
		for at += h.HeaderSize; at+3 <= len(raw); {
			b, begin := zstdHead(raw, at), at
			if b.kind == zstdCompressed {
				most += zstdBlock
			} else {
				most += b.size
			}
			if most > limit {
				return most, begin
			}
			if at = zstdNext(raw, at); b.last {
				break
			}
		}
		if h.HasCheckSum {
			at += 4
		}
	}
	return most, 0
}

const (
	zstdRepeated   = 1
	zstdCompressed = 2
)

type zstdBlockHead struct {
	last       bool
	kind, size int
}

// zstdHead is the head of the block at at, of which three bytes are there.
func zstdHead(raw []byte, at int) zstdBlockHead {
	v := int(binary.LittleEndian.Uint16(raw[at:])) | int(raw[at+2])<<16
	return zstdBlockHead{v&1 != 0, v >> 1 & 3, v >> 3}
}

// zstdNext is where the block at at ends, within raw.
func zstdNext(raw []byte, at int) int {
	b := zstdHead(raw, at)
	if b.kind == zstdRepeated {
		b.size = 1
	}
	return min(at+3+b.size, len(raw))
}
