package scrape

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/rollcall-metrics/rollcall/collector"
)

// grow makes room for more bytes in b, as they come: what an answer says of its length is worth nothing until the bytes are there.
func grow(b []byte, want int) []byte {
	if cap(b)-len(b) > 0 {
		return b
	}
	return slices.Grow(b, min(max(len(b), 4096), max(want, 512)))
}

func tooLong(limit int) error {
	return fail(collector.BodyLimit, "the body is longer than %d bytes", limit)
}

// fixed reads a body of n bytes.
func (r *reader) fixed(b []byte, n, limit int) ([]byte, error) {
	if n > limit {
		return b, fail(collector.BodyLimit, "the body is announced as %d bytes and longer than %d", n, limit)
	}
	for len(b) < n {
		b = grow(b, n-len(b))
		m, err := io.ReadFull(r.br, b[len(b):min(n, cap(b))])
		b = b[:len(b)+m]
		if err != nil {
			return b, r.cutShort(err, len(b), n)
		}
	}
	return b, nil
}

// cutShort names how much of a body came.
func (r *reader) cutShort(err error, got, want int) error {
	if isTimeout(err) {
		return fail(collector.Timeout, "timed out after %d of %d bytes of the body", got, want)
	}
	return fail(collector.Refused, "the connection was closed after %d of %d bytes of the body", got, want)
}

// rest reads a body that ends with the connection.
func (r *reader) rest(b []byte, limit int) ([]byte, error) {
	return readAll(r.br, b, limit)
}

func readAll(from io.Reader, b []byte, limit int) ([]byte, error) {
	for {
		b = grow(b, limit)
		m, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+m]
		switch {
		case len(b) > limit:
			return b, tooLong(limit)
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil && isTimeout(err):
			return b, fail(collector.Timeout, "timed out after %d bytes of the body", len(b))
		case err != nil:
			return b, fail(collector.Refused, "the connection broke after %d bytes of the body: %s", len(b), short(err))
		}
	}
}

// chunked reads a body in chunks, as RFC 9112 section 7.1 has them. Extensions and trailers are skipped.
func (r *reader) chunked(b []byte, limit int) ([]byte, error) {
	for {
		line, err := r.line()
		if err != nil {
			return b, r.chunkError(err, len(b))
		}
		n, ok := chunkSize(line)
		if !ok {
			return b, fail(collector.Parse, "a chunk of the body begins with %.20q instead of its size, after %d bytes", line, len(b))
		}
		if n == 0 {
			break
		}
		if n > limit-len(b) {
			return b, tooLong(limit)
		}
		for end := len(b) + n; len(b) < end; {
			b = grow(b, end-len(b))
			m, err := io.ReadFull(r.br, b[len(b):min(end, cap(b))])
			b = b[:len(b)+m]
			if err != nil {
				return b, r.chunkError(err, len(b))
			}
		}
		if line, err = r.line(); err != nil {
			return b, r.chunkError(err, len(b))
		}
		if len(line) > 0 {
			return b, fail(collector.Parse, "a chunk of the body is longer than its size, after %d bytes", len(b))
		}
	}
	for trailers := 0; ; { // up to the empty line
		line, err := r.line()
		if err != nil {
			return b, r.chunkError(err, len(b))
		}
		if len(line) == 0 {
			return b, nil
		}
		if trailers += len(line) + 2; trailers > headerLimit {
			return b, fail(collector.BodyLimit, "the trailer of the answer is longer than %d bytes", headerLimit)
		}
	}
}

func (r *reader) chunkError(err error, got int) error {
	switch {
	case errors.As(err, new(*failure)):
		return err
	case isTimeout(err):
		return fail(collector.Timeout, "timed out after %d bytes of the body", got)
	}
	return fail(collector.Refused, "the connection was closed after %d bytes of the body, before its last chunk", got)
}

// line reads up to a line feed, without it and the carriage return before.
func (r *reader) line() ([]byte, error) {
	line, err := r.br.ReadSlice('\n')
	if isHeaderTooLong(err) {
		return nil, fail(collector.Parse, "a line between the chunks of the body is longer than %d bytes", headerLimit)
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// chunkSize reads the hexadecimal size that a chunk begins with.
func chunkSize(line []byte) (n int, ok bool) {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	digits = bytes.TrimRight(digits, " \t")
	if len(digits) == 0 || len(digits) > 8 {
		return 0, false
	}
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		n = n<<4 | int(c)
	}
	return n, true
}

// capped collects what is unzipped, up to a limit.
type capped struct {
	b     []byte
	limit int
}

var errCapped = errors.New("longer than allowed")

func (c *capped) Write(p []byte) (int, error) {
	if len(p) > c.limit-len(c.b) {
		return 0, errCapped
	}
	c.b = append(c.b, p...)
	return len(p), nil
}

// decode undoes the content encoding of x.raw. What it returns is in x.raw or in x.decoded.
func (x *pull) decode(encoding []byte, limit int) ([]byte, error) {
	switch string(encoding) {
	case "", "identity":
		return x.raw, nil
	case "gzip", "x-gzip":
		c := capped{x.decoded[:0], limit}
		_, err := fasthttp.WriteGunzip(&c, x.raw)
		x.decoded = c.b
		switch {
		case errors.Is(err, errCapped):
			return nil, fail(collector.BodyLimit, "the body, %d bytes as sent, is longer than %d bytes when unzipped", len(x.raw), limit)
		case err != nil:
			return nil, fail(collector.Parse, "unzip the body of %d bytes: %v, after %d bytes", len(x.raw), err, len(c.b))
		}
		return x.decoded, nil
	}
	return nil, fail(collector.Parse, "the body is encoded as %.20q, which was not asked for", encoding)
}
