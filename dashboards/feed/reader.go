package feed

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
	"github.com/rollcall-metrics/rollcall/internal/fetch"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// reader reads one partition from an offset on.
type reader struct {
	f      *Feed
	p      partition
	ctx    context.Context // its life
	cancel context.CancelFunc
	done   chan struct{}
	begun  time.Time

	goal int64        // end of the partition when the reader began: from there on it is live
	next atomic.Int64 // the offset that comes next
	end  atomic.Int64 // end of the partition when last heard of
}

// run reads until ctx ends. What fails it tries again; whether anybody answers is for the watcher to find out.
func (r *reader) run(ctx context.Context, w *watcher, from int64) {
	defer close(r.done)
	read, count := r.decoder(false), r.f.records[r.p.topic]
	take := func(offset int64, value []byte) error {
		now := time.Now()
		if err := read(value, now); err != nil {
			r.f.bad.Inc()
			if held, ok := r.f.badLog.allow(now); ok {
				r.f.cfg.Log.Warn("a record cannot be read and is passed over", "topic", r.p.topic, "partition", r.p.n, "offset", offset, "err", err, "others", held)
			}
		}
		count.Inc()
		r.next.Store(offset + 1)
		r.end.Store(max(r.end.Load(), offset+1))
		return nil
	}
	for pause := readAgain; ctx.Err() == nil; {
		next, end, err := w.read(ctx, r.p, from, take)
		if from = next; err == nil {
			r.end.Store(max(r.end.Load(), end))
			pause = readAgain
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if held, ok := r.f.errLog.allow(time.Now()); ok {
			r.f.cfg.Log.Warn("reading failed, trying again", "topic", r.p.topic, "partition", r.p.n, "err", err, "others", held)
		}
		wait(ctx, pause)
		pause = min(2*pause, readRetry)
	}
}

// read hands over the records of one answer, from an offset on, until take returns an error, which read returns; it gives the offset that comes next, and where the partition ends.
func (w *watcher) read(ctx context.Context, p partition, from int64, take func(offset int64, value []byte) error) (next, end int64, err error) {
	a, err := w.records.Fetch(ctx, p.topic, p.n, from)
	if errors.Is(err, kafka.OffsetOutOfRange) {
		if first, ferr := w.oldest(ctx, p); ferr == nil && first > from {
			return first, first, nil // what was there is not any more
		}
	}
	if err != nil {
		return from, 0, err
	}
	for {
		r, err := a.Next()
		if errors.Is(err, io.EOF) {
			return from, a.End, nil
		}
		var value []byte
		if err == nil {
			value, err = fetch.Bytes(nil, r.Value)
		}
		if err == nil {
			err = take(r.Offset, value)
		}
		if err != nil {
			return from, a.End, err
		}
		from = r.Offset + 1
	}
}

// oldest is the first offset that a partition still has.
func (w *watcher) oldest(ctx context.Context, p partition) (int64, error) {
	res, err := w.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{p.topic: {kafka.FirstOffsetOf(p.n)}}})
	if err != nil {
		return 0, err
	}
	for _, o := range res.Topics[p.topic] {
		if o.Partition == p.n {
			return o.FirstOffset, o.Error
		}
	}
	return 0, kafka.UnknownTopicOrPartition
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// decoder is what is done with a record of the reader's topic; history: it is from before the reader began.
func (r *reader) decoder(history bool) func([]byte, time.Time) error {
	switch r.p.topic {
	case r.f.cfg.Roster:
		return r.roster()
	case r.f.cfg.Findings:
		return r.note
	case r.f.cfg.Rollups:
		return r.rollup
	}
	return r.snapshot(r.p.topic == r.f.cfg.Backfill, history)
}

// rollup reads a rollup.
func (r *reader) rollup(b []byte, _ time.Time) error {
	u, err := rollup.Decode(b)
	if err != nil {
		return err
	}
	r.f.cfg.History.Add(&u)
	r.f.cfg.Board.TakeRollup(&u)
	return nil
}

// caughtUp reports whether everything that was there at the start has been read.
func (r *reader) caughtUp() bool { return r.next.Load() >= r.goal }

// snapshot reads records of the two lanes. Everything is reused from one record to the next.
func (r *reader) snapshot(backfill, history bool) func([]byte, time.Time) error {
	var in wire.Record
	var out dashboards.Record
	return func(b []byte, now time.Time) error {
		if err := wire.Decode(b, &in); err != nil {
			return err
		}
		out = RecordOf(&in)
		out.Backfill, out.History, out.Seen = backfill, history || !r.caughtUp(), now
		r.f.cfg.Board.Add(&out)
		if !backfill && !out.History {
			r.f.late.Update(time.Since(out.Time).Seconds()) // from the scrape until every answer has it
		}
		if o := r.f.oldest.Load(); in.TS > 0 && (o == 0 || in.TS < o) {
			r.f.oldest.Store(in.TS)
		}
		if !backfill && !history {
			r.f.scraped.Store(max(r.f.scraped.Load(), in.TS))
			if r.caughtUp() {
				r.f.seen.Store(now.UnixMilli())
			}
		}
		return nil
	}
}

// RecordOf is a record of the wire as a Board takes it, but for how it came. Its strings and slices are the other's.
func RecordOf(in *wire.Record) dashboards.Record {
	return dashboards.Record{
		ID: dashboards.RecordID(in.ID), Previous: dashboards.RecordID(in.Source.Previous), Parts: in.Parts,
		Service: in.Service, Env: in.Env, Instance: in.Instance, Time: time.UnixMilli(in.TS), Took: in.Took, Interval: in.Source.Interval, Usual: in.Source.Usual,
		Outcome: in.Outcome, Reason: in.Reason, Term: in.Source.Term, Slot: in.Source.Slot, Tags: in.Tags, Samples: in.Samples,
	}
}

// note reads a note.
func (r *reader) note(b []byte, now time.Time) error {
	n, err := dashboards.ParseNote(b)
	if err != nil {
		return err
	}
	n.TS = min(n.TS, now.Add(noteAhead).UnixMilli()) // of a clock that is wrong: it must not keep out all that comes
	r.f.cfg.Board.Note(n)
	return nil
}

// noteAhead is how far the clocks of two servers may be apart.
const noteAhead = 5 * time.Minute

// roster reads records of the roster.
func (r *reader) roster() func([]byte, time.Time) error {
	var in wire.RosterRecord
	return func(b []byte, now time.Time) error {
		if err := wire.DecodeRoster(b, &in); err != nil {
			return err
		}
		if in.Own != nil {
			if r.f.cfg.Told != nil {
				r.f.cfg.Told(&in)
			}
			return nil
		}
		if w := in.Order; w != nil {
			if w.Event == wire.OrderBegun || w.Event == wire.OrderStands || w.Event == wire.OrderEnded {
				r.f.cfg.Board.Order(dashboards.OrderNews{Order: w.Order, Ended: w.Event == wire.OrderEnded, At: time.UnixMilli(min(in.TS, now.UnixMilli())), By: w.By, Taken: w.Taken, Of: w.Of})
			}
			return nil
		}
		if r.f.rosters.add(&in, r.f.cfg.Board, now) {
			r.f.fenced.Inc()
		}
		return nil
	}
}
