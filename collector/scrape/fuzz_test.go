package scrape

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// spoken is a connection on which the other side says what it has to say, in pieces, and closes.
type spoken struct {
	net.Conn
	said  []byte
	piece int
}

func (s *spoken) Write(b []byte) (int, error) { return len(b), nil }

func (s *spoken) Read(b []byte) (int, error) {
	if len(s.said) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), s.piece)], s.said)
	s.said = s.said[n:]
	return n, nil
}

func (s *spoken) SetDeadline(time.Time) error { return nil }

// FuzzAnswer reads any bytes as an answer; where net/http takes them too, it must be the same answer.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}", "HTTP/1.1 200 OK\r\n\r\nto the end", "HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 2\n\n{}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA \r\n0123456789\r\n0\r\nT: r\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nshort", "nonsense\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", "",
	} {
		f.Add([]byte(s), uint8(3))
		f.Add([]byte(s), uint8(255))
	}
	const limit = 4096
	f.Fuzz(func(t *testing.T, said []byte, piece uint8) {
		r := newReader().(*reader)
		x := (&pulls{budget: 1 << 20}).get(0)
		var at stage
		a, err := r.ask(&spoken{said: said, piece: int(piece) + 1}, []byte("GET"), false, &at)
		if err == nil && a.status == 200 {
			if x.raw = x.raw[:0]; a.length > limit {
				return
			}
			err = x.rest(r.body(&a, limit), max(a.length, 0), limit)
		}
		if len(x.raw) > limit+1+4096 || cap(x.raw) > 4*(limit+4096) {
			t.Fatalf("%d bytes held for a limit of %d", cap(x.raw), limit)
		}
		if err != nil {
			if o, reason := classify(err, at); o == collector.OK || reason == "" || len(reason) > maxReason+4 {
				t.Fatalf("%v is %s %q", err, o, reason)
			}
			return
		}
		br := bufio.NewReader(bytes.NewReader(said))
		var want *http.Response
		for range 6 {
			if want, err = http.ReadResponse(br, &http.Request{Method: "GET"}); err != nil || want.StatusCode >= 200 {
				break
			}
		}
		if err != nil || a.status != 200 {
			return
		}
		body, err := io.ReadAll(want.Body)
		if err != nil {
			return
		}
		if want.StatusCode != a.status || !bytes.Equal(body, x.raw) {
			t.Fatalf("%d %q, net/http reads %d %q", a.status, x.raw, want.StatusCode, body)
		}
	})
}

// FuzzDecode unzips anything within its limit, whatever it is said to be.
func FuzzDecode(f *testing.F) {
	for _, zip := range []func(string) string{zipped, zstandard} {
		f.Add([]byte(zip(someStats)))
		f.Add([]byte(zip(strings.Repeat("0", 100_000))))
		f.Add([]byte(zip(strings.Repeat("0", 9_999))))
		f.Add([]byte(zip("a") + zip("b")))
	}
	all := &pulls{budget: 1 << 20, zstd: sync.OnceValues(newZstd)}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, encoding := range []string{"gzip", "zstd"} {
			x := all.get(0)
			was := x.raw
			x.raw = slices.Clip(raw)
			b, err := x.decode([]byte(encoding), 10_000)
			if len(b) > 10_000 || err == nil && b == nil && len(x.decoded) > 0 || cap(x.decoded) > 10_000+2*zstdBlock {
				t.Fatal(fmt.Sprint(encoding, len(b), cap(x.decoded), err))
			}
			if err != nil {
				if o, reason := classify(err, inBody); o != collector.Parse && o != collector.BodyLimit || reason == "" {
					t.Fatal(o, reason)
				}
			}
			x.raw = was
			x.release()
		}
	})
}
