package stats

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Each format that has time stamps, with one that is near and one that is far; a time of 0 in protobuf is none.
func TestStale(t *testing.T) {
	now := time.UnixMilli(1764000000000)
	gauge := func(label byte, ms int64) []byte { // {l="<label>"} 1
		m := append([]byte{0x0a, 6, 0x0a, 1, 'l', 0x12, 1, label}, "\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"...)
		m = binary.AppendUvarint(append(m, 0x30), uint64(ms))
		return append([]byte{0x22, byte(len(m))}, m...)
	}
	native := func(ms int64) []byte { // one bucket
		h := []byte{0x08, 1, 0x28, 3, 0x62, 2, 0x10, 1, 0x6a, 1, 2}
		m := binary.AppendUvarint(append(append([]byte{0x3a, byte(len(h))}, h...), 0x30), uint64(ms))
		return append([]byte{0x22, byte(len(m))}, m...)
	}
	family := func(kind byte, metrics ...[]byte) string {
		f := []byte{0x0a, 1, 'a', 0x18, kind}
		for _, m := range metrics {
			f = append(f, m...)
		}
		return string(append(binary.AppendUvarint(nil, uint64(len(f))), f...))
	}
	at := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
	for _, tc := range []struct {
		body, contentType string
		now               time.Time
		samples, stale    int
	}{
		{fmt.Sprintf("a 1 %d\nb 1 %d\nc 1\nd 1 0\n", at(-5*time.Minute), at(-5*time.Minute-time.Millisecond)), "", now, 2, 2},
		{fmt.Sprintf("a 1 %d\nb 1 %d\nc 1\nd 1 0\n", at(-time.Hour), at(time.Hour)), "", time.Time{}, 4, 0},
		{fmt.Sprintf("a 1 %d\na 2 %d\n", at(0), at(-time.Hour)), "", now, 0, 1}, // the last one speaks, and not of now
		{"a 1 1764000299.999\nb 1 1764000300.002\nc 1 1.7641e9\nd 1\n# EOF\n", "application/openmetrics-text", now, 2, 2},
		{"a 1 -1e300\nb 1 1e300\n# EOF\n", "application/openmetrics-text", now, 0, 2},
		{family(1, gauge('x', at(0)), gauge('y', at(6*time.Minute)), gauge('z', 0)), acceptProtobuf, now, 2, 1},
		{family(1, gauge('x', at(0)), gauge('y', at(6*time.Minute)), gauge('z', 0)), acceptProtobuf, time.Time{}, 3, 0},
		{family(4, native(at(0))), acceptProtobuf, now, 1, 0},
		{family(4, native(at(-time.Hour))), acceptProtobuf, now, 0, 1},
	} {
		var p Parser
		var s collector.Snapshot
		if err := p.Parse(&s, []byte(tc.body), tc.contentType, Options{Now: tc.now}); err != nil || len(s.Samples) != tc.samples || s.Stale != tc.stale {
			t.Errorf("%q: %v, %d samples and %d stale, want %d and %d", tc.body, err, len(s.Samples), s.Stale, tc.samples, tc.stale)
		}
	}
}
