package scrape

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/klauspost/compress/zstd"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Many whose first bodies are large come at once: together they take no more than their share, whoever found no room was counted only and is read soon after, and whoever breaks off
// every time takes no memory from the second time on.
func TestUnproven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each, drip = 3 << 20, 5
		f := newFleet()
		hosts := addrs(12)
		body := someStats + strings.Repeat(" ", each-len(someStats))
		for i, a := range hosts {
			f.handler(a, func(w http.ResponseWriter, r *http.Request) {
				for at := 0; at < each; at += each / 4 { // slowly, so that all are at it together
					io.WriteString(w, body[at:at+each/4])
					w.(http.Flusher).Flush()
					if time.Sleep(300 * time.Millisecond); i < drip && at == each/2 {
						<-r.Context().Done()
						return
					}
				}
			})
		}
		p, got, stop := f.running(t, Config{})
		set(t, p, nil)
		synctest.Wait()
		set(t, p, targets(&Job{Name: "apps", NoServerInfo: true, Interval: 10 * time.Second, Timeout: 3 * time.Second}, hosts...))
		most := int64(0)
		watch := func(d time.Duration) {
			for range d / (100 * time.Millisecond) {
				time.Sleep(100 * time.Millisecond)
				most = max(most, p.pulls.unproven.Load())
			}
		}
		watch(8 * time.Second)
		if may := int64(each + each/2); most > may || most < 1<<20 {
			t.Errorf("%d bytes were held by those who never had a good body, of whom one alone takes up to %d", most, may)
		}
		watch(60 * time.Second)
		got.take()
		used := int64(0)
		for range 200 {
			time.Sleep(100 * time.Millisecond)
			used = max(used, p.pulls.unproven.Load())
		}
		synctest.Wait()
		good := map[string]int{}
		for _, s := range got.take() {
			if s.Outcome == collector.OK {
				good[s.Instance.Host]++
			}
		}
		if len(good) != len(hosts)-drip || used != 0 {
			t.Errorf("%d of %d are read, and %d bytes are still taken by the others", len(good), len(hosts)-drip, used)
		}
		stop()
		if n, m := p.pulls.unproven.Load(), p.pulls.used.Load(); n != 0 || m != 0 {
			t.Errorf("%d and %d bytes are still charged", n, m)
		}
	})
}

// A body that broke off when it was large is only counted the next time, and read again when it was whole once.
func TestBrokenOffIsWeighed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		n := 0
		f.raw("10.0.0.1:80", func(c net.Conn) {
			if n++; n <= 2 {
				fmt.Fprintf(c, head+"Content-Length: 300000\r\n\r\n%s", strings.Repeat(" ", 200_000))
				return
			}
			io.WriteString(c, inPieces(someStats+strings.Repeat(" ", 200_000), "Connection: close\r\n"))
		})
		p, got, stop := f.running(t, Config{})
		set(t, p, targets(&Job{Name: "apps", NoServerInfo: true}, "10.0.0.1:80"))
		time.Sleep(6*defaultInterval - time.Second)
		synctest.Wait()
		var said []string
		for _, s := range got.take() {
			said = append(said, s.Outcome.String()+": "+s.Reason)
		}
		for i, want := range []string{"refused: ", "refused: ", "skipped: the connection was closed after 200000 of 300000 bytes of the body; since then bodies are counted only, and this one of 200", "ok: ", "ok: "} {
			if i >= len(said) || !strings.HasPrefix(said[i], want) {
				t.Errorf("%d: %q, want %q", i, said, want)
			}
		}
		stop()
	})
}

// Memory beside the heap is used again, and empty then; who looks at what was given back finds zeros, and does not end the process.
func TestMapped(t *testing.T) {
	var m mapped
	b := m.take(700_000)
	if b == nil {
		return // the system has none
	}
	b = append(b, "hello"...)
	late := unsafe.String(unsafe.SliceData(b), 5)
	if cap(b) != 700_000 {
		t.Errorf("%d bytes of room", cap(b))
	}
	m.give(b)
	if late != "\x00\x00\x00\x00\x00" {
		t.Errorf("what was given back says %q", late)
	}
	if again := m.take(600_000); unsafe.SliceData(again) != unsafe.SliceData(b) || again[:1][0] != 0 {
		t.Error("it is not used again, or not empty")
	}
}

// What was needed at once and is not any more goes back whole, but for a few of each size.
func TestMappedGivesBack(t *testing.T) {
	size := func() (pages int) {
		b, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			return 0
		}
		fmt.Sscan(string(b), &pages)
		return pages * os.Getpagesize()
	}
	var m mapped
	if b := m.take(1 << 20); b == nil || size() == 0 {
		return // the system has none, or does not tell
	}
	const n, each = 256, 8 << 20
	was := size()
	var all [][]byte
	for range n {
		all = append(all, m.take(each))
	}
	if more := size() - was; more < n*each {
		t.Fatalf("%d MiB for %d", more>>20, n*each>>20)
	}
	for _, b := range all {
		m.give(b)
	}
	if more := size() - was; more > 2*maxSpareBytes {
		t.Errorf("%d MiB of addresses are kept, %d at most", more>>20, maxSpareBytes>>20)
	}
	if again := m.take(each); len(m.spare[classOfMapped(each)]) != maxSpareBytes/each-1 || append(again, 'x')[0] != 'x' {
		t.Errorf("%d are kept", len(m.spare[classOfMapped(each)]))
	}
}

// A large buffer that a small body comes into keeps its room, as it goes back whole.
func TestUnzstdKeepsRoom(t *testing.T) {
	all := &pulls{budget: 1 << 30, zstd: sync.OnceValues(newZstd)}
	x := all.get(0)
	for _, tc := range []struct {
		body string
		want int // room at least
	}{
		{strings.Repeat("0123456789", 300_000), 3_000_000},
		{"small", 3_000_000},
		{strings.Repeat("ab", 1_000_000), 3_000_000},
		{strings.Repeat("x", 5_000_000), 5_000_000},
	} {
		x.raw = append(x.raw[:0], zstandard(tc.body)...)
		x.trusted = 8 << 20
		got, err := x.decode([]byte("zstd"), 8<<20)
		if err != nil || string(got) != tc.body || cap(x.decoded) < tc.want {
			t.Errorf("%d bytes in a room of %d, and %v; want %d in %d at least", len(got), cap(x.decoded), err, len(tc.body), tc.want)
		}
	}
	x.release()
}

// FuzzZstdMost: no frame comes to more bytes than its blocks say, and a body that is too long is found out in no more room than its limit and a block.
func FuzzZstdMost(f *testing.F) {
	for _, s := range []string{zstandard("hello"), zstandard(strings.Repeat("0", 300_000)), narrow(strings.Repeat("ab", 200_000), false), gigabytes, wideFrame, "\x50\x2a\x4d\x18\x01\x00\x00\x00x" + zstandard("x") + zstandard("yy"), "\x50\x2a\x4d\x18\xf8\xff\xff\xff", ""} {
		f.Add([]byte(s))
	}
	const limit = 200_000
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		f.Fatal(err)
	}
	all := &pulls{budget: 1 << 30, zstd: sync.OnceValues(newZstd)}
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := d.DecodeAll(raw, nil)
		most, past := zstdMost(raw, limit)
		if past == 0 && len(out) > most+zstdBlock || err == nil && past == 0 && len(out) > most {
			t.Errorf("%d bytes, and the blocks say %d at most", len(out), most)
		}
		if past > len(raw) {
			t.Fatalf("a block at %d of %d bytes", past, len(raw))
		}
		x := all.get(0)
		x.raw = append(x.raw[:0], raw...)
		got, failed := x.decode([]byte("zstd"), limit)
		if failed == nil && (err != nil || string(got) != string(out)) || err == nil && failed != nil && len(out) <= limit && len(raw) > 0 {
			t.Errorf("%d bytes and %v, want %d and %v", len(got), failed, len(out), err)
		}
		if cap(x.decoded) > limit+zstdBlock+zstdSpare+4096 {
			t.Errorf("takes %d bytes", cap(x.decoded))
		}
		x.raw = x.raw[:0]
		x.release()
	})
}
