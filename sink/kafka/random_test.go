package kafka

import (
	"fmt"
	"math/rand/v2"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
)

// random is a snapshot of about so many bytes that do not compress.
func random(service string, n, size int) *collector.Snapshot {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	s := sinktest.Snapshot(service, n)
	for i := 0; size > 0; i++ {
		v := fmt.Sprintf("%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64())
		s.Samples = append(s.Samples, collector.Sample{Name: v[:32], Kind: collector.Label, Value: v})
		size -= len(v) / 2
	}
	return s
}
