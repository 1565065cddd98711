package register

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// follower drives a Files by hand, look by look.
type follower struct {
	*testing.T
	dir   string
	files *Files
	used  []string // services as last handed over, by name; nil since asked last: nothing was
	fail  error
}

func newFollower(t *testing.T) *follower {
	f := &follower{T: t, dir: t.TempDir()}
	parse := func(text []byte) ([]Service, error) { return ParseServices(text, Defaults{Host: "h"}, env) }
	f.files = NewFiles([]string{filepath.Join(f.dir, "*.yml")}, parse, func(all []Service) error {
		f.used = []string{}
		for _, s := range all {
			f.used = append(f.used, fmt.Sprintf("%s:%d", s.Name, s.Port))
		}
		return f.fail
	}, nil)
	return f
}

func (f *follower) write(name, text string) {
	f.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

func (f *follower) service(name string, port int) string {
	return fmt.Sprintf("service: %s\nport: %d\n", name, port)
}

// looks looks n times and expects what was handed over.
func (f *follower) looks(when string, n int, want ...string) {
	f.Helper()
	f.used = nil
	for range n {
		f.files.pass(false)
	}
	if !slices.Equal(f.used, want) || (f.used == nil) != (want == nil) {
		f.Errorf("%s: handed over %q, want %q", when, f.used, want)
	}
}

func (f *follower) errorOf(name string) string {
	for _, s := range f.files.Status() {
		if strings.HasSuffix(s.File, name) {
			return s.Error
		}
	}
	return "not followed"
}

func TestFilesAreFollowed(t *testing.T) {
	f := newFollower(t)
	f.write("b.yml", f.service("b", 1))
	f.files.pass(true)
	if !slices.Equal(f.used, []string{"b:1"}) {
		t.Fatalf("at the start: %q", f.used)
	}
	f.looks("nothing new", 3)
	f.write("a.yml", f.service("a", 1)+"---\n"+f.service("c", 2))
	f.looks("somebody may still be writing", 1)
	f.looks("it is the same at the second look", 1, "a:1", "c:2", "b:1")

	f.write("b.yml", "service: b\nprot: 2\n")
	f.looks("a bad file keeps the old", 2)
	if why := f.errorOf("b.yml"); !strings.Contains(why, `line 2: nothing is called "prot"`) {
		t.Errorf("the status says %q", why)
	}
	f.write("b.yml", "")
	f.looks("so does an empty one", 2)
	f.write("b.yml", f.service("b", 22))
	f.looks("mended", 2, "a:1", "c:2", "b:22")
	if why := f.errorOf("b.yml"); why != "" {
		t.Errorf("after it was mended the status says %q", why)
	}

	os.WriteFile(filepath.Join(f.dir, ".b.yml.swp.yml"), []byte("x"), 0o600)
	os.WriteFile(filepath.Join(f.dir, "c.yaml"), []byte("x"), 0o600)
	os.Mkdir(filepath.Join(f.dir, "d.yml"), 0o700)
	f.looks("what does not match, is hidden, or no file", 3)

	os.Remove(filepath.Join(f.dir, "a.yml"))
	f.looks("gone", 1, "b:22")

	f.files.Put([]Service{{Name: "first", Port: 9}})
	f.looks("services that are in no file", 1, "first:9", "b:22")
}

func TestFilesInAFolderThatGoesBlind(t *testing.T) {
	f := newFollower(t)
	f.write("a.yml", f.service("a", 1))
	f.files.pass(true)
	away := f.dir + ".away"
	if err := os.Rename(f.dir, away); err != nil {
		t.Fatal(err)
	}
	f.looks("the folder is away: nobody is deregistered", 3)
	if len(f.files.Status()) != 2 || f.files.Status()[0].Error == "" {
		t.Errorf("%+v", f.files.Status())
	}
	if err := os.Rename(away, f.dir); err != nil {
		t.Fatal(err)
	}
	f.looks("it is back", 2)
	if len(f.files.Status()) != 1 {
		t.Errorf("%+v", f.files.Status())
	}
}

func TestFilesOfOneEndpoint(t *testing.T) {
	f := newFollower(t)
	f.write("a.yml", f.service("x", 1))
	f.write("b.yml", f.service("x", 1)+"---\n"+f.service("y", 2))
	f.files.pass(true)
	if !slices.Equal(f.used, []string{"x:1", "y:2"}) {
		t.Errorf("%q: one bad thing hurts only itself", f.used)
	}
	if why := f.errorOf("b.yml"); !strings.Contains(why, "x/default/h:1 is in "+filepath.Join(f.dir, "a.yml")) {
		t.Errorf("the status says %q", why)
	}
	os.Remove(filepath.Join(f.dir, "a.yml"))
	f.looks("the other one counts now", 1, "x:1", "y:2")
	if why := f.errorOf("b.yml"); why != "" {
		t.Errorf("the status says %q", why)
	}
}

func TestFilesWithTheSameStamp(t *testing.T) {
	f := newFollower(t)
	f.write("a.yml", f.service("a", 1))
	at := time.Now().Add(-time.Hour)
	path := filepath.Join(f.dir, "a.yml")
	os.Chtimes(path, at, at)
	f.files.pass(true)
	f.write("a.yml", f.service("a", 2))
	os.Chtimes(path, at, at)
	f.looks("the text counts, if only after a while", 31, "a:2")
}

func TestFilesThatAreRefusedTogether(t *testing.T) {
	f := newFollower(t)
	f.fail = errors.New("no")
	f.write("a.yml", f.service("a", 1))
	f.files.pass(true)
	if why := f.errorOf("all together"); why != "no" {
		t.Errorf("the status says %q", why)
	}
	f.fail = nil
	f.looks("tried again", 1, "a:1")
	if why := f.errorOf("all together"); why != "not followed" {
		t.Errorf("the status says %q", why)
	}
}

func TestFilesReplaceSaysWhetherItWasTaken(t *testing.T) {
	f := newFollower(t)
	f.write("a.yml", f.service("a", 1))
	if err := f.files.Replace([]Service{{Name: "b", Host: "h", Port: 2}}); err != nil || !slices.Equal(f.used, []string{"b:2", "a:1"}) {
		t.Errorf("handed over %q: %v", f.used, err)
	}
	f.fail = errors.New("given twice")
	if err := f.files.Replace(nil); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("refused, and the error is %v", err)
	}
}

func TestFilesBounds(t *testing.T) {
	f := newFollower(t)
	f.write("a.yml", "# "+strings.Repeat("x", maxFile)+"\n")
	f.files.pass(true)
	if why := f.errorOf("a.yml"); !strings.Contains(why, "divide it") {
		t.Errorf("the status says %q", why)
	}
	for pattern, bad := range map[string]bool{"services.d/*.yml": false, "x.yml": false, "*/x.yml": true, "a[.yml": true, "": true} {
		if (badPattern(pattern) != "") != bad {
			t.Errorf("%q: %q", pattern, badPattern(pattern))
		}
	}
}

// Some editors begin a file with a byte order mark; and what is no file is none, whoever may write to it some day.
func TestFilesOfOthers(t *testing.T) {
	f := newFollower(t)
	f.write("a.yml", "\ufeff"+f.service("a", 1))
	if err := syscall.Mkfifo(filepath.Join(f.dir, "b.yml"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.files.pass(true)
	if !slices.Equal(f.used, []string{"a:1"}) {
		t.Errorf("%q, and of the one with a mark: %q", f.used, f.errorOf("a.yml"))
	}
}

func TestFilesThatAreBadAtTheStart(t *testing.T) {
	f := newFollower(t)
	f.files.Keep = filepath.Join(t.TempDir(), "services")
	f.write("a.yml", f.service("a", 1))
	f.write("b.yml", f.service("b", 2))
	f.files.pass(true)
	f.write("a.yml", "service: [")
	os.Remove(filepath.Join(f.dir, "b.yml"))
	f.looks("one bad, one gone", 2, "a:1")

	again := newFollower(t) // the next agent
	again.files.Patterns, again.files.Keep = f.files.Patterns, f.files.Keep
	again.dir = f.dir
	again.files.pass(true)
	if !slices.Equal(again.used, []string{"a:1"}) {
		t.Errorf("after a restart: %q, want what the file said before", again.used)
	}
	if why := again.errorOf("a.yml"); why == "" {
		t.Error("the status does not name the bad file")
	}
	again.write("b.yml", "service: [")
	again.looks("what was gone has no copy", 3)
	again.write("a.yml", again.service("a", 3))
	again.looks("mended", 2, "a:3")
}
