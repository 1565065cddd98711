package scrape

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/rollcall-metrics/rollcall/collector"
)

// scale is whether the bodies of a target are read or only weighed. One that broke the limit has cost as much memory as a body may take, and it would again at each scrape; and
// so has one that broke off when it was large already, before any was good. So the next ones are counted and thrown away as they come, until one is whole and within the limit.
// Then the one after is read, by the few that are read at once of those.
type scale struct {
	broken  int    // the limit that the last body broke, or under which it broke off; 0: it did not. A higher one is a new chance
	why     string // it did
	off     bool   // it broke off
	weighed bool   // the last one was weighed, and found whole: the next one is read, whatever memory it takes
}

// incoming is a body that begins to come.
type incoming struct {
	from     io.Reader // its bytes as sent
	encoding []byte
	length   int // as announced; below 0: it is not
	limit    int
}

// weighs reports that the body is to be weighed. One that says its size is known to be within the limit, as longer ones are refused unread.
func (s *scale) weighs(in incoming) bool {
	return s.suspects(in.limit) && (s.off || in.length < 0 || !plain(in.encoding))
}

// suspects reports that a body of the target would be weighed.
func (s *scale) suspects(limit int) bool { return s.broken >= limit && s.broken > 0 }

// want is the most room that it needs, as sent.
func (in incoming) want() int {
	if in.length >= 0 {
		return in.length
	}
	return in.limit
}

func plain(encoding []byte) bool { return len(encoding) == 0 || string(encoding) == "identity" }

// take reads a body, or weighs it, and returns it decoded; it is in e.x. Of one that is too long nothing is kept: others need less.
func (e *exchange) take(in incoming, s *scale) (body []byte, err error) {
	if in.length > in.limit {
		return nil, announced(int64(in.length), in.limit)
	}
	if s.weighs(in) {
		return nil, s.weigh(in)
	}
	x := e.room(in.length)
	weighed := s.weighed
	if weighed {
		x.trusted = in.limit + zstdBlock + 512
	}
	x.raw, x.decoded = x.raw[:0], x.decoded[:0]
	if err = x.charge(); err == nil {
		if err = x.rest(in.from, in.want(), in.limit); err == nil {
			body, err = x.decode(in.encoding, in.limit)
		}
	}
	*s = scale{}
	switch {
	case err == nil:
		return body, nil
	case err == errUnproven:
		in.from = io.MultiReader(bytes.NewReader(x.raw), in.from)
		err = s.unproven(in)
	case errors.As(err, new(*tooMuchError)):
		*s = scale{broken: in.limit, why: err.Error()}
	default:
		if large := max(len(x.raw), len(x.decoded)) > free; large && (weighed || x.unproven > 0) && !isSkipped(err) {
			*s = scale{broken: in.limit, why: err.Error(), off: true}
		}
		return nil, err
	}
	x.forget()
	e.x = nil
	return nil, err
}

// weigh weighs a body after one that was too much, and says what comes of it.
func (s *scale) weigh(in incoming) error {
	n, err := in.weigh()
	switch {
	case err == errUnweighed:
		return fail(collector.BodyLimit, "%s; since then it is sent in zstd, which is not asked for, with a window too large to weigh it", s.why)
	case err != nil:
		return err
	}
	why, off := s.why, s.off
	*s = scale{weighed: true}
	if off {
		return fail(collector.Skipped, "%s; since then bodies are counted only, and this one of %d bytes is whole: the next one is read", why, n)
	}
	return fail(collector.BodyLimit, "%d bytes, within the limit of %d again: the body is read from the next scrape on", n, in.limit)
}

// unproven weighs a body for which there is no room, as no good one came before it.
func (s *scale) unproven(in incoming) error {
	n, err := in.weigh()
	switch {
	case err == errUnweighed: // nothing speaks against it
	case errors.As(err, new(*tooMuchError)):
		*s = scale{broken: in.limit, why: err.Error()}
		return err
	case err != nil:
		return err
	}
	*s = scale{weighed: true}
	if err == errUnweighed {
		return fail(collector.Skipped, "others whose first bodies are large are read just now: the next one is read")
	}
	return fail(collector.Skipped, "others whose first bodies are large are read just now, and this one of %d bytes was counted only: the next one is read", n)
}

// tooMuchError is the failure of a body that was read up to its limit before it showed.
type tooMuchError struct{ error }

func (e *tooMuchError) Unwrap() error { return e.error }

func tooMuch(format string, args ...any) error {
	return &tooMuchError{fail(collector.BodyLimit, format, args...)}
}

const (
	// weighWindow is the largest window of zstd that is unzipped only to be weighed. Servers were not asked for zstd then.
	weighWindow  = 1 << 20
	weighScratch = 16 << 10
)

// errUnweighed says that to weigh a body would take too much memory.
var errUnweighed = errors.New("not weighed")

// weigh counts the bytes of a body, unzipped, up to the limit, and keeps none.
func (in incoming) weigh() (n int, err error) {
	sent := &lastError{Reader: in.from}
	var from io.Reader = sent
	switch string(in.encoding) {
	case "", "identity":
	case "gzip", "x-gzip":
		from, err = gzip.NewReader(sent)
	case "zstd":
		br := bufio.NewReaderSize(sent, weighScratch)
		begin, _ := br.Peek(zstd.HeaderMaxSize)
		var h zstd.Header
		if h.Decode(begin) == nil && h.HasFCS && h.FrameContentSize > uint64(in.limit) {
			return 0, in.unzipsTooLong()
		}
		var d *zstd.Decoder
		if d, err = zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(weighWindow)); err == nil {
			defer d.Close()
			from = d
		}
	default:
		return 0, unknownEncoding(in.encoding)
	}
	for scratch := make([]byte, weighScratch); err == nil; {
		var m int
		m, err = from.Read(scratch)
		if n += m; n > in.limit {
			if plain(in.encoding) {
				return n, tooLong(in.limit)
			}
			return n, in.unzipsTooLong()
		}
	}
	switch {
	case err == io.EOF && (sent.err == nil || sent.err == io.EOF):
		return n, nil
	case sent.err != nil && sent.err != io.EOF:
		return n, brokeOff(sent.err, n)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return n, errUnweighed
	}
	return n, fail(collector.Parse, "unzip the body: %v, after %d bytes", err, n)
}

func (in incoming) unzipsTooLong() error {
	if in.length >= 0 {
		return unzipsTooLong(in.length, in.limit)
	}
	return tooMuch("the body is longer than %d bytes when unzipped", in.limit)
}

// lastError keeps the error that a reader ended with, which whoever reads it gives other names.
type lastError struct {
	io.Reader
	err error
}

func (l *lastError) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	l.err = err
	return n, err
}
