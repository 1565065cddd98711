package zkserve_test

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// quiet drops what the client library says.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

func dialGo(t *testing.T, addr string, timeout time.Duration) (*zk.Conn, <-chan zk.Event) {
	t.Helper()
	c, events, err := zk.Connect([]string{addr}, timeout, zk.WithLogger(quiet{}), zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, events
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestGoClient uses github.com/go-zookeeper/zk as the rest of the project does.
func TestGoClient(t *testing.T) {
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		a, _ := dialGo(t, s.Addr, 4*time.Second)
		b, _ := dialGo(t, s.Addr, 4*time.Second)
		open := zk.WorldACL(zk.PermAll)
		must(a.Create(path, nil, 0, open))(t)
		must(a.CreateContainer(path+"/k", nil, zk.FlagContainer, open))(t)
		_, _, changed, err := b.ChildrenW(path + "/k")
		if err != nil {
			t.Fatal(err)
		}
		member := must(a.CreateProtectedEphemeralSequential(path+"/k/member_", []byte("x"), open))(t)
		if ev := <-changed; ev.Type != zk.EventNodeChildrenChanged {
			t.Errorf("event %v", ev)
		}
		_, stat, err := b.Get(member)
		if err != nil || stat.EphemeralOwner != a.SessionID() || uint64(stat.EphemeralOwner)>>56 == 0xff { // 0xff… are TTL nodes, to whoever reads ephemeralOwner
			t.Errorf("%v %+v", err, stat)
		}
		results := must(b.Multi(&zk.DeleteRequest{Path: member, Version: -1}, &zk.CreateRequest{Path: member, Acl: open, Flags: zk.FlagEphemeral}))(t)
		if len(results) != 2 || results[1].String != member {
			t.Errorf("multi: %+v", results)
		}
		if _, err := b.Multi(&zk.CreateRequest{Path: path + "/y", Acl: open}, &zk.CheckVersionRequest{Path: path, Version: 7}); err == nil {
			t.Error("multi with a wrong version went through")
		}
		lock := zk.NewLock(a, path+"/lock", open)
		if err := lock.Lock(); err != nil {
			t.Fatal(err)
		}
		second := make(chan error)
		other := zk.NewLock(b, path+"/lock", open)
		go func() { second <- other.Lock() }()
		if err := lock.Unlock(); err != nil {
			t.Fatal(err)
		}
		if err := <-second; err != nil {
			t.Error(err)
		}
		if err := a.AddAuth("digest", []byte("joe:secret")); err != nil {
			t.Error(err)
		}
		must(a.Create(path+"/secret", nil, 0, zk.AuthACL(zk.PermAll)))(t)
		if _, _, err := b.Get(path + "/secret"); err != zk.ErrNoAuth {
			t.Errorf("read a secret: %v", err)
		}
		if ok := zk.FLWRuok([]string{s.Addr}, time.Second*5); !ok[0] {
			t.Error("ruok")
		}
	})
}

const javaCommands = `create %[1]s
create -e %[1]s/e x
create -s %[1]s/s- y
create -c %[1]s/k
create -t 1000 %[1]s/ttl z
ls -R %[1]s
get -s %[1]s/e
set -v 0 %[1]s/e xx
set -v 0 %[1]s/e xx
stat %[1]s/e
addauth digest joe:secret
setAcl %[1]s/k auth::cdrwa
getAcl %[1]s/k
addWatch -m PERSISTENT_RECURSIVE %[1]s
create %[1]s/w/x
create %[1]s/w
delete %[1]s/w
removewatches %[1]s
sync %[1]s
getAllChildrenNumber %[1]s
getEphemerals %[1]s
whoami
deleteall %[1]s
quit
`

// TestJavaClient feeds ZooKeeper's own shell, on its own client, the same commands against both servers: what it prints must be
// the same but for times and numbers of sessions and changes.
func TestJavaClient(t *testing.T) {
	cp, ok := testenv.Classpath(t, testenv.ZooKeeperJars)
	if !ok {
		return // said at the end
	}
	variable := regexp.MustCompile(`0x[0-9a-f]+|(?m)[cm]time = .*$|zxid: \d+|\(CONNECT.*$|\[zk: .*\] `)
	said := map[string]string{}
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, _ string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "java", "-Xmx64m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", cp,
			"org.apache.zookeeper.ZooKeeperMain", "-server", s.Addr)
		cmd.Stdin = strings.NewReader(fmt.Sprintf(javaCommands, "/java"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text := variable.ReplaceAllString(strings.ReplaceAll(string(out), s.Addr, "ADDR"), "…")
		if !strings.Contains(text, "WatchedEvent") || !strings.Contains(text, "NodeDeleted") {
			t.Errorf("the shell saw no watch event:\n%s", text)
		}
		lines := strings.Split(text, "\n") // events are printed by a thread of their own
		slices.Sort(lines)
		said[s.Kind] = strings.Join(lines, "\n")
	})
	if diff := cmp.Diff(said[testenv.ZooKeeperJars.Name], said[testenv.KindInProcess]); diff != "" {
		t.Errorf("ZooKeeper's shell sees a difference (-ZooKeeper +zkserve):\n%s", diff)
	}
}
