package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/spool"
)

// unrecorded is for how long what is scraped may be in memory only.
const unrecorded = 100 * time.Millisecond

// store is the spool, once it is open.
func (l *backlog) store() *spool.Spool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.disk.spool
}

// openStore opens the spool. A folder that another process owns, or a later version wrote, is an error; where the disk only does not do, it is tried again
// and again, and what comes waits in memory meanwhile.
func (s *Sink) openStore() error {
	if s.cfg.Spool == nil {
		return nil
	}
	c := *s.cfg.Spool
	c.Logger, c.Lost = s.log, s.backlog.diskLost
	sp, err := spool.Open(c)
	if errors.Is(err, spool.ErrLocked) || errors.Is(err, spool.ErrVersion) {
		return err
	}
	if err != nil {
		s.trouble.is("spool", 0, verdict{reason: "disk", wait: waitAuth}, err)
		return nil
	}
	s.trouble.over("spool", 0)
	s.told(sp)
	if err := sp.Asides(func(a spool.Aside, err error) {
		if err != nil {
			s.log.Warn("what was set aside cannot be read", "file", a.Name, "err", err)
			return
		}
		s.cfg.Ledger.InheritedAside(a.Reason, s.backlog.countsOf(a.Kind, a.Counts)...)
	}); err != nil {
		s.log.Warn("what was set aside cannot be listed", "err", err)
	}
	s.backlog.adopt(sp, time.Now())
	return nil
}

// told says what the start before left.
func (s *Sink) told(sp *spool.Spool) {
	b := sp.Before()
	if !b.Any {
		return
	}
	if st := sp.Status(); b.Batches > 0 {
		s.log.Info("earlier starts have left batches in the spool", "batches", b.Batches, "bytes", st.Bytes, "oldest", time.UnixMilli(st.Oldest))
	}
	if !b.Clean {
		u := sink.Unclean{Saved: b.LastSeen, Unrecorded: unrecorded.Milliseconds(), PowerLoss: b.PowerLoss}
		if r := s.cfg.Ledger.Report(time.Now()).Unclean; r != nil {
			u.Start, u.Saved = r.Start, max(r.Saved, b.LastSeen)
		}
		s.cfg.Ledger.MarkUnclean(u)
	}
	if b.Doubtful {
		s.log.Warn("what earlier starts have sent is not known for sure: what they left may be in the topics twice, and is counted as such", "power_loss", b.PowerLoss)
	}
}

// keepStore looks after the spool until ctx ends.
func (s *Sink) keepStore(ctx context.Context) {
	if s.cfg.Spool == nil {
		return
	}
	for s.backlog.store() == nil {
		pause(ctx, time.Second)
		if ctx.Err() != nil {
			return
		}
		if err := s.openStore(); err != nil {
			s.log.Error("the spool cannot be used; what waits is in memory only", "err", err)
			return
		}
		for _, st := range s.backlog.streams {
			s.foster(st)
		}
	}
	sp := s.backlog.store()
	done := make(chan struct{})
	go func() {
		defer close(done)
		sp.Run(ctx)
	}()
	for sp.Stock(s.backlog.stock) && ctx.Err() == nil {
	}
	for ctx.Err() == nil {
		pause(ctx, time.Second)
		if st := sp.Status(); st.Fault != nil {
			s.trouble.is("spool", 0, verdict{reason: "disk", wait: waitAuth}, fmt.Errorf("what waits is in memory only: %w", st.Fault))
		} else {
			s.trouble.over("spool", 0)
		}
		s.backlog.reoffer()
	}
	<-done
}

// foster sends what earlier starts had attempted.
func (s *Sink) foster(st *stream) {
	for _, n := range s.backlog.foster(st) {
		s.spawnLane(n)
	}
}

// lag is how long the oldest record has waited that is for a lane now.
func (l *backlog) lag(kind sink.Lane, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := now.Add(-l.maxAge).UnixMilli()
	at := now.UnixMilli()
	look := func(b *batch) {
		if b != nil && (b.newest >= limit) == (kind == sink.Live) {
			at = min(at, b.oldest)
		}
	}
	for _, q := range l.snapshots.queues {
		look(q.open)
		for _, list := range [][]*batch{q.late, q.ready} {
			for _, b := range list {
				look(b)
			}
		}
	}
	for b := range l.taken {
		if b.q.s.numbered {
			look(b)
		}
	}
	if sp := l.disk.spool; sp != nil && kind == sink.Backfill {
		if t := sp.Status().Oldest; t > 0 && t < limit {
			at = min(at, t)
		}
	}
	return time.Duration(now.UnixMilli()-at) * time.Millisecond
}
