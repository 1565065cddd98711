package zk

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// bigSet is the size of a real set in KingPin's own tests.
const bigSet = 10_822

// register puts n members into one set, and returns the path of the last.
func (w writer) register(set string, n int) (last string) {
	w.t.Helper()
	must(w.t, w.s.MakePath(deadline(w.t), set))
	var ops []Op
	for i := range n {
		last = set + "/" + serverset.NewKingPinName(fmt.Sprintf("10.%d.%d.%d", i/62500, i/250%250, i%250+1), 8080)
		ops = append(ops, CreateOp(last, []byte(`{"v":1,"version":"1.42.0","zone":"us-east-1c","track":"production"}`), Ephemeral))
		if len(ops) == 1000 || i == n-1 {
			_, err := w.s.Multi(deadline(w.t), ops...)
			must(w.t, err)
			ops = nil
		}
	}
	return last
}

// runBox runs a source with nothing behind it but the letter box, until stop.
func runBox(t testing.TB, addr, path string) (src *Source, box *discovery.Latest, stop func()) {
	t.Helper()
	s, stopSession := runSession(t, Config{Name: "reading", Servers: []string{addr}})
	src, err := NewSource(SourceConfig{Name: "apps", Rules: []Rule{rule(t, path, "", serverset.Options{})}, Log: testLog(t)}, s)
	must(t, err)
	box = discovery.NewLatest()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- src.Run(ctx, box) }()
	return src, box, func() {
		cancel()
		<-done
		stopSession()
	}
}

// next waits for a set that ok takes.
func next(t testing.TB, box *discovery.Latest, ok func(discovery.Set) bool) discovery.Set {
	t.Helper()
	for late := time.After(30 * time.Second); ; {
		select {
		case <-box.Ready():
			sets, _ := box.Take()
			for _, s := range sets {
				if ok(s) {
					return s
				}
			}
		case <-late:
			t.Fatal("no such set in 30 s")
		}
	}
}

// versions is how many members of a set have the version.
func versions(s discovery.Set, v string) (n int) {
	for _, m := range s.Members {
		if m.Tags.Get(serverset.TagVersion) == v {
			n++
		}
	}
	return n
}

// A change in a set of 10,822 members costs what changed, not a list of 595 KB.
func TestSourceChangeCostsLittle(t *testing.T) {
	srv, root := testenv.SharedZooKeeper(t)
	via := newProxy(t, srv.Addr, false)
	w := newWriter(t, srv.Addr)
	last := w.register(root+"/big/prod", bigSet)
	src, box, stop := runBox(t, via.addr, root+"/{service}/{env}")
	defer stop()
	next(t, box, func(s discovery.Set) bool { return len(s.Members) == bigSet && !s.Partial })
	lists, before := src.m.lists.Get(), via.read.Load()
	const changes = 20
	for i := range changes {
		v := fmt.Sprint("2.", i)
		w.set(last, `{"v":1,"version":"`+v+`"}`)
		next(t, box, func(s discovery.Set) bool { return versions(s, v) == 1 })
	}
	per := (via.read.Load() - before) / changes
	t.Logf("%d bytes from the server a change", per)
	if per > 1000 || src.m.lists.Get() != lists {
		t.Errorf("%d bytes a change and %d lists", per, src.m.lists.Get()-lists)
	}
}

// BenchmarkSourceChange is one change of one member, from the write to the set in the letter box; wireB/op are the bytes that the server sent for it. Most of
// the time is the delay in which changes are gathered.
func BenchmarkSourceChange(b *testing.B) {
	for _, n := range []int{10, 1000, bigSet} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			srv, root := testenv.SharedZooKeeper(b)
			root += strings.ReplaceAll(b.Name(), "/", "-")
			via := newProxy(b, srv.Addr, false)
			w := newWriter(b, srv.Addr)
			last := w.register(root+"/big/prod", n)
			_, box, stop := runBox(b, via.addr, root+"/{service}/{env}")
			defer stop()
			next(b, box, func(s discovery.Set) bool { return len(s.Members) == n && !s.Partial })
			var i int
			before := via.read.Load()
			b.ReportAllocs()
			for b.Loop() {
				i++
				v := fmt.Sprint("2.", i)
				w.set(last, `{"v":1,"version":"`+v+`"}`)
				next(b, box, func(s discovery.Set) bool { return versions(s, v) == 1 })
			}
			b.ReportMetric(float64(via.read.Load()-before)/float64(i), "wireB/op")
		})
	}
}

// BenchmarkSourceStart is a source's first sight of a set: list, reads, decoding.
func BenchmarkSourceStart(b *testing.B) {
	srv, root := testenv.SharedZooKeeper(b)
	via := newProxy(b, srv.Addr, false)
	w := newWriter(b, srv.Addr)
	w.register(root+"/big/prod", bigSet)
	before, n := via.read.Load(), int64(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		_, box, stop := runBox(b, via.addr, root+"/{service}/{env}")
		next(b, box, func(s discovery.Set) bool { return len(s.Members) == bigSet && !s.Partial })
		stop()
	}
	b.SetBytes((via.read.Load() - before) / n)
}
