package sink

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Identity names one start of one collector: the first half of every record's id.
type Identity struct {
	Collector uint64 // made once in a storage path; never 0
	Start     uint64 // counts the starts in that path, from 1
}

// Hex is the collector as it stands on the wire: 16 hex digits.
func (i Identity) Hex() string { return fmt.Sprintf("%016x", i.Collector) }

const (
	identityFile = "collector.json"
	startPrefix  = "start-"
)

type identityJSON struct {
	Version   int    `json:"v"`
	Collector string `json:"collector"`
}

// OpenIdentity reads the collector's number in the folder dir, or makes one, and takes the next start: both are on disk, synced, before they are
// returned, so that no two starts ever share an id, not even two processes that begin at once. The folder is made if missing.
func OpenIdentity(dir string) (Identity, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Identity{}, fmt.Errorf("open identity: %w", err)
	}
	c, err := collectorNumber(dir)
	if err != nil {
		return Identity{}, fmt.Errorf("open identity: %w", err)
	}
	s, err := claimStart(dir)
	if err != nil {
		return Identity{}, fmt.Errorf("open identity: claim a start: %w", err)
	}
	return Identity{c, s}, nil
}

func collectorNumber(dir string) (uint64, error) {
	file := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		if err := makeCollector(dir, file); err != nil {
			return 0, err
		}
		b, err = os.ReadFile(file) // of two that make one, the first wins
	}
	if err != nil {
		return 0, err
	}
	var j identityJSON
	err = json.Unmarshal(b, &j)
	n, bad := strconv.ParseUint(j.Collector, 16, 64)
	if err = errors.Join(err, bad); err != nil || j.Version != 1 || n == 0 || len(j.Collector) != 16 {
		return 0, fmt.Errorf("%q is damaged (%q): write the old id back, or remove it to go on as a new collector", file, clip(string(b), 100))
	}
	return n, nil
}

func clip(s string, n int) string { return s[:min(n, len(s))] }

func makeCollector(dir, file string) (err error) {
	var r [8]byte
	for binary.BigEndian.Uint64(r[:]) == 0 {
		rand.Read(r[:])
	}
	b, err := json.Marshal(identityJSON{1, fmt.Sprintf("%x", r)})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".collector-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, os.ErrExist) { // Link, unlike Rename, does not replace
		return err
	}
	return syncDir(dir)
}

// claimStart makes the file start-N that nobody has made before, and removes the older ones.
func claimStart(dir string) (uint64, error) {
	old, err := starts(dir)
	if err != nil {
		return 0, err
	}
	next := uint64(1)
	for _, n := range old {
		next = max(next, n+1)
	}
	for ; ; next++ {
		f, err := os.OpenFile(filepath.Join(dir, startPrefix+strconv.FormatUint(next, 10)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
		if errors.Is(err, os.ErrExist) {
			continue // another process was faster
		}
		if err != nil {
			return 0, err
		}
		if err := errors.Join(f.Sync(), f.Close(), syncDir(dir)); err != nil {
			return 0, err
		}
		break
	}
	for _, n := range old {
		if err := os.Remove(filepath.Join(dir, startPrefix+strconv.FormatUint(n, 10))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
	}
	return next, nil
}

func starts(dir string) (out []uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), startPrefix)
		if n, err := strconv.ParseUint(digits, 10, 63); ok && err == nil {
			out = append(out, n)
		}
	}
	return out, nil
}

// syncDir makes the names in dir survive a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
