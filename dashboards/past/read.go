package past

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/feed"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const (
	// packEvery is after how many bytes of the service's records they are packed and looked at for what they take.
	packEvery = 1 << 20
	// overMost is how many records in a row must be from later than all that is asked for, until nothing else is expected: the clock of one collector may be ahead.
	overMost = 1000
	// settleFor bounds what is worked out of them, beside reading.
	settleFor = time.Second
	// longest bounds what a Board has of ticks: it reaches over all that is read.
	longest = 3 * time.Hour
)

// errDone says that what comes is of no interest any more, errBound that a bound is reached.
var (
	errDone  = errors.New("all is read")
	errBound = errors.New("a bound is reached")
)

// reading is one under way.
type reading struct {
	p            *Past
	service, env string
	key          string
	board        *dashboards.Board
	in           wire.Record
	end          time.Time // what is from later is left out
	read         int       // bytes
	most         int       // as many may be read
	fresh        int       // bytes of the service's since the last look at what it takes
	held         int
	why          string // the bound that was reached
}

// read reads a stretch.
func (p *Past) read(ctx context.Context, service, env string, from, to time.Time) (*stretch, error) {
	s := &stretch{service: service, env: env, from: from.Truncate(aligned), to: to.Add(aligned - 1).Truncate(aligned)}
	if s.to.After(time.Now().Add(-around)) {
		s.to = to
	}
	o := p.cfg.Board
	o.Window, o.MaxBytes, o.MaxService = longest, math.MaxInt, 1 // its bytes are bounded as they are read
	o.Owns, o.Judge, o.Publish, o.Alerted, o.Roll, o.Rolled, o.Spark = nil, nil, nil, nil, nil, nil, nil
	board, err := dashboards.NewBoard(o)
	if err != nil {
		return nil, err
	}
	r := &reading{p: p, service: service, env: env, key: sink.Key(service, env), board: board, end: s.to.Add(around), most: p.cfg.MaxRead}
	limited, cancel := context.WithTimeoutCause(ctx, p.cfg.Within, errBound)
	defer cancel()
	if s.covered, err = r.all(limited, s.from, s.to); err != nil {
		return nil, err
	}
	p.bytes.Add(r.read)
	board.Settle(r.end, settleFor)
	s.bytes = max(board.Pack(), least)
	s.board = board
	return s, nil
}

// all reads the while first, then what came late, then what was before it.
func (r *reading) all(ctx context.Context, from, to time.Time) (c covered, err error) {
	k, topic := r.p.cfg.Kafka, r.p.cfg.Snapshots
	n, err := k.Partitions(ctx, topic)
	switch {
	case err != nil:
		return c, err
	case n == 0:
		return c, fmt.Errorf("topic %s is not there", topic)
	}
	part := int(wire.Partition(r.key, n))
	first, begin, end, err := k.Offsets(ctx, topic, part, from.Add(-around))
	if err != nil {
		return c, err
	}
	oldest, newest, err := r.lane(ctx, topic, part, begin, end, to.Add(around))
	if err != nil {
		return c, err
	}
	c.from, c.to = from, to
	if r.why != "" {
		c.to, c.newer = newest, r.why
	}
	cut := gone(first, begin, oldest, from)
	if cut {
		c.older = goneWhy
		if c.from = to; !oldest.IsZero() {
			c.from = earlier(oldest, to)
		}
	}
	if r.why != "" {
		return c, nil
	}
	if err := r.late(ctx, part, from); err != nil {
		return c, err
	}
	c.late, r.why = r.why, ""
	if cut {
		return c, nil
	}
	err = r.before(ctx, part, begin, to.Sub(from), &c)
	return c, err
}

// before reads what was before a while, up to its first offset: as long as it was, and enough to tell what was usual.
func (r *reading) before(ctx context.Context, part int, begin int64, long time.Duration, c *covered) error {
	k, topic, back := r.p.cfg.Kafka, r.p.cfg.Snapshots, c.from.Add(-max(before, long))
	first, more, _, err := k.Offsets(ctx, topic, part, back.Add(-around))
	var oldest time.Time
	if err == nil {
		oldest, _, err = r.lane(ctx, topic, part, more, begin, r.end)
	}
	switch err = r.bounded(ctx, err); {
	case err != nil:
		return err
	case r.why != "":
		c.older = r.why
	case gone(first, more, oldest, back):
		if c.older = goneWhy; !oldest.IsZero() {
			c.from = earlier(oldest, c.from)
		}
	default:
		c.from = back
	}
	return nil
}

const goneWhy = "older ones are gone"

// gone reports whether a partition does not have the beginning of a while any more, where its first record and the first of the while, of an oldest time, are these.
func gone(first, begin int64, oldest, from time.Time) bool {
	return begin == first && first > 0 && (oldest.IsZero() || oldest.After(from))
}

// late reads what came by the other lane, whenever that was.
func (r *reading) late(ctx context.Context, part int, from time.Time) error {
	k, topic := r.p.cfg.Kafka, r.p.cfg.Backfill
	if topic == "" {
		return nil
	}
	n, err := k.Partitions(ctx, topic)
	if err != nil || part >= n {
		return r.bounded(ctx, err)
	}
	_, begin, end, err := k.Offsets(ctx, topic, part, from.Add(-before-around))
	if err != nil {
		return r.bounded(ctx, err)
	}
	all := r.most
	r.most = min(all, r.read+all/4)
	_, _, err = r.lane(ctx, topic, part, begin, end, time.Time{})
	r.most = all
	return err
}

// lane reads a partition from an offset up to another, or until records are from later than a time, and says of when the oldest and the newest of all of them were.
func (r *reading) lane(ctx context.Context, topic string, part int, from, end int64, until time.Time) (oldest, newest time.Time, err error) {
	if from >= end {
		return oldest, newest, nil
	}
	over := 0
	err = r.p.cfg.Kafka.Read(ctx, topic, part, from, end, func(at time.Time, key, value []byte) error {
		if oldest.IsZero() {
			oldest = at
		}
		switch {
		case until.IsZero() || !at.After(until):
			newest, over = at, 0
		case over == overMost:
			return errDone
		default:
			over++
		}
		if r.read += len(key) + len(value); r.read > r.most {
			r.why = fmt.Sprintf("%s were read", size(r.read))
			return errBound
		}
		if string(key) != r.key {
			return nil
		}
		return r.take(value)
	})
	return oldest, newest, r.bounded(ctx, err)
}

// bounded is an error, or nil where it only says that a reading is done, or that a bound is reached, which r.why tells then.
func (r *reading) bounded(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errDone), errors.Is(err, errBound):
		return nil
	case err != nil && context.Cause(ctx) == errBound:
		r.why = words(r.p.cfg.Within) + " were over"
		return nil
	}
	return err
}

// take puts a record of the service into the Board. One that cannot be read is passed over: the feed says more of such.
func (r *reading) take(value []byte) error {
	if wire.Decode(value, &r.in) != nil || r.in.Service != r.service || r.in.Env != r.env || r.in.TS > r.end.UnixMilli() {
		return nil
	}
	out := feed.RecordOf(&r.in)
	out.Seen = out.Time
	r.board.Add(&out)
	if r.fresh += len(value); r.fresh < packEvery {
		return nil
	}
	r.fresh = 0
	if r.held = r.board.Pack(); r.held > r.p.cfg.MaxBytes {
		r.why = fmt.Sprintf("they take more than %s", size(r.p.cfg.MaxBytes))
		return errBound
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
