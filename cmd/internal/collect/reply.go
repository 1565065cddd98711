package collect

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// reply writes a JSON answer piece by piece, so that one about 150,000 instances holds no more of itself in memory than one piece.
type reply struct {
	out  *bufio.Writer
	zip  *gzip.Writer // nil: the reader does not take it
	more bool         // a piece of the list that is open was written
}

// newReply begins an answer; the caller closes it. Every header must be set before.
func newReply(w http.ResponseWriter, r *http.Request) *reply {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Add("Vary", "Accept-Encoding")
	p := &reply{}
	var to io.Writer = w
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		p.zip, _ = gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is valid
		to = p.zip
	}
	p.out = bufio.NewWriterSize(to, 32<<10)
	return p
}

func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if c := strings.ToLower(strings.TrimSpace(coding)); c != "gzip" && c != "*" {
			continue
		}
		q := strings.TrimPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		return strings.Trim(q, "0.") != "" || params == ""
	}
	return false
}

// raw writes JSON as it is. What goes wrong with the connection is the reader's loss, and shows in done.
func (p *reply) raw(s string) { p.out.WriteString(s) }

// value writes one value.
func (p *reply) value(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("null")
	}
	p.out.Write(b)
}

// open begins a list, item adds to it, shut ends it.
func (p *reply) open() {
	p.out.WriteByte('[')
	p.more = false
}

func (p *reply) item(v any) {
	p.comma()
	p.value(v)
}

func (p *reply) comma() {
	if p.more {
		p.out.WriteString(",\n")
	}
	p.more = true
}

func (p *reply) shut() { p.out.WriteByte(']') }

// close sends what is left.
func (p *reply) close() {
	p.out.WriteByte('\n')
	p.out.Flush()
	if p.zip != nil {
		p.zip.Close()
	}
}
