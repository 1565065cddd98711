// Package register puts services into serversets and keeps them there for as long as they answer.
//
// It owns the registration agent: what a Service is and how it is written in YAML, its checks, the ephemeral KingPin member that stands for it and whose data is
// our metadata, and who may take that member away, when. It holds no ZooKeeper session (discovery/zk does, and the caller runs it) and serves no
// HTTP; it knows nothing of those who read serversets.
//
// # What becomes of a member
//
//   - A service joins when all its checks have passed as often as they must; one without checks joins at once.
//   - It leaves when a check has failed as often as it may, when it is no longer configured, or when the agent is stopped. In the last two cases it says
//     "leaving" in its metadata for a moment before it goes: nobody needs to miss it.
//   - It stays, marked "failing" in its metadata, if leaving for failed checks would take its serverset under half of the size that this agent has seen
//     in the last hour. Agents that want to leave at once do so one after the other, by the version of the serverset's znode, so that each counts
//     what the others left.
//   - A service that fell too often lately is damped: it is not believed again until it has been quiet for a while.
//   - Every change makes a new member and deletes the old one in one transaction: the endpoint is never absent in between, and readers that look
//     at names alone see that something is new.
//   - An agent that is RESTARTED leaves its members where they are (see ErrHandOver). The next one replaces each of them at once, before it has checked
//     anything, and keeps them until the checks say otherwise.
//   - Of two agents that register one endpoint the later one has it; the earlier one steps back and says so.
package register

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// ErrHandOver is the cause (context.WithCancelCause) that makes Run leave all members where they are, for a successor to replace. The caller must let the
// session go without closing it too: zk.Session.Detach.
var ErrHandOver = errors.New("register: hand over to a successor")

// OwnACL is zk.Config.ACL for a session with a Digest whose members and serversets everybody may read, and that user alone may change. Every agent of an ensemble needs
// the same user then: whoever makes a serverset decides who else may register in it.
func OwnACL() []gozk.ACL {
	return append(gozk.WorldACL(gozk.PermRead), gozk.AuthACL(gozk.PermAll)...)
}

// Config shapes an Agent; the zero value has the defaults.
type Config struct {
	Root   string        // where serversets live, default /discovery
	Verify time.Duration // how often each member is proven to be our own, default 30 s
	Flap   Flap
	// StateFile remembers members and sizes of serversets over a restart; empty: nowhere. Without it a restarted agent finds its predecessor's members by
	// listing their serversets, and begins anew to learn how large they are.
	StateFile string
	MaxCalls  int           // how many services talk to ZooKeeper at once, default 32
	Drain     time.Duration // how long a stop may take to deregister everything, default 10 s
	Log       *slog.Logger
	Metrics   *metrics.Set
}

func (c Config) withDefaults() Config {
	c.Root = cmp.Or(c.Root, "/discovery")
	c.Verify = cmp.Or(c.Verify, 30*time.Second)
	c.MaxCalls = cmp.Or(c.MaxCalls, 32)
	c.Drain = cmp.Or(c.Drain, 10*time.Second)
	c.Flap = c.Flap.withDefaults()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if !strings.HasPrefix(c.Root, "/") || strings.HasSuffix(c.Root, "/") || strings.Contains(c.Root, "//") {
		errs = append(errs, fmt.Errorf("root %q is not a path such as /discovery", c.Root))
	}
	if c.Verify < 50*time.Millisecond {
		errs = append(errs, fmt.Errorf("verify every %v: below 50 ms it is a load on ZooKeeper", c.Verify))
	}
	if c.Drain < 0 {
		errs = append(errs, fmt.Errorf("drain %v is negative", c.Drain))
	}
	if c.MaxCalls < 1 {
		errs = append(errs, fmt.Errorf("max calls %d: below 1 nothing is ever registered", c.MaxCalls))
	}
	return errors.Join(append(errs, c.Flap.validate())...)
}

// Agent registers a set of services over one ZooKeeper session.
type Agent struct {
	cfg     Config
	session *zk.Session
	m       agentMetrics
	state   *state
	sizes   *sizes
	calls   chan struct{} // one slot a service that talks to ZooKeeper
	changed chan struct{} // one slot: want has changed, or a worker has ended

	stopping atomic.Bool

	mu      sync.Mutex
	want    []Service
	workers map[discovery.Key]*worker
}

// New makes an agent that registers over session. The caller runs the session beside the agent, and ends it after the agent.
func New(cfg Config, session *zk.Session) (*Agent, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("make registration agent: %w", err)
	}
	a := &Agent{cfg: cfg, session: session, state: newState(cfg.StateFile), calls: make(chan struct{}, cfg.MaxCalls),
		changed: make(chan struct{}, 1), workers: map[discovery.Key]*worker{}}
	a.sizes = a.state.sizes
	a.m = newAgentMetrics(cfg.Metrics, a)
	return a, nil
}

// Set gives the full set of services to register; the latest wins. Those not in it leave, those whose metadata changed are replaced, those whose checks
// changed are checked anew. An error changes nothing: it joins what is wrong with each service.
func (a *Agent) Set(services []Service) error {
	services = slices.Clone(services)
	var errs []error
	seen := map[discovery.Key]bool{}
	for i := range services {
		s := &services[i]
		*s = s.withDefaults()
		if err := s.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("service %s: %w", s.Key(), err))
		}
		if seen[s.Key()] {
			errs = append(errs, fmt.Errorf("service %s is given twice", s.Key()))
		}
		seen[s.Key()] = true
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	a.mu.Lock()
	a.want = services
	a.mu.Unlock()
	wake(a.changed)
	return nil
}

func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run registers until ctx ends. Then, unless its cause is ErrHandOver, it deregisters every service, for Config.Drain at most and until the context drain
// ends; the error names the members that it could not delete: they go when the session ends.
func (a *Agent) Run(ctx, drain context.Context) error {
	if err := a.state.load(time.Now()); err != nil {
		a.cfg.Log.Warn("starting without what the last agent knew", "err", err)
	}
	saver, endSaver := context.WithCancel(context.WithoutCancel(ctx))
	var saving sync.WaitGroup
	saving.Go(func() { a.state.run(saver, a.cfg.Log) })
	saving.Go(func() { a.tellAway(saver) })
	defer saving.Wait()
	defer endSaver()
	live, endLive := context.WithCancel(context.WithoutCancel(ctx)) // workers outlive ctx: they have to leave
	defer endLive()
	for {
		_, moved := a.session.Changed()
		a.wakeAll()
		select {
		case <-moved:
		case <-a.changed:
			a.mu.Lock()
			want := a.want
			a.mu.Unlock()
			a.reconcile(live, want)
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), ErrHandOver) {
				endLive()
				a.await(context.Background())
				return nil
			}
			a.stopping.Store(true)
			a.reconcile(live, nil)
			drain, cancel := context.WithTimeout(drain, a.cfg.Drain)
			defer cancel()
			a.await(drain)
			endLive()
			return a.left()
		}
	}
}

func (a *Agent) wakeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.workers {
		wake(w.wake)
	}
}

// reconcile starts, changes and ends workers so that there is one for each service wanted.
func (a *Agent) reconcile(live context.Context, want []Service) {
	a.mu.Lock()
	defer a.mu.Unlock()
	gone := make(map[discovery.Key]*worker, len(a.workers))
	for key, w := range a.workers {
		if w.hasEnded() {
			delete(a.workers, key)
		} else {
			gone[key] = w
		}
	}
	for i := range want {
		key := want[i].Key()
		delete(gone, key)
		if w := a.workers[key]; w != nil && w.change(&want[i]) {
			continue
		}
		w := newWorker(a, want[i])
		a.workers[key] = w
		go w.run(live)
	}
	for _, w := range gone {
		w.change(nil)
	}
}

// await returns when every worker has ended, or with ctx.
func (a *Agent) await(ctx context.Context) {
	a.mu.Lock()
	workers := make([]*worker, 0, len(a.workers))
	for _, w := range a.workers {
		workers = append(workers, w)
	}
	a.mu.Unlock()
	for _, w := range workers {
		select {
		case <-w.done:
		case <-ctx.Done():
			return
		}
	}
}

// left waits for the workers, which have no more time, and names the members that are still there.
func (a *Agent) left() error {
	a.await(context.Background())
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, w := range a.workers {
		for name := range w.members {
			errs = append(errs, fmt.Errorf("deregister %s: no time left for %s/%s; it goes when the session ends", w.key, w.dir, name))
		}
	}
	slices.SortFunc(errs, func(x, y error) int { return strings.Compare(x.Error(), y.Error()) })
	return errors.Join(errs...)
}
