package kafka

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Small batches that wait for one way become one, with all of their records in their order; larger ones stay as they are.
func TestJoin(t *testing.T) {
	for _, tc := range []struct {
		name   string
		bytes  []int // of each batch's record
		joined int   // batches in what is sent first
	}{
		{"one alone", []int{100}, 1},
		{"small ones", []int{100, 200, 300}, 3},
		{"until it is full", []int{200 << 10, 200 << 10, 200 << 10, 200 << 10, 200 << 10}, 4},
		{"a large one first", []int{300 << 10, 100, 100}, 1},
		{"a large one behind", []int{100, 100, 300 << 10, 100}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, p, unzip := newTestBacklog(t, 1, nil)
			z, err := newZip()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(z.close)
			now := time.Now()
			for i, n := range tc.bytes {
				l.putTest(fmt.Sprint("service-", i%2), now.UnixMilli(), `{"i":`+fmt.Sprint(i)+`,"x":"`+strings.Repeat("x", n)+`"}`)
				l.sealAll(p)
			}
			n := l.snapshots.queues[0].lanes[sink.Live]
			var sent []uint64
			for first := true; ; first = false {
				b, _ := l.take(n, now)
				if b == nil {
					break
				}
				one := l.join(n, b, z)
				if first && one.n != tc.joined {
					t.Errorf("%d batches joined, want %d", one.n, tc.joined)
				}
				keys := map[string]uint64{}
				if err := unpack(one.wire, unzip, func(r record) {
					id, _, err := wire.CutHead(r.value)
					if err != nil || keys[string(r.key)] >= id.Sequence {
						t.Errorf("%s: %v behind %d: %v", r.key, id, keys[string(r.key)], err)
					}
					keys[string(r.key)] = id.Sequence
					sent = append(sent, id.Sequence)
				}); err != nil {
					t.Fatal(err)
				}
				l.acknowledged(one, sink.Live)
			}
			if r := l.ledger.Report(now); len(sent) != len(tc.bytes) || r.Total.Acknowledged != uint64(len(tc.bytes)) || !r.Total.Balanced() {
				t.Errorf("sent %v, ledger %+v", sent, r.Total)
			}
		})
	}
}
