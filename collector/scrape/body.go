package scrape

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/rollcall-metrics/rollcall/collector"
)

// grow makes room for more bytes behind x.raw, as they come: what an answer says of its length is worth nothing until the bytes are there.
func (x *pull) grow(want int) error {
	if cap(x.raw) > len(x.raw) {
		return nil
	}
	x.raw = slices.Grow(x.raw, min(max(len(x.raw), 4096), max(want, 512)))
	return x.charge()
}

// take reads up to n bytes from br, at least one, behind x.raw.
func (x *pull) take(br io.Reader, n int) (err error) {
	have := len(x.raw)
	end := min(have+n, cap(x.raw))
	m, err := io.ReadFull(br, x.raw[have:end])
	x.raw = x.raw[:have+m]
	return err
}

func tooLong(limit int) error {
	return fail(collector.BodyLimit, "the body is longer than %d bytes", limit)
}

func announced(n int64, limit int) error {
	return fail(collector.BodyLimit, "the body is announced as %d bytes and longer than %d", n, limit)
}

// fixed reads a body of n bytes.
func (r *reader) fixed(x *pull, n, limit int) error {
	if n > limit {
		return announced(int64(n), limit)
	}
	for len(x.raw) < n {
		if err := x.grow(n - len(x.raw)); err != nil {
			return err
		}
		switch err := x.take(r.br, n-len(x.raw)); {
		case err != nil && isTimeout(err):
			return fail(collector.Timeout, "timed out after %d of %d bytes of the body", len(x.raw), n)
		case err != nil:
			return fail(collector.Refused, "the connection was closed after %d of %d bytes of the body", len(x.raw), n)
		}
	}
	return nil
}

// rest reads a body that ends where from does.
func (x *pull) rest(from io.Reader, limit int) error {
	for {
		if err := x.grow(limit); err != nil {
			return err
		}
		m, err := from.Read(x.raw[len(x.raw):cap(x.raw)])
		x.raw = x.raw[:len(x.raw)+m]
		switch {
		case len(x.raw) > limit:
			return tooLong(limit)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && isTimeout(err):
			return fail(collector.Timeout, "timed out after %d bytes of the body", len(x.raw))
		case err != nil:
			return fail(collector.Refused, "the connection broke after %d bytes of the body: %s", len(x.raw), short(err))
		}
	}
}

// chunked reads a body in chunks, as RFC 9112 section 7.1 has them. Extensions and trailers are skipped.
func (r *reader) chunked(x *pull, limit int) error {
	for between := 0; ; {
		line, err := r.line()
		if err != nil {
			return r.chunkError(err, len(x.raw))
		}
		n, ok := chunkSize(line)
		if !ok {
			return fail(collector.Parse, "a chunk of the body begins with %.20q instead of its size, after %d bytes", line, len(x.raw))
		}
		if n == 0 {
			break
		}
		// What stands between the chunks is bounded, too: a size has few digits, and extensions are for nobody here.
		if between = max(0, between+len(line)-16-2*n); between > headerLimit {
			return fail(collector.Parse, "more than %d bytes between the chunks of the body than belong there, after %d bytes", headerLimit, len(x.raw))
		}
		if n > limit-len(x.raw) {
			return tooLong(limit)
		}
		for end := len(x.raw) + n; len(x.raw) < end; {
			if err := x.grow(end - len(x.raw)); err != nil {
				return err
			}
			if err := x.take(r.br, end-len(x.raw)); err != nil {
				return r.chunkError(err, len(x.raw))
			}
		}
		if line, err = r.line(); err != nil {
			return r.chunkError(err, len(x.raw))
		}
		if len(line) > 0 {
			return fail(collector.Parse, "a chunk of the body is longer than its size, after %d bytes", len(x.raw))
		}
	}
	for trailers := 0; ; { // up to the empty line
		line, err := r.line()
		if err != nil {
			return r.chunkError(err, len(x.raw))
		}
		if len(line) == 0 {
			return nil
		}
		if trailers += len(line) + 2; trailers > headerLimit {
			return fail(collector.BodyLimit, "the trailer of the answer is longer than %d bytes", headerLimit)
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
