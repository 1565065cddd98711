package register

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/textfile"
)

// maxFile bounds a file of services, maxFiles how many are read.
const (
	maxFile  = 1 << 20
	maxFiles = 10_000
)

// Files follows files of services. A file is taken when it has not changed between two looks, whole or not at all: one that can not be read keeps what it
// said before. A file that is gone takes its services with it; a folder that can not be listed does not.
type Files struct {
	// Patterns name files: the last element may hold *, ? and [...], the folder may not.
	Patterns []string
	// Parse makes services of a file's text.
	Parse func(text []byte) ([]Service, error)
	// Use is called from Run with all services, in the order of files, whenever they may have changed; the first time even if there are none. Its error is
	// shown for as long as it stands.
	Use func([]Service) error
	// Interval is how often to look; default 2 s.
	Interval time.Duration
	// Keep is a folder for a copy of every file's last good text; empty: none is kept. A file that is bad when the agent begins says what its copy says, so
	// a restart (or an upgrade that reads more strictly) loses no service.
	Keep string
	Log  *slog.Logger

	look  chan struct{} // one slot
	looks int

	mu    sync.Mutex
	begun bool
	first []Service            // see Put
	files map[string]*followed // by path
	dirs  map[string]string    // folder → why it can not be listed
	use   string               // the error of Use
}

// followed is one file. A file is parsed once a content.
type followed struct {
	stamp    stamp
	steady   bool // the stamp was the same at two looks
	sum      [sha256.Size]byte
	services []Service
	err      error
	twice    string // a service of it that another file has too
}

type stamp struct {
	size     int64
	modified time.Time
}

// FileStatus is where one file stands.
type FileStatus struct {
	File     string `json:"file"`
	Services int    `json:"services"`
	Error    string `json:"error,omitempty"` // then Services is of an older content
}

// NewFiles makes a follower. See the fields for what to set; they must not change any more once Run has begun.
func NewFiles(patterns []string, parse func([]byte) ([]Service, error), use func([]Service) error, log *slog.Logger) *Files {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Files{Patterns: patterns, Parse: parse, Use: use, Log: log, files: map[string]*followed{}, dirs: map[string]string{}, look: make(chan struct{}, 1)}
}

// badPattern says what is wrong with a pattern, or "".
func badPattern(p string) string {
	switch {
	case p == "":
		return "is empty; name files such as services.d/*.yml"
	case strings.ContainsAny(filepath.Dir(p), "*?["):
		return "has a wildcard in its folder; only the file's name may have them"
	}
	if _, err := filepath.Match(filepath.Base(p), "x"); err != nil {
		return "is not a pattern such as *.yml"
	}
	return ""
}

// Look makes Run look now.
func (f *Files) Look() { wake(f.look) }

// Put gives services that are in no file, ahead of all others; Run hands them over with the rest, after it has read every file again: what Parse makes of
// one may have changed too.
func (f *Files) Put(services []Service) {
	f.put(services)
	f.Look()
}

// Replace is Put that looks at once, while Run runs; the error is Use's: the services before stay.
func (f *Files) Replace(services []Service) error {
	f.put(services)
	f.pass(true)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.use != "" {
		return fmt.Errorf("services of all files together are refused; the ones before stay: %s", f.use)
	}
	return nil
}

func (f *Files) put(services []Service) {
	f.mu.Lock()
	f.first, f.begun = services, false
	for _, file := range f.files {
		file.sum, file.steady = [sha256.Size]byte{}, false
	}
	f.mu.Unlock()
}

// Run follows until ctx ends.
func (f *Files) Run(ctx context.Context) error {
	for _, p := range f.Patterns {
		if why := badPattern(p); why != "" {
			return fmt.Errorf("follow files: %q %s", p, why)
		}
	}
	interval := f.Interval
	if interval <= 0 {
		interval = 2 * time.Second
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	f.pass(true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.pass(false)
		case <-f.look:
			f.pass(true)
		}
	}
}

// pass looks at everything once. At the start, and when asked to, files are taken as they are, without waiting for a second look.
func (f *Files) pass(now bool) {
	seen, failed := f.list()
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := !f.begun
	f.begun = true
	f.looks++
	again := now || f.looks%30 == 0 // a stamp may stay as it is while the text does not
	for dir, why := range failed {
		if f.dirs[dir] != why {
			f.Log.Error("folder of services can not be listed; its services stay as they are", "folder", dir, "err", why)
		}
	}
	f.dirs = failed
	for path, s := range seen {
		old := f.files[path]
		if old == nil {
			old = &followed{}
			f.files[path] = old
		}
		if f.refresh(path, old, s, now, again) {
			changed = true
		}
	}
	for path := range f.files {
		_, there := seen[path]
		_, blind := failed[filepath.Dir(path)]
		if !there && !blind {
			f.Log.Info("file of services is gone", "file", path)
			delete(f.files, path)
			f.forget(path)
			changed = true
		}
	}
	if changed || f.use != "" {
		f.apply()
	}
}

// apply hands everything over.
func (f *Files) apply() {
	all := slices.Clone(f.first)
	by := map[discovery.Key]string{}
	for i := range all {
		by[all[i].Key()] = cmp.Or(all[i].Source, "the command line")
	}
	for _, path := range f.paths() {
		file := f.files[path]
		was := file.twice
		file.twice = ""
		for _, s := range file.services {
			if other, taken := by[s.Key()]; taken {
				file.twice = fmt.Sprintf("%s is in %s already; that one counts", s.Key(), other)
				continue
			}
			by[s.Key()] = path
			all = append(all, s)
		}
		if file.twice != "" && file.twice != was {
			f.Log.Error("a service is given twice", "file", path, "err", file.twice)
		}
	}
	was := f.use
	f.use = ""
	if err := f.Use(all); err != nil {
		f.use = err.Error()
		if f.use != was {
			f.Log.Error("services of all files together are refused; the ones before stay", "err", err)
		}
	}
}

// list finds the files now there; failed has the folders that could not be listed.
func (f *Files) list() (seen map[string]stamp, failed map[string]string) {
	seen, failed = map[string]stamp{}, map[string]string{}
	for _, p := range f.Patterns {
		dir, base := filepath.Dir(p), filepath.Base(p)
		entries, err := os.ReadDir(dir)
		if err != nil {
			failed[dir] = err.Error()
			continue
		}
		for _, e := range entries {
			if ok, _ := filepath.Match(base, e.Name()); !ok || strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(base, ".") {
				continue
			}
			path := filepath.Join(dir, e.Name())
			info, err := os.Stat(path) // follows links: configuration managers swap them
			if err != nil || !info.Mode().IsRegular() {
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					failed[dir] = err.Error()
				}
				continue
			}
			if len(seen) == maxFiles {
				failed[dir] = fmt.Sprintf("more than %d files", maxFiles)
				break
			}
			seen[path] = stamp{info.Size(), info.ModTime()}
		}
	}
	return seen, failed
}

// refresh reads a file if it may have changed, and reports whether its services did.
func (f *Files) refresh(path string, file *followed, s stamp, now, again bool) bool {
	same := s == file.stamp
	if same && file.steady && !again {
		return false
	}
	file.stamp, file.steady = s, same || now
	if !file.steady {
		return false // somebody may be writing it just now
	}
	text, err := textfile.Read(path, maxFile)
	if err == nil {
		sum := sha256.Sum256(text)
		if sum == file.sum {
			return false
		}
		file.sum = sum
		var services []Service
		if services, err = f.Parse(text); err == nil {
			for i := range services {
				services[i].Source = path
			}
			file.services, file.err = services, nil
			f.keep(path, text)
			f.Log.Info("file of services read", "file", path, "services", len(services))
			return true
		}
	}
	if text == nil {
		file.sum, file.steady = [sha256.Size]byte{}, false // it was not even read: try at the next look
	}
	if file.err == nil || file.err.Error() != err.Error() {
		f.Log.Error("file of services is not taken; what it said before stays", "file", path, "err", err)
	}
	first := file.err == nil && file.services == nil
	file.err = err
	if first {
		file.services = f.kept(path)
	}
	return file.services != nil && first
}

// paths is every file in order. The caller holds mu.
func (f *Files) paths() []string {
	out := make([]string, 0, len(f.files))
	for p := range f.files {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// Status is where every file stands, in order; folders that can not be listed are there too, and what is wrong with all services together.
func (f *Files) Status() []FileStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []FileStatus
	for dir, why := range f.dirs {
		out = append(out, FileStatus{File: dir, Error: why})
	}
	for _, p := range f.paths() {
		s := FileStatus{File: p, Services: len(f.files[p].services)}
		if err := f.files[p].err; err != nil {
			s.Error = err.Error()
		} else {
			s.Error = f.files[p].twice
		}
		out = append(out, s)
	}
	if f.use != "" {
		out = append(out, FileStatus{File: "all together", Error: f.use})
	}
	return out
}
