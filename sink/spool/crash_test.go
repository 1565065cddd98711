package spool

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is what was promised.
type model struct {
	there    map[uint64]Pos // appended and not done
	attempts map[Pos]Attempt
	doubt    map[uint64]Pos // done, but that may not be written yet
	old      map[Pos]Attempt
	flight   map[uint64]Pos // what the operation under way appends or ends
	started  Attempt        // what it attempts
	group    []uint64       // together or not at all, and then not replaced
	replaced []uint64
}

func (m *model) clone() *model {
	c := *m
	c.there, c.attempts, c.doubt, c.flight, c.old = maps.Clone(m.there), maps.Clone(m.attempts), maps.Clone(m.doubt), maps.Clone(m.flight), maps.Clone(m.old)
	c.group, c.replaced = slices.Clone(m.group), slices.Clone(m.replaced)
	return &c
}

type crash struct {
	dir   string
	model *model
	what  string
}

// At whatever write a process dies, and however much of that write is there: what was promised is there, byte for byte and with its stamp, and what was done
// comes back only if nothing was written since, as attempted as it was.
func TestCrashAnywhere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		base, err := os.MkdirTemp("", "spool-crash")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(base)
		dir := filepath.Join(base, "0")
		m := &model{there: map[uint64]Pos{}, attempts: map[Pos]Attempt{}, doubt: map[uint64]Pos{}, flight: map[uint64]Pos{}, old: map[Pos]Attempt{}}
		var crashes []crash
		hook := func(f *os.File, b []byte, at int64) error {
			name := filepath.Base(f.Name())
			if len(crashes) < 6 && rapid.IntRange(0, 9).Draw(rt, "crash here") == 0 {
				n := rapid.IntRange(0, len(b)).Draw(rt, "bytes written")
				if err := writeAt(f, b[:n], at); err != nil {
					return err
				}
				to := filepath.Join(base, fmt.Sprint("crash-", len(crashes)))
				copyFolder(t, dir, to)
				crashes = append(crashes, crash{to, m.clone(), fmt.Sprintf("%s: %d of %d bytes at %d", name, n, len(b), at)})
			}
			return writeAt(f, b, at)
		}
		var s *Spool
		open := func() {
			s = small(t, dir, func(s *Spool) { s.write = hook })
		}
		open()
		seq, stamp := uint64(0), int32(0)
		for range rapid.IntRange(1, 60).Draw(rt, "operations") {
			m.flight, m.started, m.group, m.replaced = map[uint64]Pos{}, Attempt{}, nil, nil
			keys := slices.Sorted(maps.Keys(m.there))
			pick := func() (uint64, Pos) {
				k := keys[rapid.IntRange(0, len(keys)-1).Draw(rt, "which")]
				return k, m.there[k]
			}
			switch op := rapid.IntRange(0, 11).Draw(rt, "operation"); {
			case op < 5 || len(keys) == 0:
				seq++
				m.flight[seq] = Pos{}
				m.there[seq] = s.put(t, int32(seq%3), seq).Pos
			case op < 7:
				_, p := pick()
				if _, sent := m.attempts[p]; sent {
					break
				}
				stamp++
				m.started = attempt(Entry{Pos: p}, stamp)
				if err := s.Attempt(m.started); err != nil {
					rt.Fatal(err)
				}
				m.attempts[p] = m.started
				clear(m.doubt)
			case op < 9:
				k, p := pick()
				m.doubt[k] = p
				delete(m.there, k)
				if a, ok := m.attempts[p]; ok {
					m.old[p] = a
				}
				delete(m.attempts, p)
				s.Done(p)
			case op == 9:
				var olds []Pos
				for range rapid.IntRange(1, 3).Draw(rt, "so many") {
					k, p := pick()
					if _, sent := m.attempts[p]; sent || slices.Contains(m.replaced, k) {
						continue
					}
					olds, m.replaced = append(olds, p), append(m.replaced, k)
					delete(m.there, k)
					m.flight[k] = p
				}
				if len(olds) == 0 {
					break
				}
				var ms []Meta
				var bs [][]byte
				for range rapid.IntRange(1, 3).Draw(rt, "by") {
					seq++
					ms, bs = append(ms, meta(int32(seq%3), seq)), append(bs, batchOf(int32(seq%3), seq))
					m.flight[seq] = Pos{}
					m.group = append(m.group, seq)
				}
				es, err := s.Replace(olds, ms, bs)
				if err != nil {
					rt.Fatal(err)
				}
				for i, e := range es {
					m.there[m.group[i]] = e.Pos
				}
				clear(m.doubt)
			case op == 10:
				if err := s.tend(time.Now(), rapid.Bool().Draw(rt, "sync")); err != nil {
					rt.Fatal(err)
				}
				clear(m.doubt)
			case op == 11:
				if rapid.Bool().Draw(rt, "in order") {
					if err := s.Close(); err != nil {
						rt.Fatal(err)
					}
				} else {
					s.abandon()
				}
				open()
				for k, p := range m.doubt { // what came back is there
					if g := s.segment(p.Segment); g != nil && !g.dead[p.Offset] {
						m.there[k] = p
						if a, ok := m.old[p]; ok {
							m.attempts[p] = a
						}
					}
				}
				clear(m.doubt)
			}
		}
		s.abandon()
		m.flight, m.started, m.group, m.replaced = nil, Attempt{}, nil, nil
		crashes = append(crashes, crash{dir, m, "at rest"})
		for _, c := range crashes {
			c.check(t, rt)
		}
	})
}

func (c *crash) check(t *testing.T, rt *rapid.T) {
	s := small(t, c.dir, nil)
	defer s.abandon()
	m := c.model
	attempts := map[Pos]Attempt{}
	for _, a := range s.Attempts() {
		attempts[a.Pos] = a
	}
	got := s.waiting(t)
	for k, p := range m.there {
		if _, flying := m.flight[k]; !flying && got[k] != p {
			rt.Fatalf("%s: sequence %d at %v is lost: %v", c.what, k, p, got)
		}
	}
	for k, p := range got {
		a, sent := attempts[p]
		_, there := m.there[k]
		_, doubt := m.doubt[k]
		_, flight := m.flight[k]
		if !there && !doubt && !flight {
			rt.Fatalf("%s: sequence %d was done and is back", c.what, k)
		}
		want, ok := m.attempts[p]
		if doubt {
			want, ok = m.old[p]
		}
		if m.started.Pos == p && sent {
			want, ok = m.started, true
		}
		if sent != ok || a != want {
			rt.Fatalf("%s: sequence %d has the stamp %+v, want %+v", c.what, k, a, want)
		}
	}
	for _, k := range m.replaced {
		_, old := got[k]
		n := 0
		for _, k := range m.group {
			if _, ok := got[k]; ok {
				n++
			}
		}
		if old && n != 0 || !old && n != len(m.group) {
			rt.Fatalf("%s: %d of %d that replace another are there, that one: %t", c.what, n, len(m.group), old)
		}
	}
	if s.damaged != (Damage{}) && !strings.HasPrefix(c.what, journalPrefix) {
		rt.Fatalf("%s: %+v taken for damage", c.what, s.damaged)
	}
}
