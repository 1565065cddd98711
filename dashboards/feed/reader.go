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

// run reads until ctx ends.
func (r *reader) run(ctx context.Context, w *watcher, from int64) {
	defer close(r.done)
	kr := kafka.NewReader(kafka.ReaderConfig{Brokers: r.f.cfg.Brokers, Topic: r.p.topic, Partition: r.p.n, Dialer: w.dialer, MinBytes: 1, MaxBytes: maxBytes, MaxWait: maxWait,
		QueueCapacity: queue, ReadLagInterval: -1, ReadBackoffMin: 50 * time.Millisecond, ReadBackoffMax: time.Second})
	defer kr.Close()
	if err := kr.SetOffset(from); err != nil {
		r.f.cfg.Log.Error("a partition cannot be read", "topic", r.p.topic, "partition", r.p.n, "err", err)
		return
	}
	read := r.decoder(false)
	count := r.f.records[r.p.topic]
	for {
		m, err := kr.FetchMessage(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, io.EOF) {
				return
			}
			// The Reader goes on by itself; the watcher finds out whether anybody answers.
			if held, ok := r.f.errLog.allow(time.Now()); ok {
				r.f.cfg.Log.Warn("reading failed, trying again", "topic", r.p.topic, "partition", r.p.n, "err", err, "others", held)
			}
			continue
		}
		now := time.Now()
		if err := read(m.Value, now); err != nil {
			r.f.bad.Inc()
			if held, ok := r.f.badLog.allow(now); ok {
				r.f.cfg.Log.Warn("a record cannot be read and is passed over", "topic", m.Topic, "partition", m.Partition, "offset", m.Offset, "err", err, "others", held)
			}
		}
		count.Inc()
		r.next.Store(m.Offset + 1)
		r.end.Store(max(r.end.Load(), m.HighWaterMark, m.Offset+1))
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
		out = dashboards.Record{
			ID: dashboards.RecordID(in.ID), Previous: dashboards.RecordID(in.Source.Previous), Parts: in.Parts, Backfill: backfill, History: history || !r.caughtUp(), Seen: now,
			Service: in.Service, Env: in.Env, Instance: in.Instance, Time: time.UnixMilli(in.TS), Took: in.Took, Interval: in.Source.Interval, Usual: in.Source.Usual,
			Outcome: in.Outcome, Reason: in.Reason, Term: in.Source.Term, Slot: in.Source.Slot, Tags: in.Tags, Samples: in.Samples,
		}
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
