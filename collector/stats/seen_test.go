package stats

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

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
