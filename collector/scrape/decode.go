package scrape

import (
	"errors"

	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"github.com/rollcall-metrics/rollcall/collector"
)

// acceptEncoding asks for zstd first: reading it costs less than half of what gzip does.
const acceptEncoding = "zstd, gzip"

// weighEncoding is what bodies are asked for that are only weighed: to unzip gzip as it comes takes 32 KiB, and zstd as much as its encoder would have it.
const weighEncoding = "gzip"

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
	case err == errUnproven, errors.As(err, new(*failure)):
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

// unzipTo makes room for n bytes at least in x.decoded.
func (x *pull) unzipTo(n int) error {
	if n <= cap(x.decoded) {
		return nil
	}
	return x.grown(&x.decoded, &x.decodedMapped, n)
}
