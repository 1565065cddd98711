package zk

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// A client on a server that says it has no quorum asks the others, and goes where there is one, although its connection is well.
func TestLeaveReadOnly(t *testing.T) {
	t.Parallel()
	srv, root := testenv.SharedZooKeeper(t)
	w := newWriter(t, srv.Addr)
	w.join(root+"/checkout/prod", "10.0.0.1", 80, "")
	blind, well := newProxy(t, srv.Addr, false), newProxy(t, srv.Addr, false)
	blind.readOnly.Store(true)
	well.hold()
	f := follow(t, Config{Servers: []string{blind.addr, well.addr}, SessionTimeout: 4 * time.Second, ReadOnly: true},
		SourceConfig{Rules: []Rule{rule(t, root+"/{service}/{env}", "", serverset.Options{})}})
	f.waitFor("checkout/prod/10.0.0.1:80=present")
	if st := f.session.Status(); !st.ReadOnly || st.Server != blind.addr {
		t.Fatalf("%+v", st)
	}
	well.release()
	eventually(t, "the move", func() bool {
		st := f.session.Status()
		return st.Connected && !st.ReadOnly && st.Server == well.addr
	})
	eventually(t, "the view to say so", func() bool { v := f.roster.Views()[0]; return v.Connected && !v.ReadOnly && v.Server == well.addr })
	if n := f.departures(); n != 0 {
		t.Errorf("%d departures", n)
	}
}
