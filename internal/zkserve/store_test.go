package zkserve

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-metrics/rollcall/internal/zkserve/zktest"
)

// fill makes persistent znodes of every kind, and two ephemerals.
const fill = `
> A connect
> A create /app
> A create /app/null
> A create /app/empty ""
> A create /app/data x
> A set /app/data yy
> A create /app/gone
> A delete /app/gone
> A create /app/secret x acl=digest:joe:hash=:rw,world:anyone:r
> A setacl /app/empty world:anyone:ra
> A create /app/k op=container
> A create /app/k/e x mode=ephemeral
> A create /app/s- mode=ephemeral-sequential
> A create /app/s- mode=sequential
> A multi create /app/m 1 ; create /app/m/n 2 ; set /app/m 3 ; delete /app/m/n`

const filled = `
> B connect
> B children2 /app
> B get /app/null
> B get /app/empty
> B get /app/data
> B getacl /app/secret
> B getacl /app/empty
> B children2 /app/k
> B get /app/m
> B create /app/s- mode=sequential`

const asFilled = `connected, timeout 4s | ` +
	`ok [data empty k m null s-0000000007 secret] v0 cv11 av0 owner=none len=0 children=7 c=m<p | ` +
	`ok null v0 cv0 av0 owner=none len=0 children=0 c=m=p | ok "" v0 cv0 av1 owner=none len=0 children=0 c=m=p | ok "yy" v1 cv0 av0 owner=none len=2 children=0 c=p<m | ` +
	`ok digest:joe:x:rw,world:anyone:r v0 cv0 av0 owner=none len=1 children=0 c=m=p | ok world:anyone:ra v0 cv0 av1 owner=none len=0 children=0 c=m=p | ` +
	`ok [] v0 cv2 av0 owner=none len=0 children=0 c=m<p | ok "3" v1 cv2 av0 owner=none len=1 children=0 c=m<p | ok /app/s-0000000009`

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s, stop := run(t, Config{Dir: dir})
	old := dial(t, s.Addr(), zktest.Hello{})
	rep := do(t, old, zktest.Create, zktest.Body{}.String("/app").Buffer(nil).ACLs("world:anyone:rwcda").Int(0))
	do(t, old, zktest.Delete, zktest.Body{}.String("/app").Int(-1))
	if sec := rep.Zxid >> 32; sec < s.start.Unix() || sec > s.start.Unix()+1 {
		t.Errorf("zxid %x does not start at Unix time %x << 32", rep.Zxid, s.start.Unix())
	}
	if _, err := zktest.Dial(s.Addr(), zktest.Hello{}); err != nil {
		t.Fatal(err)
	}
	if got, err := (&zktest.Script{Addr: s.Addr()}).Run(fill); err != nil {
		t.Fatal(err, got)
	}
	other, _ := New(Config{Addr: "127.0.0.1:0", Dir: dir})
	if err := other.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another server uses it") {
		t.Errorf("two servers in one folder: %v", err)
	}
	stop()
	before := s.zxid

	s, stop = run(t, Config{Dir: dir})
	s.mu.Lock()
	if s.zxid <= before {
		t.Errorf("zxid went back from %x to %x", before, s.zxid)
	}
	s.mu.Unlock()
	if _, err := zktest.Dial(s.Addr(), zktest.Hello{Session: old.Session, Password: old.Password, Zxid: before}); err != zktest.ErrExpired {
		t.Errorf("a session of the last life: %v", err)
	}
	play(t, s.Addr(), filled, asFilled)
	stop()
	run(t, Config{Dir: dir})
	files, _ := filepath.Glob(filepath.Join(dir, "snapshot.*"))
	if len(files) != 2 {
		t.Errorf("snapshots: %q", files)
	}
}

// A server in memory that comes back at once must be ahead of what its clients saw.
func TestRestartInMemory(t *testing.T) {
	for range 3 {
		s, stop := run(t, Config{})
		c := dial(t, s.Addr(), zktest.Hello{})
		for range 100 {
			do(t, c, zktest.SetData, zktest.Body{}.String("/").Buffer(nil).Int(-1))
		}
		stop()
		s, stop = run(t, Config{Addr: s.Addr()})
		if _, err := zktest.Dial(s.Addr(), zktest.Hello{Session: c.Session, Password: c.Password, Zxid: c.Zxid}); err != zktest.ErrExpired {
			t.Errorf("want expired, got %v", err)
		}
		stop()
	}
}

// crash copies a folder as SIGKILL would leave it, while its server runs.
func crash(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s, stop := run(t, Config{Dir: dir})
	if got, err := (&zktest.Script{Addr: s.Addr()}).Run(fill); err != nil {
		t.Fatal(err, got)
	}
	onlyLog := crash(t, dir) // everything is in the log
	s.cut()
	both := crash(t, dir) // everything is in the newest snapshot, and in the older log
	stop()

	last := func(dir, pattern string) string {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		return files[len(files)-1]
	}
	first := func(dir, pattern string) string {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		return files[0]
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 0x40; return b }
	}
	for _, tc := range []struct {
		name   string
		from   string
		file   func(dir string) string
		hurt   func([]byte) []byte
		said   string // in the log
		intact bool   // nothing is lost
	}{
		{"nothing", onlyLog, nil, nil, "", true},
		{"half a record at the end", onlyLog, func(d string) string { return last(d, "log.*") }, func(b []byte) []byte { return append(b, "zkr1\x00\x00\x00\x50half"...) }, "half a record", true},
		{"a few bytes at the end", onlyLog, func(d string) string { return last(d, "log.*") }, func(b []byte) []byte { return append(b, "zk"...) }, "half a record", true},
		{"the newest snapshot flipped", both, func(d string) string { return last(d, "snapshot.*") }, flip(200), "set aside", true},
		{"the newest snapshot cut", both, func(d string) string { return last(d, "snapshot.*") }, func(b []byte) []byte { return b[:len(b)/2] }, "set aside", true},
		{"the newest snapshot without its end", both, func(d string) string { return last(d, "snapshot.*") }, func(b []byte) []byte { return b[:len(b)-29] }, "set aside", true},
		{"the newest snapshot empty", both, func(d string) string { return last(d, "snapshot.*") }, func(b []byte) []byte { return nil }, "set aside", true},
		{"the older snapshot, unused", both, func(d string) string { return first(d, "snapshot.*") }, flip(20), "", true},
		{"a log flipped in its first record", onlyLog, func(d string) string { return last(d, "log.*") }, flip(30), "damaged", false},
		{"a log flipped in a length", onlyLog, func(d string) string { return last(d, "log.*") }, flip(5), "damaged", false},
		{"a log full of zeros", onlyLog, func(d string) string { return last(d, "log.*") }, func(b []byte) []byte { clear(b); return b }, "damaged", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := crash(t, tc.from)
			if tc.file != nil {
				name := tc.file(dir)
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, tc.hurt(b), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var said bytes.Buffer
			s, stop := run(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
			if tc.intact {
				play(t, s.Addr(), filled, asFilled)
			} else if got, err := (&zktest.Script{Addr: s.Addr()}).Run(filled); err != nil {
				t.Fatal(err, got)
			}
			stop()
			if !strings.Contains(said.String(), tc.said) || tc.said == "" && strings.Contains(said.String(), "damage") {
				t.Errorf("want %q to be said, got\n%s", tc.said, &said)
			}
			said.Reset()
			_, stop = run(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
			stop()
			if strings.Contains(said.String(), "damage") || strings.Contains(said.String(), "half a record") {
				t.Errorf("the damage is still there at the next start:\n%s", &said)
			}
		})
	}
}

// Damage to one record costs that record only; parents that it held come back without data.
func TestDamageIsLocal(t *testing.T) {
	dir := t.TempDir()
	s, _ := run(t, Config{Dir: dir})
	if got, err := (&zktest.Script{Addr: s.Addr()}).Run("> A connect\n> A create /aaaaaaaa one\n> A create /aaaaaaaa/b two\n> A create /c three"); err != nil {
		t.Fatal(err, got)
	}
	dir = crash(t, dir)
	logs, _ := filepath.Glob(filepath.Join(dir, "log.*"))
	b, _ := os.ReadFile(logs[0])
	b[bytes.Index(b, []byte("aaaaaaaa"))] = 'x'
	if err := os.WriteFile(logs[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = run(t, Config{Dir: dir})
	play(t, s.Addr(), "> A connect\n> A get /aaaaaaaa\n> A get /aaaaaaaa/b\n> A get /c", `connected, timeout 4s | `+
		`ok null v0 cv1 av0 owner=none len=0 children=1 c=m=p | ok "two" v0 cv0 av0 owner=none len=3 children=0 c=m=p | ok "three" v0 cv0 av0 owner=none len=5 children=0 c=m=p`)
	if kept, _ := filepath.Glob(filepath.Join(dir, "*.damaged")); len(kept) != 1 {
		t.Errorf("kept of the damage: %q", kept)
	}
}

// A disk that takes no more refuses changes that would have to be kept, and nothing else.
func TestFullDisk(t *testing.T) {
	s, _ := run(t, Config{Dir: t.TempDir()})
	c := dial(t, s.Addr(), zktest.Hello{})
	create := func(path string, flags int32) int32 {
		return do(t, c, zktest.Create, zktest.Body{}.String(path).Buffer(nil).ACLs("world:anyone:rwcda").Int(flags)).Err
	}
	create("/before", 0)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	good := s.store.log
	s.store.log = full
	s.mu.Unlock()
	if code := create("/lost", 0); code != int32(systemError) {
		t.Errorf("create on a full disk: %d", code)
	}
	if rep := do(t, c, zktest.Exists, zktest.Body{}.String("/lost").Bool(false)); rep.Err != int32(noNode) {
		t.Error("what was refused is there")
	}
	s.mu.Lock()
	s.store.log = good
	s.mu.Unlock()
	full.Close()
	if code := create("/after", 0); code != 0 {
		t.Errorf("create after the disk has room again: %d", code)
	}
	dir := crash(t, s.cfg.Dir)
	s, _ = run(t, Config{Dir: dir})
	play(t, s.Addr(), "> A connect\n> A children /", "connected, timeout 4s | ok [after before zookeeper]")
}

// The log is cut when it has grown, and what came meanwhile is not lost.
func TestLogIsCut(t *testing.T) {
	dir := t.TempDir()
	s, _ := run(t, Config{Dir: dir, SnapshotBytes: 1000})
	c := dial(t, s.Addr(), zktest.Hello{})
	do(t, c, zktest.Create, zktest.Body{}.String("/n").Buffer(nil).ACLs("world:anyone:rwcda").Int(0))
	snapshots := func() string {
		files, _ := filepath.Glob(filepath.Join(dir, "snapshot.*"))
		return strings.Join(files, " ")
	}
	before, n := snapshots(), int32(0)
	wait(t, func() bool {
		n++
		do(t, c, zktest.SetData, zktest.Body{}.String("/n").Buffer(nil).Int(-1))
		return snapshots() != before && !strings.Contains(snapshots(), ".new")
	})
	s, _ = run(t, Config{Dir: crash(t, dir)})
	rep := do(t, dial(t, s.Addr(), zktest.Hello{}), zktest.Exists, zktest.Body{}.String("/n").Bool(false))
	if got := int32(rep.Body[35]) | int32(rep.Body[34])<<8 | int32(rep.Body[33])<<16; got != n {
		t.Errorf("version %d, want %d", got, n)
	}
}

// What is kept is what is: after every conformance script, a crash would bring back the same persistent znodes.
func TestKeptIsWhatIs(t *testing.T) {
	files, err := filepath.Glob("testdata/conformance/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	dir := t.TempDir()
	s, _ := run(t, Config{Dir: dir, TickTime: 50 * time.Millisecond})
	for i, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script := zktest.Script{Addr: s.Addr(), Root: fmt.Sprintf("/script-%d", i)}
		if got, err := script.Run(string(b)); err != nil {
			t.Fatalf("%s: %v\n%s", file, err, got)
		}
		if i == len(files)/2 {
			s.cut()
		}
		back := newTree()
		st := &store{dir: crash(t, dir), slog: slog.New(slog.DiscardHandler)}
		if _, err := st.load(back); err != nil {
			t.Fatal(err)
		}
		images := func(tr *tree) map[string]string {
			out := map[string]string{}
			for _, im := range tr.persistent() {
				var b batch
				im.node.pzxid = 0 // an ephemeral child's end is not kept; a start moves pzxid on for it
				b.put(im.path, &im.node)
				out[im.path] = fmt.Sprintf("%q", b.b)
			}
			return out
		}
		s.mu.Lock()
		is := images(s.tree)
		s.mu.Unlock()
		if diff := cmp.Diff(is, images(back)); diff != "" {
			t.Fatalf("after %s (-is +kept):\n%s", file, diff)
		}
	}
}
