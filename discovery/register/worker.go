package register

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// worker keeps one service where it should be. What mu does not guard belongs to the goroutine of run.
type worker struct {
	a    *Agent
	key  discovery.Key
	dir  string // its serverset
	memo string // its key in the state file
	wake chan struct{}
	done chan struct{}

	mu     sync.Mutex
	want   *Service // nil: leave, then end
	ended  bool
	status ServiceStatus
	health *health // written by run only

	svc  Service // as last taken from want
	damp damper
	was  verdictKind // the last one that was not unknown

	looked  bool            // for a predecessor
	members map[string]bool // every name that may stand for us: held's, that of an unanswered call, a predecessor's
	held    *held           // nil: none that we have proven
	failing bool            // how members are marked
	rival   string          // another agent's member that has our endpoint now
	marked  time.Time       // when our members were marked as leaving; zero: they are not

	epoch  uint64
	verify time.Time // when to look at our member, or the rival's, again
	tries  int       // failures in a row
	retry  time.Time // not before
}

// held is a member that was proven to be ours.
type held struct {
	name    string
	session int64
	zxid    int64 // that made it
	data    string
}

func newWorker(a *Agent, s Service) *worker {
	w := &worker{a: a, key: s.Key(), dir: a.cfg.Root + "/" + s.Name + "/" + s.Env, wake: make(chan struct{}, 1), done: make(chan struct{}),
		want: &s, members: map[string]bool{}}
	w.memo = w.dir + "/" + w.key.Addr()
	w.status = ServiceStatus{Service: s.Name, Env: s.Env, Endpoint: w.key.Addr(), State: Starting, Reason: "just begun", Since: time.Now(), Source: s.Source}
	return w
}

// change gives the worker another form of its service, or nil to leave; false: it has ended, and a new one is needed.
func (w *worker) change(s *Service) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	w.want = s
	if s != nil {
		w.status.Source = s.Source
	}
	wake(w.wake)
	return true
}

func (w *worker) hasEnded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// end makes the worker end, unless it was given a service again meanwhile.
func (w *worker) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.want == nil {
		w.ended = true
		if !w.a.stopping.Load() { // else the next agent is spared a listing, and knows how often the service fell
			w.a.state.forget(w.memo)
		}
	}
	return w.ended
}

func (w *worker) run(ctx context.Context) {
	defer wake(w.a.changed)
	defer close(w.done)
	defer func() {
		if w.health != nil {
			w.health.stop()
		}
	}()
	if r, known := w.a.state.get(w.memo); known {
		w.damp = damper{r.Points, r.At, r.Damped}
		for _, name := range r.Members {
			if w.isOurs(name) {
				w.members[name] = true
			}
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, ended := w.step(ctx)
		if ended {
			return
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// step looks at everything once and does what is due. It returns how long nothing will be due.
func (w *worker) step(ctx context.Context) (wait time.Duration, ended bool) {
	wanted := w.take(ctx)
	now := time.Now()
	v := w.judge(now)
	st := w.a.session.Status()
	if st.Epoch != w.epoch { // a new connection: try again now, and look soon whether the member is still there
		w.epoch, w.tries, w.retry = st.Epoch, 0, time.Time{}
		if soon := now.Add(rand.N(w.a.cfg.Verify/4 + 1)); w.verify.After(soon) {
			w.verify = soon
		}
	}
	if !st.Connected {
		if !wanted && len(w.members) == 0 {
			return 0, w.end()
		}
		if wanted && w.held == nil {
			w.say(Waiting, "no ZooKeeper server answers: "+st.Err)
		}
		return time.Hour, false // the session wakes us
	}
	if until := w.retry.Sub(now); until > 0 {
		return until, false
	}
	select {
	case w.a.calls <- struct{}{}:
		defer func() { <-w.a.calls }()
	case <-ctx.Done():
		return time.Hour, false
	}
	var err error
	if wanted {
		w.marked = time.Time{}
		err = w.act(ctx, st.SessionID, v)
	} else if wait, err = w.deregister(ctx); err == nil && wait > 0 {
		return wait, false
	} else if err == nil {
		return 0, w.end()
	}
	if err == nil {
		w.tries = 0
		w.trouble("")
		return w.untilNext(time.Now()), false
	}
	if ctx.Err() != nil {
		return time.Hour, false
	}
	w.a.m.failures.Inc()
	w.tries++
	wait = backoff(w.tries)
	w.retry = now.Add(wait)
	w.trouble(err.Error())
	return wait, false
}

// backoff doubles from 250 ms to 30 s, ± 20 %.
func backoff(tries int) time.Duration {
	d := min(250*time.Millisecond<<min(tries-1, 10), 30*time.Second)
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

func (w *worker) untilNext(now time.Time) time.Duration {
	next := now.Add(time.Hour) // the checks, the session and Set wake us
	if w.held != nil || w.rival != "" {
		next = w.verify
	}
	if quiet := w.damp.wait(&w.a.cfg.Flap, now); quiet > 0 && now.Add(quiet).Before(next) {
		next = now.Add(quiet)
	}
	return max(next.Sub(now), time.Millisecond)
}

// take reads what is wanted and has the checks follow it.
func (w *worker) take(ctx context.Context) (wanted bool) {
	w.mu.Lock()
	want := w.want
	w.mu.Unlock()
	if want == nil {
		return false
	}
	if w.health == nil || !slices.Equal(want.Checks, w.svc.Checks) {
		if w.health != nil {
			w.health.stop()
		}
		probes := make([]prober, len(want.Checks))
		for i := range probes {
			probes[i] = want.Checks[i].prober(want.endpoint())
		}
		h := startHealth(ctx, want.Checks, probes, w.wake, w.a.m.probed)
		w.mu.Lock()
		w.health = h
		w.mu.Unlock()
	}
	w.svc = *want
	return true
}

// judge asks the checks, and counts a fall.
func (w *worker) judge(now time.Time) verdict {
	if w.health == nil {
		return verdict{}
	}
	v := w.health.verdict()
	if v.kind == down && w.was == well {
		w.damp.fell(&w.a.cfg.Flap, now)
		w.a.m.falls.Inc()
		w.remember()
	}
	if v.kind != unknown {
		w.was = v.kind
	}
	return v
}

// remember tells the state file.
func (w *worker) remember() {
	w.a.state.put(w.memo, remembered{slices.Sorted(maps.Keys(w.members)), w.damp.points, w.damp.at, w.damp.suppressed})
}

// act does what is due while connected: presence first, then what the checks say of it.
func (w *worker) act(ctx context.Context, session int64, v verdict) error {
	due := !time.Now().Before(w.verify)
	if !w.looked {
		if err := w.lookForPredecessor(ctx); err != nil {
			return err
		}
	}
	if w.rival != "" {
		if stays, err := w.rivalStays(ctx, due); err != nil || stays {
			return err
		}
	}
	// What stands for us on another session (a predecessor's, or our own last one) is replaced before anything else: that session may end sooner than the
	// checks have a word.
	if len(w.members) > 0 && (w.held == nil || w.held.session != session) {
		if err := w.restore(ctx, session); err != nil {
			return err
		}
	} else if w.held != nil && due {
		if err := w.prove(ctx, session); err != nil || w.rival != "" {
			return err
		}
	}
	if w.held != nil && v.shaky && !w.failing {
		w.sample(ctx) // if all of the service are about to fall, they are still there now
	}
	damped := w.damp.wait(&w.a.cfg.Flap, time.Now()).Round(time.Second)
	switch {
	case w.held != nil && v.kind == down && w.failing && !due:
		return w.keep(ctx, session, true)
	case w.held != nil && v.kind == down:
		return w.leaveOrMark(ctx, session, v)
	case v.kind == down:
		w.say(Down, v.why)
	case w.held != nil && w.failing && damped > 0:
		w.say(Damped, fmt.Sprintf("passes its checks but fell too often lately: stays marked failing until it has been quiet for %v", damped))
		return w.keep(ctx, session, true)
	case w.held != nil && v.kind == unknown:
		if err := w.keep(ctx, session, w.failing); err != nil {
			return err
		}
		state := Up
		if w.failing {
			state = Failing
		}
		w.say(state, "as it was before the agent or its checks began anew: "+v.why)
	case v.kind == unknown:
		w.say(Starting, v.why)
	case w.held == nil && damped > 0:
		w.say(Damped, fmt.Sprintf("passes its checks but fell too often lately: joins when it has been quiet for %v", damped))
	default:
		if err := w.keep(ctx, session, false); err != nil {
			return err
		}
		w.say(Up, "")
	}
	return nil
}

// keep makes our member be as it should be, if it is not.
func (w *worker) keep(ctx context.Context, session int64, failing bool) error {
	data, err := w.svc.data(failing)
	if err != nil || w.held != nil && w.held.data == string(data) {
		return err
	}
	fresh := w.held == nil
	if err := w.replace(ctx, session, string(data), failing); err != nil {
		return err
	}
	if fresh {
		w.a.m.joins.Inc()
		w.a.cfg.Log.Info("registered", w.attrs()...)
	} else {
		w.a.cfg.Log.Info("member replaced: its metadata changed", append(w.attrs(), "failing", failing)...)
	}
	return nil
}

func (w *worker) leaveOrMark(ctx context.Context, session int64, v verdict) error {
	attrs := append(w.attrs(), "reason", v.why)
	err := w.leave(ctx)
	var kept *wouldEmpty
	switch {
	case err == nil:
		w.a.m.leaves.Inc()
		w.a.cfg.Log.Warn("deregistered: its checks fail", attrs...)
		w.say(Down, v.why)
		return nil
	case !errors.As(err, &kept):
		return err
	}
	if !w.failing {
		w.a.m.kept.Inc()
		w.a.cfg.Log.Warn("its checks fail; kept in its serverset, marked failing", append(attrs, "kept", kept.Error())...)
	}
	if err := w.keep(ctx, session, true); err != nil {
		return err
	}
	w.say(Failing, v.why+"; kept in its serverset: "+kept.Error())
	return nil
}

func (w *worker) attrs() []any {
	out := []any{"service", w.key.Service, "env", w.key.Env, "endpoint", w.key.Addr()}
	if w.held != nil {
		out = append(out, "member", w.held.name)
	}
	return out
}
