package sink

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Identity names one start of one collector: the first half of every record's id.
type Identity struct {
	Collector uint64 // made once in a storage path; never 0
	Start     uint64 // grows from start to start: Unix seconds of it, or one more than the one before
}

// Hex is the collector as it stands on the wire: 16 hex digits.
func (i Identity) Hex() string { return fmt.Sprintf("%016x", i.Collector) }

const (
	identityFile = "identity"
	identityHead = "rollcall collector "
)

// OpenIdentity reads the collector's number in the folder dir, or makes one, and takes the next start: both are on disk, synced, before they are
// returned, so that no two starts ever share an id, not even two processes that begin at once. The folder is made if missing.
//
// They stand in one file, so that one is never lost without the other: a first line with the collector, then a line for each start, with its time. Appends do not
// overlap and no line is ever removed, so what stands before a line gives its number to whoever reads it; a line that a crash cut short was never used. The number is
// of time, and no mere count, because a folder may come back from a backup: a start that was counted again would give ids out twice, and readers would take
// new records for doubles.
func OpenIdentity(dir string) (Identity, error) {
	id, err := openIdentity(dir)
	if err != nil {
		return Identity{}, fmt.Errorf("open identity: %w", err)
	}
	return id, nil
}

func openIdentity(dir string) (id Identity, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return id, err
	}
	file := filepath.Join(dir, identityFile)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if err := makeIdentity(dir, file); err != nil {
			return id, err
		}
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_RDWR, 0)
	if err != nil {
		return id, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if id.Collector, err = readCollector(file); err != nil {
		return id, err
	}
	line := []byte(time.Now().UTC().Format(time.RFC3339) + " " + rand.Text() + "\n")
	if _, err := f.Write(line); err != nil {
		return id, err
	}
	if err := f.Sync(); err != nil {
		return id, err
	}
	all, err := os.ReadFile(file)
	if err != nil {
		return id, err
	}
	at := bytes.Index(all, line)
	if at < 0 {
		return id, fmt.Errorf("%q does not hold what was just written to it", file)
	}
	id.Start = numberOf(all[:at+len(line)])
	return id, nil
}

// numberOf is the number of the start whose line is the last of the file.
func numberOf(file []byte) (n uint64) {
	_, starts, _ := bytes.Cut(file, []byte("\n"))
	for line := range bytes.Lines(starts) {
		n++
		word, _, _ := bytes.Cut(line, []byte(" "))
		if t, err := time.Parse(time.RFC3339, string(word)); err == nil && t.Unix() > 0 {
			n = max(n, uint64(t.Unix()))
		}
	}
	return n
}

func readCollector(file string) (uint64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	first, _, whole := strings.Cut(string(b), "\n")
	digits, ours := strings.CutPrefix(first, identityHead)
	n, err := strconv.ParseUint(digits, 16, 64)
	if !whole || !ours || err != nil || n == 0 || len(digits) != 16 {
		return 0, fmt.Errorf("%q is damaged, it begins with %q: remove it to go on as a new collector", file, first[:min(len(first), 60)])
	}
	return n, nil
}

// makeIdentity writes the file with its first line. Of two that do so at once the first wins.
func makeIdentity(dir, file string) (err error) {
	var r [8]byte
	for binary.BigEndian.Uint64(r[:]) == 0 {
		rand.Read(r[:])
	}
	f, err := os.CreateTemp(dir, ".identity-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = fmt.Fprintf(f, "%s%x\n", identityHead, r)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, os.ErrExist) { // Link, unlike Rename, does not replace
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in dir survive a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
