package geo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// slot is one configured file and what is open of it.
type slot struct {
	file   string
	kind   Kind
	stamp  stamp     // of the file at the last look that led to an attempt to open it
	db     *database // nil until it could be opened once
	opened time.Time
	err    error // why the newest file is not in use
}

// stamp tells that a file was replaced.
type stamp struct {
	size  int64
	mtime time.Time
	id    fs.FileInfo
}

func (s stamp) same(o stamp) bool {
	return s.id != nil && o.id != nil && s.size == o.size && s.mtime.Equal(o.mtime) && os.SameFile(s.id, o.id)
}

// check looks at every file, opens those that are new, and swaps what could be opened and verified. A file that is gone or broken leaves the old one in use.
// With all, the error joins the state of every file, also of those that were looked at before.
func (d *DB) check(ctx context.Context, all bool) error {
	d.checking.Lock()
	defer d.checking.Unlock()
	for _, s := range d.slots {
		d.checkSlot(ctx, s)
	}
	if !all {
		return nil
	}
	var errs []error
	for _, s := range d.slots {
		errs = append(errs, s.err)
	}
	return errors.Join(errs...)
}

func (d *DB) checkSlot(ctx context.Context, s *slot) {
	info, err := os.Stat(s.file)
	if err != nil {
		if s.err == nil || !errors.Is(s.err, fs.ErrNotExist) {
			d.refuse(s, stamp{}, fmt.Errorf("open geo database %q: %w", s.file, err))
		}
		return
	}
	now := stamp{info.Size(), info.ModTime(), info}
	if now.same(s.stamp) {
		return // in use, or known to be broken
	}
	if age := time.Since(now.mtime); s.db != nil && age >= 0 && age < settle {
		return // perhaps still being written
	}
	db, err := open(ctx, s.file, s.kind, d.cfg.Language)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		d.refuse(s, now, err)
		return
	}
	d.mu.Lock()
	s.db, s.err, s.stamp, s.opened = db, nil, now, time.Now()
	d.swap()
	d.mu.Unlock()
	d.reloads.Inc()
	d.log.Info("geo database in use", "file", s.file, "kind", s.kind, "type", db.reader.Metadata.DatabaseType, "build", day(db.reader.Metadata.BuildTime()), "networks", db.networks)
}

// settle is how long a replaced file must have been still before it is opened; a copy in progress is not read at every look.
const settle = 2 * time.Second

// refuse keeps what is in use and remembers why the file is not.
func (d *DB) refuse(s *slot, now stamp, err error) {
	d.mu.Lock()
	s.err, s.stamp = err, now
	d.mu.Unlock()
	d.reloadErrors.Inc()
	if s.db != nil {
		d.log.Error("geo database not usable, keeping the old one", "file", s.file, "kind", s.kind, "build", day(s.db.reader.Metadata.BuildTime()), "err", err)
		return
	}
	d.log.Error("geo database not usable", "file", s.file, "kind", s.kind, "err", err)
}

// swap puts what the slots hold into use. The old databases are unmapped when the last lookup that reads them has ended.
func (d *DB) swap() {
	next := &inUse{generation: d.use.Load().generation + 1}
	var builds []string
	for _, s := range d.slots {
		if s.db != nil {
			next.databases = append(next.databases, s.db)
			builds = append(builds, day(s.db.reader.Metadata.BuildTime()))
		}
	}
	slices.Sort(builds)
	next.build = strings.Join(slices.Compact(builds), ",")
	d.use.Store(next)
}

// failed puts a database out of use after a read that cannot be: its file changed under it. The next check opens the file again.
func (d *DB) failed(db *database, err error) {
	d.faults.Inc()
	err = fmt.Errorf("read geo database %q: %w; it changed while in use: replace it by rename, never in place", db.file, err)
	if db.fault.CompareAndSwap(nil, &err) {
		d.log.Error("geo database changed while in use, not asked any more", "file", db.file, "kind", db.kind, "err", err)
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// Status is what is known of one configured file.
type Status struct {
	File     string    `json:"file"`
	Kind     Kind      `json:"kind"`
	Type     string    `json:"type,omitempty"`     // as the database calls itself
	Build    time.Time `json:"build,omitzero"`     // when what is in use was built
	Opened   time.Time `json:"opened,omitzero"`    // when it came into use
	Networks int       `json:"networks,omitempty"` // in it
	Error    string    `json:"error,omitempty"`    // why the newest file is not in use; the old one is, where Type is given
}

// Status tells of every configured file, in the order of the configuration, autonomous systems first.
func (d *DB) Status() []Status {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Status, 0, len(d.slots))
	for _, s := range d.slots {
		st := Status{File: s.file, Kind: s.kind}
		if s.db != nil {
			m := s.db.reader.Metadata
			st.Type, st.Build, st.Opened, st.Networks = m.DatabaseType, m.BuildTime(), s.opened, s.db.networks
		}
		if err := s.trouble(); err != nil {
			st.Error = err.Error()
		}
		out = append(out, st)
	}
	return out
}

func (s *slot) trouble() error {
	if s.err == nil && s.db != nil {
		if f := s.db.fault.Load(); f != nil {
			return *f
		}
	}
	return s.err
}

func okOf(s *slot) float64 {
	if s.db != nil && s.trouble() == nil {
		return 1
	}
	return 0
}

func buildOf(s *slot) float64 {
	if s.db == nil {
		return 0
	}
	return float64(s.db.reader.Metadata.BuildEpoch)
}

func (d *DB) gauge(s *slot, f func(*slot) float64) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return f(s)
}
