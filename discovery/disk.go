package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

type rosterFile struct {
	Version int       `json:"v"`
	Saved   time.Time `json:"saved"`
	Entries []Entry   `json:"entries"`
}

// Save writes the roster to file: a new file in the same folder, synced and renamed, so that a reader never sees half of it.
func (r *Roster) Save(file string, now time.Time) (err error) {
	b, err := json.Marshal(rosterFile{Version: 1, Saved: now, Entries: r.Entries()})
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
// their path. A file that is not there is an empty roster; a damaged one is an error and changes nothing.
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
	for _, e := range f.Entries {
		if !slices.Contains(sources, e.Source) {
			continue
		}
		if e.State.Scraped() || e.State == Filtered {
			k := [2]string{e.Source, e.Path}
			held := r.sets[k]
			if held == nil {
				held = &heldSet{members: map[string]Member{}, verified: e.Verified}
				r.sets[k] = held
			}
			held.members[e.ID()] = Member{Instance: e.Instance}
		}
		if e.State.Scraped() {
			e.State, e.Since = Unconfirmed, now
			e.Reason = "last seen " + e.Verified.UTC().Format(time.RFC3339) + ", before a restart; not confirmed since"
		}
		r.entries[e.ID()] = &e
	}
	r.version++
	return nil
}
