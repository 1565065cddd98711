package zktest

import (
	"encoding/binary"
	"errors"
	"strings"
)

// Operations, by ZooKeeper's numbers.
const (
	Create          int32 = 1
	Delete          int32 = 2
	Exists          int32 = 3
	GetData         int32 = 4
	SetData         int32 = 5
	GetACL          int32 = 6
	SetACL          int32 = 7
	GetChildren     int32 = 8
	Sync            int32 = 9
	Ping            int32 = 11
	GetChildren2    int32 = 12
	Check           int32 = 13
	Multi           int32 = 14
	Create2         int32 = 15
	CheckWatches    int32 = 17
	RemoveWatches   int32 = 18
	CreateContainer int32 = 19
	CreateTTL       int32 = 21
	MultiRead       int32 = 22
	Auth            int32 = 100
	SetWatches      int32 = 101
	GetEphemerals   int32 = 103
	AllChildren     int32 = 104
	SetWatches2     int32 = 105
	AddWatch        int32 = 106
	WhoAmI          int32 = 107
	CloseSession    int32 = -11
)

// Body is a request in the making, in jute: big-endian, strings and vectors with an int32 before them.
type Body []byte

func (b Body) Int(v int32) Body  { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func (b Body) Long(v int64) Body { return binary.BigEndian.AppendUint64(b, uint64(v)) }

func (b Body) Bool(v bool) Body {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func (b Body) String(s string) Body { return append(b.Int(int32(len(s))), s...) }

// Buffer keeps nil apart from empty.
func (b Body) Buffer(v []byte) Body {
	if v == nil {
		return b.Int(-1)
	}
	return append(b.Int(int32(len(v))), v...)
}

func (b Body) Strings(list []string) Body {
	b = b.Int(int32(len(list)))
	for _, s := range list {
		b = b.String(s)
	}
	return b
}

// ACLs writes a list such as world:anyone:cdrwa,digest:joe:hash=:r; the last part of each are the permissions.
func (b Body) ACLs(list string) Body {
	if list == "" {
		return b.Int(0)
	}
	all := strings.Split(list, ",")
	b = b.Int(int32(len(all)))
	for _, a := range all {
		scheme, rest, _ := strings.Cut(a, ":")
		i := strings.LastIndexByte(rest, ':')
		b = b.Int(perms(rest[i+1:])).String(scheme).String(rest[:max(i, 0)])
	}
	return b
}

const letters = "rwcda" // READ 1, WRITE 2, CREATE 4, DELETE 8, ADMIN 16

func perms(s string) int32 {
	var p int32
	for _, r := range s {
		p |= 1 << strings.IndexRune(letters, r)
	}
	return p
}

func permString(p int32) string {
	var b strings.Builder
	for i, r := range letters {
		if p&(1<<i) != 0 {
			b.WriteRune(r)
		}
	}
	return b.String()
}

type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.err = nil, errors.New("answer cut short")
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) int() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) long() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) bool() bool {
	b := r.take(1)
	return b != nil && b[0] != 0
}

func (r *reader) buffer() []byte {
	if n := r.int(); n >= 0 {
		return r.take(int(n))
	}
	return nil
}

func (r *reader) string() string { return string(r.buffer()) }

func (r *reader) strings() []string {
	var out []string
	for n := r.int(); n > 0 && r.err == nil; n-- {
		out = append(out, r.string())
	}
	return out
}
