package export

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// worker brings one partition, both lanes of it, to the output. It lives over generations of the group as long as nobody else reads the partition meanwhile.
type worker struct {
	x     *Exporter
	p     int
	gen   *kafka.Generation
	tails []*tail

	part      Part // nil: not open
	memory    *memory
	delivered IDs             // by an earlier process, after the offsets that we begin with
	names     map[string]bool // the filter's answers
	note      note
	dirty     bool // something is to be committed
	broken    bool // a write was given up: what the output has is not known

	batch   []pending
	bytes   int
	records []Record
	decoded []*wire.Record
}

// tail is one lane of a worker.
type tail struct {
	topic    string
	backfill bool
	at       committed // what is acknowledged, and goes into the next commit
	end      int64     // of the partition when last heard of
	unsaid   bool      // the group has no offset yet
}

// pending is a message that waits for its batch.
type pending struct {
	t *tail
	m readback.Message
}

// chunk is one answer of a broker.
type chunk struct {
	t   *tail
	ms  []readback.Message
	end int64
}

const (
	tick      = time.Second
	firstWait = 200 * time.Millisecond
	mostWait  = 15 * time.Second
	// What is shown again after a start, at most.
	maxRecalled      = 50_000
	maxRecalledBytes = 128 << 20
)

// continues reports whether the group's offsets are where this worker is: nobody has read since.
func (w *worker) continues(tails []*tail) bool {
	if w.part == nil || w.broken || len(tails) != len(w.tails) {
		return false
	}
	for _, t := range tails {
		i := slices.IndexFunc(w.tails, func(o *tail) bool { return o.topic == t.topic })
		if i < 0 || w.tails[i].at.offset != t.at.offset {
			return false
		}
	}
	return true
}

func (w *worker) close() {
	if w.part != nil {
		if err := w.part.Close(); err != nil {
			w.x.log.Error("closing the output failed", "partition", w.p, "err", err)
		}
		w.part = nil
	}
	for _, t := range w.tails {
		w.x.meters.forget(lane{t.topic, w.p})
	}
}

// run works until the generation ends or ctx does.
func (w *worker) run(ctx, ended context.Context) {
	// soft ends when no more is to be read, hard when what is under way is given up.
	soft, stop := context.WithCancel(ctx)
	defer stop()
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var aside sync.WaitGroup
	defer aside.Wait()
	done := make(chan struct{})
	defer close(done)
	aside.Go(func() {
		limit := w.x.cfg.Drain
		select {
		case <-done:
			return
		case <-ctx.Done():
		case <-ended.Done():
			limit = min(limit, handOver)
		}
		stop()
		t := time.NewTimer(limit)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
		case <-w.x.cfg.Cut:
		}
		cut()
	})
	if !w.open(soft) {
		<-soft.Done()
		return
	}
	chunks := make(chan chunk)
	var followers sync.WaitGroup
	for _, t := range w.tails {
		t.end = max(t.end, t.at.offset)
		w.lag(t)
		followers.Go(func() {
			// It ends with soft only.
			_ = w.x.client.Follow(soft, t.topic, w.p, t.at.offset, func(ms []readback.Message, end int64) error {
				select {
				case chunks <- chunk{t, ms, end}:
				case <-soft.Done():
				}
				return nil
			}, func(err error) {
				if errors.Is(err, readback.ErrTrimmed) {
					w.x.meters.trimmed.Inc()
					w.x.log.Error("retention was faster than the export", "err", err)
				} else {
					w.x.trouble(err)
				}
			})
		})
	}
	w.loop(soft, hard, chunks)
	stop()
	followers.Wait()
	if !w.broken && len(w.batch) > 0 {
		w.flush(hard)
	}
	if w.dirty && !w.broken && hard.Err() == nil {
		w.commit(hard)
	}
}

// loop takes what comes until soft ends or a write is given up.
func (w *worker) loop(soft, hard context.Context, chunks <-chan chunk) {
	ticker := time.NewTicker(min(tick, w.x.cfg.CommitEvery))
	defer ticker.Stop()
	linger := time.NewTimer(0)
	<-linger.C
	waiting := false
	for soft.Err() == nil && !w.broken {
		select {
		case <-soft.Done():
		case c := <-chunks:
			c.t.end = c.end
			for _, m := range c.ms {
				w.batch = append(w.batch, pending{c.t, m})
				w.bytes += len(m.Value)
				if len(w.batch) >= w.x.cfg.BatchRecords || w.bytes >= w.x.cfg.BatchBytes {
					w.flush(hard)
				}
			}
			w.lag(c.t)
			if len(w.batch) > 0 && !waiting {
				linger.Reset(w.x.cfg.Linger)
				waiting = true
			}
		case <-linger.C:
			waiting = false
			w.flush(hard)
		case <-ticker.C:
			if len(w.batch) == 0 {
				w.write(hard, nil)
			}
			if w.dirty && !w.broken {
				w.commit(hard)
			}
		}
	}
}

func (w *worker) lag(t *tail) {
	w.x.meters.behind(lane{t.topic, w.p}, t.end-t.at.offset)
}

// flush delivers the batch.
func (w *worker) flush(hard context.Context) {
	if w.broken || len(w.batch) == 0 {
		return
	}
	x := w.x
	w.records = w.records[:0]
	var count [2]int
	for _, b := range w.batch {
		n := len(w.records)
		if n == len(w.decoded) {
			w.decoded = append(w.decoded, new(wire.Record))
		}
		r := w.decoded[n]
		if err := wire.Decode(b.m.Value, r); err != nil {
			if x.meters.bad.Inc(); x.meters.bad.Get() == 1 {
				x.log.Warn("a record cannot be read and is passed over, like others after it", "topic", b.t.topic, "partition", w.p, "offset", b.m.Offset, "err", err)
			}
			continue
		}
		if w.memory.has(r.ID) {
			if x.meters.doubles.Inc(); x.meters.doubles.Get() == 1 {
				x.log.Warn("a record stands in the topic twice; it is delivered once, like others after it", "id", r.ID.String(), "topic", b.t.topic, "partition", w.p, "offset", b.m.Offset)
			}
			continue
		}
		w.memory.add(r.ID, r.Parts)
		w.note.TS, w.note.Interval = max(w.note.TS, r.TS), max(w.note.Interval, r.Source.Interval.Milliseconds())
		if !x.cfg.Filter.service(r.Service, r.Env) {
			x.meters.other.Inc()
			continue
		}
		r.Samples = x.cfg.Filter.samples(r.Samples, w.names)
		rec := Record{Record: r, Raw: b.m.Value, Backfill: b.t.backfill, Known: w.delivered.Has(r.ID)}
		if rec.Known {
			x.meters.known.Inc()
		} else if b.t.backfill {
			count[1]++
		} else {
			count[0]++
		}
		w.records = append(w.records, rec)
	}
	if len(w.records) > 0 && !w.write(hard, w.records) {
		return
	}
	for i, n := range count {
		x.meters.records[i].Add(n)
	}
	for _, b := range w.batch {
		b.t.at.offset = b.m.Offset + 1
	}
	for _, t := range w.tails {
		w.lag(t)
	}
	x.meters.newest.Store(max(x.meters.newest.Load(), w.note.TS))
	w.dirty = true
	clear(w.batch)
	w.batch, w.bytes = w.batch[:0], 0
}

// write hands records to the output until it has them; false: it was given up.
func (w *worker) write(hard context.Context, rs []Record) bool {
	wait := firstWait
	for {
		began := time.Now()
		mark, err := w.part.Write(hard, rs)
		if err == nil {
			if w.x.meters.took.Update(time.Since(began).Seconds()); mark != w.note.Mark {
				w.note.Mark, w.dirty = mark, true
			}
			w.x.fine()
			return true
		}
		w.x.meters.retries.Inc()
		if hard.Err() != nil {
			w.broken = true
			return false
		}
		w.x.trouble(err)
		pause(hard, wait)
		wait = min(2*wait, mostWait)
	}
}

func (w *worker) commit(ctx context.Context) {
	err := w.x.commit(ctx, w.gen, w.p, w.tails, w.note)
	if err == nil {
		w.dirty = false
	} else if ctx.Err() == nil {
		w.x.log.Warn("committing failed; trying again", "partition", w.p, "err", err)
	}
}

// open makes the worker ready: where to begin, what the output has beyond that, what has to be shown again. False: ctx has ended.
func (w *worker) open(ctx context.Context) bool {
	if w.part != nil {
		return true
	}
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		err := w.tryOpen(ctx)
		if err == nil {
			w.x.fine()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		w.x.trouble(err)
		pause(ctx, wait)
	}
}

func (w *worker) tryOpen(ctx context.Context) error {
	w.memory, w.delivered, w.names, w.broken = newMemory(), IDs{}, map[string]bool{}, false
	w.note = note{Began: w.note.Began}
	known := true
	for _, t := range w.tails {
		if t.at.note != (note{}) {
			w.note = t.at.note
		}
		if t.at.offset < 0 {
			if err := w.first(ctx, t); err != nil {
				return err
			}
			t.unsaid = true
		}
		known = known && !t.unsaid
	}
	part, recall, err := w.x.cfg.Output.Open(ctx, w.p, w.note.Mark)
	if err != nil {
		return err
	}
	w.note.Mark = cmp.Or(recall.Mark, w.note.Mark)
	w.part, w.delivered = part, recall.Delivered
	if recall.Intervals > 0 && w.note.TS > 0 {
		err = w.recall(ctx, time.UnixMilli(w.note.TS-int64(recall.Intervals)*max(w.note.Interval, 1000)))
	}
	if err == nil && !known {
		err = w.x.commit(ctx, w.gen, w.p, w.tails, w.note) // who begins now and is killed must not begin later
	}
	if err != nil {
		w.part = nil
		return errors.Join(err, part.Close())
	}
	for _, t := range w.tails {
		t.unsaid = false
	}
	return nil
}

// first finds where a lane begins for which the group has no offset: as long before the group's own beginning as the configuration says. So a partition that was made
// later is read whole.
func (w *worker) first(ctx context.Context, t *tail) error {
	var from time.Time
	if w.x.cfg.From != All {
		if w.note.Began == 0 {
			began, err := w.x.began(ctx)
			if err != nil {
				return err
			}
			w.note.Began = began.UnixMilli()
		}
		from = time.UnixMilli(w.note.Began).Add(-w.x.cfg.From)
	}
	s, err := w.x.client.Span(ctx, t.topic, w.p, from)
	if err == nil {
		t.at.offset = s.From
	}
	return err
}

// recall shows what was delivered before the offsets, from a scrape time on, in the order of their times.
func (w *worker) recall(ctx context.Context, from time.Time) error {
	type shown struct {
		ts  int64
		rec Record
	}
	var all []shown
	size := 0
	for _, t := range w.tails {
		s, err := w.x.client.Span(ctx, t.topic, w.p, from)
		if err != nil {
			return err
		}
		s.End = min(s.End, t.at.offset)
		s.From = max(s.From, s.End-maxRecalled)
		if err := w.x.client.Read(ctx, s, func(m readback.Message) error {
			r := new(wire.Record)
			if err := wire.Decode(m.Value, r); err != nil || !w.x.cfg.Filter.service(r.Service, r.Env) {
				return nil
			}
			w.memory.add(r.ID, r.Parts)
			r.Samples = w.x.cfg.Filter.samples(r.Samples, w.names)
			if size += len(m.Value); size <= maxRecalledBytes {
				all = append(all, shown{r.TS, Record{Record: r, Raw: m.Value, Backfill: t.backfill, Known: true}})
			}
			return nil
		}); err != nil {
			return err
		}
	}
	slices.SortStableFunc(all, func(a, b shown) int { return cmp.Compare(a.ts, b.ts) })
	for batch := range slices.Chunk(all, w.x.cfg.BatchRecords) {
		rs := make([]Record, len(batch))
		for i := range batch {
			rs[i] = batch[i].rec
		}
		if _, err := w.part.Write(ctx, rs); err != nil {
			return err
		}
	}
	return nil
}
