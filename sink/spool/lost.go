package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Lost is what the spool held, had told its owner of, and cannot give any more, of one kind of record. What the owner holds is not in it: it finds that out by Read.
type Lost struct {
	Kind   uint8
	Oldest int64 // no record that is lost is older, Unix milliseconds
	Newest int64
	Counts []Count
	Aside  *Aside // it was set aside, and is gone; nil: it waited
}

// account is one key of one kind of record.
type account struct {
	kind uint8
	key  string
}

// free counts an entry among those that wait in nobody's hands, or no more; n is 1 or -1.
func (g *segment) free(e *Entry, n int) {
	if len(e.Counts) > 0 && g.waiting == nil {
		g.waiting = map[account]uint64{}
	}
	for _, c := range e.Counts {
		k := account{e.Kind, c.Key}
		if n > 0 {
			g.waiting[k] += c.N
		} else if g.waiting[k] -= min(c.N, g.waiting[k]); g.waiting[k] == 0 {
			delete(g.waiting, k)
		}
	}
}

// hold puts an entry into the owner's hands.
func (g *segment) hold(e *Entry) {
	if !g.held[e.Offset] {
		g.held[e.Offset] = true
		g.free(e, -1)
	}
}

// accounts are the counts of an entry.
func (e *Entry) accounts() map[account]uint64 {
	out := map[account]uint64{}
	for _, c := range e.Counts {
		out[account{e.Kind, c.Key}] += c.N
	}
	return out
}

// recount sets what waits in a segment in nobody's hands by its index, and says what of it is not there any more.
func (s *Spool) recount(g *segment) {
	was := g.waiting
	g.waiting = nil
	for i := range g.index {
		if e := &g.index[i]; !g.dead[e.Offset] && !g.held[e.Offset] {
			g.free(e, 1)
		}
	}
	for k, n := range was {
		if was[k] = n - min(n, g.waiting[k]); was[k] == 0 {
			delete(was, k)
		}
	}
	s.lose(g, was)
}

// gone says that all that waits in a segment in nobody's hands is lost.
func (s *Spool) gone(g *segment) {
	s.lose(g, g.waiting)
	g.waiting = nil
}

func (s *Spool) lose(g *segment, what map[account]uint64) {
	if len(what) == 0 || s.cfg.Lost == nil {
		return
	}
	by := map[uint8]*Lost{}
	for k, n := range what {
		l := by[k.kind]
		if l == nil {
			l = &Lost{Kind: k.kind, Oldest: g.oldest, Newest: g.newest}
			by[k.kind] = l
		}
		l.Counts = append(l.Counts, Count{k.key, n})
	}
	for _, l := range by {
		slices.SortFunc(l.Counts, func(a, b Count) int { return strings.Compare(a.Key, b.Key) })
		s.cfg.Lost(*l)
	}
}

// shut leaves a segment alone that cannot be read. Its file stays, as the disk may only be tired, and with it what is known of it: whoever reads it later must
// not send again what is done.
func (s *Spool) shut(g *segment) {
	s.gone(g)
	s.forget(g)
	s.unread = append(s.unread, g)
}

// known reports whether a segment is there, readable or not.
func (s *Spool) known(n uint64) bool {
	return s.segment(n) != nil || slices.ContainsFunc(s.unread, func(g *segment) bool { return g.n == n })
}

// prune forgets attempts whose batch a segment does not have, as its index says.
func (s *Spool) prune(g *segment) {
	for p := range s.attempts {
		if p.Segment == g.n {
			if _, ok := g.find(p.Offset); !ok && !g.held[p.Offset] {
				delete(s.attempts, p)
			}
		}
	}
}

// retryTail ends the name of what was set aside while it is taken back.
const retryTail = ".retry"

// settleAsides ends what a crash left half done between the batches that wait and those that are set aside: a batch is in one of the two places.
func (s *Spool) settleAsides() error {
	dir := filepath.Join(s.cfg.Path, asideDir)
	names, err := asideNames(s.cfg.Path)
	if err != nil {
		return err
	}
	for _, name := range names { // it was set aside, and the mark that it is done with is missing
		p, ok := asidePos(name)
		g := s.segment(p.Segment)
		if !ok || g == nil || g.dead[p.Offset] {
			continue
		}
		a, err := ReadAside(s.cfg.Path, name)
		if err != nil {
			continue
		}
		for _, e := range s.entries(g) {
			if e.Pos == p && e.same(&a) {
				s.Done(p)
				break
			}
		}
	}
	half, err := filepath.Glob(filepath.Join(dir, "*"+asideTail+retryTail))
	if err != nil {
		return err
	}
	for _, path := range half {
		name := strings.TrimSuffix(path, retryTail)
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if a, bad := parseAside(b); bad == nil && s.has(&a) {
			err = os.Remove(path)
		} else if len(s.unread) == 0 { // else it may be there
			err = os.Rename(path, name)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("take back what was set aside: %w", err)
		}
	}
	return nil
}

// has reports whether the batch of one that was set aside waits.
func (s *Spool) has(a *Aside) bool {
	for _, g := range slices.Backward(slices.Clone(s.segments)) {
		for _, e := range s.entries(g) {
			if !g.dead[e.Offset] && e.same(a) {
				return true
			}
		}
	}
	return false
}

// same reports whether an entry holds the batch of one that was set aside.
func (e *Entry) same(a *Aside) bool {
	return e.Kind == a.Kind && e.Partition == a.Partition && e.Start == a.Start && e.First == a.First && e.Last == a.Last && e.Size == a.Size && e.crc == crcOf(a.batch)
}

// asidePos is where a batch stood that was set aside, by its file's name; zero for one that was not in the spool.
func asidePos(name string) (Pos, bool) {
	f := strings.Split(name, "-")
	if len(f) < 3 {
		return Pos{}, false
	}
	p, ok := ParsePos(f[1] + "-" + f[2])
	return p, ok && p != Pos{}
}
