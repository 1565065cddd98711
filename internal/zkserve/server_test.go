package zkserve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/zkserve/zktest"
)

// run starts a server on a free port and returns it with what stops it and waits.
func run(t testing.TB, cfg Config) (s *Server, stop func()) {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Listening():
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			stopped = true
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// play runs script lines and compares what they print, line by line.
func play(t *testing.T, addr, script, want string) {
	t.Helper()
	got, err := (&zktest.Script{Addr: addr, Root: "/root"}).Run(script)
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	var answers []string
	for line := range strings.SplitSeq(strings.TrimSpace(got), "\n") {
		if !strings.HasPrefix(line, "> ") {
			answers = append(answers, line)
		}
	}
	if text := strings.Join(answers, " | "); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want string // in the error
	}{
		{Config{}, ""},
		{Config{Addr: "nowhere"}, "address"},
		{Config{TickTime: -1}, "tick time"},
		{Config{MinSessionTimeout: time.Hour, MaxSessionTimeout: time.Minute}, "maximal session timeout"},
		{Config{MaxSessionTimeout: 30 * 24 * time.Hour}, "does not fit"},
		{Config{MaxFrame: -1, MaxNodes: -2}, "znode limit"},
	} {
		_, err := New(tc.cfg)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%+v: error %v, want one with %q", tc.cfg, err, tc.want)
		}
	}
}

func TestRunOnce(t *testing.T) {
	s, stop := run(t, Config{})
	if err := s.Run(t.Context()); err == nil {
		t.Error("a server ran twice")
	}
	other, _ := New(Config{Addr: s.Addr()})
	if err := other.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("two on one port: %v", err)
	}
	stop()
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		c.Close()
		t.Error("still listening after its end")
	}
}

// Where we do better than the real server, or otherwise on purpose.
func TestOtherwiseThanZooKeeper(t *testing.T) {
	s, _ := run(t, Config{TickTime: 500 * time.Millisecond, MaxNodes: 12, MaxWatches: 4})
	for _, tc := range []struct{ name, script, want string }{
		{"a stranger cannot cut a session's connection", "> A connect\n> E connect as=A password=wrong\n> A events\n> A exists /", "connected, timeout 4s | expired | ok v0 cv-1 av0 owner=none len=0 children=1 c=m=p"},
		{"createTTL without a TTL ends nothing", "> A connect\n> A create /x op=ttl ttl=-1\n> A exists /x", "connected, timeout 4s | Unimplemented | NoNode"},
		{"a client cannot remove containers past their ACL", "> A connect\n> A raw 20 000000022f78", "connected, timeout 4s | Unimplemented"},
		{"znodes are bounded", "> A connect\n> A create /1\n> A create /2\n> A create /3\n> A create /4\n> A create /5\n> A create /6\n> A create /7\n> A create /8\n> A create /9\n> A delete /1\n> A create /9", "connected, timeout 4s | ok /1 | ok /2 | ok /3 | ok /4 | ok /5 | ok /6 | ok /7 | ok /8 | QuotaExceeded | ok | ok /9"},
		{"watches are bounded", "> A connect\n> A get / watch\n> A children / watch\n> A exists /a watch\n> A addwatch /b persistent\n> A exists /c watch\n> A exists /d watch\n> A setwatches since=0 exist=/e", "connected, timeout 4s | ok null v0 cv9 av0 owner=none len=0 children=9 c=m<p | ok [2 3 4 5 6 7 8 9 zookeeper] | NoNode | Throttled | NoNode | Throttled | Throttled"},
	} {
		t.Run(tc.name, func(t *testing.T) { play(t, s.Addr(), tc.script, tc.want) })
	}
	wait(t, func() bool { // the watches go with their clients
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.watches.size() == 0
	})
}

// A multi whose record would be many times its own size is refused before it fills the memory.
func TestLargeRecord(t *testing.T) {
	s, _ := run(t, Config{})
	c := dial(t, s.Addr(), zktest.Hello{})
	var list strings.Builder
	list.WriteString("world:anyone:rwcda")
	for i := range 30_000 {
		fmt.Fprintf(&list, ",digest:%d:x:r", i)
	}
	do(t, c, zktest.Create, zktest.Body{}.String("/a").Buffer(nil).ACLs(list.String()).Int(0))
	var b zktest.Body
	for range 10_000 {
		b = b.Int(zktest.SetData).Bool(false).Int(-1).String("/a").Buffer([]byte("x")).Int(-1)
	}
	rep := do(t, c, zktest.Multi, b.Int(-1).Bool(true).Int(-1))
	if first := int32(binary.BigEndian.Uint32(rep.Body[5:])); first != 0 || !bytes.Contains(rep.Body, binary.BigEndian.AppendUint32(nil, uint32(0xffffffff&int64(quotaExceeded)))) {
		t.Errorf("first step %d of %d bytes", first, len(rep.Body))
	}
	if rep := do(t, c, zktest.Exists, zktest.Body{}.String("/a").Bool(false)); rep.Body[35] != 0 {
		t.Error("a refused multi changed the znode")
	}
}

func TestContainersGo(t *testing.T) {
	s, _ := run(t, Config{ContainerCheck: 10 * time.Millisecond})
	c := dial(t, s.Addr(), zktest.Hello{})
	do(t, c, zktest.AddWatch, zktest.Body{}.String("/").Int(1))
	for _, p := range []string{"/k", "/never", "/k/c"} {
		do(t, c, zktest.CreateContainer, zktest.Body{}.String(p).Buffer(nil).ACLs("world:anyone:rwcda").Int(4))
	}
	do(t, c, zktest.Delete, zktest.Body{}.String("/k/c").Int(-1))
	gone := func(ev zktest.Event) bool { return ev.Type == eventDeleted && ev.Path == "/k" }
	wait(t, func() bool { return slices.ContainsFunc(do(t, c, zktest.Ping, nil).Events, gone) })
	if rep := do(t, c, zktest.Exists, zktest.Body{}.String("/never").Bool(false)); rep.Err != 0 {
		t.Error("a container that never had children is gone")
	}
}

func dial(t testing.TB, addr string, h zktest.Hello) *zktest.Client {
	t.Helper()
	c, err := zktest.Dial(addr, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func do(t testing.TB, c *zktest.Client, op int32, body zktest.Body) zktest.Reply {
	t.Helper()
	rep, err := c.Do(op, body)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestConnectionLimit(t *testing.T) {
	s, _ := run(t, Config{MaxConns: 2})
	a := dial(t, s.Addr(), zktest.Hello{})
	dial(t, s.Addr(), zktest.Hello{})
	if _, err := zktest.Dial(s.Addr(), zktest.Hello{}); err == nil {
		t.Error("a third connection was taken")
	}
	a.Close()
	wait(t, func() bool { // the place is free once the server has noticed
		c, err := zktest.Dial(s.Addr(), zktest.Hello{})
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// wait asks again and again until it is so.
func wait(t testing.TB, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); {
		if time.Now().After(deadline) {
			t.Fatal("it never came true")
		}
		runtime.Gosched()
	}
}

func TestSessionLimit(t *testing.T) {
	s, _ := run(t, Config{MaxSessions: 1})
	a := dial(t, s.Addr(), zktest.Hello{})
	if _, err := zktest.Dial(s.Addr(), zktest.Hello{}); !errors.Is(err, io.EOF) {
		t.Errorf("a second session: %v", err)
	}
	if rep := do(t, a, zktest.Ping, nil); rep.Err != 0 {
		t.Error("the first one suffered")
	}
}

func TestFourLetterWords(t *testing.T) {
	s, _ := run(t, Config{})
	c := dial(t, s.Addr(), zktest.Hello{})
	do(t, c, zktest.Create, zktest.Body{}.String("/e").Buffer(nil).ACLs("world:anyone:r").Int(1))
	do(t, c, zktest.GetData, zktest.Body{}.String("/e").Bool(true))
	for _, tc := range []struct{ word, want string }{
		{"ruok", "imok"},
		{"isro", "rw"},
		{"srvr", "Mode: standalone\nNode count: 5\n"},
		{"stat", "Clients:\n /127.0.0.1:"},
		{"mntr", "zk_ephemerals_count\t1\n"},
		{"mntr", "zk_watch_count\t1\n"},
		{"mntr", "zk_znode_count\t5\n"},
		{"wchs", "Total watches:1"},
		{"conf", "maxSessionTimeout=40000"},
		{"envi", "zookeeper.version=3.9.4-zkserve"},
		{"what", ""}, // a frame of two gigabytes
		{"ru", ""},
	} {
		nc, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, tc.word)
		nc.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(nc)
		nc.Close()
		if !strings.Contains(string(b), tc.want) || tc.want == "" && len(b) > 0 {
			t.Errorf("%s: %q, want %q in it", tc.word, b, tc.want)
		}
	}
}

// TestManyMembers holds what a large fleet puts on a server: 20,000 ephemerals of 200 sessions in one serverset, listed by all of
// them, then gone.
func TestManyMembers(t *testing.T) {
	const sessions, each = 200, 100
	s, _ := run(t, Config{TickTime: 500 * time.Millisecond, MaxSessionTimeout: time.Minute})
	watcher := dial(t, s.Addr(), zktest.Hello{Timeout: time.Minute})
	do(t, watcher, zktest.Create, zktest.Body{}.String("/fleet").Buffer(nil).ACLs("world:anyone:rwcda").Int(0))
	do(t, watcher, zktest.AddWatch, zktest.Body{}.String("/").Int(1))
	agents := make([]*zktest.Client, sessions)
	for i := range agents {
		agents[i] = dial(t, s.Addr(), zktest.Hello{Timeout: time.Minute})
		var last int32
		for j := range each { // in one go, as an agent of a busy host does
			path := fmt.Sprintf("/fleet/%032x-10.0.%d.%d:8001", i*each+j, i, j)
			xid, err := agents[i].Send(zktest.Create, zktest.Body{}.String(path).Buffer([]byte(path)).ACLs("world:anyone:rwcda").Int(1))
			if err != nil {
				t.Fatal(err)
			}
			if j > 0 {
				if rep, err := agents[i].Await(last); err != nil || rep.Err != 0 {
					t.Fatal(err, rep.Err)
				}
			}
			last = xid
		}
		if _, err := agents[i].Await(last); err != nil {
			t.Fatal(err)
		}
	}
	rep := do(t, watcher, zktest.Ping, nil)
	if len(rep.Events) != sessions*each {
		t.Errorf("%d events, want %d", len(rep.Events), sessions*each)
	}
	for _, a := range agents[:20] {
		if rep := do(t, a, zktest.GetChildren, zktest.Body{}.String("/fleet").Bool(false)); len(rep.Body) < sessions*each*45 {
			t.Errorf("a list of %d bytes", len(rep.Body))
		}
	}
	for _, a := range agents {
		do(t, a, zktest.CloseSession, nil)
	}
	if rep := do(t, watcher, zktest.Ping, nil); len(rep.Events) != sessions*each {
		t.Errorf("%d events at the end, want %d", len(rep.Events), sessions*each)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tree.ephemerals != 0 || len(s.sessions) != 1 || len(s.tree.nodes) != 5 {
		t.Errorf("left: %d ephemerals, %d sessions, %d znodes", s.tree.ephemerals, len(s.sessions), len(s.tree.nodes))
	}
}

// queued is how many bytes wait for the client that has most.
func (s *Server) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		c.mu.Lock()
		n = max(n, c.queued)
		c.mu.Unlock()
	}
	return n
}

// A client that takes no answers is not read any more; the others go on.
func TestDeafClient(t *testing.T) {
	s, _ := run(t, Config{})
	writer := dial(t, s.Addr(), zktest.Hello{})
	deaf := dial(t, s.Addr(), zktest.Hello{})
	do(t, writer, zktest.Create, zktest.Body{}.String("/big").Buffer(make([]byte, 1<<20-100)).ACLs("world:anyone:rwcda").Int(0))
	for range 200 { // 200 MB of answers, of which it reads none
		if _, err := deaf.Send(zktest.GetData, zktest.Body{}.String("/big").Bool(false)); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, func() bool { return s.queued() > softQueue })
	for range 100 {
		do(t, writer, zktest.Ping, nil)
		if n := s.queued(); n > softQueue+1<<20 {
			t.Fatalf("%d bytes wait for a client that does not read", n)
		}
	}
}

// A client that takes no events is cut off.
func TestDeafWatcher(t *testing.T) {
	s, _ := run(t, Config{})
	writer := dial(t, s.Addr(), zktest.Hello{})
	deaf := dial(t, s.Addr(), zktest.Hello{})
	do(t, deaf, zktest.AddWatch, zktest.Body{}.String("/").Int(1))
	long := "/" + strings.Repeat("x", 1<<20-1000)
	do(t, writer, zktest.Create, zktest.Body{}.String(long).Buffer(nil).ACLs("world:anyone:rwcda").Int(0))
	for range 200 {
		do(t, writer, zktest.SetData, zktest.Body{}.String(long).Buffer(nil).Int(-1))
		if n := s.queued(); n > hardQueue {
			t.Fatalf("%d bytes wait for a client that does not read", n)
		}
	}
	wait(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 1
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watches.size() != 0 {
		t.Error("its watch is left")
	}
}

// pipes is a listener without a network, so that time can be made to jump.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
func (p *pipes) Addr() net.Addr  { return pipeAddr{} }

func TestSessionTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{TickTime: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Serve(ctx, l) }()
		connect := func() (*conn, net.Conn) {
			client, server := net.Pipe()
			l.conns <- server
			hello := zktest.Body{}.Int(44).Int(0).Long(0).Int(4000).Long(0).Buffer(make([]byte, 16))
			client.Write(hello)
			go io.Copy(io.Discard, client)
			synctest.Wait()
			for c := range s.conns {
				if c.nc == server {
					return c, client
				}
			}
			return nil, client
		}
		silent, _ := connect()
		pinging, client := connect()
		idle, stranger := net.Pipe() // says nothing at all
		l.conns <- stranger
		for range 10 {
			time.Sleep(time.Second)
			client.Write(zktest.Body{}.Int(8).Int(-2).Int(zktest.Ping))
			synctest.Wait()
			s.mu.Lock()
			elapsed := time.Since(s.start)
			if alive := silent.session != nil; alive != (elapsed < 4*time.Second) {
				t.Errorf("the silent session after %v: alive %v", elapsed, alive)
			}
			if pinging.session == nil {
				t.Errorf("the pinging session is gone after %v", elapsed)
			}
			s.mu.Unlock()
		}
		time.Sleep(time.Second)
		if _, err := idle.Read(make([]byte, 1)); err == nil {
			t.Error("a connection that says nothing stays")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		client.Close()
	})
}
