package scrape

import (
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"github.com/rollcall-metrics/rollcall/collector"
)

// acceptEncoding asks for zstd first: reading it costs less than half of what gzip does.
const acceptEncoding = "zstd, gzip"

// weighEncoding is what bodies are asked for that are only weighed: to unzip gzip as it comes takes 32 KiB, and zstd as much as its encoder would have it.
const weighEncoding = "gzip"

// maxWindow is the largest window of a zstd body: what RFC 8878 asks of every decoder, and what no encoder exceeds that was not told to.
const maxWindow = 8 << 20

// unzipped collects what is unzipped in x.decoded, up to a limit.
type unzipped struct {
	x     *pull
	limit int
}

var errCapped = errors.New("longer than allowed")

func (u unzipped) Write(p []byte) (int, error) {
	if len(p) > u.limit-len(u.x.decoded) {
		return 0, errCapped
	}
	if n := len(u.x.decoded) + len(p); n > cap(u.x.decoded) {
		if err := u.x.unzipTo(min(max(n, 4096, 2*cap(u.x.decoded)), u.limit)); err != nil {
			return 0, err
		}
	}
	u.x.decoded = append(u.x.decoded, p...)
	return len(p), nil
}

// decode undoes the content encoding of x.raw. What it returns is in x.raw or in x.decoded.
func (x *pull) decode(encoding []byte, limit int) ([]byte, error) {
	var err error
	switch string(encoding) {
	case "", "identity":
		return x.raw, nil
	case "gzip", "x-gzip":
		x.decoded = x.decoded[:0]
		_, err = fasthttp.WriteGunzip(unzipped{x, limit}, x.raw)
	case "zstd":
		x.decoded = x.decoded[:0]
		err = x.unzstd(limit)
	default:
		return nil, unknownEncoding(encoding)
	}
	switch {
	case err == nil:
		return x.decoded, nil
	case errors.Is(err, errCapped):
		return nil, unzipsTooLong(len(x.raw), limit)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, tooMuch("the body, %d bytes as sent, needs a window of more than %d bytes to be unzipped", len(x.raw), maxWindow)
	case errors.As(err, new(*failure)):
		return nil, err
	}
	return nil, fail(collector.Parse, "unzip the body of %d bytes: %v, after %d bytes", len(x.raw), err, len(x.decoded))
}

func unknownEncoding(encoding []byte) error {
	return fail(collector.Parse, "the body is encoded as %.20q, which was not asked for", encoding)
}

func unzipsTooLong(sent, limit int) error {
	return tooMuch("the body, %d bytes as sent, is longer than %d bytes when unzipped", sent, limit)
}

// zstdBlock is the most that one block of zstd comes to.
const zstdBlock = 128 << 10

// unzstd decodes x.raw into x.decoded, at one go: so it needs no window besides. What a frame says of its size is believed up to the limit; where it says nothing, or
// less than comes, the memory doubles until it is enough, and the next body of the target finds it as it is.
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
		want = int(h.FrameContentSize) + 16 // it is quicker with some bytes to spare
	}
	for most := limit + zstdBlock + 16; ; {
		if err := x.unzipTo(min(want, most)); err != nil {
			return err
		}
		room := min(cap(x.decoded), most)
		out, err := d.DecodeAll(x.raw, x.decoded[:0:room])
		full := errors.Is(err, zstd.ErrDecoderSizeExceeded)
		switch {
		case len(out) > limit, full && room == most:
			return errCapped
		case err == nil:
			x.decoded = out
			return nil
		// A block that does not fit is not always called so: whoever failed within a block of the end may have had too little room.
		case full, room < most && len(out)+zstdBlock > room && !errors.Is(err, zstd.ErrWindowSizeExceeded):
			want = 2 * room
			continue
		}
		x.decoded = x.decoded[:min(len(out), room)] // for the reason
		return err
	}
}

// unzipTo makes room for n bytes at least in x.decoded.
func (x *pull) unzipTo(n int) error {
	if n <= cap(x.decoded) {
		return nil
	}
	bigger := make([]byte, len(x.decoded), n)
	copy(bigger, x.decoded)
	x.decoded = bigger
	return x.charge()
}

// newZstd makes what all bodies are decoded by, as many at once as there are processors: it keeps nothing of one for the next.
func newZstd() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(maxWindow))
}
