package register

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// follow tells of each status that a member had, by the server's own watches, until it is gone.
func (r *rig) follow(service string, m member) <-chan []string {
	r.Helper()
	path := r.root + "/" + service + "/prod/" + m.name
	_, _, moved, err := r.eyes.GetW(path)
	if err != nil {
		r.Fatal(err)
	}
	out := make(chan []string, 1)
	go func() {
		var said []string
		for (<-moved).Type == gozk.EventNodeDataChanged {
			var data []byte
			if data, _, moved, err = r.eyes.GetW(path); err != nil {
				break
			}
			m, _ := serverset.DecodeMetadata(data)
			said = append(said, m.Status+" "+m.Version)
		}
		out <- said
	}()
	return out
}

func TestLeavingIsSaidBeforeItIsDone(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		r := newRig(t, s, path)
		one, two := checkout(8001), checkout(8002)
		one.Metadata.Version, two.Metadata.Version = "1.42.0", "1.43.0"
		p := r.start("", one, two)
		r.until("registered", func() bool { return r.size("checkout") == 2 })
		want := []string{discovery.Leaving + " 1.42.0"}

		removed := r.follow("checkout", r.members("checkout")[0])
		begin := time.Now()
		if err := p.agent.Set([]Service{two}); err != nil {
			t.Fatal(err)
		}
		if got := <-removed; !slices.Equal(got, want) || time.Since(begin) < leavingFor {
			t.Errorf("no longer configured: said %q and went after %v", got, time.Since(begin))
		}

		// Handed over, nobody hears of it: the successor's member takes its place.
		handed := r.follow("checkout", r.members("checkout")[0])
		p.stop(ErrHandOver)
		p = r.start("", one, two)
		if got := <-handed; len(got) != 0 {
			t.Errorf("handed over: said %q", got)
		}
		r.until("registered again", func() bool { return r.size("checkout") == 2 })

		// Wanted again within the moment: the mark goes, the endpoint does not.
		if err := p.agent.Set([]Service{two}); err != nil {
			t.Fatal(err)
		}
		leaving := func() bool {
			return slices.ContainsFunc(r.members("checkout"), func(m member) bool { return m.meta.Status == discovery.Leaving })
		}
		r.until("marked", leaving)
		if err := p.agent.Set([]Service{one, two}); err != nil {
			t.Fatal(err)
		}
		r.until("wanted again", func() bool { return r.size("checkout") == 2 && !leaving() })

		stopped := r.follow("checkout", r.members("checkout")[0])
		p.stop(nil)
		if got := <-stopped; !slices.Equal(got, want) {
			t.Errorf("stopped: said %q", got)
		}
		if n := r.size("checkout"); n != 0 {
			t.Errorf("%d are left", n)
		}
	})
}

// A service that is not wanted any more at the agent's start takes its predecessor's member with it, and says so with the tags that the member has.
func TestAPredecessorsMemberIsMarkedToo(t *testing.T) {
	s, path := testenv.SharedZooKeeper(t)
	r := newRig(t, s, path)
	one := checkout(8001)
	one.Metadata.Version = "1.42.0"
	storage := t.TempDir()
	p := r.start(storage, one)
	r.until("registered", func() bool { return r.size("checkout") == 1 })
	gone := r.follow("checkout", r.members("checkout")[0])
	p.stop(ErrHandOver)

	session, err := zk.NewSession(zk.Config{Servers: []string{s.Addr}, SessionTimeout: 6 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c := r.config
	a, err := New(c, session)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { session.Run(ctx) })
	if err := session.Await(ctx); err != nil {
		t.Fatal(err)
	}
	w := newWorker(a, one)
	for {
		wait, err := w.deregister(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if wait == 0 {
			break
		}
		<-time.After(wait)
	}
	if got := <-gone; !slices.Equal(got, []string{discovery.Leaving + " 1.42.0"}) {
		t.Errorf("said %q", got)
	}
}

// logged keeps the records of a log.
type logged struct {
	slog.Handler
	records chan slog.Record
}

func (l logged) Enabled(context.Context, slog.Level) bool { return true }
func (l logged) Handle(_ context.Context, r slog.Record) error {
	select {
	case l.records <- r:
	default:
	}
	return nil
}

func TestASilentZooKeeperIsSaidAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	session, err := zk.NewSession(zk.Config{Servers: []string{l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	log := logged{slog.DiscardHandler, make(chan slog.Record, 100)}
	a, err := New(Config{Log: slog.New(log)}, session)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Set([]Service{checkout(8001)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { session.Run(ctx) })
	wg.Go(func() { a.Run(ctx, t.Context()) })
	begin := time.Now()
	for late := time.After(20 * time.Second); ; {
		select {
		case rec := <-log.records:
			if !strings.HasPrefix(rec.Message, "no ZooKeeper server answers") {
				continue
			}
			attrs := map[string]string{}
			rec.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value.String(); return true })
			if d := rec.Time.Sub(begin); d > 2*time.Second || attrs["waiting"] != "1" || !strings.Contains(attrs["err"], "refused") {
				t.Errorf("after %v: %v", d, attrs)
			}
			return
		case <-late:
			t.Fatal("nothing is said")
		}
	}
}

// With OwnACL others can read what an agent made, and neither change nor delete it; an agent of the same user takes it over.
func TestProtected(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		r := newRig(t, s, path)
		own := zk.Config{Digest: "roll:call", ACL: OwnACL()}
		p := r.startOver(own, "", checkout(8001))
		r.until("registered, and read by others", func() bool { m := r.members("checkout"); return len(m) == 1 && m[0].meta.Version == "1.42.0" })
		dir := path + "/checkout/prod/"
		name := r.members("checkout")[0].name
		for what, err := range map[string]error{
			"delete a member":     r.eyes.Delete(dir+name, -1),
			"change a member":     second(r.eyes.Set(dir+name, []byte("x"), -1)),
			"register in its set": second(r.eyes.Create(dir+serverset.NewKingPinName("10.0.0.1", 80), nil, gozk.FlagEphemeral, gozk.WorldACL(gozk.PermAll))),
		} {
			if !errors.Is(err, gozk.ErrNoAuth) {
				t.Errorf("others can %s: %v", what, err)
			}
		}
		p.stop(ErrHandOver)
		p = r.startOver(own, "", checkout(8001))
		r.until("taken over", func() bool { m := r.members("checkout"); return len(m) == 1 && m[0].name != name })
		p.stop(nil)
		if n := r.size("checkout"); n != 0 {
			t.Errorf("%d are left", n)
		}
	})
}

func second[T any](_ T, err error) error { return err }
