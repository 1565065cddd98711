package zkserve

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/internal/zkserve/zktest"
)

// offline is a server without a network, and connections to it whose answers go nowhere.
func offline(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.close() })
	return s
}

func (s *Server) attach(t testing.TB) *conn {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	c := newConn(s, server)
	c.ids = []identity{{"ip", "127.0.0.1"}}
	if !s.connect(c, zktest.Body{}.Int(0).Long(0).Int(4000).Long(0).Buffer(make([]byte, 16))) {
		t.Fatal("not connected")
	}
	c.forget()
	return c
}

// forget drops what was queued.
func (c *conn) forget() {
	c.mu.Lock()
	c.out, c.queued = nil, 0
	c.mu.Unlock()
}

// check holds the server's tables against each other.
func (s *Server) check(t *testing.T) {
	t.Helper()
	ephemerals, containers, size := 0, 0, int64(0)
	for path, n := range s.tree.nodes {
		if path != "/" {
			parent, name := split(path)
			if p := s.tree.get(parent); p == nil || p.ephemeral() {
				t.Fatalf("%q has no parent", path)
			} else if _, is := p.children[name]; !is {
				t.Fatalf("%q is not its parent's child", path)
			}
			if !validPath(path) {
				t.Fatalf("%q is no path", path)
			}
			if !special(path) {
				size += int64(len(path) + len(n.data))
			}
		}
		for name := range n.children {
			if s.tree.get(strings.TrimSuffix(path, "/")+"/"+name) == nil {
				t.Fatalf("%q has a child %q that is not there", path, name)
			}
		}
		if n.listing != nil && bytes.Count(n.listing, nil) > 0 {
			d := &decoder{b: n.listing}
			k := 0
			for ; len(d.b) > 0; k++ {
				if _, is := n.children[d.string()]; !is {
					t.Fatalf("%q lists a child that is not there", path)
				}
			}
			if k != len(n.children) {
				t.Fatalf("%q lists %d children of %d", path, k, len(n.children))
			}
		}
		if n.ephemeral() {
			ephemerals++
			if _, is := s.sessions[n.owner].ephemerals[path]; !is {
				t.Fatalf("%q is not with its session", path)
			}
		}
		if n.owner == containerOwner {
			containers++
		}
	}
	if ephemerals != s.tree.ephemerals || containers != len(s.tree.containers) {
		t.Fatalf("%d ephemerals, %d containers; counted %d and %d", ephemerals, containers, s.tree.ephemerals, len(s.tree.containers))
	}
	for d, n := range s.tree.nodes { // the root and its own kin may carry data
		if special(d) {
			size += int64(len(n.data))
		}
	}
	if size != s.tree.bytes {
		t.Fatalf("%d bytes, counted %d", size, s.tree.bytes)
	}
	for _, table := range []*watchTable{&s.watches.data, &s.watches.child} {
		size, recursive := 0, 0
		for path, conns := range table.paths {
			size += len(conns)
			for _, c := range conns {
				mode := (*table.modes(c))[path]
				if mode == 0 {
					t.Fatalf("a watch on %q that its connection does not know", path)
				}
				if mode&watchRecursive != 0 {
					recursive++
				}
			}
		}
		if size != table.size || recursive != table.recursive {
			t.Fatalf("%d watches, %d recursive; counted %d and %d", size, recursive, table.size, table.recursive)
		}
	}
}

// conformanceFrames is the requests of the conformance scripts, as frames one after the other.
func conformanceFrames(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/conformance/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal("no scripts", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var frames []byte
		for line := range strings.SplitSeq(string(b), "\n") {
			command, is := strings.CutPrefix(line, "> ")
			if !is || strings.Contains(command, "x*") {
				continue
			}
			if op, body, err := zktest.Encode(strings.ReplaceAll(command, "$R", "/r")); err == nil {
				frames = zktest.Body(frames).Buffer(append(zktest.Body{}.Int(7).Int(op), body...))
			}
		}
		f.Add(frames)
	}
}

// FuzzFrames sends any frames, by turns over three connections, to a server and checks that it stays consistent.
func FuzzFrames(f *testing.F) {
	conformanceFrames(f)
	f.Add([]byte{0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := offline(t, Config{MaxNodes: 1000, MaxWatches: 1000})
		conns := []*conn{s.attach(t), s.attach(t), s.attach(t)}
		for i := 0; len(b) >= 4 && i < 1000; i++ {
			n := min(int(binary.BigEndian.Uint32(b)), len(b)-4)
			frame := b[4 : 4+n]
			b = b[4+n:]
			c := conns[i%len(conns)]
			if !s.handle(c, frame) {
				s.leave(c)
				conns[i%len(conns)] = s.attach(t)
			}
			for _, c := range conns {
				c.forget()
			}
		}
		s.check(t)
		for _, c := range conns {
			s.leave(c)
		}
		for _, ses := range s.sessions {
			s.closeSession(ses)
		}
		s.check(t)
		if s.watches.size() != 0 || s.tree.ephemerals != 0 {
			t.Fatalf("left: %d watches, %d ephemerals", s.watches.size(), s.tree.ephemerals)
		}
	})
}

// FuzzConnect sends any first frame.
func FuzzConnect(f *testing.F) {
	f.Add([]byte(zktest.Body{}.Int(0).Long(0).Int(4000).Long(0).Buffer(make([]byte, 16)).Bool(true)))
	f.Add([]byte(zktest.Body{}.Int(0).Long(0).Int(-1).Long(77).Buffer(nil)))
	f.Add([]byte(zktest.Body{}.Int(0).Long(1 << 62).Int(4000).Long(0).Buffer(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := offline(t, Config{})
		client, server := net.Pipe()
		defer client.Close()
		c := newConn(s, server)
		if s.connect(c, b) && (c.session == nil || c.session.timeout < s.cfg.MinSessionTimeout || c.session.timeout > s.cfg.MaxSessionTimeout) {
			t.Fatalf("connected as %+v", c.session)
		}
		s.leave(c)
	})
}

// FuzzReplay reads any bytes as a log and as a snapshot.
func FuzzReplay(f *testing.F) {
	dir := f.TempDir()
	s := offline(f, Config{Dir: dir})
	c := s.attach(f)
	for _, frame := range []zktest.Body{
		zktest.Body{}.Int(1).Int(zktest.Create).String("/a").Buffer([]byte("x")).ACLs("world:anyone:r,digest:joe:x=:rw").Int(0),
		zktest.Body{}.Int(1).Int(zktest.CreateContainer).String("/k").Buffer(nil).ACLs("world:anyone:rcda").Int(4),
		zktest.Body{}.Int(1).Int(zktest.Create).String("/k/e").Buffer(nil).ACLs("world:anyone:r").Int(1),
		zktest.Body{}.Int(1).Int(zktest.Create).String("/k/p").Buffer([]byte{}).ACLs("world:anyone:r").Int(2),
		zktest.Body{}.Int(1).Int(zktest.Delete).String("/a").Int(-1),
	} {
		s.handle(c, frame)
	}
	s.cut()
	files, _ := filepath.Glob(filepath.Join(dir, "*.*"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("zkr1\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00zkr1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := offline(t, Config{})
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "log.0000000000000001"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		st := &store{dir: dir, slog: s.log}
		if _, err := st.load(s.tree); err != nil {
			t.Fatal(err)
		}
		if _, err := st.whole(kept{"log.0000000000000001", true, 1}); err != nil {
			t.Fatal(err)
		}
		s.check(t)
	})
}
