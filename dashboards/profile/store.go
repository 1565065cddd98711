package profile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/internal/textfile"
	"github.com/rollcall-metrics/rollcall/internal/yamltext"
)

// Config says which files hold profiles.
type Config struct {
	// Files are patterns: the last element may hold *, ? and [...], the folder may not.
	Files []string
	// Changed is called from Run when what is known has changed; nil: nobody is told.
	Changed func()
	Every   time.Duration // between two looks, default 2 s
	Log     *slog.Logger
	Metrics *metrics.Set
}

// maxFiles bounds how many files are read.
const maxFiles = 10_000

func (c *Config) defaults() {
	c.Every = cmp.Or(c.Every, 2*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
}

// CheckPattern says what is wrong with a pattern of files.
func CheckPattern(p string) error {
	if p == "" {
		return errors.New("it is empty; name files such as services.d/*.yml")
	}
	if strings.ContainsAny(filepath.Dir(p), "*?[") {
		return fmt.Errorf("%q has a wildcard in its folder; only the file's name may have them", p)
	}
	if _, err := filepath.Match(filepath.Base(p), "x"); err != nil {
		return fmt.Errorf("%q is no pattern such as *.yml", p)
	}
	return nil
}

// Store is the profiles of all files. It is safe for concurrent use. One bad file hurts no other: it keeps what it said before, and is named.
type Store struct {
	cfg Config

	look chan struct{} // one slot

	reading sync.Mutex // one look at a time; a folder that hangs holds up nobody who asks
	files   map[string]*file

	mu      sync.Mutex // of what the last look gave
	entries []*Entry
	status  []FileStatus
}

// file is one of them. It is parsed once a content.
type file struct {
	sum     [sha256.Size]byte
	size    int64
	changed time.Time
	entries []*Entry
	parsed  string // what was wrong with its newest content
	err     string
}

// FileStatus is where one file stands.
type FileStatus struct {
	File     string `json:"file"`
	Services int    `json:"services"`
	Error    string `json:"error,omitempty"` // then Services is of an older content
}

// NewStore makes a Store; it reads nothing. The error names every pattern that cannot be.
func NewStore(c Config) (*Store, error) {
	c.defaults()
	var errs []error
	for _, p := range c.Files {
		errs = append(errs, CheckPattern(p))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("follow profiles: %w", err)
	}
	s := &Store{cfg: c, files: map[string]*file{}, look: make(chan struct{}, 1)}
	c.Metrics.GetOrCreateGauge("rollcall_profile_files", func() float64 { return float64(len(s.Files())) })
	c.Metrics.GetOrCreateGauge("rollcall_profile_files_with_errors", func() (n float64) {
		for _, f := range s.Files() {
			if f.Error != "" {
				n++
			}
		}
		return n
	})
	return s, nil
}

// Read looks at the files once, and reports whether anything has changed.
func (s *Store) Read() (changed bool) {
	s.reading.Lock()
	defer s.reading.Unlock()
	seen := map[string]bool{}
	for _, p := range s.cfg.Files {
		names, _ := filepath.Glob(p) // the pattern was checked
		if _, err := os.Stat(filepath.Dir(p)); err != nil && !errors.Is(err, os.ErrNotExist) {
			for name := range s.files { // a folder that cannot be looked at takes nothing away
				seen[name] = seen[name] || filepath.Dir(name) == filepath.Dir(p)
			}
		}
		for _, name := range names {
			if len(seen) < maxFiles && !seen[name] {
				seen[name] = true
				changed = s.one(name) || changed
			}
		}
	}
	for name := range s.files {
		if !seen[name] {
			delete(s.files, name)
			changed = true
		}
	}
	s.publish()
	return changed
}

// publish lets those who ask know what the files hold. The caller holds the lock of reading.
func (s *Store) publish() {
	var entries []*Entry
	status := make([]FileStatus, 0, len(s.files))
	for name, f := range s.files {
		entries = append(entries, f.entries...)
		status = append(status, FileStatus{name, len(f.entries), f.err})
	}
	slices.SortFunc(entries, narrower)
	slices.SortFunc(status, func(a, b FileStatus) int { return strings.Compare(a.File, b.File) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries, s.status = entries, status
}

// one looks at one file. The caller holds the lock of reading.
func (s *Store) one(name string) (changed bool) {
	f := s.files[name]
	if f == nil {
		f = &file{}
		s.files[name] = f
		changed = true
	}
	bad := func(err error) bool {
		if text := err.Error(); text != f.err {
			changed = true
			s.cfg.Log.Error("a file of services cannot be read; what it said before stays", "file", name, "err", err)
			f.err = text
		}
		return changed
	}
	is, err := os.Stat(name)
	if err != nil {
		return bad(err)
	}
	if !is.Mode().IsRegular() {
		return bad(errors.New("it is no file"))
	}
	if is.Size() == f.size && is.ModTime().Equal(f.changed) && time.Since(is.ModTime()) > 2*s.cfg.Every {
		return changed // within the time's grain a second writing may look like the first
	}
	text, err := textfile.Read(name, yamltext.MaxBytes)
	if err != nil {
		return bad(err)
	}
	f.size, f.changed = is.Size(), is.ModTime()
	sum := sha256.Sum256(text)
	if sum == f.sum {
		f.err = f.parsed // it could perhaps not be read meanwhile
		return changed
	}
	f.sum, f.parsed = sum, ""
	entries, err := Parse(text)
	if err != nil {
		f.parsed = err.Error()
		return bad(err)
	}
	for _, e := range entries {
		e.File = name
	}
	if f.err != "" {
		s.cfg.Log.Info("a file of services is good again", "file", name)
	}
	f.entries, f.err = entries, ""
	return true
}

// Run follows the files until ctx ends. They need not have been read before.
func (s *Store) Run(ctx context.Context) error {
	t := time.NewTicker(s.cfg.Every)
	defer t.Stop()
	for {
		if s.Read() && s.cfg.Changed != nil {
			s.cfg.Changed()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-s.look:
		}
	}
}

// Look makes Run look now.
func (s *Store) Look() {
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// Of is what is said of a service: in files, and, where they are silent, in its members' tags; tag gives the first of several that any member has, nil none.
func (s *Store) Of(service, env string, tag func(names ...string) string) Profile {
	s.mu.Lock()
	entries := s.entries
	s.mu.Unlock()
	return merge(entries, service, env, tag)
}

// Files is where each file stands, by name.
func (s *Store) Files() []FileStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.status)
}
