package discovery

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type rosterFile struct {
	Version int          `json:"v"`
	Saved   time.Time    `json:"saved"`
	Entries []savedEntry `json:"entries"`
}

// savedEntry is an entry with what a filter has made unlike what the source saw.
type savedEntry struct {
	Entry
	ID   string    `json:"id,omitempty"`   // on the roster, where it is not the entry's own
	Seen *Instance `json:"seen,omitempty"` // before the filter, so that no rule runs twice over one instance
}

// saved is the roster to be written, in order.
func (r *Roster) saved() []savedEntry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]savedEntry, 0, len(r.entries))
	for id, e := range r.entries {
		s := savedEntry{Entry: *e}
		if id != e.ID() {
			s.ID = id
		}
		if held := r.sets[setKey{e.Source, e.Path}]; held != nil && e.State != Departed {
			if e.State != Unconfirmed {
				s.Verified = held.verified
			}
			if m, ok := held.members[id]; ok && m.Instance != e.Instance {
				s.Seen = &m.Instance
			}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b savedEntry) int {
		return cmp.Or(a.Key.Compare(b.Key), strings.Compare(a.Entry.ID(), b.Entry.ID()))
	})
	return out
}

// Save writes the roster to file: a new file in the same folder, synced and renamed, so that a reader never sees half of it.
func (r *Roster) Save(file string, now time.Time) (err error) {
	b, err := json.Marshal(rosterFile{Version: 1, Saved: now, Entries: r.saved()})
	if err != nil {
		return fmt.Errorf("save roster: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".roster-*")
	if err != nil {
		return fmt.Errorf("save roster: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("save roster: %w", err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// Load fills an empty roster with what was saved, for the sources named. Those who were to be scraped come back Unconfirmed until a source speaks for
// their path; what could not be read is left to the source to say again. A file that is not there is an empty roster; a damaged one is an error and changes nothing.
func (r *Roster) Load(file string, sources []string, now time.Time) error {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load roster: %w", err)
	}
	var f rosterFile
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("load roster %q: %w; starting without it", file, err)
	}
	if f.Version != 1 {
		return fmt.Errorf("load roster %q: version %d is not ours; starting without it", file, f.Version)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, saved := range f.Entries {
		e := saved.Entry
		if !slices.Contains(sources, e.Source) || e.Host == "" || !e.State.Scraped() && e.State != Filtered && e.State != Departed {
			continue
		}
		id := cmp.Or(saved.ID, e.ID())
		if e.State != Departed {
			m := &Member{Instance: e.Instance}
			if saved.Seen != nil {
				m.Instance = *saved.Seen
				id = entryID(&m.Instance)
			}
			held := r.set(setKey{e.Source, e.Path})
			held.loaded = true
			if e.Verified.After(held.verified) {
				held.verified = e.Verified
			}
			held.members[id] = m
			r.hold(id, held)
		}
		if e.State.Scraped() {
			e.State, e.Since, e.Reason = Unconfirmed, now, unconfirmed(e.Verified)
		}
		r.entries[id] = &e
	}
	r.version++
	return nil
}

// unconfirmed is the reason of one who is known from the disk only.
func unconfirmed(verified time.Time) string {
	return "last seen " + verified.UTC().Format(time.RFC3339) + ", before a restart; not confirmed since"
}
