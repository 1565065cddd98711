package discovery

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Load fills the empty roster with what was saved, for the sources named. Those who were to be scraped come back Unconfirmed until a source speaks for their path;
// whom a guard held it holds again; what could not be read is left to the source to say. Nothing saved is an empty roster; of a damaged journal the good lines
// count, and a damaged file of the first version is an error and changes nothing.
func (j *Journal) Load(sources []string, now time.Time) error {
	f, err := os.Open(filepath.Join(j.dir, journalFile))
	if errors.Is(err, os.ErrNotExist) {
		old, err := readV1(filepath.Join(j.dir, journalV1))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		entries := map[string]*savedEntry{}
		for i := range old {
			entries[old[i].ID()] = &old[i]
		}
		j.fill(&replayed{entries: entries}, sources, now)
		return nil
	}
	if err != nil {
		return fmt.Errorf("load roster: %w", err)
	}
	defer f.Close()
	read := replay(f)
	j.note(func(s *JournalStatus) { s.Damaged = uint64(read.damaged) })
	if read.damaged > 0 {
		j.log.Warn("some lines of the saved roster are damaged; they are left out", "lines", read.damaged)
	}
	j.fill(read, sources, now)
	return read.err
}

// replayed is the last word of a journal on everything.
type replayed struct {
	entries map[string]*savedEntry
	groups  map[[2]string]*savedGroup
	sets    map[setKey]time.Time // when they were verified
	heard   map[string]time.Time
	orders  []Order
	damaged int
	err     error // from reading
}

func replay(from io.Reader) *replayed {
	out := &replayed{entries: map[string]*savedEntry{}, groups: map[[2]string]*savedGroup{}, sets: map[setKey]time.Time{}, heard: map[string]time.Time{}}
	in := bufio.NewReaderSize(from, 1<<16)
	for {
		b, long, err := readLine(in)
		if len(b) > 0 {
			if l, ok := parseLine(bytes.TrimSuffix(b, []byte("\n"))); ok && !long {
				out.take(&l)
			} else {
				out.damaged++
			}
		}
		if err != nil {
			if err != io.EOF {
				out.err = fmt.Errorf("load roster: %w", err)
			}
			return out
		}
	}
}

// maxLine is far above what any line has: the longest holds the orders, 1,000 of 16 KB at most.
const maxLine = 32 << 20

// readLine reads up to and with the next line end; of a line that is too long it keeps the beginning.
func readLine(in *bufio.Reader) (b []byte, long bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if long = long || len(b)+len(part) > maxLine; !long || len(b) == 0 {
			b = append(b, part...)
		}
		if err != bufio.ErrBufferFull {
			return b, long, err
		}
	}
}

func parseLine(b []byte) (l line, ok bool) {
	if len(b) < 10 || b[8] != ' ' {
		return l, false
	}
	sum, err := strconv.ParseUint(string(b[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(b[9:], castagnoli) || json.Unmarshal(b[9:], &l) != nil {
		return l, false
	}
	return l, true
}

func (p *replayed) take(l *line) {
	switch {
	case l.Entry != nil:
		p.entries[l.Entry.ID()] = l.Entry
	case l.Gone != "":
		delete(p.entries, l.Gone)
	case l.Group != nil:
		p.groups[[2]string{l.Group.Service, l.Group.Env}] = l.Group
	case l.Set != nil:
		p.sets[setKey{l.Set.Source, l.Set.Path}] = l.Set.Verified
	case l.Orders != nil:
		p.orders = *l.Orders
	case l.Heard != nil:
		p.heard = l.Heard
	}
}

func (j *Journal) fill(p *replayed, sources []string, now time.Time) {
	r := j.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batch++
	l := loader{r: r, now: now, heard: p.heard, sets: p.sets, strings: map[string]string{}}
	for id, s := range p.entries {
		if slices.Contains(sources, s.Source) && (s.Host != "" && (s.State.Scraped() || s.State == Filtered) || s.State == Departed) {
			l.load(s)
		}
		delete(p.entries, id)
	}
	for k, g := range p.groups {
		if rg := r.groups[k]; rg != nil {
			rg.growth = growth{grown: g.Grown, floors: g.Floors, era: g.Era, bids: g.Bids, low: g.Low}
		}
	}
	for i := range p.orders {
		p.orders[i].plain()
	}
	r.orders = slices.DeleteFunc(p.orders, func(o Order) bool { return o.over(now) })
	l.done()
}
