package stats

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Names of all lengths, alike but for one byte, are told apart by their hashes as chance would have it; and no seed gives the same as another.
func TestSeenHash(t *testing.T) {
	for range 4 {
		seed := [2]uint64{rand.Uint64(), rand.Uint64()}
		found, n := map[uint32]string{}, 0
		one := func(name string) {
			h := uint32(hash(seed, name) >> 32)
			if other, ok := found[h]; ok && other != name {
				n++
			}
			found[h] = name
		}
		for length := range 40 {
			b := make([]byte, length)
			one(string(b))
			for at := range length {
				for c := 1; c < 256; c += 3 {
					b[at] = byte(c)
					one(string(b))
				}
				b[at] = 0
			}
		}
		for i := range 20_000 {
			one(fmt.Sprint("http/requests/status_", i))
		}
		// 83,000 names in 2^32: one pair is to be expected.
		if n > 8 {
			t.Errorf("%d pairs of %d names have one hash", n, len(found))
		}
	}
	if a, b := rand.Uint64(), rand.Uint64(); hash([2]uint64{a, b}, "x") == hash([2]uint64{a, ^b}, "x") || hash([2]uint64{a, b}, "x") == hash([2]uint64{^a, b}, "x") {
		t.Error("the seed does not matter")
	}
}

// BenchmarkSeen enters 200 names that are not in order.
func BenchmarkSeen(b *testing.B) {
	var names []string
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(200) {
		names = append(names, fmt.Sprintf("http/route_%03d/status_200", i))
	}
	var d seen
	b.ReportAllocs()
	for b.Loop() {
		d.reset()
		for i, n := range names {
			d.add(flat, n, i)
		}
	}
}
