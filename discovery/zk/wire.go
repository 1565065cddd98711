package zk

import (
	"encoding/binary"
	"errors"

	"github.com/go-zookeeper/zk"
)

// Operations of requests that a link makes itself.
const (
	opExists   = 3
	opGetData  = 4
	opChildren = 12 // with the node's Stat
	opSetAuth  = 100
	opAddWatch = 106

	watchPersistentRecursive = 1
)

// Codes in answers. Those of the server are negative and above -1000.
const (
	codeLost      int32 = -4   // CONNECTIONLOSS: also our own word for it
	codeNoNode    int32 = -101 // NONODE
	codeNoAuth    int32 = -102 // NOAUTH
	codeThrottled int32 = -127 // THROTTLEDOP (ZooKeeper 3.7): the server sheds load
	codeTooBig    int32 = -1004
	codeLate      int32 = -1005 // ours: no answer in time
	codeGarbled   int32 = -1006 // ours: an answer that does not parse
)

// answer is what a server says to a request of a link's own. Body is valid during the call only.
type answer struct {
	code int32
	body []byte
}

// appendRead appends the frame of a request to read a node: getData, getChildren2 or exists, with a one-shot watch or without.
func appendRead(b []byte, xid, op int32, path string, watch bool) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(8+4+len(path)+1))
	b = binary.BigEndian.AppendUint32(b, uint32(xid))
	b = binary.BigEndian.AppendUint32(b, uint32(op))
	b = appendString(b, path)
	if watch {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// statSize is the length of a Stat on the wire.
const statSize = 68

var errGarbled = errors.New("an answer that does not parse")

// parseStat reads a Stat; the body must hold nothing else.
func parseStat(b []byte) (st zk.Stat, err error) {
	if len(b) != statSize {
		return st, errGarbled
	}
	i64 := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
	i32 := func(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
	return zk.Stat{Czxid: i64(0), Mzxid: i64(8), Ctime: i64(16), Mtime: i64(24), Version: i32(32), Cversion: i32(36), Aversion: i32(40),
		EphemeralOwner: i64(44), DataLength: i32(52), NumChildren: i32(56), Pzxid: i64(60)}, nil
}

// cutBytes takes a length and so many bytes from the front; a negative length is none.
func cutBytes(b []byte) (first, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int(int32(binary.BigEndian.Uint32(b)))
	b = b[4:]
	if n < 0 {
		return nil, b, true
	}
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// parseData reads the answer to getData; data is a part of b.
func parseData(b []byte) (data []byte, st zk.Stat, err error) {
	data, rest, ok := cutBytes(b)
	if !ok {
		return nil, st, errGarbled
	}
	st, err = parseStat(rest)
	return data, st, err
}

// names are the children in the answer to getChildren2, as they stand in it: a list of a large serverset is compared without making a string of each.
type names struct {
	raw   []byte
	count int
}

// parseNames reads the answer to getChildren2, to its end; the names are a part of b.
func parseNames(b []byte) (n names, st zk.Stat, err error) {
	if len(b) < 4 {
		return n, st, errGarbled
	}
	count := int(int32(binary.BigEndian.Uint32(b)))
	all := b[4:]
	rest, ok := all, true
	for range max(count, 0) {
		if _, rest, ok = cutBytes(rest); !ok {
			return n, st, errGarbled
		}
	}
	st, err = parseStat(rest)
	return names{all[:len(all)-len(rest)], max(count, 0)}, st, err
}

// each walks the names.
func (n names) each(f func(name []byte)) {
	for b := n.raw; len(b) > 0; {
		var name []byte
		var ok bool
		if name, b, ok = cutBytes(b); !ok {
			return
		}
		f(name)
	}
}
