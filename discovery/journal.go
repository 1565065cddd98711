package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	journalFile  = "roster.log"
	journalV1    = "roster.json"
	journalEvery = time.Second      // how often it is written and synced, if there is anything
	heardEvery   = 10 * time.Second // how often it notes that what is known is still so
	compactAbove = 4 << 20          // bytes beyond twice the roster's own
	compactChunk = 256              // records that are looked at under one lock
)

// Journal keeps a roster on disk: a file of JSON lines, each after its CRC-32C in hex, in the order in which things became so. It costs what changes; when it has
// grown to twice the roster, the roster is written anew beside it and takes its place. A line that is damaged is skipped and counted.
type Journal struct {
	dir    string
	roster *Roster
	log    *slog.Logger

	f      *os.File
	buf    bytes.Buffer
	size   int64     // of the file
	base   int64     // of the roster alone, as of the last time that it was written whole
	anew   bool      // it is to be written whole
	retry  time.Time // not before
	heard  time.Time
	mu     sync.Mutex
	status JournalStatus
}

// JournalStatus is what a journal has done since it was made.
type JournalStatus struct {
	Lines       uint64 `json:"lines"`       // written for changes
	Bytes       uint64 `json:"bytes"`       // written, compactions included
	Compactions uint64 `json:"compactions"` // the first writing included
	Damaged     uint64 `json:"damaged"`     // lines that could not be read
	Err         string `json:"error,omitempty"`
}

// line is one line: one of these, a whole new word about it.
type line struct {
	Version int                  `json:"v,omitempty"`
	Entry   *savedEntry          `json:"e,omitempty"`
	Gone    string               `json:"x,omitempty"` // an ID
	Group   *savedGroup          `json:"g,omitempty"`
	Set     *savedSet            `json:"s,omitempty"`
	Orders  *[]Order             `json:"o,omitempty"`
	Heard   map[string]time.Time `json:"h,omitempty"` // by source
}

// NewJournal makes a journal of r in a folder that must exist. Load it before the roster is used, then Run it. A nil log is none.
func NewJournal(dir string, r *Roster, log *slog.Logger) *Journal {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r.mu.Lock()
	r.dirty = map[*record]struct{}{}
	r.mu.Unlock()
	return &Journal{dir: dir, roster: r, log: log, anew: true}
}

// Status is what the journal has done.
func (j *Journal) Status() JournalStatus {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.status
}

func (j *Journal) note(f func(*JournalStatus)) {
	j.mu.Lock()
	f(&j.status)
	j.mu.Unlock()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (j *Journal) add(l line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write a line of the roster: %w", err)
	}
	fmt.Fprintf(&j.buf, "%08x ", crc32.Checksum(b, castagnoli))
	j.buf.Write(b)
	j.buf.WriteByte('\n')
	return nil
}

// Run writes what changes until ctx ends, and then the rest.
func (j *Journal) Run(ctx context.Context) error {
	tick := time.NewTicker(journalEvery)
	defer tick.Stop()
	for last := false; !last; { // once more after the end, if it came during a write, too
		select {
		case <-ctx.Done():
			last = true
		case <-tick.C:
		}
		now := time.Now()
		if now.Before(j.retry) && !last {
			continue
		}
		if err := j.write(now, last); err != nil {
			// What is lost of the journal is in the roster: it is written whole when the disk can take it.
			j.log.Warn("the roster is not saved", "err", err)
			j.anew, j.retry = true, now.Add(10*time.Second)
			j.note(func(s *JournalStatus) { s.Err = err.Error() })
			continue
		}
		j.note(func(s *JournalStatus) { s.Err = "" })
	}
	if j.f == nil {
		return nil
	}
	return j.f.Close()
}

// clean forgets what was to be written.
func (r *Roster) clean() {
	r.dirty, r.grew, r.spoken, r.ordered = map[*record]struct{}{}, map[*group]struct{}{}, map[*heldSet]struct{}{}, false
}

func (j *Journal) write(now time.Time, last bool) error {
	if j.anew || j.size > 2*j.base+compactAbove {
		if err := j.compact(now); err != nil {
			return err
		}
	}
	r := j.roster
	r.mu.Lock()
	dirty, grew, spoken, ordered := r.dirty, r.grew, r.spoken, r.ordered
	r.clean()
	r.mu.Unlock()
	recs := make([]*record, 0, len(dirty))
	for rec := range dirty {
		recs = append(recs, rec)
	}
	n, err := j.records(recs, true)
	if err != nil {
		return err
	}
	if err := j.rest(grew, spoken, ordered); err != nil {
		return err
	}
	if j.buf.Len() > 0 || now.Sub(j.heard) >= heardEvery || last {
		if err := j.hear(now); err != nil {
			return err
		}
	}
	if j.buf.Len() == 0 {
		return nil
	}
	if err := j.flush(j.f); err != nil {
		return err
	}
	j.note(func(s *JournalStatus) { s.Lines += uint64(n) })
	return j.f.Sync()
}

// records adds what becomes of records, looking at some at a time, so that nobody waits long for the roster. gone says whether those that are off it are to be named.
func (j *Journal) records(recs []*record, gone bool) (n int, err error) {
	r := j.roster
	for chunk := range slices.Chunk(recs, compactChunk) {
		lines := make([]line, 0, len(chunk))
		r.mu.RLock()
		for _, rec := range chunk {
			if s, ok := r.saved(rec); ok {
				lines = append(lines, line{Entry: &s})
			} else if gone && rec.inst != nil && (!rec.gone || r.lookup(rec.inst) == nil) {
				lines = append(lines, line{Gone: entryID(rec.inst)})
			}
		}
		r.mu.RUnlock()
		for _, l := range lines {
			if err := j.add(l); err != nil {
				return n, err
			}
		}
		n += len(lines)
	}
	return n, nil
}

// rest adds what is no record.
func (j *Journal) rest(grew map[*group]struct{}, spoken map[*heldSet]struct{}, ordered bool) error {
	r := j.roster
	var lines []line
	r.mu.RLock()
	for g := range grew {
		lines = append(lines, line{Group: &savedGroup{g.service, g.env, g.grown, g.low, g.floors, g.era, g.bids}})
	}
	for h := range spoken {
		lines = append(lines, line{Set: &savedSet{h.source, h.path, h.verified}})
	}
	if ordered {
		orders := slices.Clone(r.orders)
		lines = append(lines, line{Orders: &orders})
	}
	r.mu.RUnlock()
	for _, l := range lines {
		if err := j.add(l); err != nil {
			return err
		}
	}
	return nil
}

// hear notes until when the sources knew all that they had said to be so.
func (j *Journal) hear(now time.Time) error {
	j.heard = now
	r := j.roster
	l := line{Heard: map[string]time.Time{}}
	r.mu.RLock()
	for name, src := range r.sources {
		if src.Live && !src.LastHeard.IsZero() {
			l.Heard[name] = src.LastHeard
		}
	}
	r.mu.RUnlock()
	if len(l.Heard) == 0 {
		return nil
	}
	return j.add(l)
}

// syncDir makes the names in dir survive a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (j *Journal) flush(w io.Writer) error {
	n, err := w.Write(j.buf.Bytes())
	j.buf.Reset()
	if j.buf.Cap() > 4<<20 {
		j.buf = bytes.Buffer{}
	}
	j.size += int64(n)
	j.note(func(s *JournalStatus) { s.Bytes += uint64(n) })
	return err
}

// compact writes the roster whole into a new file, which then takes the journal's place. What changes meanwhile is written after it.
func (j *Journal) compact(now time.Time) (err error) {
	name := filepath.Join(j.dir, journalFile)
	f, err := os.Create(name + ".new")
	if err != nil {
		return fmt.Errorf("write roster: %w", err)
	}
	defer func() {
		if err != nil { // what was begun would only take the room that is missing
			err = errors.Join(fmt.Errorf("write roster: %w", err), f.Close(), os.Remove(name+".new"))
		}
	}()
	r := j.roster
	j.buf.Reset()
	j.size = 0
	r.mu.Lock()
	groups := make([]*group, 0, len(r.groups))
	grown := map[*group]struct{}{}
	for _, g := range r.groups {
		groups = append(groups, g)
		if g.growth != (growth{low: g.size()}) {
			grown[g] = struct{}{}
		}
	}
	r.clean()
	r.mu.Unlock()
	if err := errors.Join(j.add(line{Version: 2}), j.rest(grown, nil, true), j.hear(now)); err != nil {
		return err
	}
	for _, g := range groups {
		r.mu.RLock()
		recs := make([]*record, 0, len(g.records))
		for _, rec := range g.records {
			recs = append(recs, rec)
		}
		r.mu.RUnlock()
		if _, err := j.records(recs, false); err != nil {
			return err
		}
		if j.buf.Len() > 1<<20 {
			if err := j.flush(f); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(j.flush(f), f.Sync()); err != nil {
		return err
	}
	if err := errors.Join(os.Rename(name+".new", name), syncDir(j.dir)); err != nil {
		return err
	}
	if j.f != nil {
		j.f.Close() // nothing of it counts any more
	}
	j.f, j.base, j.anew = f, j.size, false
	j.note(func(s *JournalStatus) { s.Compactions++ })
	if err := os.Remove(filepath.Join(j.dir, journalV1)); err != nil && !errors.Is(err, os.ErrNotExist) {
		j.log.Warn("the roster of an older version cannot be removed", "err", err)
	}
	return nil
}
