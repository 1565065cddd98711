package tag

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

type tracksFile struct {
	Version int          `json:"v"`
	Saved   time.Time    `json:"saved"`
	Fleets  []fleetSaved `json:"services"`
}

type fleetSaved struct {
	Service  string         `json:"service"`
	Env      string         `json:"env"`
	Releases []releaseSaved `json:"versions"`
}

type releaseSaved struct {
	Version    string    `json:"version"`
	First      time.Time `json:"first"`
	Exact      bool      `json:"exact,omitempty"`
	Production bool      `json:"production,omitempty"`
}

// Save writes the versions and their ages to file, for Load after a restart: a new file beside it, synced and renamed.
func (t *Tracks) Save(file string, now time.Time) (err error) {
	out := tracksFile{Version: 1, Saved: now, Fleets: []fleetSaved{}}
	t.mu.Lock()
	for g, f := range t.groups {
		if !f.settled {
			continue
		}
		s := fleetSaved{Service: g.Service, Env: g.Env}
		for v, r := range f.releases {
			s.Releases = append(s.Releases, releaseSaved{v, r.first, r.exact, r.promoted})
		}
		slices.SortFunc(s.Releases, func(a, b releaseSaved) int { return cmp.Compare(a.Version, b.Version) })
		out.Fleets = append(out.Fleets, s)
	}
	t.mu.Unlock()
	slices.SortFunc(out.Fleets, func(a, b fleetSaved) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Env, b.Env))
	})
	b, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("save tracks: %w", err)
	}
	w, err := os.CreateTemp(filepath.Dir(file), ".tracks-*")
	if err != nil {
		return fmt.Errorf("save tracks: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("save tracks: %w", err), os.Remove(w.Name()))
		}
	}()
	_, err = w.Write(b)
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	return os.Rename(w.Name(), file)
}

// Load takes what Save wrote. Nothing is said of a service until its instances have been seen again; a version that is new since the file was saved is as old as the
// file at most. A file that is not there is no error; a damaged one is, and changes nothing.
func (t *Tracks) Load(file string, now time.Time) error {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load tracks: %w", err)
	}
	var in tracksFile
	if err := json.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("load tracks %q: %w; starting without it", file, err)
	}
	if in.Version != 1 {
		return fmt.Errorf("load tracks %q: version %d is not ours; starting without it", file, in.Version)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range in.Fleets {
		f := &fleet{since: now, saved: in.Saved, swept: now, releases: map[string]*release{}, members: map[endpoint]*member{}}
		for _, r := range s.Releases {
			if len(f.releases) == maxReleases {
				break
			}
			f.releases[r.Version] = &release{first: r.First, exact: r.Exact, promoted: r.Production, left: now}
			if r.Production {
				f.promoted++
			}
		}
		t.groups[group{s.Service, s.Env}] = f
	}
	return nil
}
