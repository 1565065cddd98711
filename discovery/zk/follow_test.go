package zk

import (
	"slices"
	"testing"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestFollower(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, srv *testenv.ZooKeeperServer, via *proxy) {
		w := newWriter(t, srv.Addr)
		if there, _, _ := w.s.Exists(deadline(t), "/group"); there {
			must(t, removeAll(deadline(t), w.s, "/group"))
		}
		w.put("/group/members/a", "1", Persistent)
		s := connected(t, Config{Servers: []string{via.addr}})
		f := s.Follow("/group")
		defer f.Unfollow()
		var names []string
		var data string
		look := func() bool {
			if live, changed := f.Take(); !live || !changed {
				return live && len(names) > 0
			}
			var err error
			names, _, err = f.Children(deadline(t), "/group/members")
			must(t, err)
			b, _, ok, err := f.Get(deadline(t), "/group/members/a")
			must(t, err)
			data = string(b)
			if !ok {
				data = "none"
			}
			return true
		}
		expect := func(want string, wantNames ...string) {
			t.Helper()
			eventually(t, want, func() bool { return look() && data == want && slices.Equal(names, wantNames) })
		}
		expect("1", "a")
		w.put("/group/members/b", "", Persistent)
		expect("1", "a", "b")
		w.set("/group/members/a", "2")
		expect("2", "a", "b")
		w.rm("/group/members/b")
		expect("2", "a")
		s.Reconnect()
		w.set("/group/members/a", "3") // while nobody looks
		expect("3", "a")
		w.rm("/group/members/a")
		eventually(t, "nobody", func() bool { return look() && data == "none" && len(names) == 0 })
	})
}
