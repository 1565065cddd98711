// Package spool keeps batches on disk until they are settled: unstamped as they were made, with a journal of how they were sent.
//
// It owns the folder: fixed-size segments of batches, each with its partition, sequences, times and counts; the journal of attempts and of what is
// done; the batches that were set aside; the byte budget's arithmetic; and what remains of all that after a crash. It knows a batch as bytes only, and
// neither Kafka nor what the counts mean. Memory does not grow with the backlog: of a segment nobody reads, its sums and one bit or so a batch done.
//
//	spool.go    the configuration, opening, how it stands
//	load.go     what a process before left, whole or not
//	tend.go     what is done once a second, and at the end
//	entry.go    one batch in a segment, both ways
//	segment.go  a file of entries and its index
//	append.go   writing entries; what happens when the disk does not take them
//	journal.go  attempts and marks, both ways
//	settle.go   Attempt, Done, and the end of a segment
//	cursor.go   reading: what waits for a partition, what is oldest
//	aside.go    batches that were refused for good
//	lost.go     what becomes of batches that cannot be read, and what a crash left half set aside
//	view.go     a look at a folder that another process may own
package spool

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fsync says when what was written is made to survive a power loss. A killed process loses nothing in any case.
type Fsync uint8

// The policies.
const (
	FsyncInterval Fsync = iota // once a second
	FsyncNever                 // when the system likes
	FsyncEach                  // before an append or an attempt returns
)

// ParseFsync takes never, interval or each; "" is interval.
func ParseFsync(s string) (Fsync, error) {
	switch s {
	case "", "interval":
		return FsyncInterval, nil
	case "never":
		return FsyncNever, nil
	case "each":
		return FsyncEach, nil
	}
	return 0, fmt.Errorf("fsync %q: want never, interval or each", s)
}

// Config shapes a Spool. Path must be given.
type Config struct {
	Path         string // a folder of its own; made if missing
	MaxBytes     int64  // of the folder's segments; default 10 GB, at least 16 MiB
	SegmentBytes int64  // default: a 64th of MaxBytes, within 1 and 64 MiB
	Fsync        Fsync
	Logger       *slog.Logger // nil: silent
	// Lost is told, at the moment it is found out, what is lost with a segment that cannot be read any more or that somebody removed, and what somebody removed of what
	// was set aside. It is called with a lock of the spool's: it must not call back. Nil: nobody is told.
	Lost func(Lost)
}

const (
	defaultMaxBytes = 10 << 30
	minMaxBytes     = 16 << 20
	minSegment      = 256 << 10
	maxSegment      = 1 << 30
	maxEntries      = 16 << 10 // of a segment, and
	maxHeads        = 2 << 20  // bytes of their heads: what its index takes in memory is bounded
	syncEvery       = time.Second
	flushEvery      = 100 * time.Millisecond
)

func (c *Config) fill() {
	c.MaxBytes = cmp.Or(c.MaxBytes, defaultMaxBytes)
	c.SegmentBytes = cmp.Or(c.SegmentBytes, max(1<<20, min(64<<20, c.MaxBytes/64)))
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
}

// Validate reports what is wrong with a configuration.
func (c Config) Validate() error {
	c.fill()
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(c.Path == "", "no path")
	fault(c.MaxBytes < minMaxBytes, "%d bytes at most: want at least 16 MiB", c.MaxBytes)
	fault(c.SegmentBytes < minSegment || c.SegmentBytes > maxSegment, "segments of %d bytes: want 256 KiB to 1 GiB", c.SegmentBytes)
	fault(c.SegmentBytes > c.MaxBytes/4, "segments of %d bytes: want at most a fourth of the %d in all", c.SegmentBytes, c.MaxBytes)
	fault(c.Fsync > FsyncEach, "unknown fsync policy")
	return errors.Join(faults...)
}

var (
	errClosed = errors.New("the spool is closed")
	// ErrLocked says that another process owns the folder.
	ErrLocked = errors.New("another process owns it")
	// ErrVersion says that a later version of rollcall wrote the folder.
	ErrVersion = errors.New("a later version wrote it; use that, or empty the folder")
)

// Spool is an open folder. It is safe for concurrent use.
type Spool struct {
	cfg  Config
	lock *os.File
	boot string

	write func(f *os.File, b []byte, at int64) error // tests put faults here
	fsync func(f *os.File) error                     // and here

	amu       sync.Mutex            // one who sets aside at a time; before the others
	asides    map[string]knownAside // under it: what the owner knows to be set aside, by the files' names
	asideSeen time.Time             // when their folder had changed last at the last look
	wmu       sync.Mutex            // one writer of segments at a time; before mu
	scratch   []byte

	mu       sync.Mutex
	segments []*segment // by number
	unread   []*segment // that cannot be read; their files stay
	active   *segment   // the last; nil: the next append begins one
	next     uint64     // number of the next segment
	first    uint64     // number of the first segment of this process
	attempts map[Pos]Attempt
	bytes    int64
	loaded   []*segment // whose index is in memory, the longest unused first; without the active one
	keys     map[string]string
	damaged  Damage
	fault    error // why the disk takes nothing now
	since    time.Time
	retry    time.Time
	closed   bool
	unsynced []*os.File // of full segments, to be closed when they are synced
	names    bool       // files were made since the folder was synced

	jmu     sync.Mutex // after mu
	journal journal
	begun   int64 // bytes of the journal's beginning

	journalRoom, journalLimit int64
	asideMost                 int

	before Before
}

// Damage is what was found that nobody can read.
type Damage struct {
	Entries uint64 // that are known by their index
	Bytes   int64  // of segments and journals
}

// Before is how the last process left the folder.
type Before struct {
	Any       bool  // there was one
	Clean     bool  // it ended in order
	LastSeen  int64 // its last sign of life, Unix milliseconds
	Doubtful  bool  // what is known of attempts may not be all: power was lost, or the journal is damaged
	PowerLoss bool
	Segments  int
	Batches   int
}

// Open takes the folder over. It reads the journal and the tails of the segments, and no batch; only what a crash left without a tail is walked over.
func Open(c Config) (*Spool, error) {
	c.fill()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configure spool: %w", err)
	}
	s := blank(c)
	if err := s.open(); err != nil {
		s.release()
		return nil, fmt.Errorf("open spool %q: %w", c.Path, err)
	}
	return s, nil
}

func blank(c Config) *Spool {
	return &Spool{cfg: c, boot: bootID(), attempts: map[Pos]Attempt{}, keys: map[string]string{}, write: writeAt, fsync: (*os.File).Sync, journalRoom: journalRoom, journalLimit: journalLimit, asideMost: asideMax}
}

func (s *Spool) open() (err error) {
	if err := os.MkdirAll(filepath.Join(s.cfg.Path, asideDir), 0o750); err != nil {
		return err
	}
	if s.lock, err = os.OpenFile(filepath.Join(s.cfg.Path, "lock"), os.O_RDWR|os.O_CREATE, 0o640); err != nil {
		return err
	}
	if err := lockFile(s.lock); err != nil {
		return err
	}
	k, err := s.load()
	if err != nil {
		return err
	}
	s.before.Any = k.number > 0 || len(s.segments) > 0
	s.before.Clean, s.before.LastSeen = k.closed, k.beat
	s.before.PowerLoss = k.number > 0 && !k.closed && k.boot != s.boot
	s.before.Doubtful = s.before.PowerLoss && k.fsync != FsyncEach || k.damaged > 0 || k.number == 0 && len(s.segments) > 0
	s.damaged.Bytes += k.damaged
	s.journal.n, s.first = k.number, s.next
	for _, g := range slices.Clone(s.segments) {
		switch {
		case g.bare:
			s.mend(g)
		case g.alive <= 0:
			s.entries(g) // which removes it, if that is so
		}
	}
	for _, g := range s.segments {
		s.before.Batches += g.alive
	}
	if err := s.settleAsides(); err != nil {
		return err
	}
	s.before.Segments = len(s.segments)
	if err := s.begin(); err != nil {
		return err
	}
	if s.cfg.Fsync != FsyncNever {
		if err := s.sync(); err != nil {
			return err
		}
	}
	return s.cleanJournals()
}

// intern keeps one copy of each key.
func (s *Spool) intern(b []byte) string {
	if k, ok := s.keys[string(b)]; ok {
		return k
	}
	k := string(b)
	if len(s.keys) < 1<<20 {
		s.keys[k] = k
	}
	return k
}

// Before tells how the last process left the folder.
func (s *Spool) Before() Before { return s.before }

// Inherited says whether an entry is of an earlier process.
func (s *Spool) Inherited(p Pos) bool { return p.Segment < s.first }

// Status is how the spool stands.
type Status struct {
	Bytes    int64 // of segments
	Budget   int64
	Batches  int // that are not done
	Segments int
	Oldest   int64 // about the time of the oldest record that waits, Unix milliseconds; 0: none
	Damage   Damage
	Fault    error // why the disk takes nothing now; nil when it does
	Since    time.Time
}

// Status tells how it stands now.
func (s *Spool) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Bytes: s.bytes, Budget: s.cfg.MaxBytes, Segments: len(s.segments), Damage: s.damaged, Fault: s.fault, Since: s.since}
	for _, g := range s.segments {
		st.Batches += g.alive
		if t := g.waits(); t > 0 && (st.Oldest == 0 || t < st.Oldest) {
			st.Oldest = t
		}
	}
	return st
}

// bootID names the machine's run, so that a power loss is told from a killed process; "" where the system does not say.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
