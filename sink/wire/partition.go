package wire

// Partition is the partition of a key among n, as Kafka's Java client chooses it: murmur2 of the bytes, the sign bit cleared, modulo n. It
// lets our records be joined with those of other producers partition by partition. n < 1 counts as 1.
func Partition(key string, n int) int32 {
	if n <= 1 {
		return 0
	}
	return int32(int(murmur2(key)&0x7fffffff) % n)
}

// murmur2 is org.apache.kafka.common.utils.Utils.murmur2.
func murmur2(s string) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(s))
	for ; len(s) >= 4; s = s[4:] {
		k := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(s) {
	case 3:
		h ^= uint32(s[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(s[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(s[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
