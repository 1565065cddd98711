package scrape

import (
	"bufio"
	"errors"
	"math/bits"
	"net"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
)

// pull is the memory of one scrape, from the request until the snapshot is released.
type pull struct {
	snap    collector.Snapshot
	parser  stats.Parser
	raw     []byte // as it came
	decoded []byte // unzipped
	class   int
	release func()
}

// pulls keeps pulls by the size of their bodies, so that one of 10 MB does not hold its memory for the sake of thousands of 10 KB.
type pulls struct {
	classes [20]sync.Pool // of up to 4 KiB, 8 KiB, … 2 GiB
}

func classOf(n int) int { return min(max(0, bits.Len(uint(max(0, n-1)))-12), 19) }

// get is a pull for a body of about n bytes.
func (p *pulls) get(n int) *pull {
	c := classOf(n)
	if x, ok := p.classes[c].Get().(*pull); ok {
		return x
	}
	x := &pull{class: c, raw: make([]byte, 0, min(4096<<c, max(4096, n)))}
	x.release = func() {
		x.snap = collector.Snapshot{}
		p.classes[classOf(max(cap(x.raw), cap(x.decoded)))].Put(x)
	}
	return x
}

// wire counts what is read from a connection and keeps the error it ended with: fasthttp's errors do not say.
type wire struct {
	conn net.Conn
	n    int
	err  error
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.conn.Read(b)
	w.n += n
	if err != nil {
		w.err = err
	}
	return n, err
}

// reader is the memory of one answer on its way in. It is only held while the answer comes.
type reader struct {
	wire   wire
	br     *bufio.Reader
	header fasthttp.ResponseHeader
}

// headerLimit is how long the header of an answer may be; one read takes header and body of most answers.
const headerLimit = 16 << 10

func newReader() any {
	r := &reader{}
	r.br = bufio.NewReaderSize(&r.wire, headerLimit)
	return r
}

func (r *reader) reset(conn net.Conn) {
	r.wire = wire{conn: conn}
	r.br.Reset(&r.wire)
}

// errStale says that a connection which was kept had been closed by the other side: nothing was answered, and asking again on a new one is right.
var errStale = errors.New("the connection kept from before is closed")

// answer is what one exchange brought; its byte slices are valid until the reader is used again.
type answer struct {
	status      int
	contentType []byte
	encoding    []byte
	location    []byte
	close       bool // the connection cannot be used again
}

// exchange writes the request and reads the answer, its body into x.raw.
func (r *reader) exchange(conn net.Conn, request []byte, x *pull, limit int, kept bool, at *stage) (answer, error) {
	*at = asking
	if _, err := conn.Write(request); err != nil {
		if kept && !isTimeout(err) {
			return answer{}, errStale
		}
		return answer{}, err
	}
	*at = inHeader
	r.reset(conn)
	h := &r.header
	for informational := 0; ; informational++ {
		if b, _ := r.br.Peek(len(statusLine)); len(b) > 0 && !isHTTP(b) {
			return answer{}, notHTTP(r.br)
		}
		if err := h.Read(r.br); err != nil {
			return answer{}, r.headerError(err, kept)
		}
		if h.StatusCode() >= 200 || informational >= 5 {
			break
		}
	}
	a := answer{status: h.StatusCode(), contentType: h.ContentType(), encoding: h.ContentEncoding(), close: h.ConnectionClose()}
	if a.status >= 300 && a.status < 400 {
		a.location = h.Peek("Location")
	}
	if a.status != fasthttp.StatusOK {
		// The body of an error page is read only to keep the connection, if it is small.
		n := h.ContentLength()
		if n < 0 || n > headerLimit || a.close {
			a.close = true
			return a, nil
		}
		if _, err := r.br.Discard(n); err != nil {
			a.close = true
		}
		return a, nil
	}
	*at = inBody
	var err error
	switch n := h.ContentLength(); {
	case n >= 0:
		x.raw, err = r.fixed(x.raw[:0], n, limit)
	case n == -1:
		x.raw, err = r.chunked(x.raw[:0], limit)
	default:
		a.close = true
		x.raw, err = r.rest(x.raw[:0], limit)
	}
	if r.br.Buffered() > 0 {
		a.close = true // more than was asked for: the next answer would begin with it
	}
	return a, err
}

// headerError says why there is no header: the connection broke, too much came, or it is not HTTP.
func (r *reader) headerError(err error, kept bool) error {
	var small *fasthttp.ErrSmallBuffer
	switch {
	case r.wire.n == 0 && kept && !isTimeout(r.wire.err):
		return errStale
	case errors.As(err, &small):
		return fail(collector.BodyLimit, "the header of the answer is longer than %d bytes", headerLimit)
	case r.wire.err != nil:
		return r.wire.err
	}
	return notHTTP(r.br)
}

// statusLine is how every answer begins.
const statusLine = "HTTP/1.x nnn"

// isHTTP looks at the first bytes of an answer, fewer than a status line if no more came. fasthttp would wait for a line end that never comes, and takes
// status 000 for 200.
func isHTTP(b []byte) bool {
	for i, c := range b {
		switch want := statusLine[i]; {
		case want == 'n' && i == 9:
			if c < '1' || c > '9' {
				return false
			}
		case want == 'n' || want == 'x':
			if c-'0' > 9 {
				return false
			}
		case c != want:
			return false
		}
	}
	return true
}

func notHTTP(br *bufio.Reader) error {
	b, _ := br.Peek(min(br.Buffered(), 40))
	return fail(collector.Parse, "the answer is not HTTP/1: it starts with %q", b)
}
