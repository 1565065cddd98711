package zk

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestFeed(t *testing.T) {
	f := newFeed("/a", make(chan struct{}, 1))
	f.put(event{gozk.EventNodeCreated, "/a/x"})
	if st, events := f.take(); st.live || len(events) > 0 {
		t.Errorf("before there is a connection: %+v %v", st, events)
	}
	f.up(nil, true, false)
	for _, p := range []string{"/a", "/a/x", "/ab", "/", "/b"} {
		f.put(event{gozk.EventNodeCreated, p})
	}
	if st, events := f.take(); !st.live || st.epoch != 1 || len(events) != 2 {
		t.Errorf("%+v %v", st, events)
	}
	for range maxEvents + 1 {
		f.put(event{gozk.EventNodeCreated, "/a/x"})
	}
	f.put(event{gozk.EventNodeCreated, "/a/y"})
	if st, events := f.take(); st.epoch != 2 || len(events) != 1 {
		t.Errorf("too many events must begin a new epoch: %+v, %d events", st, len(events))
	}
	f.down()
	if st, _ := f.take(); st.live {
		t.Errorf("%+v", st)
	}
}

// After a reconnect the data of formats that never change it is not read again; KingPin's is. Everything is listed now and then, and when a server names only
// the root of a recursive watch in its events, as some do.
func TestSourceReadsWhatMayHaveChanged(t *testing.T) {
	t.Parallel()
	srv, root := testenv.SharedZooKeeper(t)
	w := newWriter(t, srv.Addr)
	fin := serverset.FinagleMember{ServiceEndpoint: serverset.FinagleEndpoint{Host: "10.0.0.1", Port: 80}}
	data, err := fin.Encode()
	must(t, err)
	for i := range 10 {
		w.put(root+"/web/prod/member_", strings.Replace(string(data), "10.0.0.1", fmt.Sprint("10.0.0.", i), 1), EphemeralSequential)
	}
	w.join(root+"/kp/prod", "10.0.1.1", 80, "")
	w.join(root+"/kp/prod", "10.0.1.2", 80, "")
	f := follow(t, Config{Servers: []string{srv.Addr}}, SourceConfig{Rules: []Rule{rule(t, root+"/{service}/{env}", "", serverset.Options{})}, Reconcile: 2 * time.Second})
	eventually(t, "twelve members", func() bool { return strings.Count(f.states(), "=present") == 12 })
	m := f.source.m
	reads, walks := m.reads.Get(), m.walks.Get()
	f.session.Reconnect()
	eventually(t, "a walk, and KingPin's members read again", func() bool { return m.walks.Get() > walks && m.reads.Get() >= reads+2 })
	walks = m.walks.Get()
	eventually(t, "a reconciling walk", func() bool { return m.walks.Get() > walks })
	if n := m.reads.Get() - reads; n > 2*(m.walks.Get()-1) {
		t.Errorf("%d reads in %d walks over 2 members that may change", n, m.walks.Get()-1)
	}
	walks = m.walks.Get()
	f.session.mu.Lock()
	c := f.session.client
	f.session.mu.Unlock()
	for range 100 {
		f.session.take(c, gozk.Event{Type: gozk.EventNodeDataChanged, Path: root})
	}
	eventually(t, "a walk for an event at the root", func() bool { return m.walks.Get() > walks })
	if n := m.walks.Get() - walks; n > 5 {
		t.Errorf("%d walks for one burst of events", n)
	}
}
