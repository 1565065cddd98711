package scrape

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"github.com/rollcall-metrics/rollcall/collector"
)

// acceptEncoding asks for zstd first: reading it costs less than half of what gzip does.
const acceptEncoding = "zstd, gzip"

// maxWindow is the largest window of a zstd body: what RFC 8878 asks of every decoder, and what no encoder exceeds that was not told to.
const maxWindow = 8 << 20

// keptWindow is the largest window whose memory a decoder keeps for the next body.
const keptWindow = 256 << 10

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
	u.x.decoded = append(u.x.decoded, p...)
	return len(p), u.x.charge()
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
		return nil, fail(collector.Parse, "the body is encoded as %.20q, which was not asked for", encoding)
	}
	switch {
	case err == nil:
		return x.decoded, nil
	case errors.Is(err, errCapped):
		return nil, fail(collector.BodyLimit, "the body, %d bytes as sent, is longer than %d bytes when unzipped", len(x.raw), limit)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, fail(collector.BodyLimit, "the body, %d bytes as sent, needs a window of more than %d bytes to be unzipped", len(x.raw), maxWindow)
	case errors.As(err, new(*failure)):
		return nil, err
	}
	return nil, fail(collector.Parse, "unzip the body of %d bytes: %v, after %d bytes", len(x.raw), err, len(x.decoded))
}

// unzstd decodes x.raw into x.decoded, in steps, so that no more memory is taken than there are bytes.
func (x *pull) unzstd(limit int) error {
	if len(x.raw) == 0 {
		return io.ErrUnexpectedEOF
	}
	d, err := x.all.decoder()
	if err != nil {
		return err
	}
	var h zstd.Header
	keep := false
	defer func() { x.all.decoders <- d.kept(keep) }()
	if err := h.Decode(x.raw); err == nil && h.WindowSize <= keptWindow {
		keep = true
	}
	if h.HasFCS && h.FrameContentSize > uint64(limit) {
		return errCapped
	}
	d.in.Reset(x.raw)
	if err := d.zstd.Reset(&d.in); err != nil {
		return err
	}
	for {
		if len(x.decoded) == cap(x.decoded) {
			x.decoded = slices.Grow(x.decoded, min(max(4096, 4*len(x.raw), len(x.decoded)), limit+1-len(x.decoded)))
			if err := x.charge(); err != nil {
				return err
			}
		}
		n, err := d.zstd.Read(x.decoded[len(x.decoded):min(cap(x.decoded), limit+1)])
		x.decoded = x.decoded[:len(x.decoded)+n]
		switch {
		case len(x.decoded) > limit:
			return errCapped
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// decoder is one of zstd and what it reads from.
type decoder struct {
	zstd *zstd.Decoder
	in   bytes.Reader
}

// newDecoders has room for as many as can work at once, so that the windows of all bodies together have a bound. They are made when they are first needed.
func newDecoders() chan *decoder {
	ch := make(chan *decoder, runtime.GOMAXPROCS(0))
	for range cap(ch) {
		ch <- nil
	}
	return ch
}

// decoder takes one, which must be given back.
func (p *pulls) decoder() (*decoder, error) {
	d := <-p.decoders
	if d != nil {
		return d, nil
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		p.decoders <- nil
		return nil, err
	}
	return &decoder{zstd: z}, nil
}

// kept is d for the next body, or nil where what it holds is too much to keep.
func (d *decoder) kept(keep bool) *decoder {
	if !keep {
		d.zstd.Close()
		return nil
	}
	d.in.Reset(nil)
	return d
}
