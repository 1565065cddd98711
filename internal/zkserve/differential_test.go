package zkserve_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/internal/zkserve/zktest"
)

// TestSameAsZooKeeper lets several clients do random things to zkserve and to a real ZooKeeper; every answer and every event must be
// the same.
func TestSameAsZooKeeper(t *testing.T) {
	addrs := map[string]string{}
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, _ string) { addrs[s.Kind] = s.Addr })
	ours, theirs := addrs[testenv.KindInProcess], addrs[testenv.ZooKeeperJars.Name]
	if theirs == "" {
		return // said at the end
	}
	var runs atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		script := randomScript(t)
		root := fmt.Sprintf("/random-%d", runs.Add(1))
		want, err := (&zktest.Script{Addr: theirs, Root: root}).Run(script)
		if err != nil {
			t.Fatalf("real ZooKeeper: %v", err)
		}
		got, err := (&zktest.Script{Addr: ours, Root: root}).Run(script)
		if err != nil {
			t.Fatalf("zkserve: %v\n%s", err, got)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-ZooKeeper +zkserve):\n%s", diff)
		}
	})
}

// randomScript is up to sixty commands of three clients on a few paths. Clients with several ephemerals do not close: in which
// order those go is left to the server.
func randomScript(t *rapid.T) string {
	var b strings.Builder
	for _, c := range []string{"A", "B", "C"} {
		fmt.Fprintf(&b, "> %s connect\n", c)
	}
	b.WriteString("> A create $R\n> B auth digest joe:secret\n")
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	path := func() string {
		return pick("path", "$R", "$R/a", "$R/b", "$R/a/c", "$R/a/d", "$R/b/e", "$R/a/c/f", "$R/s0000000001", "$R/a/", "$R//a", "bad")
	}
	watch := func() string { return pick("watch", "", "watch") }
	version := func() string { return pick("version", "", "", " version=0", " version=1", " version=2") }
	data := func() string { return pick("data", "", `""`, "x", "yy") }
	acl := func() string {
		return pick("acl", "", "", "", "", " acl=auth::rwcda", " acl=world:anyone:r", " acl=world:anyone:cd", " acl=ip:127.0.0.1:rwa", " acl=digest:joe:oesAybBun9icKJjQSTRN8OBueSc=:rw", " acl=digest:a:b:r", " acl=ip:nowhere:r")
	}
	create := func() string {
		return "create " + path() + " " + data() + pick("mode", "", "", "", " mode=ephemeral", " mode=sequential", " mode=ephemeral-sequential", " op=create2", " op=container") + acl()
	}
	change := func() string {
		switch pick("change", "create", "create", "delete", "set", "check") {
		case "delete":
			return "delete " + path() + version()
		case "set":
			return "set " + path() + " " + pick("data", "x", "yy") + version()
		case "check":
			return "check " + path() + version()
		}
		return create()
	}
	for range rapid.IntRange(1, 60).Draw(t, "commands") {
		client := pick("client", "A", "A", "B", "C")
		var line string
		switch pick("command", "change", "change", "change", "read", "read", "read", "multi", "acl", "watch", "setwatches", "multiread", "other") {
		case "change":
			if line = change(); strings.HasPrefix(line, "check") {
				continue // alone it ends the connection
			}
		case "read":
			line = pick("read", "get", "exists", "children", "children2") + " " + path() + " " + watch()
		case "multi":
			var steps []string
			for range rapid.IntRange(1, 5).Draw(t, "steps") {
				steps = append(steps, change())
			}
			line = "multi " + strings.Join(steps, " ; ")
		case "multiread":
			line = "multiread get " + path() + " ; children " + path()
		case "acl":
			line = pick("acl", "getacl "+path(), "setacl "+path()+" world:anyone:rwcda"+version(), "setacl "+path()+" auth::rwcda", "setacl "+path()+" world:anyone:ra")
		case "watch":
			line = pick("watches", "addwatch "+path()+" persistent", "addwatch "+path()+" recursive",
				"remove-watches "+path()+" "+pick("type", "children", "data", "any", "persistent", "recursive"),
				"check-watches "+path()+" "+pick("type", "children", "data", "any", "persistent", "recursive"))
		case "setwatches":
			line = fmt.Sprintf("setwatches since=%s data=%s,%s exist=%s child=%s,%s", pick("since", "seen", "0"), path(), path(), path(), path(), path())
		case "other":
			line = pick("other", "events", "sync "+path(), "all "+path(), "ephemerals "+path(), "whoami")
		}
		fmt.Fprintf(&b, "> %s %s\n", client, line)
	}
	for _, c := range []string{"A", "B", "C"} {
		fmt.Fprintf(&b, "> %s events\n", c)
	}
	return b.String()
}
