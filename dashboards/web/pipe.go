package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const (
	// patience is how long a page may read nothing. It bounds each piece of a write, not the whole: a slow connection takes longer for an event than this and is none
	// the worse for it.
	patience = 15 * time.Second
	// mostPatience bounds an event all the same: who takes longer for one gets nothing that is of use, and holds its memory.
	mostPatience = 5 * time.Minute
	// pieceSize is how much of that is a piece: whoever reads 140 bytes a second is not cut.
	pieceSize = 2 << 10
	// keepBuffer is how much memory a stream keeps from one event to the next. A whole event of 2,000 services is of megabytes, what changes in a second a tenth of it.
	keepBuffer = 256 << 10
)

// pipe writes one stream's text to a page.
type pipe struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	zip   *gzip.Writer // into buf; nil: as it is
	buf   bytes.Buffer
	sent  *metrics.Counter // bytes, as they go over the connection
	begun time.Time
	err   error // why it takes no more
	stuck bool  // because nobody reads
}

func newPipe(w http.ResponseWriter, zip bool, sent *metrics.Counter) *pipe {
	p := &pipe{w: w, rc: http.NewResponseController(w), sent: sent, begun: time.Now()}
	if zip {
		p.zip = zips.Get().(*gzip.Writer)
		p.zip.Reset(&p.buf)
	}
	return p
}

// close gives back what is lent.
func (p *pipe) close() {
	if p.zip != nil {
		p.zip.Reset(io.Discard) // who has it next does not keep our memory
		zips.Put(p.zip)
		p.zip = nil
	}
}

// event ends the event that was put last and sends it: its id is how many milliseconds the stream had been open when all of it was made and began to go out. What comes
// later than that, the way has kept, not we.
func (p *pipe) event() bool {
	p.put(append(strconv.AppendInt([]byte("id: "), time.Since(p.begun).Milliseconds(), 10), "\n\n"...))
	return p.flush()
}

// say writes something short.
func (p *pipe) say(text string) bool {
	p.put([]byte(text))
	return p.flush()
}

// end ends the stream as an answer that is whole.
func (p *pipe) end() {
	if p.zip != nil && p.err == nil {
		p.err = p.zip.Close()
	}
	p.flush()
}

func (p *pipe) put(text []byte) {
	if p.zip == nil {
		p.buf.Write(text)
	} else if _, err := p.zip.Write(text); err != nil { // never: it writes into memory
		p.err = err
	}
}

// flush sends what was put, piece by piece; false: nobody is there, or nobody reads.
func (p *pipe) flush() bool {
	if p.zip != nil && p.err == nil {
		p.err = p.zip.Flush()
	}
	for last := time.Now().Add(mostPatience); p.err == nil && p.buf.Len() > 0; {
		piece, began := p.buf.Next(pieceSize), time.Now()
		until := began.Add(patience)
		if last.Before(until) {
			until = last
		}
		_ = p.rc.SetWriteDeadline(until) // a writer that knows no deadlines has none to miss
		if _, p.err = p.w.Write(piece); p.err == nil {
			p.err = p.rc.Flush()
		}
		if p.stuck = p.err != nil && !time.Now().Before(until); p.err == nil {
			p.sent.Add(len(piece))
		}
	}
	if p.buf.Cap() > keepBuffer {
		p.buf = bytes.Buffer{}
	}
	return p.err == nil
}
