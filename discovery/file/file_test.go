package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ discovery.Source = (*Poller)(nil)
	_ discovery.Source = (*Static)(nil)
	_ discovery.Source = (*HTTP)(nil)
)

// put writes a file that was last written age ago.
func put(t *testing.T, file, text string, age time.Duration) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

// bench runs a source against a roster, in a bubble of time.
type bench struct {
	t      *testing.T
	roster *discovery.Roster
	dir    string
}

func run(t *testing.T, dir string, s discovery.Source) *bench {
	t.Helper()
	b := &bench{t, discovery.NewRoster(discovery.RosterOptions{Guard: discovery.GuardOptions{Off: true}}), dir}
	w := discovery.NewWatcher(b.roster, nil)
	if err := w.Set([]discovery.Source{s}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return b
}

// is asserts, after a while, who is on the roster, and what the source says is wrong.
func (b *bench) is(step string, after time.Duration, want, trouble string) {
	b.t.Helper()
	time.Sleep(after) // in the bubble
	synctest.Wait()
	var got []string
	for _, e := range b.roster.Entries() {
		switch e.State {
		case discovery.Present, discovery.Unconfirmed:
			got = append(got, e.Key.String())
		case discovery.Unparsable:
			got = append(got, "!"+e.Member)
		}
	}
	if g := strings.Join(got, " "); g != want {
		b.t.Fatalf("%s: got %s, want %s", step, g, want)
	}
	v := b.roster.Views()[0]
	if (v.Err == "") != (trouble == "") || !strings.Contains(v.Err, trouble) {
		b.t.Fatalf("%s: error %q, want %q", step, v.Err, trouble)
	}
}

func TestServersetFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, z := filepath.Join(dir, "discovery.a.prod"), filepath.Join(dir, "discovery.z.prod")
		put(t, a, "10.0.0.1:80\n10.0.0.2:80", time.Minute)
		put(t, filepath.Join(dir, ".discovery.hidden.prod"), "10.9.9.9:80", time.Minute)
		put(t, a+".tmp", "10.9.9.9:80", time.Minute)
		if err := os.Mkdir(filepath.Join(dir, "discovery.folder.prod"), 0o755); err != nil {
			t.Fatal(err)
		}
		p, err := NewServersets(Config{Name: "hosts", Files: []string{filepath.Join(dir, "discovery.*")}})
		if err != nil {
			t.Fatal(err)
		}
		b := run(t, dir, p)
		b.is("at once", time.Millisecond, "a/prod/10.0.0.1:80 a/prod/10.0.0.2:80", "")
		put(t, a, "10.0.0.1:80\nbad\n10.0.0.3:80", 30*time.Second)
		put(t, z, "10.0.0.1:80", 30*time.Second)
		b.is("changed, and a new one", 6*time.Second, "!bad a/prod/10.0.0.1:80 a/prod/10.0.0.3:80 z/prod/10.0.0.1:80", "")
	})
}

func TestPollerKeepsAndDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		in := filepath.Join(dir, "sets")
		if err := os.Mkdir(in, 0o755); err != nil {
			t.Fatal(err)
		}
		a, z := filepath.Join(in, "discovery.a.prod"), filepath.Join(in, "discovery.z.prod")
		put(t, a, "10.0.0.1:80", time.Minute)
		put(t, z, "10.0.0.9:80", time.Minute)
		p, err := NewServersets(Config{Name: "hosts", Files: []string{filepath.Join(in, "discovery.*")}})
		if err != nil {
			t.Fatal(err)
		}
		both := "a/prod/10.0.0.1:80 z/prod/10.0.0.9:80"
		b := run(t, dir, p)
		b.is("begin", time.Millisecond, both, "")
		const look = 5 * time.Second

		put(t, a, "", 50*time.Second)
		b.is("empty once", look, both, "empty, where there were 1 members")
		b.is("empty twice", look, both, "empty, where there were 1 members")
		b.is("empty for good", look, "z/prod/10.0.0.9:80", "")
		put(t, a, "10.0.0.1:80", 49*time.Second)
		b.is("filled again", look, both, "")
		put(t, a, "", 48*time.Second)
		b.is("empty for a moment", look, both, "empty")
		put(t, a, "10.0.0.1:80", 47*time.Second)
		b.is("and whole again", look, both, "")

		os.Remove(a)
		b.is("missed once", look, both, "")
		put(t, a, "10.0.0.1:80", 46*time.Second)
		b.is("it was only being replaced", look, both, "")
		os.Remove(a)
		b.is("missed twice is gone", 2*look, "z/prod/10.0.0.9:80", "")
		put(t, a, "10.0.0.1:80", 45*time.Second)
		b.is("back", look, both, "")

		os.Rename(in, in+".away")
		b.is("a folder that is not there says nothing", 10*look, both, "no such file")
		if v := b.roster.Views()[0]; v.Connected {
			t.Fatal("the view says that the files can be seen")
		}
		os.Rename(in+".away", in)
		b.is("it is there again", look, both, "")

		if err := os.Truncate(z, maxBytes+1); err != nil {
			t.Fatal(err)
		}
		b.is("a file that cannot be read keeps what it had", 2*look, both, "z.prod\" is longer than 67108864 bytes")
		put(t, z, "10.0.0.8:80", 44*time.Second)
		b.is("mended", look, "a/prod/10.0.0.1:80 z/prod/10.0.0.8:80", "")
	})
}

// A file that is copied into place is read in the middle of it: what is there then is not taken.
func TestTornFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := filepath.Join(dir, "discovery.a.prod")
		put(t, a, "10.0.0.1:80\n10.0.0.2:8001", time.Minute)
		p, err := NewServersets(Config{Name: "hosts", Files: []string{a}})
		if err != nil {
			t.Fatal(err)
		}
		b := run(t, dir, p)
		whole := "a/prod/10.0.0.1:80 a/prod/10.0.0.2:8001"
		b.is("begin", 4900*time.Millisecond, whole, "")
		put(t, a, "10.0.0.1:80\n10.0.0.2:8", 0) // the look at 5 s finds it so
		time.Sleep(200 * time.Millisecond)
		put(t, a, "10.0.0.1:80\n10.0.0.2:8002", 0)
		b.is("torn", 2*time.Second, whole, "")
		b.is("whole", 5*time.Second, "a/prod/10.0.0.1:80 a/prod/10.0.0.2:8002", "")
		put(t, a, "10.0.0.7:80", -time.Hour)
		b.is("written in the future", 5*time.Second, "a/prod/10.0.0.7:80", "")
	})
}

func TestTargetFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j, y := filepath.Join(dir, "one", "t.json"), filepath.Join(dir, "two", "t.yml")
		for _, f := range []string{j, y} {
			if err := os.Mkdir(filepath.Dir(f), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		put(t, j, `[{"targets":["h:1"],"labels":{"job":"a"}}]`, time.Minute)
		put(t, y, "- targets: ['h:2']\n", time.Minute)
		p, err := NewTargets(Config{Name: "nodes#2", Files: []string{filepath.Join(dir, "*", "*.json"), filepath.Join(dir, "*", "*.y*ml")}})
		if err != nil {
			t.Fatal(err)
		}
		b := run(t, dir, p)
		b.is("both", time.Millisecond, "a/default/h:1 nodes/default/h:2", "")
		if e := b.roster.Entries()[0]; e.Meta.Get("__meta_filepath") != j || e.Source != "nodes#2" || e.Path != j {
			t.Fatalf("%+v", e)
		}
		put(t, j, "[{\"targets\":[\"h:1\",\"h:3\"]},\n{\"targ", 50*time.Second)
		b.is("a bad one keeps the last good", 6*time.Second, "a/default/h:1 nodes/default/h:2", "t.json:2: the text ends")
		b.is("and stays so", 3*time.Minute, "a/default/h:1 nodes/default/h:2", "t.json:2: the text ends")
		put(t, j, `[{"targets":["h:3"],"labels":{"job":"a"}}]`, 40*time.Second)
		b.is("mended", 6*time.Second, "a/default/h:3 nodes/default/h:2", "")
		was := b.roster.Entries()[1].Verified
		b.is("nothing changes", 5*time.Minute, "a/default/h:3 nodes/default/h:2", "")
		if now := b.roster.Entries()[1].Verified; now.Sub(was) < 4*time.Minute {
			t.Fatalf("verified at %v, then at %v: it does not move", was, now)
		}
	})
}

// Paths of a source that cannot see everything are never said to be all.
func TestViewIsHonest(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "discovery.a.b"), "h:1", time.Hour)
	p, err := NewServersets(Config{Name: "x", Files: []string{filepath.Join(dir, "discovery.*"), filepath.Join(dir, "none", "*")}})
	if err != nil {
		t.Fatal(err)
	}
	out := discovery.NewLatest()
	p.look(t.Context(), out)
	sets, views := out.Take()
	if len(sets) != 1 || len(views) != 1 || views[0].Complete || views[0].Connected || !strings.Contains(views[0].Err, "none") {
		t.Fatalf("%+v %+v", sets, views)
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"a/x.json", "a/y.yml", "b/x.json", "b/.x.json", "b/z.json~", "b/sub/x.json", "c.json"} {
		f = filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, f, "", 0)
	}
	os.Symlink(filepath.Join(dir, "c.json"), filepath.Join(dir, "a", "link.json"))
	os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "a", "dangling.json"))
	for _, tc := range []struct {
		patterns []string
		want     string
		fails    bool
	}{
		{[]string{"*/*.json"}, "a/link.json a/x.json b/x.json", false},
		{[]string{"a/x.json"}, "a/x.json", false},
		{[]string{"a/none.json"}, "", false},
		{[]string{"none/x.json"}, "", true},
		{[]string{"none/*/x.json"}, "", true},
		{[]string{"*/sub/*"}, "b/sub/x.json", false},
		{[]string{"?/x.*", "a/x.json", "[ab]/y.yml"}, "a/x.json a/y.yml b/x.json", false},
		{[]string{"c.json/x"}, "", true},
	} {
		t.Run(fmt.Sprint(tc.patterns), func(t *testing.T) {
			var ps []string
			for _, p := range tc.patterns {
				ps = append(ps, filepath.Join(dir, p))
			}
			got, err := list(ps)
			for i := range got {
				got[i], _ = filepath.Rel(dir, got[i])
			}
			if strings.Join(got, " ") != tc.want || (err != nil) != tc.fails {
				t.Fatalf("got %v %v, want %s", got, err, tc.want)
			}
		})
	}
	// What filepath.Glob finds we find, but for what we pass over.
	want, _ := filepath.Glob(filepath.Join(dir, "*", "x.json"))
	if got, err := list([]string{filepath.Join(dir, "*", "x.json")}); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v %v, want %v", got, err, want)
	}
}

func TestConfigFaults(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{Files: []string{"x"}}, "has no name"},
		{Config{Name: "x"}, "files is empty"},
		{Config{Name: "x", Files: []string{""}}, "empty file pattern"},
		{Config{Name: "x", Files: []string{"a["}}, `"a[": syntax error in pattern`},
		{Config{Name: "x", Files: []string{"x"}, Every: -1}, "negative"},
	} {
		if _, err := NewServersets(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.cfg, err, tc.want)
		}
	}
}

func TestStatic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewStatic("apps", []Group{{Targets: []string{"10.0.0.1:80", "h"}, Labels: map[string]string{"env": "prod", "zone": "a"}}})
		if err != nil {
			t.Fatal(err)
		}
		b := run(t, "", s)
		b.is("at once", time.Millisecond, "apps/prod/10.0.0.1:80 apps/prod/h:80", "")
		if e := b.roster.Entries()[0]; e.Format != "static" || e.Tags.Get("cloud.availability_zone") != "a" {
			t.Fatalf("%+v", e)
		}
	})
	for _, tc := range []struct {
		name   string
		groups []Group
		want   string
	}{
		{"apps", []Group{{Targets: []string{"h:1"}}, {Targets: []string{"h:x", "h:"}}}, `static_configs: group 2: target "h:x"`},
		{"apps", []Group{{Labels: map[string]string{"__scheme__": "ftp"}}}, "neither http nor https"},
		{"", nil, "has no name"},
	} {
		if _, err := NewStatic(tc.name, tc.groups); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want %q", err, tc.want)
		}
	}
}
