package wire

import "testing"

// The hashes are those of Kafka's own UtilsTest.testMurmur2.
func TestMurmur2(t *testing.T) {
	for _, tc := range []struct {
		s string
		h int32
	}{
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		{"abc", 479470107},
		{"", 275646681},
	} {
		if got := int32(murmur2(tc.s)); got != tc.h {
			t.Errorf("murmur2(%q) = %d, want %d", tc.s, got, tc.h)
		}
	}
}

func TestPartition(t *testing.T) {
	for _, tc := range []struct {
		key  string
		n    int
		want int32
	}{
		{"foobar", 1, 0}, {"foobar", 0, 0}, {"foobar", -3, 0},
		{"foobar", 1000, (-790332482 & 0x7fffffff) % 1000},
		{"21", 12, (-973932308 & 0x7fffffff) % 12},
		{"abc", 12, 479470107 % 12},
	} {
		if got := Partition(tc.key, tc.n); got != tc.want {
			t.Errorf("Partition(%q, %d) = %d, want %d", tc.key, tc.n, got, tc.want)
		}
	}
}
