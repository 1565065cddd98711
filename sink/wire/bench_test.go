package wire

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// usual is a snapshot of the size that an Ostrich application gives: 300 numbers, 20 distributions, 12 KB.
func usual() *collector.Snapshot {
	s := &collector.Snapshot{Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: "10.0.0.5", Port: 8001}, Source: "main", Zxid: 0x5a1, Shard: 3},
		Time: time.UnixMilli(1764000000123), Took: 1834 * time.Microsecond, Interval: 10 * time.Second,
		Tags: discovery.TagsOf(map[string]string{"cloud.availability_zone": "us-east-1c", "service.version": "1.42.0", "rollcall.track": "canary", "host.name": "ip-10-0-0-5", "team": "payments"})}
	for i := range 300 {
		s.Samples = append(s.Samples, collector.Sample{Name: fmt.Sprintf("http/requests/status_%d", i), Kind: collector.Kind(1 + i%2), Value: fmt.Sprint(i * 7919)})
	}
	for i := range 20 {
		d := collector.Sample{Name: fmt.Sprintf("latency_%d_ms", i), Kind: collector.Distribution, Window: collector.Latched}
		for _, f := range []string{"average", "count", "maximum", "minimum", "p50", "p90", "p99", "p999", "sum"} {
			d.Fields = append(d.Fields, collector.Field{Name: f, Value: fmt.Sprint(i * 31)})
		}
		s.Samples = append(s.Samples, d)
	}
	return s
}

// BenchmarkEncode: written name by name, as changed by rules; and copied from the body, as without any.
func BenchmarkEncode(b *testing.B) {
	for _, tc := range []struct {
		name string
		s    *collector.Snapshot
	}{{"written", usual()}, {"copied", ofBody()}} {
		b.Run(tc.name, func(b *testing.B) {
			buf := AppendSnapshot(nil, tc.s, ID{1, 1, 1, 1, 0}, Provenance{})
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = AppendSnapshot(buf[:0], tc.s, ID{1, 1, 1, 1, 0}, Provenance{Term: 5})
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	buf := AppendSnapshot(nil, usual(), ID{1, 1, 1, 1, 0}, Provenance{})
	var r Record
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Decode(buf, &r); err != nil {
			b.Fatal(err)
		}
	}
}
