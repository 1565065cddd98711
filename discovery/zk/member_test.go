package zk

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// Weights beside Finagle's members follow them as tags, as they come, change places and go.
func TestSourceVectors(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, srv *testenv.ZooKeeperServer, via *proxy) {
		w := newWriter(t, srv.Addr)
		set := "/discovery/web/prod/"
		m := w.put(set+serverset.FinagleName, `{"serviceEndpoint":{"host":"10.0.0.1","port":80},"status":"ALIVE","shard":1}`, EphemeralSequential)
		w.put(set+serverset.FinagleName, `{"serviceEndpoint":{"host":"10.0.0.2","port":80},"status":"ALIVE"}`, EphemeralSequential)
		_, name := parent(m)
		v := w.put(set+serverset.VectorName, `{"vector":[{"select":"member=`+name+`","weight":1.5,"priority":2}]}`, EphemeralSequential)
		f := follow(t, Config{Servers: []string{via.addr}}, SourceConfig{})
		f.waitFor("web/prod/10.0.0.1:80=present web/prod/10.0.0.2:80=present")
		weights := func(one, filtered, two string) func() bool {
			return func() bool {
				a, b := f.entry("web/prod/10.0.0.1:80"), f.entry("web/prod/10.0.0.2:80")
				return a.Tags.Get(serverset.TagWeight) == one && a.Tags.Get(serverset.TagFiltered) == filtered && b.Tags.Get(serverset.TagWeight) == two
			}
		}
		eventually(t, "the weight", weights("1.5", "", ""))
		out := w.put(set+serverset.VectorName, `{"vector":[{"select":"shard=1","weight":-1.0},{"select":"inet=10.0.0.2:80","weight":2}]}`, EphemeralSequential)
		eventually(t, "one filtered out, one weighed", weights("-1", "true", "2"))
		w.put(set+serverset.FinagleName, `{"serviceEndpoint":{"host":"10.0.0.3","port":80},"shard":1}`, EphemeralSequential)
		eventually(t, "a newcomer to be filtered out", func() bool {
			return f.entry("web/prod/10.0.0.3:80").Tags.Get(serverset.TagFiltered) == "true"
		})
		w.put(set+serverset.VectorName, `broken`, EphemeralSequential)
		w.rm(out)
		eventually(t, "the first weight alone", weights("1.5", "", ""))
		w.rm(v)
		eventually(t, "no weight", weights("", "", ""))
		if n := f.departures(); n != 0 {
			t.Errorf("%d departures", n)
		}
	})
}

// A node that nobody holds is said to be one; a member that turns out to be a folder stops being a member, and the other way round.
func TestSourceNodes(t *testing.T) {
	t.Parallel()
	srv, root := testenv.SharedZooKeeper(t)
	w := newWriter(t, srv.Addr)
	w.join(root+"/checkout/prod", "10.0.0.1", 80, "")
	w.put(root+"/checkout/prod/"+serverset.NewKingPinName("10.0.0.2", 80), "", Persistent)
	note := w.put(root+"/checkout/prod/note", "call Bob", Persistent)
	f := follow(t, Config{Servers: []string{srv.Addr}}, SourceConfig{Rules: []Rule{rule(t, root+"/{service}/{env}", "", serverset.Options{})}})
	f.waitFor("checkout/prod/note=unparsable checkout/prod/10.0.0.1:80=present checkout/prod/10.0.0.2:80=present")
	eventually(t, "both to be read", func() bool {
		a, b := f.entry("checkout/prod/10.0.0.1:80"), f.entry("checkout/prod/10.0.0.2:80")
		return a.Owner == w.s.Status().SessionID && a.Tags.Get(serverset.TagPersistent) == "" && b.Owner == 0 && b.Tags.Get(serverset.TagPersistent) == "true"
	})
	eventually(t, "a live view", func() bool { v := f.roster.Views(); return len(v) == 1 && v[0].Live && v[0].Connected })
	w.set(note, "") // a bare node is no member
	f.waitFor("checkout/prod/10.0.0.1:80=present checkout/prod/10.0.0.2:80=present")
	w.set(note, "call Bob")
	f.waitFor("checkout/prod/note=unparsable checkout/prod/10.0.0.1:80=present checkout/prod/10.0.0.2:80=present")
	w.put(note+"/below", "", Persistent)
	w.set(note, "a folder")
	f.waitFor("checkout/prod/10.0.0.1:80=present checkout/prod/10.0.0.2:80=present")
}

// The same instance with another answer to whether it is a member at all is a change.
func TestGot(t *testing.T) {
	srv, root := testenv.SharedZooKeeper(t)
	s := connected(t, Config{Servers: []string{srv.Addr}})
	src, err := NewSource(SourceConfig{Name: "apps", Rules: []Rule{rule(t, root+"/{service}", "", serverset.Options{})}}, s)
	must(t, err)
	set := newSet(&tree{run: &run{Source: src, out: discovery.NewLatest()}}, serverset.Place{Path: "/a"}, &src.cfg.Rules[0])
	m := &member{name: "x", slot: -1}
	set.members["x"], set.unread, set.nameless = m, 1, 1
	bad := serverset.Options{}.Decode(set.place, "x", []byte("?"))
	for i, step := range []struct {
		no                bool
		shown, unparsable int
	}{{false, 1, 1}, {false, 1, 1}, {true, 0, 0}, {true, 0, 0}, {false, 1, 1}} {
		if set.got(m, bad, step.no); len(set.slots) != step.shown || set.unparsable != step.unparsable || set.unread != 0 {
			t.Errorf("step %d: %d shown, %d unparsable, %d unread", i, len(set.slots), set.unparsable, set.unread)
		}
	}
}
