package register

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// wouldEmpty says why a service stays although its checks fail.
type wouldEmpty struct{ left, peak int }

func (e *wouldEmpty) Error() string {
	return fmt.Sprintf("without it %d would be left of the %d of the last hour", e.left, e.peak)
}

// leave deletes our member unless that would take the serverset under half of its last hour: *wouldEmpty. The transaction also writes the serverset's own data
// again, as it is: that moves its version, so of agents that leave at once each sees what the ones before it left.
func (w *worker) leave(ctx context.Context) error {
	for range 20 {
		data, stat, err := w.a.session.Get(ctx, w.dir)
		if err != nil {
			return fmt.Errorf("leave: %w", err)
		}
		names, _, err := w.a.session.Children(ctx, w.dir)
		if err != nil {
			return fmt.Errorf("leave: %w", err)
		}
		size := endpoints(names)
		w.a.sizes.add(w.dir, size, time.Now())
		if peak := w.a.sizes.peak(w.dir, time.Now()); 2*(size-1) < peak {
			return &wouldEmpty{size - 1, peak}
		}
		_, err = w.a.session.Multi(ctx, zk.SetOp(w.dir, data, stat.Version), zk.DeleteOp(w.path(w.held.name), zk.AnyVersion))
		switch {
		case err == nil, errors.Is(err, zk.ErrNoNode): // or it is gone already
			w.gone()
			return nil
		case errors.Is(err, zk.ErrNoAuth): // we may delete our member, but not write its serverset: then without the order
			if err := w.a.session.Delete(ctx, w.path(w.held.name), zk.AnyVersion); err != nil && !errors.Is(err, zk.ErrNoNode) {
				return fmt.Errorf("leave: %w", err)
			}
			w.gone()
			return nil
		case !errors.Is(err, zk.ErrBadVersion):
			return fmt.Errorf("leave: %w", err)
		}
		select { // another one left just now
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(100 * time.Millisecond)):
		}
	}
	return errors.New("leave: others leave all the time; trying again later")
}

// endpoints counts the endpoints in a serverset: one may stand there twice.
func endpoints(names []string) int {
	seen := make(map[string]bool, len(names))
	for _, n := range names {
		if _, host, port, err := serverset.ParseKingPinName(n); err == nil {
			n = fmt.Sprint(strings.ToLower(host), " ", port)
		}
		seen[n] = true
	}
	return len(seen)
}

func (w *worker) gone() {
	w.held, w.failing = nil, false
	clear(w.members)
	w.remember()
	w.mu.Lock()
	w.status.Member, w.status.Verified = "", time.Time{}
	w.mu.Unlock()
}

// leavingFor is how long a member says that it is leaving before it is deleted: those who watch have read it by then, and know a deregistration from an
// expired session.
const leavingFor = 250 * time.Millisecond

// deregister takes away everything that stands for us, because the service is not wanted any more or the agent stops: it marks the members as leaving and,
// in a later call, deletes them. wait is how long until that is due; 0: all is gone.
func (w *worker) deregister(ctx context.Context) (wait time.Duration, err error) {
	if !w.looked {
		if err := w.lookForPredecessor(ctx); err != nil {
			return 0, err
		}
	}
	if len(w.members) > 0 && w.marked.IsZero() {
		w.markLeaving(ctx)
		w.marked = time.Now()
	}
	if wait := time.Until(w.marked.Add(leavingFor)); len(w.members) > 0 && wait > 0 {
		return wait, nil
	}
	for name := range w.members {
		if err := w.a.session.Delete(ctx, w.path(name), zk.AnyVersion); err != nil && !errors.Is(err, zk.ErrNoNode) {
			return 0, fmt.Errorf("deregister: %w", err)
		}
		delete(w.members, name)
		w.a.m.leaves.Inc()
	}
	if w.held != nil {
		w.a.cfg.Log.Info("deregistered", w.attrs()...)
		w.gone()
	}
	return 0, nil
}

// markLeaving writes the mark into the members' data. It is a courtesy to readers: what prevents it (a node that is gone, no right to write it) prevents nothing
// else.
func (w *worker) markLeaving(ctx context.Context) {
	for name := range w.members {
		var old []byte
		var err error
		if w.held != nil && w.held.name == name {
			old = []byte(w.held.data)
		} else {
			old, _, err = w.a.session.Get(ctx, w.path(name))
		}
		if err == nil {
			m, _ := serverset.DecodeMetadata(old)
			m.Status = discovery.Leaving
			var data []byte
			if data, err = m.Encode(); err == nil {
				_, err = w.a.session.Set(ctx, w.path(name), data, zk.AnyVersion)
			}
			if w.held != nil && w.held.name == name {
				w.held.data = string(data) // so that a service that is wanted again after all loses the mark
			}
		}
		if err != nil {
			w.a.cfg.Log.Debug("a member is deleted without being marked as leaving", append(w.attrs(), "err", err)...)
		}
	}
}
