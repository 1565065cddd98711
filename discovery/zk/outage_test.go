package zk

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// A kill -9 of the server loses nobody, and what changed meanwhile is seen after its return.
func TestSourceServerKilled(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeper(t, testenv.TickTime(2*time.Second)) // with sessions of 40 s: the server may take long to start
	w := newWriter(t, srv.Addr)                                  // its session outlives the outage
	a := w.join("/discovery/checkout/prod", "10.0.0.1", 80, `{"version":"1"}`)
	b := w.join("/discovery/checkout/prod", "10.0.0.2", 80, "")
	w.join("/discovery/search/prod", "10.0.0.3", 80, "")
	all := "checkout/prod/10.0.0.1:80=present checkout/prod/10.0.0.2:80=present search/prod/10.0.0.3:80=present"
	both := followBothWays(t, srv.Addr)
	both(func(f *fleet, _ *proxy) { f.waitFor(all) })
	for round := range 2 {
		srv.Kill()
		both(func(f *fleet, _ *proxy) {
			eventually(t, "the view to say so", func() bool { v := f.roster.Views()[0]; return !v.Connected && v.Err != "" })
			if f.states() != all || f.departures() > 0 {
				t.Fatalf("round %d: a lost server took members with it: %s", round, f.states())
			}
		})
		srv.Start()
		both(func(f *fleet, _ *proxy) {
			eventually(t, "the view to recover", func() bool { v := f.roster.Views()[0]; return v.Connected && v.Err == "" })
		})
	}
	// Changes that no watch can tell of: the connection is cut while they are made.
	both(func(f *fleet, via *proxy) {
		via.hold()
		eventually(t, "the loss", func() bool { return !f.session.Status().Connected })
	})
	w.set(a, `{"version":"2"}`)
	w.rm(b)
	w.join("/discovery/checkout/dev", "10.0.0.4", 80, "")
	must(t, removeAll(deadline(t), w.s, "/discovery/search"))
	both(func(f *fleet, via *proxy) {
		via.release()
		f.waitFor("checkout/dev/10.0.0.4:80=present checkout/prod/10.0.0.1:80=present")
		eventually(t, "version 2", func() bool {
			return f.entry("checkout/prod/10.0.0.1:80").Tags.Get("service.version") == "2"
		})
	})
}

// followBothWays follows a server in each of the ways of watching, through a proxy of its own, and gives what does something with each.
func followBothWays(t *testing.T, addr string) func(func(*fleet, *proxy)) {
	t.Helper()
	fleets := map[*fleet]*proxy{}
	for _, old := range ways {
		via := newProxy(t, addr, old)
		fleets[follow(t, Config{Servers: []string{via.addr}, SessionTimeout: 4 * time.Second}, SourceConfig{})] = via
	}
	return func(do func(*fleet, *proxy)) {
		t.Helper()
		for f, via := range fleets {
			do(f, via)
		}
	}
}

// A session that has expired says nothing about members either; watches work in the next one.
func TestSourceExpiry(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeper(t)
	w := newWriter(t, srv.Addr)
	a := w.join("/discovery/checkout/prod", "10.0.0.1", 80, "")
	both := followBothWays(t, srv.Addr)
	both(func(f *fleet, _ *proxy) { f.waitFor("checkout/prod/10.0.0.1:80=present") })
	for i := range 2 {
		both(func(f *fleet, via *proxy) {
			id := f.session.Status().SessionID
			via.expire(t)
			eventually(t, "a new session", func() bool { st := f.session.Status(); return st.Connected && st.SessionID != id })
		})
		w.set(a, fmt.Sprintf(`{"version":"%d"}`, i))
		both(func(f *fleet, _ *proxy) {
			eventually(t, "the change", func() bool {
				return f.entry("checkout/prod/10.0.0.1:80").Tags.Get("service.version") == fmt.Sprint(i)
			})
		})
	}
	both(func(f *fleet, _ *proxy) {
		if n := f.departures(); n != 0 {
			t.Errorf("%d departures", n)
		}
	})
	b := w.join("/discovery/checkout/prod", "10.0.0.2", 80, "")
	both(func(f *fleet, _ *proxy) {
		f.waitFor("checkout/prod/10.0.0.1:80=present checkout/prod/10.0.0.2:80=present")
	})
	w.rm(b)
	both(func(f *fleet, _ *proxy) { f.waitFor("checkout/prod/10.0.0.1:80=present") })
}

// A server that holds the connection and says nothing is left in time, and nobody is lost over it.
func TestSourceHalfOpen(t *testing.T) {
	t.Parallel()
	srv := testenv.ZooKeeper(t)
	w := newWriter(t, srv.Addr)
	w.join("/discovery/checkout/prod", "10.0.0.1", 80, "")
	f := follow(t, Config{Servers: []string{srv.Addr}, SessionTimeout: 3 * time.Second}, SourceConfig{})
	f.waitFor("checkout/prod/10.0.0.1:80=present")
	srv.Stop()
	eventually(t, "the silence to be noticed", func() bool { return !f.roster.Views()[0].Connected })
	srv.Cont()
	eventually(t, "the session to be back", func() bool { return f.roster.Views()[0].Connected })
	must(t, w.s.Await(deadline(t)))
	w.join("/discovery/checkout/prod", "10.0.0.2", 80, "")
	eventually(t, "the second", func() bool { return strings.Contains(f.states(), "checkout/prod/10.0.0.2:80=present") })
}

// Without a quorum a read-only server serves on, marked as such; once another has a quorum, the session goes there.
func TestSourceReadOnly(t *testing.T) {
	t.Parallel()
	e, ok := testenv.Ensemble(t, 3, 0, testenv.ReadOnlyMode())
	if !ok {
		return // said at the end of the run; with CI=true the call above has failed
	}
	w := connected(t, Config{Servers: e.Addrs(), SessionTimeout: 10 * time.Second})
	must(t, w.MakePath(deadline(t), "/discovery/checkout/prod"))
	for i := range 3 {
		_, err := w.Create(deadline(t), fmt.Sprintf("/discovery/checkout/prod/%s", serverset.NewKingPinName("10.0.0.1", uint16(i+1))), nil, Persistent)
		must(t, err)
	}
	must(t, caughtUp(w, "/discovery"))
	all := "checkout/prod/10.0.0.1:1=present checkout/prod/10.0.0.1:2=present checkout/prod/10.0.0.1:3=present"
	f := follow(t, Config{Servers: e.Addrs(), SessionTimeout: 5 * time.Second, ReadOnly: true}, SourceConfig{})
	f.waitFor(all)
	servers := slices.Collect(slices.Values(e.Voters))
	servers[0].Kill()
	servers[1].Kill()
	eventually(t, "a read-only view", func() bool { v := f.roster.Views()[0]; return v.Connected && v.ReadOnly })
	if f.states() != all || f.departures() > 0 {
		t.Errorf("without a quorum: %s", f.states())
	}
	if _, err := f.session.Create(deadline(t), "/x", nil, Persistent); err == nil {
		t.Error("a read-only server took a write")
	}
	servers[0].Start()
	eventually(t, "a server with a quorum", func() bool { v := f.roster.Views()[0]; return v.Connected && !v.ReadOnly })
	_, err := w.Create(deadline(t), "/discovery/checkout/prod/"+serverset.NewKingPinName("10.0.0.1", 4), nil, Persistent)
	must(t, err)
	f.waitFor(all + " checkout/prod/10.0.0.1:4=present")
	if n := f.departures(); n != 0 {
		t.Errorf("%d departures", n)
	}
}

// A thousand members and a storm of changes: both ways of watching end at the same sets as a plain list.
func TestSourceStorm(t *testing.T) {
	t.Parallel()
	testenv.ZooKeepers(t, func(t *testing.T, srv *testenv.ZooKeeperServer) {
		w := newWriter(t, srv.Addr)
		rng := rand.New(rand.NewPCG(1, 2))
		live := map[string]bool{}
		n := 0
		change := func() {
			set := fmt.Sprintf("/discovery/s%d/e%d", rng.IntN(4), rng.IntN(2))
			switch k := rng.IntN(10); {
			case k < 6 || len(live) == 0:
				n++
				live[w.join(set, fmt.Sprintf("10.%d.%d.1", n/250, n%250), 80, `{"version":"0"}`)] = true
			case k < 8:
				for p := range live {
					w.rm(p)
					delete(live, p)
					break
				}
			default:
				for p := range live {
					w.set(p, fmt.Sprintf(`{"version":"%d"}`, rng.IntN(100)))
					break
				}
			}
		}
		ops := make([]Op, 0, 1000)
		must(t, w.s.MakePath(deadline(t), "/discovery/big/prod"))
		for i := range 1000 {
			ops = append(ops, CreateOp("/discovery/big/prod/"+serverset.NewKingPinName(fmt.Sprintf("10.9.%d.%d", i/250, i%250+1), 80), nil, Ephemeral))
		}
		_, err := w.s.Multi(deadline(t), ops...)
		must(t, err)
		for range 50 {
			change()
		}
		a := follow(t, Config{Servers: []string{srv.Addr}}, SourceConfig{})
		b := follow(t, Config{Servers: []string{newProxy(t, srv.Addr, true).addr}}, SourceConfig{ListEvery: 50 * time.Millisecond})
		for i := range 400 {
			change()
			if i == 150 {
				a.session.Reconnect()
			}
			if i == 250 {
				b.session.Reconnect()
			}
		}
		want := w.truth(t)
		for name, f := range map[string]*fleet{"recursive": a, "one-shot": b} {
			var got []string
			eventually(t, name+" to see what is there", func() bool {
				got = seen(f)
				return slices.Equal(got, want)
			})
		}
	})
}

// truth is every member in the tree with its version, as a plain walk reads it.
func (w writer) truth(t *testing.T) (out []string) {
	var walk func(path string)
	walk = func(path string) {
		names, _, err := w.s.Children(deadline(t), path)
		must(t, err)
		for _, n := range names {
			if _, host, _, err := serverset.ParseKingPinName(n); err == nil {
				data, _, err := w.s.Get(deadline(t), join(path, n))
				must(t, err)
				md, _ := serverset.DecodeMetadata(data)
				out = append(out, path+" "+host+" "+md.Version)
			} else {
				walk(join(path, n))
			}
		}
	}
	walk("/discovery")
	slices.Sort(out)
	return out
}

func seen(f *fleet) (out []string) {
	for _, e := range f.roster.Entries() {
		if e.State == discovery.Present {
			out = append(out, e.Path+" "+e.Host+" "+e.Tags.Get("service.version"))
		}
	}
	slices.Sort(out)
	return out
}
