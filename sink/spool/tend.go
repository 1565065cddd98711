package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Run syncs and tidies until ctx ends.
func (s *Spool) Run(ctx context.Context) {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	last, said := time.Now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			err := s.tend(now, now.Sub(last) >= syncEvery)
			if now.Sub(last) >= syncEvery {
				last = now
			}
			if err != nil && !said {
				s.cfg.Logger.Error("the spool's folder cannot be written", "path", s.cfg.Path, "err", err)
			}
			said = err != nil
		}
	}
}

// tend writes marks that wait, begins a new journal when it is time, and syncs.
func (s *Spool) tend(now time.Time, sync bool) error {
	s.mu.Lock()
	s.jmu.Lock()
	j := &s.journal
	if sync && !s.closed {
		j.wait = appendRecord(j.wait, recordBeat, appendTime(now))
	}
	err := s.flush()
	full := j.at-s.begun > s.journalLimit || j.holes
	j.bound()
	s.jmu.Unlock()
	if (err == nil || errors.Is(err, errHoles)) && full && !s.closed {
		err = s.begin()
	}
	s.mu.Unlock()
	if sync {
		err = errors.Join(err, s.present())
		s.vanished(now)
	}
	if err == nil && sync {
		if s.cfg.Fsync != FsyncNever {
			err = s.sync()
		}
		if err == nil { // else the one that follows them may not be on the disk
			err = s.cleanJournals()
		}
	}
	return err
}

// present begins the folder anew where somebody has removed it: what was in it is lost, and what comes is not written into nothing.
func (s *Spool) present() error {
	name := filepath.Join(s.cfg.Path, "lock")
	ours, err := s.lock.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(name); err == nil && os.SameFile(ours, there) {
		return nil
	}
	s.wmu.Lock()
	defer s.wmu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	return s.restore()
}

// restore makes the folder's files anew that are missing. It is called with both locks.
func (s *Spool) restore() error {
	name := filepath.Join(s.cfg.Path, "lock")
	lost := 0
	for _, g := range slices.Clone(s.segments) {
		if _, err := os.Stat(g.path); err == nil {
			continue
		}
		lost += max(0, g.alive)
		if g == s.active {
			s.active = nil
		}
		s.gone(g)
		s.remove(g)
	}
	for p := range s.attempts {
		if !s.known(p.Segment) {
			delete(s.attempts, p)
		}
	}
	s.damaged.Entries += uint64(lost)
	s.cfg.Logger.Error("the spool's folder was removed; what was in it is lost", "path", s.cfg.Path, "batches", lost)
	if err := os.MkdirAll(filepath.Join(s.cfg.Path, asideDir), 0o750); err != nil {
		return s.failed(err)
	}
	lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return s.failed(err)
	}
	if err := lockFile(lock); err != nil {
		lock.Close()
		return s.failed(err)
	}
	s.lock.Close()
	s.lock = lock
	return s.begin()
}

// Close writes what waits and gives the folder back. What is not settled waits for the next process.
func (s *Spool) Close() error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var errs []error
	if g := s.active; g != nil && !g.broken {
		errs = append(errs, s.full(g))
	}
	s.active = nil
	s.mu.Unlock()
	s.jmu.Lock()
	s.journal.wait = appendRecord(s.journal.wait, recordClosed, nil)
	err := s.flush()
	holes := s.journal.holes
	s.jmu.Unlock()
	if holes {
		s.mu.Lock()
		if err = s.begin(); err == nil {
			s.jmu.Lock()
			s.journal.wait = appendRecord(nil, recordClosed, nil)
			err = s.flush()
			s.jmu.Unlock()
		}
		s.mu.Unlock()
	}
	if err == nil && s.cfg.Fsync != FsyncNever {
		err = s.sync()
	}
	if err == nil {
		err = s.cleanJournals()
	}
	errs = append(errs, err)
	s.release()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close spool %q: %w", s.cfg.Path, err)
	}
	return nil
}

// release closes every file, the lock last.
func (s *Spool) release() {
	for _, g := range s.segments {
		if g.f != nil {
			g.f.Close()
			g.f = nil
		}
	}
	for _, f := range s.unsynced {
		f.Close()
	}
	s.unsynced = nil
	if s.journal.f != nil {
		s.journal.f.Close()
		s.journal.f = nil
	}
	if s.lock != nil {
		s.lock.Close()
		s.lock = nil
	}
}

// sync makes all that was written survive a power loss: batches first, then what was said of them.
func (s *Spool) sync() error {
	s.mu.Lock()
	full, names := s.unsynced, s.names
	s.unsynced, s.names = nil, false
	var active *os.File // of a segment that is not full
	if g := s.active; g != nil {
		active = g.f
	}
	s.jmu.Lock()
	var journal *os.File
	if s.journal.dirty {
		journal, s.journal.dirty = s.journal.f, false
	}
	s.jmu.Unlock()
	s.mu.Unlock()
	var errs []error
	var again []*os.File
	for _, f := range full {
		if err := s.fsync(f); err != nil {
			errs, again = append(errs, err), append(again, f)
			continue
		}
		errs = append(errs, f.Close())
	}
	if active != nil {
		errs = append(errs, unlessClosed(s.fsync(active)))
	}
	unsaid := false
	if journal != nil {
		err := unlessClosed(s.fsync(journal))
		errs, unsaid = append(errs, err), err != nil
	}
	if names {
		err := s.syncFolder()
		errs, names = append(errs, err), err != nil
	}
	if err := errors.Join(errs...); err != nil {
		s.again(again, names, journal, unsaid)
		return err
	}
	return nil
}

// maxUnsynced is how many full segments are kept open for the next sync where syncing fails.
const maxUnsynced = 64

// again leaves to the next sync what this one did not do.
func (s *Spool) again(full []*os.File, names bool, journal *os.File, dirty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = s.names || names
	s.unsynced = append(full, s.unsynced...)
	for len(s.unsynced) > maxUnsynced {
		s.unsynced[0].Close()
		s.unsynced = s.unsynced[1:]
	}
	s.jmu.Lock()
	if dirty && s.journal.f == journal {
		s.journal.dirty = true
	}
	s.jmu.Unlock()
}

// syncFolder makes the names in the folder survive a power loss.
func (s *Spool) syncFolder() error {
	d, err := os.Open(s.cfg.Path)
	if err != nil {
		return err
	}
	return errors.Join(s.fsync(d), d.Close())
}

// unlessClosed leaves out that a file was closed meanwhile: it is of a segment or journal that is no more.
func unlessClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// cleanJournals removes journals that a later one has made superfluous.
func (s *Spool) cleanJournals() error {
	s.jmu.Lock()
	old := s.journal.old
	s.journal.old = nil
	s.jmu.Unlock()
	var errs []error
	var left []uint64
	for _, n := range old {
		if err := os.Remove(journalPath(s.cfg.Path, n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs, left = append(errs, err), append(left, n)
		}
	}
	s.jmu.Lock()
	s.journal.old = append(left, s.journal.old...)
	s.jmu.Unlock()
	return errors.Join(errs...)
}
