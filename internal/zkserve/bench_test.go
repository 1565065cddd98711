package zkserve

import (
	"fmt"
	"testing"

	"github.com/rollcall-metrics/rollcall/internal/zkserve/zktest"
)

// member is the i-th create of a KingPin member.
func member(i int) zktest.Body {
	path := fmt.Sprintf("/fleet/%032x-10.%d.%d.%d:8001", i, i>>16, i>>8&255, i&255)
	return zktest.Body{}.Int(1).Int(zktest.Create).String(path).Buffer([]byte(path)).ACLs("world:anyone:rwcda").Int(1)
}

// fleet is a server with n members, watched recursively by some connections.
func fleet(b *testing.B, n, watchers int) (*Server, *conn, []*conn) {
	b.Helper()
	s := offline(b, Config{Dir: b.TempDir()})
	c := s.attach(b)
	s.handle(c, zktest.Body{}.Int(1).Int(zktest.Create).String("/fleet").Buffer(nil).ACLs("world:anyone:rwcda").Int(0))
	for i := range n {
		s.handle(c, member(i))
	}
	c.forget()
	var ws []*conn
	for range watchers {
		w := s.attach(b)
		s.handle(w, zktest.Body{}.Int(1).Int(zktest.AddWatch).String("/").Int(1))
		w.forget()
		ws = append(ws, w)
	}
	return s, c, ws
}

// A member joins and leaves a serverset of 20,000, and so many watchers hear of both.
func BenchmarkJoinAndLeave(b *testing.B) {
	for _, watchers := range []int{0, 1, 200} {
		b.Run(fmt.Sprintf("watchers=%d", watchers), func(b *testing.B) {
			s, c, ws := fleet(b, 20_000, watchers)
			join := member(1 << 20)
			path := fmt.Sprintf("/fleet/%032x-10.%d.%d.%d:8001", 1<<20, 16, 0, 0)
			leave := zktest.Body{}.Int(1).Int(zktest.Delete).String(path).Int(-1)
			b.SetBytes(int64(len(join) + len(leave)))
			b.ReportAllocs()
			for b.Loop() {
				s.handle(c, join)
				s.handle(c, leave)
				c.forget()
				for _, w := range ws {
					w.forget()
				}
			}
		})
	}
}

// A serverset of 20,000 is listed: again, and after a change.
func BenchmarkList(b *testing.B) {
	for _, changed := range []bool{false, true} {
		b.Run(fmt.Sprintf("changed=%v", changed), func(b *testing.B) {
			s, c, _ := fleet(b, 20_000, 0)
			list := zktest.Body{}.Int(1).Int(zktest.GetChildren).String("/fleet").Bool(false)
			b.SetBytes(20_000 * 50)
			b.ReportAllocs()
			for b.Loop() {
				if changed {
					s.tree.get("/fleet").listing = nil
				}
				s.handle(c, list)
				c.forget()
			}
		})
	}
}

// A persistent znode changes: this is what goes to the log.
func BenchmarkSetData(b *testing.B) {
	s, c, _ := fleet(b, 0, 0)
	set := zktest.Body{}.Int(1).Int(zktest.SetData).String("/fleet").Buffer(make([]byte, 200)).Int(-1)
	b.SetBytes(int64(len(set)))
	b.ReportAllocs()
	for b.Loop() {
		s.handle(c, set)
		c.forget()
	}
}
