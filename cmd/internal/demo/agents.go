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

type hostAgent struct {
	session *zk.Session
	agent   *register.Agent

	mu   sync.Mutex
	apps map[*app]bool // whether it is to be registered
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
			s, err := zk.NewSession(zk.Config{Name: name, Servers: c.ZooKeeper, SessionTimeout: 6 * time.Second, MaxPacket: 256 << 10, MaxRequest: 64 << 10, Log: quiet})
			if err != nil {
				return nil, fmt.Errorf("demo: agent of %s: %w", name, err)
			}
			agent, err := register.New(register.Config{Log: quiet}, s)
			if err != nil {
				return nil, fmt.Errorf("demo: agent of %s: %w", name, err)
			}
			h = &hostAgent{session: s, agent: agent, apps: map[*app]bool{}}
			byHost[k] = h
			out.hosts = append(out.hosts, h)
		}
		h.apps[a] = true
		out.of[a] = h
	}
	for _, h := range out.hosts {
		if err := h.apply(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// run holds the sessions and the registrations until ctx ends, then deregisters.
func (g *agents) run(ctx context.Context) error {
	sessions, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var wg, held sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	note := func(err error) {
		if err != nil && !errors.Is(err, context.Canceled) {
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		}
	}
	for _, h := range g.hosts {
		held.Go(func() { note(h.session.Run(sessions)) })
		wg.Go(func() {
			drain, stop := context.WithCancel(context.WithoutCancel(ctx))
			defer stop()
			context.AfterFunc(ctx, func() { time.AfterFunc(5*time.Second, stop) })
			note(h.agent.Run(ctx, drain))
		})
	}
	wg.Wait()
	end()
	held.Wait()
	return errors.Join(errs...)
}

// set says whether an application is to be registered, and registers it anew if what is known of it has changed.
func (g *agents) set(a *app, registered bool) {
	h := g.of[a]
	h.mu.Lock()
	h.apps[a] = registered
	h.mu.Unlock()
	if err := h.apply(); err != nil {
		g.log.Warn("the demo's registration did not change", "err", err)
	}
}

// joined is when each application came into its serverset, by host:port.
func (g *agents) joined() map[string]time.Time {
	out := map[string]time.Time{}
	for _, h := range g.hosts {
		for _, s := range h.agent.Status().Services {
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
	var list []register.Service
	for a, in := range h.apps {
		if in {
			s, err := a.registration()
			if err != nil {
				return err
			}
			list = append(list, s)
		}
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
		Metadata: serverset.Metadata{Version: a.version, Zone: zones[a.zone], Region: "us-east-1", Track: a.track, Host: hostName(a.zone, a.host), Owner: a.svc.owner},
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
