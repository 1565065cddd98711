package zkserve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// store keeps persistent znodes in a folder: snapshot.<zxid>, whole, and log.<zxid>, the changes after it. Two generations stay, so
// that a damaged snapshot costs nothing. A change is in the page cache before it is answered, and on the disk within a second.
// Ephemerals are not kept. A nil dir keeps nothing.
type store struct {
	dir   string
	limit int64
	slog  *slog.Logger
	lock  *os.File
	hurt  []kept // damaged files, to be set aside once a new snapshot holds what could be read of them

	log    *os.File // guarded by Server.mu, as all below
	size   int64    // of the log: what is whole in it
	dirty  bool
	broken error
	buf    []byte
}

// kept is a file of the folder.
type kept struct {
	name string
	snap bool
	zxid int64
}

// openStore loads the folder into the tree and returns the last zxid that it knows.
func openStore(cfg Config, t *tree) (*store, int64, error) {
	s := &store{dir: cfg.Dir, limit: cfg.SnapshotBytes, slog: cfg.Log}
	if cfg.Dir == "" {
		return s, 0, nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, 0, fmt.Errorf("make folder for znodes: %w", err)
	}
	lock, err := lockDir(filepath.Join(s.dir, "lock"))
	if err != nil {
		return nil, 0, fmt.Errorf("lock folder %q for znodes: %w", s.dir, err)
	}
	s.lock = lock
	last, err := s.load(t)
	if err != nil {
		return nil, 0, errors.Join(err, s.close())
	}
	return s, last, nil
}

// begin writes the first snapshot of this start and opens its log.
func (s *store) begin(zxid int64, t *tree) error {
	if s.dir == "" {
		return nil
	}
	if err := s.roll(zxid); err != nil {
		return err
	}
	if err := s.snapshot(zxid, t.persistent()); err != nil {
		return err
	}
	if err := s.setAside(); err != nil {
		return err
	}
	return s.prune()
}

// files lists what is kept, oldest first.
func (s *store) files() ([]kept, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list znode files: %w", err)
	}
	var out []kept
	for _, e := range entries {
		kind, number, _ := strings.Cut(e.Name(), ".")
		zxid, err := strconv.ParseInt(number, 16, 64)
		if err == nil && (kind == "snapshot" || kind == "log") {
			out = append(out, kept{e.Name(), kind == "snapshot", zxid})
		}
	}
	slices.SortFunc(out, func(a, b kept) int { return cmp.Or(cmp.Compare(a.zxid, b.zxid), strings.Compare(b.name, a.name)) })
	return out, nil
}

func (s *store) path(kind string, zxid int64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s.%016x", kind, zxid))
}

// append keeps one change. After an error nothing of it is kept, and the next append tries again.
func (s *store) append(zxid int64, b *batch) error {
	if s.dir == "" {
		return nil
	}
	s.buf = appendRecord(s.buf[:0], zxid, b)
	err := s.repair()
	if err == nil {
		_, err = s.log.Write(s.buf)
	}
	if err != nil {
		if s.broken == nil {
			s.slog.Error("znodes cannot be kept, changes are refused", "dir", s.dir, "error", err)
		}
		s.broken = err
		return err
	}
	if s.broken != nil {
		s.slog.Info("znodes can be kept again", "dir", s.dir)
		s.broken = nil
	}
	s.size += int64(len(s.buf))
	s.dirty = true
	if cap(s.buf) > 1<<20 {
		s.buf = nil
	}
	return nil
}

// repair cuts half a record off the log after a failed write.
func (s *store) repair() error {
	if s.broken == nil {
		return nil
	}
	if err := s.log.Truncate(s.size); err != nil {
		return err
	}
	_, err := s.log.Seek(s.size, 0)
	return err
}

// roll opens a new log for what comes after zxid.
func (s *store) roll(zxid int64) error {
	f, err := os.OpenFile(s.path("log", zxid), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log of znodes: %w", err)
	}
	if s.log != nil {
		err = errors.Join(s.log.Sync(), s.log.Close())
	}
	s.log, s.size, s.dirty, s.broken = f, 0, false, nil
	return err
}

// image is a znode as it was at one moment.
type image struct {
	path string
	node node
}

// persistent copies what is to be kept: shallow, as data and ACLs are never changed in place.
func (t *tree) persistent() []image {
	out := make([]image, 0, len(t.nodes)-t.ephemerals)
	for path, n := range t.nodes {
		if !n.ephemeral() {
			out = append(out, image{path, *n})
		}
	}
	return out
}

// snapshot writes all znodes as of zxid, whole or not at all.
func (s *store) snapshot(zxid int64, nodes []image) error {
	slices.SortFunc(nodes, func(a, b image) int { return strings.Compare(a.path, b.path) }) // parents first
	tmp := filepath.Join(s.dir, "snapshot.new")
	f, err := os.Create(tmp)
	if err != nil {
		return fmt.Errorf("write snapshot of znodes: %w", err)
	}
	defer f.Close()
	var buf []byte
	for i, n := range nodes {
		var b batch
		b.put(n.path, &n.node)
		buf = appendRecord(buf, zxid, &b)
		if len(buf) < 1<<20 && i < len(nodes)-1 {
			continue
		}
		if _, err := f.Write(buf); err != nil {
			return fmt.Errorf("write snapshot of znodes: %w", err)
		}
		buf = buf[:0]
	}
	var b batch
	b.end(int64(len(nodes)))
	_, err = f.Write(appendRecord(buf, zxid, &b))
	if err = errors.Join(err, f.Sync(), os.Rename(tmp, s.path("snapshot", zxid)), syncDir(s.dir)); err != nil {
		return fmt.Errorf("write snapshot of znodes: %w", err)
	}
	return nil
}

// prune keeps the two newest snapshots and all logs since the older of them.
func (s *store) prune() error {
	files, err := s.files()
	if err != nil {
		return err
	}
	var snaps []int64
	for _, f := range files {
		if f.snap {
			snaps = append(snaps, f.zxid)
		}
	}
	if len(snaps) < 2 {
		return nil
	}
	var errs []error
	for _, f := range files {
		if f.zxid < snaps[len(snaps)-2] {
			errs = append(errs, os.Remove(filepath.Join(s.dir, f.name)))
		}
	}
	return errors.Join(errs...)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *store) close() error {
	var errs []error
	if s.log != nil {
		errs = append(errs, s.log.Sync(), s.log.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// keep brings the log to the disk every second, and cuts it with a snapshot when it has grown.
func (s *Server) keep(ctx context.Context) {
	if s.store.dir == "" {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		f, dirty, grown := s.store.log, s.store.dirty, s.store.size > s.store.limit
		s.store.dirty = false
		s.mu.Unlock()
		if dirty {
			if err := f.Sync(); err != nil {
				s.log.Error("log of znodes could not be synced", "file", f.Name(), "error", err)
			}
		}
		if grown {
			s.cut()
		}
	}
}

// cut takes a snapshot; clients wait for the copy only.
func (s *Server) cut() {
	s.mu.Lock()
	zxid := s.zxid
	err := s.store.roll(zxid)
	nodes := s.tree.persistent()
	s.mu.Unlock()
	if err == nil {
		err = s.store.snapshot(zxid, nodes)
	}
	if err == nil {
		err = s.store.prune()
	}
	if err != nil {
		s.log.Error("snapshot of znodes failed, the log goes on", "dir", s.store.dir, "error", err)
	}
}
