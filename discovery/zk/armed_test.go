package zk

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// Where a recursive watch cannot be had, whatever the server's version says, sets are watched one by one.
func TestAddWatchRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		opts   []testenv.ZooKeeperOption
		strict bool
	}{
		{"with a code", []testenv.ZooKeeperOption{testenv.Property("zookeeper.watchManagerName", "org.apache.zookeeper.server.watch.WatchManagerOptimized")}, false},
		{"by the end of the connection", nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := testenv.ZooKeeper(t, tc.opts...)
			via := newProxy(t, srv.Addr, false)
			via.strict.Store(tc.strict)
			w := newWriter(t, srv.Addr)
			w.join("/discovery/checkout/prod", "10.0.0.1", 80, "")
			f := follow(t, Config{Servers: []string{via.addr}, SessionTimeout: 4 * time.Second}, SourceConfig{ListEvery: 100 * time.Millisecond})
			f.waitFor("checkout/prod/10.0.0.1:80=present")
			b := w.join("/discovery/checkout/dev", "10.0.0.2", 80, "")
			f.waitFor("checkout/dev/10.0.0.2:80=present checkout/prod/10.0.0.1:80=present")
			w.rm(b)
			f.waitFor("checkout/prod/10.0.0.1:80=present")
		})
	}
}

// An ensemble that is upgraded while we watch: the one-shot watches of the old server must not meet the recursive one of the new.
func TestServerUpgraded(t *testing.T) {
	t.Parallel()
	srv, root := testenv.SharedZooKeeper(t)
	w := newWriter(t, srv.Addr)
	w.join(root+"/checkout/prod", "10.0.0.1", 80, "")
	before, after := newProxy(t, srv.Addr, true), newProxy(t, srv.Addr, false)
	after.hold()
	f := follow(t, Config{Servers: []string{before.addr, after.addr}, SessionTimeout: 4 * time.Second},
		SourceConfig{Rules: []Rule{rule(t, root+"/{service}/{env}", "", serverset.Options{})}})
	f.waitFor("checkout/prod/10.0.0.1:80=present")
	after.release()
	before.hold()
	eventually(t, "the new server", func() bool {
		st := f.session.Status()
		return st.Connected && st.Server == after.addr
	})
	b := w.join(root+"/checkout/prod", "10.0.0.2", 80, "")
	f.waitFor("checkout/prod/10.0.0.1:80=present checkout/prod/10.0.0.2:80=present")
	w.rm(b)
	f.waitFor("checkout/prod/10.0.0.1:80=present")
	eventually(t, "one departure", func() bool { return f.departures() == 1 })
}
