package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// streamed is a frame that does not say how long it is, as a server writes one whose body comes in pieces.
func streamed(t *testing.T, s string, level zstd.EncoderLevel) string {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level))
	if err != nil {
		t.Fatal(err)
	}
	for len(s) > 0 {
		n := min(len(s), 1000+rand.IntN(50_000))
		if _, err := w.Write([]byte(s[:n])); err != nil {
			t.Fatal(err)
		}
		if rand.IntN(4) == 0 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		s = s[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A body comes out as it went in, up to its limit to the byte and in one frame or many, whether they say their size or not; one byte more is too much.
func TestUnzip(t *testing.T) {
	const limit = 400_000
	random := make([]byte, limit+1)
	for i := range random {
		random[i] = byte(rand.IntN(256))
	}
	all := &pulls{budget: 1 << 30, zstd: sync.OnceValues(newZstd)}
	for what, body := range map[string]string{"like": strings.Repeat("0", limit+1), "random": string(random), "lines": strings.Repeat("http/requests 123456\n", limit/20)[:limit+1]} {
		for _, n := range []int{1, 5000, 131_071, 131_072, 131_073, 300_000, limit - 1, limit, limit + 1} {
			s := body[:n]
			half := n / 2
			for zip, raw := range map[string]string{
				"gzip": zipped(s), "gzip in two": zipped(s[:half]) + zipped(s[half:]), "zstd": zstandard(s), "zstd in two": zstandard(s[:half]) + zstandard(s[half:]),
				"zstd streamed": streamed(t, s, zstd.SpeedFastest), "zstd streamed, better": streamed(t, s, zstd.SpeedBetterCompression),
			} {
				x := all.get(0)
				x.raw = append(x.raw, raw...)
				out, err := x.decode([]byte(zip[:4]), limit)
				if n <= limit && (err != nil || string(out) != s) || n > limit && !strings.Contains(fmt.Sprint(err), "longer than 400000 bytes when unzipped") {
					t.Errorf("%d bytes, %s, %s: %d bytes, %v", n, what, zip, len(out), err)
				}
				if cap(x.decoded) > limit+2*zstdBlock {
					t.Errorf("%d bytes, %s, %s: takes %d", n, what, zip, cap(x.decoded))
				}
				x.raw = x.raw[:0]
				x.release()
			}
		}
	}
	if all.used.Load() != 0 {
		t.Errorf("%d bytes are held", all.used.Load())
	}
	if x := all.get(0); !errors.As(func() error { x.raw = []byte("abcdef"); _, err := x.decode([]byte("zstd"), limit); return err }(), new(*failure)) {
		t.Error("what is no zstd has no reason")
	}
}

// A few large pulls are kept, and given back when nobody needs them for a while; small ones and the largest never are.
func TestLargeKept(t *testing.T) {
	all := &pulls{budget: 1 << 30}
	var out []*pull
	for _, n := range []int{100, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, maxKeptBytes + 1} {
		out = append(out, all.get(n))
	}
	for _, x := range out {
		x.release()
	}
	if len(all.large.kept) != maxKept {
		t.Errorf("%d are kept", len(all.large.kept))
	}
	if x, last := all.get(1<<20), out[4]; x != last {
		t.Error("the last one that was kept is not used first")
	} else {
		x.release()
	}
	for i, want := range []int{4, 1, 0} { // of those that were used since the last time
		all.large.trim()
		if i == 0 {
			all.get(1 << 20).release()
		}
		if len(all.large.kept) != want {
			t.Errorf("%d are kept after %d rounds, want %d", len(all.large.kept), i+1, want)
		}
	}
}
