package scrape

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/rollcall-metrics/rollcall/collector"
)

// narrow is a frame whose window is 128 KiB, and that says its size only if asked to.
func narrow(s string, says bool) string {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(128<<10))
	if err != nil {
		panic(err)
	}
	if says {
		return string(w.EncodeAll([]byte(s), nil))
	}
	var b bytes.Buffer
	w.Reset(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Flush()
	_ = w.Close()
	return b.String()
}

// inLength, inPieces and untilClosed are the ways in which a body is framed.
func inLength(s, header string) string { return sized(s, header) }

func inPieces(s, header string) string {
	b := strings.Builder{}
	for b.WriteString(head + header + "Transfer-Encoding: chunked\r\n\r\n"); len(s) > 0; {
		n := min(len(s), 7000)
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, s[:n])
		s = s[n:]
	}
	return b.String() + "0\r\n\r\n"
}

func untilClosed(s, header string) string { return head + header + "\r\n" + s }

// A target whose body is too long is only weighed from then on, until one is within the limit, to the byte: the next is read again. Whoever grows again is found out
// again. What is weighed is not asked for in zstd, and is bounded whatever comes.
func TestWeighed(t *testing.T) {
	const limit = 300_000
	body := func(n int) string { return `{"a":1}` + strings.Repeat(" ", n-7) }
	sizes := []int{limit + 1, limit + 1, 10 * limit, limit, limit, limit + 1, 9, 9, 9}
	const (
		read     = "o" // it is good
		over     = "x" // it is too long
		within   = "w" // it was weighed, and is within the limit
		unknown  = "?" // it was not even weighed
		weighing = "xxxwoxwoo"
	)
	raw := func(s string) string { return s }
	for _, tc := range []struct {
		name     string
		encoding string
		zip      func(string) string
		frame    func(s, header string) string
		want     string
	}{
		{"length", "", raw, inLength, "xxxooxooo"}, // known before a byte of it is read
		{"chunks", "", raw, inPieces, weighing},
		{"to the end", "", raw, untilClosed, weighing},
		{"identity", "identity", raw, inPieces, weighing},
		{"gzip", "gzip", zipped, inLength, weighing},
		{"gzip in chunks", "gzip", zipped, inPieces, weighing},
		{"gzip to the end", "gzip", zipped, untilClosed, weighing},
		{"gzip in two", "gzip", func(s string) string { return zipped(s[:5]) + zipped(s[5:]) }, inLength, weighing},
		{"zstd, unasked", "zstd", func(s string) string { return narrow(s, false) }, inLength, weighing},
		{"zstd, unasked, in chunks", "zstd", func(s string) string { return narrow(s, false) }, inPieces, weighing},
		{"zstd, unasked, of a size", "zstd", func(s string) string { return narrow(s, true) }, inLength, weighing},
		{"zstd, unasked, in two", "zstd", func(s string) string { return narrow(s[:5], true) + narrow(s[5:], true) }, untilClosed, weighing},
		{"zstd, unasked, of a wide window", "zstd", zstandard, inLength, "x?????woo"},
		{"zstd where it is asked for", "", zstandard, inLength, weighing},
	} {
		for _, byHTTP := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, net/http %t", tc.name, byHTTP), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet()
					asked, accepted := 0, ""
					f.serve["10.0.0.1:80"] = func(c net.Conn) {
						r, err := http.ReadRequest(bufio.NewReader(c))
						if err != nil {
							return
						}
						s, encoding, zip := body(sizes[min(asked, len(sizes)-1)]), tc.encoding, tc.zip
						asked++
						if accepts := r.Header.Get("Accept-Encoding"); strings.Contains(accepts, "zstd") {
							accepted += "z"
							if tc.name == "zstd where it is asked for" {
								encoding = "zstd"
							}
						} else if accepted += "g"; tc.name == "zstd where it is asked for" {
							encoding, zip = "gzip", zipped
						}
						header := "Connection: close\r\nContent-Type: application/json\r\n"
						if encoding != "" {
							header += "Content-Encoding: " + encoding + "\r\n"
						}
						_, _ = io.WriteString(c, tc.frame(zip(s), header))
					}
					p, got, stop := f.running(t, Config{})
					set(t, p, targets(&Job{Name: "apps", NoServerInfo: true, BodyLimit: limit, FollowRedirects: byHTTP}, "10.0.0.1:80"))
					time.Sleep(time.Duration(len(sizes))*defaultInterval - time.Second)
					synctest.Wait()
					seen, asks := "", ""
					for _, s := range got.take() {
						switch {
						case s.Outcome == collector.OK && len(s.Samples) == 1:
							seen += read
						case s.Outcome != collector.BodyLimit:
							t.Errorf("%s %s", s.Outcome, s.Reason)
						case strings.HasSuffix(s.Reason, "within the limit of 300000 again: the body is read from the next scrape on"):
							seen += within
						case strings.Contains(s.Reason, "since then it is sent in zstd, which is not asked for"):
							seen += unknown
						case strings.Contains(s.Reason, "longer than 300000"):
							seen += over
						default:
							t.Errorf("a reason nobody knows: %s", s.Reason)
						}
					}
					if want := tc.want; !strings.HasPrefix(seen, want) && !strings.HasPrefix(want, seen) || len(seen) < 8 {
						t.Errorf("seen as %s, want %s", seen, want)
					}
					for i := range min(len(seen), len(accepted)) { // zstd is asked for whenever the one before was not too long
						if i > 0 && tc.name != "length" && strings.ContainsAny(seen[i-1:i], over+unknown) {
							asks += "g"
						} else {
							asks += "z"
						}
					}
					if !strings.HasPrefix(accepted, asks) {
						t.Errorf("asked for %s, want %s", accepted, asks)
					}
					if held := p.pulls.used.Load(); held != 0 {
						t.Errorf("%d bytes are held", held)
					}
					stop()
				})
			})
		}
	}
}

// A higher limit reads at once what broke the former one.
func TestWeighedUntilReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.raw("10.0.0.1:80", func(c net.Conn) { _, _ = io.WriteString(c, untilClosed(`{"a":1}`+strings.Repeat(" ", 9000), "")) })
		p, got, stop := f.running(t, Config{})
		for _, tc := range []struct {
			limit int64
			want  collector.Outcome
		}{{5000, collector.BodyLimit}, {8000, collector.BodyLimit}, {9007, collector.OK}, {9006, collector.BodyLimit}} {
			set(t, p, targets(&Job{Name: "apps", NoServerInfo: true, BodyLimit: tc.limit}, "10.0.0.1:80"))
			time.Sleep(2 * defaultInterval)
			synctest.Wait()
			all := got.take()
			if len(all) == 0 {
				t.Fatal("not pulled")
			}
			for _, s := range all {
				if s.Outcome != tc.want {
					t.Errorf("limit %d: %s %s", tc.limit, s.Outcome, s.Reason)
				}
			}
		}
		stop()
	})
}

// To weigh a body takes little memory, however long it is, and ends at the limit; what breaks on the way says so.
func TestWeigh(t *testing.T) {
	const limit = 16 << 20
	zeros := strings.Repeat("0", 4*limit)
	broken := fail(collector.Timeout, "on the way")
	for _, tc := range []struct {
		name, encoding, raw string
		from                io.Reader // after raw
		most                uint64    // bytes that it may allocate
		want                string
	}{
		{"bytes", "", zeros, nil, 64 << 10, "longer than 16777216 bytes"},
		{"gzip", "gzip", zipped(zeros), nil, 256 << 10, "longer than 16777216 bytes when unzipped"},
		{"gzip, of members", "gzip", strings.Repeat(zipped(zeros[:1<<20]), 17), nil, 256 << 10, "longer than 16777216 bytes when unzipped"},
		{"zstd", "zstd", narrow(zeros, false), nil, 4 << 20, "longer than 16777216 bytes when unzipped"},
		{"zstd that says its size", "zstd", narrow(zeros, true), nil, 256 << 10, "longer than 16777216 bytes when unzipped"},
		{"zstd that says 2^40", "zstd", gigabytes, nil, 256 << 10, "longer than 16777216 bytes when unzipped"},
		{"zstd of frames", "zstd", strings.Repeat(narrow(zeros[:1<<20], true), 17), nil, 4 << 20, "longer than 16777216 bytes when unzipped"},
		{"zstd of a wide window", "zstd", wideFrame, nil, 1 << 20, "not weighed"},
		{"zstd of 8 MiB", "zstd", zstandard(zeros), nil, 1 << 20, "not weighed"},
		{"no gzip", "gzip", "hello, world", nil, 256 << 10, "unzip the body"},
		{"no zstd", "zstd", "hello, world", nil, 1 << 20, "unzip the body"},
		{"half of gzip", "gzip", zipped(zeros)[:500], nil, 256 << 10, "unzip the body: unexpected EOF"},
		{"half of zstd", "zstd", narrow(zeros[:limit], false)[:200], nil, 4 << 20, "unzip the body: unexpected EOF"},
		{"another", "br", "hello", nil, 64 << 10, `encoded as "br"`},
		{"bytes that break off", "", "hello", iotest.ErrReader(broken), 64 << 10, "on the way"},
		{"gzip that breaks off", "gzip", zipped(zeros)[:500], iotest.ErrReader(broken), 256 << 10, "on the way"},
		{"zstd that breaks off", "zstd", narrow(zeros, false)[:500], iotest.ErrReader(broken), 4 << 20, "on the way"},
		{"a connection that breaks off", "gzip", zipped(zeros)[:500], iotest.ErrReader(io.ErrUnexpectedEOF), 256 << 10, "the connection broke after"},
	} {
		in := incoming{from: strings.NewReader(tc.raw), encoding: []byte(tc.encoding), length: -1, limit: limit}
		if tc.from != nil {
			in.from = io.MultiReader(in.from, tc.from)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := in.weigh()
		runtime.ReadMemStats(&after)
		if !strings.Contains(fmt.Sprint(err), tc.want) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > tc.most {
			t.Errorf("%s: took %d bytes", tc.name, took)
		}
	}
}
