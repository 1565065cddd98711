package scrape

import (
	"bytes"
	"errors"
	"io"

	"github.com/rollcall-metrics/rollcall/collector"
)

// grow makes room for more bytes behind x.raw, as they come: what an answer says of its length is worth nothing until the bytes are there.
func (x *pull) grow(want int) error {
	if cap(x.raw) > len(x.raw) {
		return nil
	}
	return x.grown(&x.raw, &x.rawMapped, len(x.raw)+min(max(len(x.raw), 4096), max(want, 512)))
}

// rest reads a body that ends where from does; more than want bytes of room are not made at once.
func (x *pull) rest(from io.Reader, want, limit int) error {
	for {
		if err := x.grow(want - len(x.raw)); err != nil {
			return err
		}
		m, err := from.Read(x.raw[len(x.raw):cap(x.raw)])
		x.raw = x.raw[:len(x.raw)+m]
		switch {
		case len(x.raw) > limit:
			return tooLong(limit)
		case err == io.EOF:
			return nil
		case err != nil:
			return brokeOff(err, len(x.raw))
		}
	}
}

// brokeOff says how a body ended that was not whole.
func brokeOff(err error, got int) error {
	switch {
	case errors.As(err, new(*failure)):
		return err
	case isTimeout(err):
		return fail(collector.Timeout, "timed out after %d bytes of the body", got)
	}
	return fail(collector.Refused, "the connection broke after %d bytes of the body: %s", got, short(err))
}

func tooLong(limit int) error {
	return tooMuch("the body is longer than %d bytes", limit)
}

func announced(n int64, limit int) error {
	return fail(collector.BodyLimit, "the body is announced as %d bytes and longer than %d", n, limit)
}

// framed is a body as it comes over the connection of a reader, without what frames it there. It ends with io.EOF when it is whole, and with a failure when it cannot be.
type framed struct {
	r       *reader
	length  int // as of the answer
	limit   int
	got     int
	left    int // until the body, or this chunk of it, ends
	between int // bytes between the chunks that nobody needs there
	err     error
}

// body is the body of an answer that was asked for, until the next is.
func (r *reader) body(a *answer, limit int) *framed {
	r.framed = framed{r: r, length: a.length, left: max(0, a.length), limit: limit}
	return &r.framed
}

// whole reports that the body was read to its end.
func (f *framed) whole() bool { return f.err == io.EOF }

func (f *framed) Read(p []byte) (n int, err error) {
	if f.err == nil && f.left == 0 && f.got == 0 { // nothing was read yet
		f.err = f.begin()
	}
	if f.err != nil {
		return 0, f.err
	}
	if f.length != toTheEnd {
		p = p[:min(len(p), f.left)]
	}
	n, err = f.r.br.Read(p)
	f.got += n
	switch {
	case f.length == toTheEnd:
		if f.err = err; err != nil && err != io.EOF {
			f.err = brokeOff(err, f.got)
		}
		return n, f.err
	case err != nil:
		f.err = f.broken(err)
		return n, f.err
	}
	if f.left -= n; f.left > 0 {
		return n, nil
	}
	if f.err = io.EOF; f.length == inChunks {
		f.err = f.endChunk()
	}
	return n, f.err
}

func (f *framed) begin() error {
	switch f.length {
	case 0:
		return io.EOF
	case inChunks:
		return f.nextChunk()
	}
	return nil
}

// broken names an error in the middle of the body.
func (f *framed) broken(err error) error {
	timeout := isTimeout(err)
	switch {
	case errors.As(err, new(*failure)):
		return err
	case timeout && f.length >= 0:
		return fail(collector.Timeout, "timed out after %d of %d bytes of the body", f.got, f.length)
	case timeout:
		return fail(collector.Timeout, "timed out after %d bytes of the body", f.got)
	case f.length >= 0:
		return fail(collector.Refused, "the connection was closed after %d of %d bytes of the body", f.got, f.length)
	}
	return fail(collector.Refused, "the connection was closed after %d bytes of the body, before its last chunk", f.got)
}

// nextChunk reads what stands before the bytes of a chunk, as RFC 9112 section 7.1 has it. Extensions and trailers are skipped.
func (f *framed) nextChunk() error {
	line, err := f.r.line()
	if err != nil {
		return f.broken(err)
	}
	n, ok := chunkSize(line)
	if !ok {
		return fail(collector.Parse, "a chunk of the body begins with %.20q instead of its size, after %d bytes", line, f.got)
	}
	if n == 0 {
		return f.trailer()
	}
	// What stands between the chunks is bounded, too: a size has few digits, and extensions are for nobody here.
	if f.between = max(0, f.between+len(line)-16-2*n); f.between > headerLimit {
		return fail(collector.Parse, "more than %d bytes between the chunks of the body than belong there, after %d bytes", headerLimit, f.got)
	}
	if n > f.limit-f.got {
		return tooLong(f.limit)
	}
	f.left = n
	return nil
}

func (f *framed) endChunk() error {
	line, err := f.r.line()
	if err != nil {
		return f.broken(err)
	}
	if len(line) > 0 {
		return fail(collector.Parse, "a chunk of the body is longer than its size, after %d bytes", f.got)
	}
	return f.nextChunk()
}

// trailer reads up to the empty line.
func (f *framed) trailer() error {
	for n := 0; ; {
		line, err := f.r.line()
		if err != nil {
			return f.broken(err)
		}
		if len(line) == 0 {
			return io.EOF
		}
		if n += len(line) + 2; n > headerLimit {
			return fail(collector.BodyLimit, "the trailer of the answer is longer than %d bytes", headerLimit)
		}
	}
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
