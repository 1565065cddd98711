package scrape

import (
	"bufio"
	"errors"
	"math/bits"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
)

// pull is the memory of one scrape, from its first byte of a body until the snapshot is released.
type pull struct {
	snap    collector.Snapshot
	parser  *stats.Parser // from when the body is whole: of thousands whose bodies come at once, few are worked on
	raw     []byte        // as it came
	decoded []byte        // unzipped
	parsed  int           // bytes that the parser was given
	release func()

	all      *pulls
	charged  int64 // to the budget
	unproven int64 // the same, of what no good body of the target was like
	trusted  int   // bytes that a body may have without being unproven
	also     *pull // the snapshot has views into it, too

	rawMapped, decodedMapped bool // they are memory of the system's own
}

// pulls keeps pulls by the size of their bodies, so that one of 10 MB does not hold its memory for the sake of thousands of 10 KB; and it keeps the budget of
// all bodies that are read or worked on at the same time.
type pulls struct {
	classes [20]sync.Pool // of up to 4 KiB, 8 KiB, … 2 GiB
	parsers [20]sync.Pool // by the bodies that they are for
	large   large
	mapped  mapped
	budget  int64
	used    atomic.Int64

	mayUnproven atomic.Int64 // bytes of all that are unproven
	unproven    atomic.Int64

	forgotten atomic.Int64 // bytes, since memory was given back to the system

	zstd func() (*zstd.Decoder, error)
}

func classOf(n int) int { return min(max(0, bits.Len(uint(max(0, n-1)))-12), 19) }

// get is a pull for a body of about n bytes.
func (p *pulls) get(n int) *pull {
	if n > free {
		if x := p.large.take(); x != nil {
			return x
		}
	}
	if x, ok := p.classes[classOf(n)].Get().(*pull); ok {
		return x
	}
	x := &pull{all: p, trusted: free}
	x.raw, x.rawMapped = p.enlarge(nil, false, max(4096, n), false)
	x.release = func() {
		good := x.snap.Outcome == collector.OK
		x.snap = collector.Snapshot{}
		if x.also != nil {
			x.also.release()
			x.also = nil
		}
		x.uncharge()
		if max(cap(x.raw), cap(x.decoded)) > free && good && p.large.keep(x) {
			return
		}
		if size := x.parserSize(); size > maxParser {
			p.forgotten.Add(int64(size))
		} else if x.parser != nil {
			p.parsers[classOf(x.parsed)].Put(x.parser)
		}
		x.parser = nil
		x.unmap()
		p.classes[classOf(max(cap(x.raw), cap(x.decoded)))].Put(x)
	}
	return x
}

// parse reads the body into snap, whose samples are x's then.
func (x *pull) parse(snap *collector.Snapshot, body []byte, contentType string, o stats.Options) error {
	if x.parsed = len(body); x.parser == nil {
		if x.parser, _ = x.all.parsers[classOf(x.parsed)].Get().(*stats.Parser); x.parser == nil {
			x.parser = &stats.Parser{}
		}
	}
	return x.parser.Parse(snap, body, contentType, o)
}

func (x *pull) parserSize() int {
	if x.parser == nil {
		return 0
	}
	return x.parser.Size()
}

// mappedFrom is from which size on bodies are kept beside the heap; those that are unproven are from the beginning.
const mappedFrom = 256 << 10

// enlarge is b with room for n bytes, and whether it is beside the heap then. What was b is not used any more.
func (p *pulls) enlarge(b []byte, is bool, n int, unproven bool) ([]byte, bool) {
	if n <= cap(b) {
		return b, is
	}
	var bigger []byte
	if n > mappedFrom || unproven && n > free {
		bigger = p.mapped.take(n)
	}
	beside := bigger != nil
	if !beside {
		bigger = make([]byte, 0, n)
	}
	bigger = append(bigger, b...)
	if is {
		p.mapped.give(b)
	}
	return bigger, beside
}

// unmap gives back what x has beside the heap.
func (x *pull) unmap() {
	if x.rawMapped {
		x.all.mapped.give(x.raw)
		x.raw, x.rawMapped = nil, false
	}
	if x.decodedMapped {
		x.all.mapped.give(x.decoded)
		x.decoded, x.decodedMapped = nil, false
	}
}

// maxParser is what a parser may hold between bodies, those aside that are kept as large: samples of short names take many times what the body does.
const maxParser = 1 << 20

// free is what a pull may hold without being charged: most do with it, and need no shared number for it.
const free = 64 << 10

// charge takes what the pull holds from the budget.
func (x *pull) charge() error {
	held := int64(cap(x.raw) + cap(x.decoded) + x.parserSize())
	more := held - x.charged
	if held <= free || more <= 0 {
		return nil
	}
	if x.all.used.Add(more) > x.all.budget {
		x.all.used.Add(-more)
		return fail(collector.Skipped, "the collector holds bodies of %d bytes at once already, as many as it may", x.all.budget)
	}
	x.charged = held
	return nil
}

func (x *pull) uncharge() {
	x.all.used.Add(-x.charged)
	x.all.unproven.Add(-x.unproven)
	x.charged, x.unproven, x.trusted = 0, 0, free
}

// errUnproven says that a body would take more memory than those together may take that no good body came before to vouch for.
var errUnproven = errors.New("no room for bodies of this size from those who never had a good one")

// unprovenBytes and unprovenEach are what those may take together: so much, and so much for each target of the pool. One alone may have what its limit allows.
const (
	unprovenBytes = 2 << 20
	unprovenEach  = 4 << 10
)

// grown has x make its buffer, which is one of the two, as large as n, if it may.
func (x *pull) grown(buffer *[]byte, mapped *bool, n int) error {
	if n > x.trusted {
		more := int64(n) - int64(cap(*buffer))
		if now := x.all.unproven.Add(more); now > x.all.mayUnproven.Load() && now > x.unproven+more {
			x.all.unproven.Add(-more)
			return errUnproven
		}
		x.unproven += more
	}
	*buffer, *mapped = x.all.enlarge(*buffer, *mapped, n, n > x.trusted)
	return x.charge()
}

// forget gives up what x holds, so that nobody keeps it: it is more than others need.
func (x *pull) forget() {
	x.uncharge()
	x.unmap()
	x.all.forgotten.Add(int64(cap(x.raw) + cap(x.decoded)))
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
	first  time.Time // when the answer began; zero: it did not

	framed framed

	unasked *unasked
}

// headerLimit is how long the header of an answer may be; one read takes header and body of most answers.
const headerLimit = 16 << 10

func newReader() any {
	r := &reader{unasked: newUnasked()}
	r.br = bufio.NewReaderSize(&r.wire, headerLimit)
	return r
}

func (r *reader) reset(conn net.Conn) {
	r.wire = wire{conn: conn}
	r.br.Reset(&r.wire)
}

// errStale says that a connection which was kept had been closed by the other side: nothing was answered, and asking again on a new one is right.
var errStale = errors.New("the connection kept from before is closed")

// What an answer announces as its length where it announces none.
const (
	inChunks = -1
	toTheEnd = -2 // of the connection
)

// answer is the header of what came; its byte slices are valid until the reader is used again.
type answer struct {
	status      int
	length      int // of the body as announced, or inChunks, or toTheEnd
	contentType []byte
	encoding    []byte
	location    []byte
	date        []byte
	close       bool // the connection cannot be used again
}

// ask writes the request and reads the header of the answer. That of a status other than 200 has its body read too, or the connection given up.
func (r *reader) ask(conn net.Conn, request []byte, kept bool, at *stage) (answer, error) {
	*at = asking
	r.first = time.Time{}
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
		b, _ := r.br.Peek(len(statusLine))
		if len(b) > 0 && r.first.IsZero() {
			r.first = time.Now()
		}
		if len(b) > 0 && !isHTTP(b) {
			return answer{}, notHTTP(r.br)
		}
		if err := h.Read(r.br); err != nil {
			return answer{}, r.headerError(err, kept)
		}
		if s := h.StatusCode(); s >= 200 || s == fasthttp.StatusSwitchingProtocols || informational >= 5 {
			break
		}
	}
	a := answer{status: h.StatusCode(), length: h.ContentLength(), contentType: h.ContentType(), encoding: h.ContentEncoding(), date: h.Peek(fasthttp.HeaderDate), close: h.ConnectionClose()}
	*at = inBody
	if a.status == fasthttp.StatusOK {
		return a, nil
	}
	if a.status >= 300 && a.status < 400 {
		a.location = h.Peek("Location")
	}
	// The body of an error page is read only to keep the connection, if it is small.
	if a.close = a.close || a.length < 0 || a.length > headerLimit; !a.close {
		_, err := r.br.Discard(a.length)
		a.close = err != nil || r.br.Buffered() > 0
	}
	return a, nil
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
