package zkserve

import (
	"encoding/binary"
	"errors"
)

// errShort is a request that ends before its fields do, or whose lengths cannot be.
var errShort = errors.New("malformed request")

// decoder reads jute, ZooKeeper's big-endian encoding. After the first fault everything reads as zero and err stays set.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.b) {
		d.err, d.b = errShort, nil
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) int32() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) bool() bool {
	b := d.take(1)
	return b != nil && b[0] != 0
}

// buffer reads a byte string, a view into the frame; a null one is nil, an empty one is not.
func (d *decoder) buffer() []byte {
	n := d.int32()
	if n == -1 {
		return nil
	}
	return d.take(int(n))
}

// string reads a string; a null one is empty.
func (d *decoder) string() string { return string(d.buffer()) }

// path reads a string that must be there.
func (d *decoder) path() string {
	b := d.buffer()
	if b == nil {
		d.err, d.b = errShort, nil
	}
	return string(b)
}

// count reads the length of a vector whose elements take at least size bytes each, so that a false one allocates nothing.
func (d *decoder) count(size int) int {
	n := d.int32()
	if n == -1 {
		return 0
	}
	if n < 0 || int(n) > len(d.b)/size {
		d.err, d.b = errShort, nil
		return 0
	}
	return int(n)
}

func (d *decoder) strings() []string {
	n := d.count(4)
	out := make([]string, 0, n)
	for range n {
		out = append(out, d.string())
	}
	return out
}

func (d *decoder) acls() []acl {
	n := d.count(12)
	out := make([]acl, 0, n)
	for range n {
		out = append(out, acl{perms: d.int32(), identity: identity{scheme: d.string(), id: d.string()}})
	}
	return out
}

func appendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func appendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendString(b []byte, s string) []byte {
	return append(appendInt32(b, int32(len(s))), s...)
}

// appendBuffer keeps nil apart from empty, as ZooKeeper does.
func appendBuffer(b, data []byte) []byte {
	if data == nil {
		return appendInt32(b, -1)
	}
	return append(appendInt32(b, int32(len(data))), data...)
}

func appendACLs(b []byte, list []acl) []byte {
	b = appendInt32(b, int32(len(list)))
	for _, a := range list {
		b = appendInt32(b, a.perms)
		b = appendString(b, a.scheme)
		b = appendString(b, a.id)
	}
	return b
}
