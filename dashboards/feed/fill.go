package feed

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// What was there before is read from its end: a reader begins a short way back and is live at once; what is older is filled in behind it, the newest first, in
// steps that reach further and further back.
const (
	// tailBack is how far back snapshots are read before the feed is live: enough for each instance to have spoken twice at most intervals.
	tailBack = 2 * time.Minute
	// rollTail and rollBack are the same of roll-ups, and how far back they go in all.
	rollTail = 15 * time.Minute
	rollBack = 24 * time.Hour
	// fillers bounds the partitions that are filled at once: what is live comes first.
	fillers  = 3
	fillIdle = 10 * time.Second
)

// steps is how far back each step goes, for a topic that is filled; nil: it is read in one go.
func (f *Feed) steps(topic string) (out []time.Duration) {
	tail, back := tailBack, f.cfg.Window
	switch topic {
	case f.cfg.Snapshots, f.cfg.Backfill:
	case f.cfg.Rollups:
		tail, back = rollTail, rollBack
	default:
		return nil
	}
	for d := tail; d < back; d *= 3 {
		out = append(out, d)
	}
	return append(out, back)
}

// filling is what is known of the fills.
type filling struct {
	open int                     // partitions that are being filled
	from map[partition]time.Time // raw: how far back each has been read
}

// fill reads what a partition had before the offset `to`, once its reader has caught up.
func (w *watcher) fill(ctx context.Context, r *reader, to int64) {
	f := w.f
	steps := f.steps(r.p.topic)
	if len(steps) < 2 {
		return
	}
	raw := r.p.topic != f.cfg.Rollups
	f.mu.Lock()
	f.filling.open++
	if raw {
		f.filling.from[r.p] = r.begun.Add(-steps[0])
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		if ctx.Err() != nil {
			delete(f.filling.from, r.p)
		}
		f.filling.open--
		last := f.filling.open == 0 && ctx.Err() == nil
		f.mu.Unlock()
		if last {
			f.cfg.Board.HistoryRead()
		}
	}()
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for !r.caughtUp() || !f.everLive() { // the present comes first
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
	for i, back := range steps[1:] {
		if raw && f.cfg.Board.Evicted() > r.begun.Add(-steps[i]).UnixMilli() {
			return // what is older than what has gone already would go at once
		}
		select {
		case <-ctx.Done():
			return
		case f.fillers <- struct{}{}:
		}
		from, err := w.fillStep(ctx, r, r.begun.Add(-back), to)
		<-f.fillers
		if err != nil {
			if ctx.Err() == nil {
				f.cfg.Log.Warn("history cannot be read; what is shown begins later", "topic", r.p.topic, "partition", r.p.n, "err", err)
			}
			return
		}
		to = from
		if raw {
			f.mu.Lock()
			f.filling.from[r.p] = r.begun.Add(-back)
			f.mu.Unlock()
		}
	}
}

// fillStep reads a partition from a time on, up to an offset, and gives the offset at which it began.
func (w *watcher) fillStep(ctx context.Context, r *reader, at time.Time, to int64) (from int64, err error) {
	ask, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	res, err := w.client.ListOffsets(ask, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{r.p.topic: {kafka.FirstOffsetOf(r.p.n), kafka.LastOffsetOf(r.p.n), kafka.TimeOffsetOf(r.p.n, at)}}})
	if err != nil {
		return to, err
	}
	for _, o := range res.Topics[r.p.topic] {
		if o.Error != nil {
			return to, o.Error
		}
		from = start(o)
	}
	if from >= to {
		return to, nil
	}
	read := r.decoder(true)
	take := func(offset int64, value []byte) error {
		if offset >= to {
			return io.EOF
		}
		if err := read(value, time.Now()); err != nil {
			w.f.bad.Inc() // the reader of the present says more of such records
		}
		return nil
	}
	at, pause := time.Now(), readAgain // of the newest record
	for next := from; next < to; {
		was := next
		if next, _, err = w.read(ctx, r.p, was, take); err == io.EOF {
			break // it stood between transactions' ends
		}
		switch {
		case ctx.Err() != nil:
			return to, ctx.Err()
		case next > was:
			at, pause = time.Now(), readAgain
		case time.Since(at) > fillIdle:
			return to, cmp.Or(err, fmt.Errorf("nothing comes at offset %d of %d", next, to))
		case err != nil:
			wait(ctx, pause)
			pause = min(2*pause, readRetry)
		}
	}
	return from, nil
}

// everLive reports whether the feed has been live.
func (f *Feed) everLive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.told.State == dashboards.FeedLive || f.state.told.State == dashboards.FeedDead
}

// history says how far back what is shown goes, Unix ms, whether more is being read, and what of it a reader of the page should know. The caller holds the lock.
func (f *Feed) history(now time.Time) (from int64, filling bool, note string) {
	g, oldest := &f.filling, f.oldest.Load()
	if oldest == 0 {
		return 0, g.open > 0, ""
	}
	from = now.Add(-f.cfg.Window).UnixMilli()
	if g.open > 0 {
		for _, t := range g.from {
			from = max(from, t.UnixMilli())
		}
	}
	from = max(from, oldest)
	if now.UnixMilli()-from < warmFor.Milliseconds() {
		note = "history from " + time.UnixMilli(from).UTC().Format("15:04 UTC") + ", detection warming"
	} else if g.open > 0 {
		note = "history from " + time.UnixMilli(from).UTC().Format("15:04 UTC") + ", more is being read"
	}
	return from, g.open > 0, note
}

// warmFor is how much history makes detection as sure as it is.
const warmFor = 5 * time.Minute
