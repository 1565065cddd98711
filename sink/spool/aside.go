package spool

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	asideDir  = "aside"
	asideMax  = 1000 // batches; past it, or past a share of the budget, the oldest goes
	asideTail = ".batch"
)

// Aside is one batch that was refused for good.
type Aside struct {
	Name   string // of its file, without folder
	Topic  string
	Reason string
	At     int64 // Unix milliseconds
	Meta
	Size int

	batch []byte
}

// Batch is the batch itself, unstamped.
func (a *Aside) Batch() []byte { return a.batch }

// SetAside keeps a batch that was refused for good out of everybody's way, with the reason. It gives what had to go because too many are aside: an error says that the
// batch is not. e.Pos is zero for a batch that is not in the spool; one that is there is done with it.
func (s *Spool) SetAside(e Entry, batch []byte, topic, reason string, at int64) (gone []Aside, err error) {
	s.amu.Lock() // or two would remove the same one
	defer s.amu.Unlock()
	b := binaryText(nil, topic)
	b = binaryText(b, reason)
	b = appendTimeMilli(b, at)
	m := e.Meta
	m.replaces = nil
	b = appendHead(append([]byte(asideMagic), append(le.AppendUint32(nil, uint32(len(b))), b...)...), Pos{}, &m, batch)
	b = append(b, batch...)
	name, err := s.writeAside(b, e, at)
	if err != nil {
		return nil, fmt.Errorf("set batch aside: %w", err)
	}
	s.knows(Aside{Name: name, Topic: topic, Reason: reason, At: at, Meta: m, Size: len(batch)})
	if e.Pos != (Pos{}) {
		s.Done(e.Pos)
		s.mu.Lock()
		s.marked()
		s.mu.Unlock()
	}
	gone, err = s.trimAsides()
	if err != nil {
		s.cfg.Logger.Warn("more is set aside than should be, and cannot be removed", "path", filepath.Join(s.cfg.Path, asideDir), "err", err)
	}
	return gone, nil
}

// writeAside writes a file of its own for what is set aside; a name that is taken, as two batches may be refused within a millisecond, is passed over.
func (s *Spool) writeAside(b []byte, e Entry, at int64) (name string, err error) {
	dir := filepath.Join(s.cfg.Path, asideDir)
	for ; ; at++ {
		name = strconv.FormatInt(at, 10) + "-" + e.Pos.String() + "-" + strconv.Itoa(int(e.Partition)) + "-" + strconv.FormatUint(e.First, 10) + asideTail
		if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
	}
	tmp := filepath.Join(dir, "."+name)
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return "", err
	}
	err = s.write(f, b, 0)
	if err == nil && s.cfg.Fsync != FsyncNever {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, filepath.Join(dir, name))
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(tmp))
	}
	return name, nil
}

// asideShare is which part of the budget may be set aside, beside it.
const asideShare = 8

// trimAsides removes the oldest of what is set aside while it is too many, or too much; the newest stays.
func (s *Spool) trimAsides() (gone []Aside, err error) {
	names, err := asideNames(s.cfg.Path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.cfg.Path, asideDir)
	sizes, sum := make([]int64, len(names)), int64(0)
	for i, name := range names {
		if st, err := os.Lstat(filepath.Join(dir, name)); err == nil { // else somebody has just taken it away
			sizes[i] = st.Size()
			sum += st.Size()
		}
	}
	for i := 0; i < len(names)-1 && (len(names)-i > s.asideMost || sum > s.cfg.MaxBytes/asideShare); i++ {
		a, rerr := ReadAside(s.cfg.Path, names[i])
		if err := os.Remove(filepath.Join(dir, names[i])); errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return gone, err
		}
		delete(s.asides, names[i])
		sum -= sizes[i]
		if rerr == nil {
			gone = append(gone, a)
		}
	}
	return gone, nil
}

// Asides reads what was set aside in a folder, the oldest first, without the batches; each is called with an error where a file cannot be read.
func Asides(path string, each func(Aside, error)) error {
	names, err := asideNames(path)
	if err != nil {
		return fmt.Errorf("list what was set aside: %w", err)
	}
	for _, name := range names {
		a, err := ReadAside(path, name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		a.Name, a.batch = name, nil
		each(a, err)
	}
	return nil
}

// Asides is the same of an open spool. From then on Config.Lost is told of those that somebody removes.
func (s *Spool) Asides(each func(Aside, error)) error {
	s.amu.Lock()
	defer s.amu.Unlock()
	return Asides(s.cfg.Path, func(a Aside, err error) {
		if err == nil {
			s.knows(a)
		}
		each(a, err)
	})
}

// knownAside is one that is set aside, without its batch.
type knownAside struct {
	Aside
	since time.Time // when it came to be known
}

func (s *Spool) knows(a Aside) {
	if s.asides == nil {
		s.asides = map[string]knownAside{}
	}
	s.asides[a.Name] = knownAside{a, time.Now()}
}

// newAside is how long the owner has to put into its books what it has just been told is set aside.
const newAside = time.Second

// vanished tells of what was set aside and somebody has removed. It lists the folder only when that has changed.
func (s *Spool) vanished(now time.Time) {
	s.amu.Lock()
	defer s.amu.Unlock()
	if len(s.asides) == 0 {
		return
	}
	var changed time.Time
	if st, err := os.Stat(filepath.Join(s.cfg.Path, asideDir)); err == nil {
		changed = st.ModTime()
	}
	if !changed.IsZero() && changed.Equal(s.asideSeen) {
		return
	}
	names, err := asideNames(s.cfg.Path)
	if err != nil {
		return // the disk may only be tired
	}
	there := map[string]bool{}
	for _, n := range names {
		there[n] = true
	}
	s.asideSeen = changed
	for _, name := range slices.Sorted(maps.Keys(s.asides)) {
		k := s.asides[name]
		if there[name] {
			continue
		}
		if now.Sub(k.since) < newAside {
			s.asideSeen = time.Time{} // another look
			continue
		}
		delete(s.asides, name)
		s.cfg.Logger.Error("what was set aside was removed", "path", s.cfg.Path, "file", name)
		if s.cfg.Lost != nil {
			s.cfg.Lost(Lost{Kind: k.Kind, Oldest: k.Oldest, Newest: k.Newest, Counts: k.Counts, Aside: &k.Aside})
		}
	}
}

func asideNames(path string) (names []string, err error) {
	all, err := os.ReadDir(filepath.Join(path, asideDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range all {
		if strings.HasSuffix(e.Name(), asideTail) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { // by time, which is a number
		if len(a) != len(b) {
			x, _, _ := strings.Cut(a, "-")
			y, _, _ := strings.Cut(b, "-")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
		}
		return strings.Compare(a, b)
	})
	return names, err
}

const asideMagic = "RCASIDE\x01"

// ReadAside reads one batch that was set aside.
func ReadAside(path, name string) (Aside, error) {
	if name != filepath.Base(name) || !strings.HasSuffix(name, asideTail) {
		return Aside{}, fmt.Errorf("read %q: it is no name that ls gives", name)
	}
	b, err := os.ReadFile(filepath.Join(path, asideDir, name))
	if err != nil {
		return Aside{}, fmt.Errorf("read what was set aside: %w", err)
	}
	a, err := parseAside(b)
	if err != nil {
		return Aside{}, fmt.Errorf("read what was set aside, %q: %w", name, err)
	}
	a.Name = name
	return a, nil
}

func parseAside(b []byte) (a Aside, err error) {
	if len(b) < len(asideMagic)+4 || string(b[:len(asideMagic)-1]) != asideMagic[:len(asideMagic)-1] {
		return a, errEntry
	}
	if b[len(asideMagic)-1] > version {
		return a, ErrVersion
	}
	b = b[len(asideMagic):]
	n := le.Uint32(b)
	b = b[4:]
	if uint64(n) > uint64(len(b)) {
		return a, errEntry
	}
	r := reader{b: b[:n]}
	a.Topic, a.Reason, a.At = string(r.bytes(r.upTo(maxMeta))), string(r.bytes(r.upTo(maxMeta))), r.varint()
	b = b[n:]
	h := headLen(b)
	if r.bad || h == 0 || h > len(b) {
		return a, errEntry
	}
	e, err := parseHead(Pos{}, b[:h], func(b []byte) string { return string(b) })
	if err != nil {
		return a, err
	}
	if a.batch = b[h:]; len(a.batch) != e.Size || crcOf(a.batch) != e.crc {
		return a, errEntry
	}
	a.Meta, a.Size = e.Meta, e.Size
	return a, nil
}

// Retry takes what was set aside back among the batches that wait, as never attempted.
func (s *Spool) Retry(name string) error {
	s.amu.Lock()
	defer s.amu.Unlock()
	a, err := ReadAside(s.cfg.Path, name)
	if err != nil {
		return err
	}
	path := filepath.Join(s.cfg.Path, asideDir, name)
	// Under the other name it is not among those set aside any more, and an open that finds it looks whether it is among those that wait.
	if err := os.Rename(path, path+retryTail); err != nil {
		return fmt.Errorf("retry %q: %w", name, err)
	}
	e, err := s.Append(a.Meta, a.batch)
	if err == nil {
		if err = os.Remove(path + retryTail); err == nil {
			delete(s.asides, name)
			return nil
		}
		s.Done(e.Pos)
	}
	return fmt.Errorf("retry %q: %w", name, errors.Join(err, os.Rename(path+retryTail, path)))
}

// DropAside removes what was set aside for good.
func (s *Spool) DropAside(name string) error {
	if name != filepath.Base(name) || !strings.HasSuffix(name, asideTail) {
		return fmt.Errorf("drop %q: it is no name that ls gives", name)
	}
	s.amu.Lock()
	defer s.amu.Unlock()
	if err := os.Remove(filepath.Join(s.cfg.Path, asideDir, name)); err != nil {
		return fmt.Errorf("drop what was set aside: %w", err)
	}
	delete(s.asides, name)
	return nil
}
