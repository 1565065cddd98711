package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ID names one record for good: collector/start/partition/sequence[/part]. The sequence is gap-free over both lanes of a partition, so a reader
// of a partition sees what came twice and what is missing.
type ID struct {
	Collector uint64 // 16 hex digits on the wire, made once in the collector's storage path
	Start     uint64 // grows from start to start of that collector, never 0
	Partition int32
	Sequence  uint64 // from 1
	Part      int    // 0: the snapshot is whole; 1, 2, …: it was too large and this is that part of it
}

const hexDigits = "0123456789abcdef"

// appendHex64 appends 16 hex digits.
func appendHex64(dst []byte, v uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

// Append appends the ID as it stands on the wire.
func (id ID) Append(dst []byte) []byte {
	dst = appendHex64(dst, id.Collector)
	dst = append(dst, '/')
	dst = strconv.AppendUint(dst, id.Start, 10)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, int64(id.Partition), 10)
	dst = append(dst, '/')
	dst = strconv.AppendUint(dst, id.Sequence, 10)
	if id.Part > 0 {
		dst = append(dst, '/')
		dst = strconv.AppendInt(dst, int64(id.Part), 10)
	}
	return dst
}

// String is the ID as it stands on the wire.
func (id ID) String() string { return string(id.Append(make([]byte, 0, 48))) }

// Whole is the ID without its part: equal for all parts of one snapshot.
func (id ID) Whole() ID {
	id.Part = 0
	return id
}

var errID = errors.New("want collector/start/partition/sequence[/part]")

// ParseID is the inverse of Append. It takes only what Append writes, so that two texts of one ID are never told apart.
func ParseID(s string) (ID, error) {
	fail := func() (ID, error) { return ID{}, fmt.Errorf("parse id %q: %w", s[:min(len(s), 80)], errID) }
	c, rest, ok := strings.Cut(s, "/")
	if !ok || len(c) != 16 {
		return fail()
	}
	var id ID
	for i := range len(c) {
		n := strings.IndexByte(hexDigits, c[i])
		if n < 0 {
			return fail()
		}
		id.Collector = id.Collector<<4 | uint64(n)
	}
	var n [4]uint64
	fields := 0
	for more := true; more; fields++ {
		var f string
		f, rest, more = strings.Cut(rest, "/")
		if fields == len(n) {
			return fail()
		}
		v, ok := decimal(f)
		if !ok {
			return fail()
		}
		n[fields] = v
	}
	if fields < 3 || n[1] > 1<<31-1 || n[3] > 1<<31-1 || fields == 4 && n[3] == 0 {
		return fail()
	}
	id.Start, id.Partition, id.Sequence, id.Part = n[0], int32(n[1]), n[2], int(n[3])
	return id, nil
}

// decimal parses digits without sign or leading zeros.
func decimal(s string) (uint64, bool) {
	if s == "" || len(s) > 1 && s[0] == '0' || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	v, err := strconv.ParseUint(s, 10, 64)
	return v, err == nil
}

// FormatCollector writes a collector's 64 bits as they stand in an ID.
func FormatCollector(c uint64) string { return string(appendHex64(nil, c)) }
