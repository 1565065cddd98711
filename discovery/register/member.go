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

func (w *worker) path(member string) string { return w.dir + "/" + member }

// lookForPredecessor finds the members that an agent before us left for our endpoint. The state file names them; without it the serverset is listed, once.
func (w *worker) lookForPredecessor(ctx context.Context) error {
	if _, known := w.a.state.get(w.memo); !known {
		found, err := w.others(ctx, 0)
		if err != nil {
			return fmt.Errorf("look for a predecessor's member: %w", err)
		}
		for _, o := range found {
			w.members[o.name] = true
		}
	}
	for name := range w.members {
		data, _, err := w.a.session.Get(ctx, w.path(name))
		switch {
		case errors.Is(err, zk.ErrNoNode):
			delete(w.members, name)
		case err != nil:
			return fmt.Errorf("look for a predecessor's member: %w", err)
		default:
			m, _ := serverset.DecodeMetadata(data)
			w.failing = w.failing || m.Status == string(discovery.Failing)
		}
	}
	w.looked = true
	return nil
}

type other struct {
	name string
	zxid int64
}

// others is every member for our endpoint that an agent of ours made after the transaction since, except those we know of. What others wrote there (an
// application that registers itself, say) is not ours to touch.
func (w *worker) others(ctx context.Context, since int64) ([]other, error) {
	names, _, err := w.a.session.Children(ctx, w.dir)
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []other
	for _, name := range names {
		if !w.isOurs(name) || w.members[name] {
			continue
		}
		data, stat, err := w.a.session.Get(ctx, w.path(name))
		if errors.Is(err, zk.ErrNoNode) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if _, ok := serverset.DecodeMetadata(data); ok && stat.EphemeralOwner != 0 && stat.Czxid > since {
			out = append(out, other{name, stat.Czxid})
		}
	}
	return out, nil
}

// isOurs reports a name that stands for our endpoint.
func (w *worker) isOurs(name string) bool {
	id, host, port, err := serverset.ParseKingPinName(name)
	return err == nil && len(id) == 32 && port == w.key.Port && strings.EqualFold(host, w.key.Host)
}

// restore replaces what stands for us on another session. If nothing does any more: a predecessor's place is gone, and the checks decide as for a new
// service; our own is taken again.
func (w *worker) restore(ctx context.Context, session int64) error {
	predecessor := w.held == nil
	if predecessor {
		there := false
		for name := range w.members {
			ok, _, err := w.a.session.Exists(ctx, w.path(name))
			if err != nil {
				return err
			}
			if there = there || ok; !ok {
				delete(w.members, name)
			}
		}
		if !there {
			w.failing = false
			w.remember()
			return nil
		}
	}
	data, err := w.svc.data(w.failing)
	if err != nil {
		return err
	}
	if err := w.replace(ctx, session, string(data), w.failing); err != nil {
		return err
	}
	if predecessor {
		w.a.m.takeovers.Inc()
		w.a.cfg.Log.Info("registered in place of the agent before", w.attrs()...)
	} else {
		w.a.m.renewals.Inc()
		w.a.cfg.Log.Warn("registered again: the ZooKeeper session is a new one", w.attrs()...)
	}
	return nil
}

// replace makes a new member and deletes all that stood for us before, in one transaction, and proves that it is ours.
func (w *worker) replace(ctx context.Context, session int64, data string, failing bool) error {
	var err error
	for range 5 {
		var ops []zk.Op
		for old := range w.members {
			ok, _, err := w.a.session.Exists(ctx, w.path(old))
			if err != nil {
				return fmt.Errorf("replace member: %w", err)
			}
			if ok {
				ops = append(ops, zk.DeleteOp(w.path(old), zk.AnyVersion))
			} else {
				delete(w.members, old)
			}
		}
		name := serverset.NewKingPinName(w.key.Host, w.key.Port)
		// From here on the name may stand for us, whether or not the answer comes: whoever comes next has to know.
		w.members[name] = true
		w.verify = time.Time{}
		w.remember()
		_, err = w.a.session.Multi(ctx, append(ops, zk.CreateOp(w.path(name), []byte(data), zk.Ephemeral))...)
		if err == nil {
			clear(w.members)
			w.members[name] = true
			return w.hold(ctx, session, name, data, failing)
		}
		if refused(err) {
			delete(w.members, name)
			w.remember()
		}
		if !errors.Is(err, zk.ErrNoNode) {
			return fmt.Errorf("replace member: %w", err)
		}
		// An old member went by itself just now, or the serverset is not there yet.
		if err := w.a.session.MakePath(ctx, w.dir); err != nil {
			return fmt.Errorf("make serverset: %w", err)
		}
	}
	return fmt.Errorf("replace member: it changes all the time: %w", err)
}

// refused reports an answer of the server's: nothing was done.
func refused(err error) bool {
	for _, e := range []error{zk.ErrNoNode, zk.ErrNodeExists, zk.ErrBadVersion, zk.ErrNoAuth, zk.ErrNotConnected} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// hold proves that the member just made belongs to our session.
func (w *worker) hold(ctx context.Context, session int64, name, data string, failing bool) error {
	ok, stat, err := w.a.session.Exists(ctx, w.path(name))
	if err != nil {
		return fmt.Errorf("prove member: %w", err)
	}
	if !ok || stat.EphemeralOwner != session {
		return fmt.Errorf("prove member %s: it belongs to session %#x, not to ours, %#x", w.path(name), stat.EphemeralOwner, session)
	}
	w.held, w.failing, w.rival = &held{name, session, stat.Czxid, data}, failing, ""
	w.proven()
	w.remember()
	w.sample(ctx)
	return nil
}

// proven plans the next look, ± 10 %.
func (w *worker) proven() {
	now := time.Now()
	w.verify = now.Add(time.Duration(float64(w.a.cfg.Verify) * (0.9 + 0.2*rand.Float64())))
	w.mu.Lock()
	w.status.Verified, w.status.Member = now, w.path(w.held.name)
	w.mu.Unlock()
}

// sample notes how large the serverset is. It costs an answer of a hundred bytes, however large the set; its failure costs nothing.
func (w *worker) sample(ctx context.Context) {
	if ok, stat, err := w.a.session.Exists(ctx, w.dir); err == nil && ok {
		w.a.sizes.add(w.dir, int(stat.NumChildren), time.Now())
	}
}

// prove looks whether our member is still there and ours. If it is not, it was taken by a successor, and we step back; or it was deleted, and we
// register again.
func (w *worker) prove(ctx context.Context, session int64) error {
	ok, stat, err := w.a.session.Exists(ctx, w.path(w.held.name))
	if err != nil {
		return fmt.Errorf("prove member: %w", err)
	}
	if ok && stat.EphemeralOwner == session {
		w.a.m.proofs.Inc()
		w.proven()
		w.sample(ctx)
		return nil
	}
	w.a.m.lost.Inc()
	later, err := w.others(ctx, w.held.zxid)
	if err != nil {
		return fmt.Errorf("prove member: %w", err)
	}
	was := w.held.name
	if len(later) > 0 {
		w.held, w.rival = nil, later[0].name
		clear(w.members)
		w.stepBack(was)
		return nil
	}
	if err := w.replace(ctx, session, w.held.data, w.failing); err != nil {
		return err
	}
	w.a.m.renewals.Inc()
	w.a.cfg.Log.Warn("registered again: the member was not there any more, or not ours", append(w.attrs(), "was", was)...)
	return nil
}

func (w *worker) stepBack(was string) {
	w.verify = time.Now().Add(w.a.cfg.Verify)
	w.remember()
	w.a.cfg.Log.Warn("another agent has registered the endpoint; this one steps back", append(w.attrs(), "was", was, "now", w.rival)...)
	w.say(Superseded, "another agent has registered this endpoint, as "+w.path(w.rival))
}

// rivalStays looks, when it is due, whether the other agent's member is still there.
func (w *worker) rivalStays(ctx context.Context, due bool) (bool, error) {
	if !due {
		return true, nil
	}
	if ok, _, err := w.a.session.Exists(ctx, w.path(w.rival)); err != nil || ok {
		w.verify = time.Now().Add(w.a.cfg.Verify)
		return true, err
	}
	found, err := w.others(ctx, 0) // it may only have replaced its member
	if err != nil {
		return true, err
	}
	w.rival = ""
	if len(found) > 0 {
		w.rival, w.verify = found[0].name, time.Now().Add(w.a.cfg.Verify)
	}
	return w.rival != "", nil
}
