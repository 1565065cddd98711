package kafka

import (
	"fmt"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// maxUnzipped bounds what a batch of ours can decompress to.
const maxUnzipped = 4 << 20

// zipper compresses batches as Kafka's readers expect them. It is safe for concurrent use.
type zipper struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// newZip makes a zipper of the fastest level. A window of 64 KiB holds a few snapshots, which is what they have in common; more costs memory
// at every reader and gains little. The frame's own checksum is left out: the batch has one.
func newZip() (*zipper, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(64<<10), zstd.WithEncoderCRC(false),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("prepare zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnzipped))
	if err != nil {
		return nil, fmt.Errorf("prepare zstd: %w", err)
	}
	return &zipper{enc, dec}, nil
}

func (z *zipper) zip(dst, src []byte) []byte            { return z.enc.EncodeAll(src, dst) }
func (z *zipper) unzip(dst, src []byte) ([]byte, error) { return z.dec.DecodeAll(src, dst) }

// close ends the decoder's goroutines.
func (z *zipper) close() { z.dec.Close() }
