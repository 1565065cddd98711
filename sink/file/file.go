// Package file delivers to one local file, a line a record: for trials and for tests, where no Kafka is wanted.
//
// It owns the form of a line, {"topic":…,"key":…,"ts":…,"value":{…}}, of which value is the record as it would stand in the topic and ts its time in Unix
// milliseconds. It promises what sink.Sink promises, but for a power loss: nothing is synced.
package file

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Reasons for which this sink drops, beside those of package sink.
const (
	DroppedFull  = "file_full"   // the file has MaxBytes
	DroppedWrite = "file_failed" // the file could not be written
)

// Config shapes a Sink. Path and Ledger must be given.
type Config struct {
	Path        string        // is appended to; made if missing
	Topics      sink.Topics   // empty names: those of sink.DefaultTopics
	Ledger      *sink.Ledger  // accounts for every snapshot; its identity goes into the ids
	MaxBytes    int64         // of the file; default 1 GiB
	MemoryBytes int64         // that may wait between two writes; default 64 MiB
	Flush       time.Duration // how long lines wait to be written together; default 100 ms
	Logger      *slog.Logger  // nil: silent
	Metrics     *metrics.Set  // nil: a private set
}

func (c *Config) fill() {
	d := sink.DefaultTopics()
	c.Topics.Snapshots = cmp.Or(c.Topics.Snapshots, d.Snapshots)
	c.Topics.Backfill = cmp.Or(c.Topics.Backfill, d.Backfill)
	c.Topics.Roster = cmp.Or(c.Topics.Roster, d.Roster)
	c.Topics.Rollups = cmp.Or(c.Topics.Rollups, d.Rollups)
	c.Topics.Findings = cmp.Or(c.Topics.Findings, d.Findings)
	c.MaxBytes = cmp.Or(c.MaxBytes, 1<<30)
	c.MemoryBytes = cmp.Or(c.MemoryBytes, 64<<20)
	c.Flush = cmp.Or(c.Flush, 100*time.Millisecond)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.Metrics = cmp.Or(c.Metrics, metrics.NewSet())
}

func (c *Config) validate() error {
	var faults []error
	if c.Path == "" {
		faults = append(faults, errors.New("no path"))
	}
	if c.Ledger == nil || c.Ledger.Identity().Start == 0 {
		faults = append(faults, errors.New("no ledger with an identity"))
	}
	if c.MaxBytes < 1<<20 || c.MemoryBytes < 4<<20 {
		faults = append(faults, fmt.Errorf("%d bytes of file and %d of memory: want at least 1 MiB and 4 MiB", c.MaxBytes, c.MemoryBytes))
	}
	if c.Flush < time.Millisecond || c.Flush > 10*time.Second {
		faults = append(faults, fmt.Errorf("flush every %v: want 1ms to 10s", c.Flush))
	}
	return errors.Join(faults...)
}

// Sink writes to a file. It implements sink.Sink.
type Sink struct {
	cfg     Config
	scraped *metrics.Counter
	written *metrics.Counter

	mu     sync.Mutex
	next   uint64
	buf    []byte // lines that wait
	spare  []byte
	first  uint64 // sequences in buf
	counts []sink.Count
	body   []byte // scratch
	size   int64  // of the file, with what waits
	closed bool
}

var _ sink.Sink = (*Sink)(nil)

// New checks the configuration and does nothing else: the file is opened by Run.
func New(c Config) (*Sink, error) {
	c.fill()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configure file sink: %w", err)
	}
	return &Sink{cfg: c, next: 1, scraped: c.Metrics.GetOrCreateCounter("rollcall_sink_snapshots_total"),
		written: c.Metrics.GetOrCreateCounter("rollcall_sink_file_bytes_total")}, nil
}

// Put implements sink.Sink.
func (s *Sink) Put(snap *collector.Snapshot) {
	a := s.cfg.Ledger.Scraped(snap.Instance.Service, snap.Instance.Env)
	s.scraped.Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	if why := s.full(); why != "" {
		s.drop(why, "", 0, sink.Count{Account: a, N: 1})
		return
	}
	at := len(s.buf)
	id := wire.ID{Collector: s.cfg.Ledger.Identity().Collector, Start: s.cfg.Ledger.Identity().Start, Sequence: s.next}
	var err error
	s.body, err = wire.Split(s.body, snap, wire.Provenance{Term: snap.Term}, wire.MaxRecord, func(part, _ int, body []byte) {
		id.Part = part
		s.line(s.cfg.Topics.Snapshots, a.Key(), snap.Time.UnixMilli())
		s.buf = append(append(wire.AppendHead(s.buf, id), body...), "}\n"...)
	})
	if err != nil {
		s.buf = s.buf[:at]
		s.drop(sink.DroppedOversize, "", 0, sink.Count{Account: a, N: 1})
		return
	}
	s.size += int64(len(s.buf) - at)
	if s.first == 0 {
		s.first = s.next
	}
	s.next++
	s.counts = append(s.counts, sink.Count{Account: a, N: 1})
}

// Publish implements sink.Sink. The value must be JSON; line breaks in it become spaces.
func (s *Sink) Publish(topic, key string, value []byte, t time.Time) {
	a := s.cfg.Ledger.Published(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	why := s.full()
	switch known := s.cfg.Topics; {
	case topic != known.Roster && topic != known.Rollups && topic != known.Findings:
		why = sink.DroppedTopic
	case len(value) > wire.MaxRecord:
		why = sink.DroppedOversize
	}
	if why != "" {
		s.drop(why, topic, 0, sink.Count{Account: a, N: 1})
		return
	}
	at := len(s.buf)
	s.line(topic, key, t.UnixMilli())
	from := len(s.buf)
	s.buf = append(append(s.buf, value...), "}\n"...)
	for i := from; i < len(s.buf)-1; i++ {
		if s.buf[i] == '\n' || s.buf[i] == '\r' {
			s.buf[i] = ' '
		}
	}
	s.size += int64(len(s.buf) - at)
	s.counts = append(s.counts, sink.Count{Account: a, N: 1})
}

// line begins a line, up to its value.
func (s *Sink) line(topic, key string, ts int64) {
	s.buf = append(s.buf, `{"topic":"`...)
	s.buf = append(s.buf, topic...)
	s.buf = append(s.buf, `","key":`...)
	k, _ := json.Marshal(key) // a string cannot fail
	s.buf = append(s.buf, k...)
	s.buf = append(s.buf, `,"ts":`...)
	s.buf = strconv.AppendInt(s.buf, ts, 10)
	s.buf = append(s.buf, `,"value":`...)
}

// full is the reason why nothing more can be taken, or "".
func (s *Sink) full() string {
	switch {
	case s.closed:
		return sink.DroppedClosed
	case s.size >= s.cfg.MaxBytes:
		return DroppedFull
	case int64(len(s.buf)) >= s.cfg.MemoryBytes:
		return sink.DroppedBudget
	}
	return ""
}

func (s *Sink) drop(reason, topic string, first uint64, counts ...sink.Count) {
	loss := sink.Loss{At: time.Now().UnixMilli(), Reason: reason, Topic: topic, Partition: -1}
	if first > 0 {
		loss.Partition, loss.First, loss.Last = 0, first, s.next-1
	}
	s.cfg.Ledger.Dropped(loss, counts...)
	n := uint64(0)
	for _, c := range counts {
		n += c.N
	}
	s.cfg.Metrics.GetOrCreateCounter(fmt.Sprintf(`rollcall_sink_dropped_total{reason=%q}`, reason)).AddInt64(int64(n))
}

// Run implements sink.Sink: it appends to the file what was put, a few times a second, and the rest when ctx ends. A file that cannot be opened is an
// error at once.
func (s *Sink) Run(ctx context.Context) (err error) {
	f, err := s.open()
	if err != nil {
		s.mu.Lock()
		s.closed = true
		s.settle(s.take(), err)
		s.mu.Unlock()
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tick := time.NewTicker(s.cfg.Flush)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		s.flush(f)
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.flush(f)
	return nil
}

// open opens the file and closes a line that a crash has left open.
func (s *Sink) open() (*os.File, error) {
	f, err := os.OpenFile(s.cfg.Path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open file sink: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size > 0 {
		var last [1]byte
		if _, err = f.ReadAt(last[:], size-1); err == nil && last[0] != '\n' {
			_, err = f.WriteString("\n")
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open file sink: %w", err), f.Close())
	}
	s.mu.Lock()
	s.size += size
	s.mu.Unlock()
	return f, nil
}

// pending is what one write has to say.
type pending struct {
	buf    []byte
	first  uint64
	counts []sink.Count
}

func (s *Sink) take() pending {
	p := pending{s.buf, s.first, s.counts}
	s.buf, s.spare, s.first, s.counts = s.spare[:0], nil, 0, nil
	return p
}

func (s *Sink) flush(f *os.File) {
	s.mu.Lock()
	p := s.take()
	s.mu.Unlock()
	var err error
	if len(p.buf) > 0 {
		var n int
		n, err = f.Write(p.buf)
		s.written.Add(n)
		if err != nil {
			s.cfg.Logger.Error("the file cannot be written; what was put is lost, and in the ledger", "path", s.cfg.Path, "err", err)
			if n > 0 && !bytes.HasSuffix(p.buf[:n], []byte("\n")) {
				_, _ = f.WriteString("\n") // later lines stay whole, if they can be written
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(p, err)
}

// settle accounts for one write.
func (s *Sink) settle(p pending, err error) {
	if s.spare == nil {
		s.spare = p.buf
	}
	switch {
	case len(p.counts) == 0:
	case err == nil:
		s.cfg.Ledger.Acknowledged(sink.Live, p.counts...)
	default:
		s.drop(DroppedWrite, "", p.first, p.counts...)
	}
}
