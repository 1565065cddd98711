package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// state is what an agent tells its successor: which member stood for which service, how often that fell, and how large the serversets were. All of it
// can be lost without harm: the members are found by listing, the rest is learned again.
type state struct {
	file  string
	sizes *sizes
	dirty chan struct{} // one slot

	mu       sync.Mutex
	services map[string]remembered // by serverset/host:port
}

// remembered is the last known of one service.
type remembered struct {
	Members []string  `json:"members,omitempty"` // names that may stand for it, sorted: one, or none, or more while a change is under way
	Points  float64   `json:"points,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Damped  bool      `json:"damped,omitempty"`
}

func (r remembered) equal(o remembered) bool {
	return slices.Equal(r.Members, o.Members) && r.Points == o.Points && r.At.Equal(o.At) && r.Damped == o.Damped
}

type stateFile struct {
	Version  int                   `json:"v"`
	Saved    time.Time             `json:"saved"`
	Services map[string]remembered `json:"services"`
	Sizes    map[string][]sized    `json:"sizes"`
}

// maxState bounds what is read back: 100,000 services are some 20 MB.
const maxState = 64 << 20

func newState(file string) *state {
	return &state{file: file, sizes: newSizes(), dirty: make(chan struct{}, 1), services: map[string]remembered{}}
}

func (s *state) load(now time.Time) error {
	if s.file == "" {
		return nil
	}
	f, err := os.Open(s.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load state: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return fmt.Errorf("load state: %w", err)
	}
	d, err := decodeState(b)
	if err != nil {
		return fmt.Errorf("load state %q: %w", s.file, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Services != nil {
		s.services = d.Services
	}
	for path, list := range d.Sizes {
		for _, e := range list {
			if at := time.Unix(e.Minute*60, 0); !at.After(now) && now.Sub(at) <= lookBack {
				s.sizes.add(path, e.Size, at)
			}
		}
	}
	return nil
}

func decodeState(b []byte) (d stateFile, err error) {
	if err := json.Unmarshal(b, &d); err != nil {
		return stateFile{}, err
	}
	if d.Version != 1 {
		return stateFile{}, fmt.Errorf("version %d is not ours", d.Version)
	}
	return d, nil
}

func (s *state) get(key string) (r remembered, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, known = s.services[key]
	return r, known
}

func (s *state) put(key string, r remembered) {
	s.mu.Lock()
	was, known := s.services[key]
	s.services[key] = r
	s.mu.Unlock()
	if !known || !was.equal(r) {
		wake(s.dirty)
	}
}

func (s *state) forget(key string) {
	s.mu.Lock()
	delete(s.services, key)
	s.mu.Unlock()
	wake(s.dirty)
}

// run saves what changed, five times a second at most, until ctx ends, and then once more.
func (s *state) run(ctx context.Context, log *slog.Logger) {
	if s.file == "" {
		return
	}
	failed := false
	save := func() {
		err := s.save(time.Now())
		if err != nil && !failed {
			log.Error("what a successor should know can not be saved", "err", err)
		}
		failed = err != nil
	}
	every := time.NewTicker(time.Minute) // sizes change without anybody saying so
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			save()
			return
		case <-s.dirty:
		case <-every.C:
		}
		save()
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// save writes a new file and renames it. It is not synced: after a power loss there is no predecessor to replace.
func (s *state) save(now time.Time) (err error) {
	s.mu.Lock()
	b, err := json.Marshal(stateFile{Version: 1, Saved: now, Services: s.services, Sizes: s.sizes.copy(now)})
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.file), ".register-*")
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.file)
	}
	if err != nil {
		return fmt.Errorf("save state: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
