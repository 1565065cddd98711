package zkserve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// What is kept is a sequence of records: magic | int32 length | CRC-32C of the payload | payload. The payload of a log's record is
// one change: its zxid, then operations that state how a znode is now, so that to apply one twice does no harm. A snapshot has one
// opPut a znode, all in records of their own, and an opEnd that counts them.
const (
	recordMagic = "zkr1"
	recordHead  = 12
	maxRecord   = 64 << 20
)

// The operations in a record.
const (
	keepPut    byte = 1 // path, znode
	keepDelete byte = 2 // path
	keepTouch  byte = 3 // path, cversion, pzxid: a child came or went
	keepEnd    byte = 4 // count of the records before, as the last of a snapshot
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is the operations of one change.
type batch struct{ b []byte }

func (b *batch) empty() bool { return len(b.b) == 0 }

func (b *batch) put(path string, n *node) {
	o := appendString(append(b.b, keepPut), path)
	o = appendBuffer(o, n.data)
	o = appendACLs(o, n.acl.list)
	for _, v := range []int64{n.czxid, n.mzxid, n.pzxid, n.ctime, n.mtime} {
		o = appendInt64(o, v)
	}
	for _, v := range []int32{n.version, n.cversion, n.aversion} {
		o = appendInt32(o, v)
	}
	b.b = appendBool(o, n.owner == containerOwner)
}

func (b *batch) delete(path string) { b.b = appendString(append(b.b, keepDelete), path) }

// touch notes a parent's counters: sequential names must not come twice, whether the children were ephemeral or not.
func (b *batch) touch(path string, n *node) {
	b.b = appendString(append(b.b, keepTouch), path)
	b.b = appendInt64(appendInt32(b.b, n.cversion), n.pzxid)
}

func (b *batch) end(count int64) { b.b = appendInt64(append(b.b, keepEnd), count) }

// appendRecord frames a batch.
func appendRecord(dst []byte, zxid int64, b *batch) []byte {
	start := len(dst)
	dst = append(dst, recordMagic...)
	dst = appendInt32(dst, int32(8+len(b.b)))
	dst = appendInt32(dst, 0)
	dst = appendInt64(dst, zxid)
	dst = append(dst, b.b...)
	binary.BigEndian.PutUint32(dst[start+8:], crc32.Checksum(dst[start+recordHead:], castagnoli))
	return dst
}

// errTorn is a last record that was not written whole: what a crash leaves, and no damage.
var errTorn = errors.New("last record is cut short")

// nextRecord takes the first record of b. A damaged one is skipped: the next begins at the next magic whose checksum is right.
// damage says what was skipped, nil when nothing was; payload is nil at the end.
func nextRecord(b []byte) (payload, rest []byte, damage error) {
	if len(b) == 0 {
		return nil, nil, nil
	}
	payload, rest, err := takeRecord(b)
	if err == nil {
		return payload, rest, nil
	}
	for from := 1; ; from++ {
		i := bytes.Index(b[from:], []byte(recordMagic))
		if i < 0 {
			return nil, nil, err
		}
		from += i
		if p, r, e := takeRecord(b[from:]); e == nil {
			return p, r, fmt.Errorf("%d bytes skipped: %w", from, err)
		}
	}
}

func takeRecord(b []byte) (payload, rest []byte, err error) {
	head := b[:min(len(b), len(recordMagic))]
	if string(head) != recordMagic[:len(head)] {
		return nil, nil, errors.New("no record begins here")
	}
	if len(b) < recordHead {
		return nil, nil, errTorn
	}
	n := int(binary.BigEndian.Uint32(b[4:]))
	switch {
	case n < 8 || n > maxRecord:
		return nil, nil, fmt.Errorf("length %d is impossible", n)
	case n > len(b)-recordHead:
		return nil, nil, errTorn
	}
	payload = b[recordHead : recordHead+n]
	if sum := crc32.Checksum(payload, castagnoli); sum != binary.BigEndian.Uint32(b[8:]) {
		return nil, nil, errors.New("checksum is wrong")
	}
	return payload, b[recordHead+n:], nil
}

// replay applies a record's operations to the tree. ended is the count of a keepEnd, else -1.
func (t *tree) replay(payload []byte) (zxid, ended int64, err error) {
	d := &decoder{b: payload}
	zxid, ended = d.int64(), -1
	for d.err == nil && len(d.b) > 0 {
		switch op := d.take(1)[0]; op {
		case keepPut:
			path, n := d.string(), d.node(t)
			if d.err == nil && path != "" && validPath(path) {
				t.restore(path, n)
			}
		case keepDelete:
			path := d.string()
			if n := t.get(path); d.err == nil && n != nil && len(n.children) == 0 && path != "" && !special(path) {
				t.remove(path, n)
			}
		case keepTouch:
			path, cversion, pzxid := d.string(), d.int32(), d.int64()
			if n := t.get(path); d.err == nil && n != nil {
				n.cversion, n.pzxid = max(n.cversion, cversion), max(n.pzxid, pzxid)
			}
		case keepEnd:
			ended = d.int64()
		default:
			return zxid, ended, fmt.Errorf("unknown operation %d", op)
		}
	}
	return zxid, ended, d.err
}

func (d *decoder) node(t *tree) *node {
	n := &node{data: bytes.Clone(d.buffer())}
	n.acl = t.acls.get(d.acls())
	for _, v := range []*int64{&n.czxid, &n.mzxid, &n.pzxid, &n.ctime, &n.mtime} {
		*v = d.int64()
	}
	for _, v := range []*int32{&n.version, &n.cversion, &n.aversion} {
		*v = d.int32()
	}
	if d.bool() {
		n.owner = containerOwner
	}
	return n
}

// restore puts a znode as it was. A parent that damage took away comes back empty, with the child's ACL: nobody may do there what
// he could not below.
func (t *tree) restore(path string, n *node) {
	if old := t.get(path); old != nil {
		t.bytes += int64(len(n.data) - len(old.data))
		n.children, n.listing = old.children, nil
		t.nodes[path] = n
		if n.owner == containerOwner {
			t.containers[path] = struct{}{}
		} else {
			delete(t.containers, path)
		}
		return
	}
	for i := 1; i < len(path); i++ {
		if path[i] == '/' && t.get(path[:i]) == nil {
			t.put(strings.Clone(path[:i]), &node{acl: n.acl, czxid: n.czxid, mzxid: n.czxid, pzxid: n.czxid, ctime: n.ctime, mtime: n.ctime})
		}
	}
	t.put(path, n)
}
