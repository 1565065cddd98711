package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/register"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// agents registers the applications with the agent's own code: one agent and one session a host, as on a real fleet.
type agents struct {
	log   *slog.Logger
	hosts []*hostAgent
	of    map[*app]*hostAgent
}

// hostAgent is the agent of one host, which may die and come back: each life has a session of its own.
type hostAgent struct {
	zone, host int
	conf       zk.Config
	log        *slog.Logger

	mu    sync.Mutex
	apps  []*app
	off   bool
	power chan struct{}   // has a value when off has changed
	agent *register.Agent // of this life
}

func newAgents(c Config, apps []*app) (*agents, error) {
	out := &agents{log: c.Log, of: map[*app]*hostAgent{}}
	byHost := map[[2]int]*hostAgent{}
	for _, a := range apps {
		k := [2]int{a.zone, a.host}
		h := byHost[k]
		if h == nil {
			name := hostName(a.zone, a.host)
			// Quiet: fifteen agents that come and go would bury what the demo has to say.
			quiet := slog.New(atLeast{c.Log.Handler(), slog.LevelWarn})
			h = &hostAgent{zone: a.zone, host: a.host, log: quiet, power: make(chan struct{}, 1),
				conf: zk.Config{Name: name, Servers: c.ZooKeeper, SessionTimeout: 6 * time.Second, MaxPacket: 256 << 10, MaxRequest: 64 << 10, Log: quiet}}
			byHost[k] = h
			out.hosts = append(out.hosts, h)
		}
		h.apps = append(h.apps, a)
		out.of[a] = h
	}
	return out, nil
}

// run holds the sessions and the registrations until ctx ends, then deregisters.
func (g *agents) run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(g.hosts))
	for i, h := range g.hosts {
		wg.Go(func() {
			if err := h.run(ctx); err != nil {
				errs[i] = fmt.Errorf("demo: agent of %s: %w", h.conf.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// run lives one life after the other.
func (h *hostAgent) run(ctx context.Context) error {
	for ctx.Err() == nil {
		h.mu.Lock()
		off := h.off
		h.mu.Unlock()
		if !off {
			if err := h.live(ctx); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-h.power:
		}
	}
	return nil
}

// live holds a session and registers over it, until ctx ends, and then deregisters; or until the power goes, and then its nodes stay for as long as the server
// believes in the session.
func (h *hostAgent) live(ctx context.Context) error {
	session, err := zk.NewSession(h.conf)
	if err != nil {
		return err
	}
	agent, err := register.New(register.Config{Log: h.log, Verify: 10 * time.Second}, session)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.agent = agent
	h.mu.Unlock()
	if err := h.apply(); err != nil {
		return err
	}
	held, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- session.Run(held) }()
	run, die := context.WithCancelCause(ctx)
	defer die(nil)
	drain, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(5*time.Second, stop) })()
	lived := make(chan error, 1)
	go func() { lived <- agent.Run(run, drain) }()
	select {
	case err = <-lived:
	case <-h.power:
		session.Detach()
		die(register.ErrHandOver)
		err = <-lived
	}
	end()
	if err = errors.Join(err, <-done); errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// turn switches the hosts' agents off, as if the power had gone, or on again; zone and host may be -1: any.
func (g *agents) turn(on bool, zone, host int) {
	for _, h := range g.hosts {
		if zone >= 0 && h.zone != zone || host >= 0 && h.host != host {
			continue
		}
		h.mu.Lock()
		changed := h.off == on
		h.off = !on
		h.mu.Unlock()
		if changed {
			select {
			case h.power <- struct{}{}:
			default:
			}
		}
	}
}

// set registers an application anew if what is known of it has changed.
func (g *agents) set(a *app) {
	if err := g.of[a].apply(); err != nil {
		g.log.Warn("the demo's registration did not change", "err", err)
	}
}

// joined is when each application came into its serverset, by host:port.
func (g *agents) joined() map[string]time.Time {
	out := map[string]time.Time{}
	for _, h := range g.hosts {
		h.mu.Lock()
		agent := h.agent
		h.mu.Unlock()
		if agent == nil {
			continue
		}
		for _, s := range agent.Status().Services {
			if s.Member != "" {
				out[s.Endpoint] = s.Since
			}
		}
	}
	return out
}

func (h *hostAgent) apply() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.agent == nil {
		return nil
	}
	var list []register.Service
	for _, a := range h.apps {
		s, err := a.registration()
		if err != nil {
			return err
		}
		list = append(list, s)
	}
	return h.agent.Set(list)
}

// registration is what the application's agent is told.
func (a *app) registration() (register.Service, error) {
	host, port, err := discovery.SplitAddr(a.addr)
	if err != nil {
		return register.Service{}, err
	}
	check, err := register.ParseCheck("http:/health")
	if err != nil {
		return register.Service{}, err
	}
	// Patient: what breaks here is told to break, and a machine that is busy for a while must not look like it.
	check.Interval, check.Timeout, check.Rise = 5*time.Second, 3*time.Second, 1
	a.mu.Lock()
	defer a.mu.Unlock()
	return register.Service{
		Name: a.svc.name, Env: Env, Host: host, Port: port, Checks: []register.Check{check},
		Metadata: serverset.Metadata{Version: a.version, Zone: zones[a.zone], Region: "us-east-1", Track: a.track, Host: hostName(a.zone, a.host), Owner: a.svc.owner,
			Tags: map[string]string{"service.chat": "#" + a.svc.owner, "service.runbook": "https://wiki.example/" + a.svc.name}},
	}, nil
}

// atLeast is a log handler that leaves out what is below a level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
