package zk

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// throttled turns an answer into a refusal.
func throttled(frame []byte) []byte {
	code := codeThrottled
	binary.BigEndian.PutUint32(frame[12:], uint32(code))
	return frame[:16]
}

// A server that throttles is asked less, and what it refused is asked for again.
func TestSourceThrottled(t *testing.T) {
	t.Parallel()
	srv, root := testenv.SharedZooKeeper(t)
	via := newProxy(t, srv.Addr, false)
	var asked, refused atomic.Int64
	start := time.Now()
	via.edit = func(op int32, frame []byte) []byte {
		if op == opGetData || op == opChildren {
			if asked.Add(1); time.Since(start) < 3*time.Second {
				refused.Add(1)
				return throttled(frame)
			}
		}
		return frame
	}
	w := newWriter(t, srv.Addr)
	w.register(root+"/checkout/prod", 500)
	start = time.Now()
	src, box, stop := runBox(t, via.addr, root+"/{service}/{env}")
	defer stop()
	next(t, box, func(s discovery.Set) bool { return len(s.Members) == 500 && !s.Partial })
	if n := refused.Load(); n == 0 || n > 20 || src.m.shed.Get() != uint64(n) {
		t.Errorf("%d refused in 3 s, %d counted; a list and what follows it in growing pauses were a handful", n, src.m.shed.Get())
	}
}

// A server that takes everybody in and drops them right after the handshake is not hammered; nobody leaves over it, and it is gone back to when it holds.
func TestSourceSlammed(t *testing.T) {
	t.Parallel()
	srv, root := testenv.SharedZooKeeper(t)
	via := newProxy(t, srv.Addr, false)
	w := newWriter(t, srv.Addr)
	w.join(root+"/checkout/prod", "10.0.0.1", 80, "")
	f := follow(t, Config{Servers: []string{via.addr}}, SourceConfig{Rules: []Rule{rule(t, root+"/{service}/{env}", "", serverset.Options{})}})
	f.waitFor("checkout/prod/10.0.0.1:80=present")
	before, start := via.hellos.Load(), time.Now()
	via.slam.Store(true)
	f.session.Reconnect()
	eventually(t, "ten seconds of it", func() bool { return time.Since(start) > 10*time.Second })
	if n := via.hellos.Load() - before; n < 2 || n > 18 {
		t.Errorf("%d attempts in 10 s", n)
	}
	via.slam.Store(false)
	eventually(t, "the connection", func() bool {
		st := f.session.Status()
		return st.Connected && time.Since(st.Since) > 200*time.Millisecond
	})
	w.join(root+"/checkout/prod", "10.0.0.2", 80, "")
	f.waitFor("checkout/prod/10.0.0.1:80=present checkout/prod/10.0.0.2:80=present")
	if n := f.departures(); n != 0 {
		t.Errorf("%d departures", n)
	}
}

// Who can be told by the name is published before the data is read, marked as such; nobody waits for one newcomer's data.
func TestSourceNamesFirst(t *testing.T) {
	t.Parallel()
	srv, root := testenv.SharedZooKeeper(t)
	for _, tc := range []struct {
		name  string
		other string // a member whose name says nothing
		names bool
	}{
		{"all by name", "", true},
		{"one that must be read", "member_0000000001", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			via := newProxy(t, srv.Addr, false)
			var closed atomic.Bool
			closed.Store(true)
			via.edit = func(op int32, frame []byte) []byte {
				if op == opGetData && closed.Load() {
					return throttled(frame)
				}
				return frame
			}
			w := newWriter(t, srv.Addr)
			set := root + strings.ReplaceAll(tc.name, " ", "-") + "/checkout/prod"
			w.register(set, 300)
			want := 300
			if tc.other != "" {
				want++
				w.put(set+"/"+tc.other, `{"serviceEndpoint":{"host":"10.1.0.1","port":80}}`, Ephemeral)
			}
			_, box, stop := runBox(t, via.addr, root+strings.ReplaceAll(tc.name, " ", "-")+"/{service}/{env}")
			defer stop()
			if tc.names {
				s := next(t, box, func(discovery.Set) bool { return true })
				if len(s.Members) != 300 || !s.Partial || versions(s, "1.42.0") != 0 || s.Members[0].Host == "" || s.Members[0].Owner != 0 {
					t.Fatalf("%d members, partial %v", len(s.Members), s.Partial)
				}
			}
			closed.Store(false)
			s := next(t, box, func(s discovery.Set) bool {
				if s.Partial && !tc.names {
					t.Errorf("a partial set of %d", len(s.Members))
				}
				return !s.Partial
			})
			if n := versions(s, "1.42.0"); n != 300 || len(s.Members) != want || s.Zxid == 0 || s.Members[0].Owner != w.s.Status().SessionID || s.Members[0].Zxid == 0 {
				t.Errorf("%d members, %d read, %+v", len(s.Members), n, s.Members[0])
			}
			same := map[*discovery.Member]bool{}
			for _, m := range s.Members {
				same[m] = true
			}
			w.join(set, "10.2.0.1", 80, `{"version":"new"}`)
			s = next(t, box, func(s discovery.Set) bool { return len(s.Members) == want+1 })
			kept := 0
			for _, m := range s.Members {
				if same[m] {
					kept++
				}
			}
			if kept != want || s.Partial || versions(s, "new") != 1 {
				t.Errorf("after one join %d of %d members are the same, partial %v, %d read", kept, want, s.Partial, versions(s, "new"))
			}
		})
	}
}

// Servers whose recursive watches name only their root: nobody is lost over an event that seems to say that the root went, and sets are watched one by one.
func TestRootOnlyEvents(t *testing.T) {
	t.Parallel()
	srv, root := testenv.SharedZooKeeper(t)
	via := newProxy(t, srv.Addr, false)
	var session atomic.Pointer[Session]
	via.edit = func(op int32, frame []byte) []byte {
		if s := session.Load(); op != 0 || s != nil && s.Status().Epoch > 1 {
			return frame // one-shot watches name what they stand on
		}
		out := append(frame[:24:24], be32(int32(len(root)))...) // xid zxid code, type, state
		return append(out, root...)
	}
	w := newWriter(t, srv.Addr)
	a := w.join(root+"/checkout/prod", "10.0.0.1", 80, "")
	f := follow(t, Config{Servers: []string{via.addr}}, SourceConfig{ListEvery: 100 * time.Millisecond, Rules: []Rule{rule(t, root+"/{service}/{env}", "", serverset.Options{})}})
	session.Store(f.session)
	want := "checkout/prod/10.0.0.1:80=present"
	f.waitFor(want)
	for i := range 5 {
		b := w.join(root+"/checkout/prod", fmt.Sprintf("10.0.1.%d", i+1), 80, "")
		f.waitFor(want + fmt.Sprintf(" checkout/prod/10.0.1.%d:80=present", i+1))
		w.rm(b)
		f.waitFor(want)
	}
	eventually(t, "another way of watching", func() bool { return f.session.Status().Epoch > 1 })
	f.mu.Lock()
	for _, c := range f.changes {
		if c.State == discovery.Departed && c.Host == "10.0.0.1" {
			t.Errorf("%+v", c)
		}
	}
	f.mu.Unlock()
	w.rm(a)
	f.waitFor("")
}
