// Package past answers about a while that the windows do not hold any more: the records of one service are read back from Kafka, by time, into a Board of their own.
//
// It owns what is read, within which bounds, and for how long it is kept. It must not know how Kafka is spoken to, nor what is asked of the Board.
package past

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/gate"
)

// Kafka is what must be known of it. Offsets and partitions are as Kafka counts them.
type Kafka interface {
	// Partitions is how many a topic has; 0: there is no such topic.
	Partitions(ctx context.Context, topic string) (int, error)
	// Offsets are the oldest record that a partition still has, the first of a time or later, and where the partition ends.
	Offsets(ctx context.Context, topic string, partition int, at time.Time) (first, from, end int64, err error)
	// Read gives the records from an offset up to another, in order, until take returns an error, which Read returns. What take is given may be kept by nobody.
	Read(ctx context.Context, topic string, partition int, from, end int64, take func(at time.Time, key, value []byte) error) error
}

// Config says what to read, and how much at most. Kafka, Snapshots and Board must be given, the rest has defaults.
type Config struct {
	Kafka               Kafka
	Snapshots, Backfill string             // topics; no Backfill: there is none
	Board               dashboards.Options // of the Boards that are made: how golden signals are recognised, and percentiles; its bounds are not looked at
	MaxSpan             time.Duration      // the longest while that is read back, default 15 minutes
	MaxRead             int                // bytes of records, of all services of the partition, that are read for one, default 256 MiB; of late ones a quarter
	MaxBytes            int                // what one may take in memory, and all that are kept together, default 64 MiB
	Within              time.Duration      // how long a reading may take, default 10 s
	Keep                time.Duration      // for how long one is kept after somebody has asked for it last, default 5 minutes
	Log                 *slog.Logger
	Metrics             *metrics.Set
}

func (c *Config) defaults() {
	for _, d := range []struct {
		is *time.Duration
		to time.Duration
	}{{&c.MaxSpan, 15 * time.Minute}, {&c.Within, 10 * time.Second}, {&c.Keep, 5 * time.Minute}} {
		if *d.is == 0 {
			*d.is = d.to
		}
	}
	if c.MaxRead == 0 {
		c.MaxRead = 256 << 20
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
}

func (c *Config) validate() error {
	var errs []error
	if c.Kafka == nil || c.Snapshots == "" {
		errs = append(errs, errors.New("there is nothing to read from"))
	}
	if c.MaxSpan < time.Second || c.MaxSpan > time.Hour {
		errs = append(errs, fmt.Errorf("a longest while of %s is not within 1s..1h", c.MaxSpan))
	}
	if c.MaxRead < 0 || c.MaxBytes < 0 || c.Within < 0 || c.Keep < 0 {
		errs = append(errs, errors.New("no bound may be negative"))
	}
	return errors.Join(errs...)
}

const (
	// waiting is how many may wait for the one reading that is under way, patience how long.
	waiting  = 16
	patience = 10 * time.Second
	// aligned is what a while is widened to whole ones of, so that the next question about almost the same one finds it.
	aligned = 5 * time.Minute
	// before is how far before a while reading goes at least, and as far as the while is long: what changed is told by what was usual.
	before = 13 * time.Minute
	// around is how much beyond both ends is read: the scrape before the first one, and records that came a little late.
	around = time.Minute
	// least is what one takes that is empty, so that many of these have a bound, too.
	least = 64 << 10
)

// Past reads back, one service at a time, and keeps what was read for a while. It is safe for concurrent use.
type Past struct {
	cfg  Config
	gate *gate.Gate

	mu    sync.Mutex
	kept  []*stretch // the one asked for last at the end
	sweep *time.Timer

	readings, found, failed *metrics.Counter
	bytes                   *metrics.Counter
}

// New makes a Past; it asks nothing of Kafka. The error names everything that cannot be.
func New(c Config) (*Past, error) {
	c.defaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	p := &Past{cfg: c, gate: gate.New(1, waiting, patience)}
	p.readings = c.Metrics.GetOrCreateCounter("rollcall_past_readings_total")
	p.failed = c.Metrics.GetOrCreateCounter("rollcall_past_readings_failed_total")
	p.found = c.Metrics.GetOrCreateCounter("rollcall_past_kept_answers_total")
	p.bytes = c.Metrics.GetOrCreateCounter("rollcall_past_read_bytes_total")
	c.Metrics.GetOrCreateGauge("rollcall_past_kept_bytes", func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return float64(p.size())
	})
	c.Metrics.GetOrCreateGauge("rollcall_past_readings_refused", func() float64 { return float64(p.gate.Refused()) })
	return p, nil
}

// stretch is what was read of a service.
type stretch struct {
	service, env string
	from, to     time.Time // what questions it can answer: about any while within
	board        *dashboards.Board
	bytes        int
	used         time.Time
	covered
}

// Window is the past of one service, read back.
type Window struct {
	Board *dashboards.Board // as it was at the end of what was read; nil: nothing was read
	of    *stretch
	why   string
}

// Of reads what a service said from a time to another, and what it takes to compare that with the time before, unless that is kept already. Where it is
// not read, because the while is too long, or because Kafka does not answer, the Window has no Board and says why. The error is a Gate's, or ctx's.
func (p *Past) Of(ctx context.Context, service, env string, from, to time.Time) (*Window, error) {
	switch span := to.Sub(from); {
	case span <= 0 || from.UnixMilli() <= 0:
		return nil, nil // nothing that can be read: whoever answers says what is wrong with it
	case span > p.cfg.MaxSpan:
		return &Window{why: fmt.Sprintf("of more than %s at a time", words(p.cfg.MaxSpan))}, nil
	}
	if s := p.find(service, env, from, to); s != nil {
		p.found.Inc()
		return &Window{Board: s.board, of: s}, nil
	}
	if err := p.gate.Enter(ctx); err != nil {
		return nil, err
	}
	defer p.gate.Leave()
	if s := p.find(service, env, from, to); s != nil { // whoever was before has read it
		p.found.Inc()
		return &Window{Board: s.board, of: s}, nil
	}
	p.readings.Inc()
	s, err := p.read(ctx, service, env, from, to)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		p.failed.Inc()
		p.cfg.Log.Warn("the past of a service cannot be read back", "service", service, "env", env, "err", err)
		return &Window{why: "as Kafka cannot be read: " + err.Error()}, nil
	}
	p.keep(s)
	return &Window{Board: s.board, of: s}, nil
}

// find is what is kept that answers about a while, or nil.
func (p *Past) find(service, env string, from, to time.Time) *stretch {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.kept {
		if s.service == service && s.env == env && !from.Before(s.from) && !to.After(s.to) {
			s.used = time.Now()
			p.kept = append(append(p.kept[:i:i], p.kept[i+1:]...), s)
			return s
		}
	}
	return nil
}

// keep keeps a stretch in place of those asked for longest ago, as far as there is no room for them.
func (p *Past) keep(s *stretch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.used = time.Now()
	p.kept = append(p.kept, s)
	for len(p.kept) > 1 && p.size() > p.cfg.MaxBytes {
		p.kept = append([]*stretch(nil), p.kept[1:]...)
	}
	if p.sweep == nil {
		p.sweep = time.AfterFunc(p.cfg.Keep, p.forget)
	}
}

// forget lets go of what nobody has asked for.
func (p *Past) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.kept) > 0 && time.Since(p.kept[0].used) >= p.cfg.Keep {
		p.kept = append([]*stretch(nil), p.kept[1:]...)
	}
	if p.sweep = nil; len(p.kept) > 0 {
		p.sweep = time.AfterFunc(time.Until(p.kept[0].used.Add(p.cfg.Keep)), p.forget)
	}
}

// size is what all that is kept takes. The caller holds the lock.
func (p *Past) size() (n int) {
	for _, s := range p.kept {
		n += s.bytes
	}
	return n
}
