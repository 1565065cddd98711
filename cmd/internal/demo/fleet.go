package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Env is the environment that the fleet registers in.
const Env = "prod"

// Config shapes a demo fleet.
type Config struct {
	ZooKeeper  []string      // where it registers
	FirstFault time.Duration // when the first thing breaks; default 20s
	FaultEvery time.Duration // from the end of one fault to the next; default 45s
	Calm       bool          // nothing breaks by itself
	Seed       uint64        // of everything that is chance; 0: another each time
	Announce   func(Fault)   // called when something breaks and when it heals (Fault.End is past)
	Log        *slog.Logger
}

// Fleet is the demo's applications.
type Fleet struct {
	conf Config
	wake chan struct{}

	mu     sync.Mutex
	rng    *rand.Rand
	fault  *Fault // what is broken now, if anything
	last   string // kind of the last fault
	apps   []*app // empty before Run has opened them
	agents *agents
}

// NewFleet makes a fleet; nothing listens before Run.
func NewFleet(c Config) *Fleet {
	if c.FirstFault == 0 {
		c.FirstFault = 20 * time.Second
	}
	if c.FaultEvery == 0 {
		c.FaultEvery = 45 * time.Second
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Announce == nil {
		c.Announce = func(Fault) {}
	}
	return &Fleet{conf: c, rng: rand.New(rand.NewPCG(c.Seed, 1)), wake: make(chan struct{}, 1)}
}

// hostAddr is the loopback address of a host: each host has its own where the system lets us (Linux), else all share 127.0.0.1.
func hostAddr(zone, host int) string {
	a := fmt.Sprintf("127.20.%d.%d", zone+1, host+11)
	l, err := net.Listen("tcp", net.JoinHostPort(a, "0"))
	if err != nil {
		return "127.0.0.1"
	}
	l.Close()
	return a
}

// open makes the applications and their listeners.
func (f *Fleet) open() (apps []*app, open []net.Listener, err error) {
	for z := range zones {
		var hosts [hostsPerZone]string
		for h := range hosts {
			hosts[h] = hostAddr(z, h)
		}
		for i := range catalogue {
			s := &catalogue[i]
			for n := range s.perZone {
				h := (n + i) % hostsPerZone
				l, err := net.Listen("tcp", net.JoinHostPort(hosts[h], strconv.Itoa(int(s.port))))
				if err != nil { // taken, or all hosts share one address
					if l, err = net.Listen("tcp", net.JoinHostPort(hosts[h], "0")); err != nil {
						for _, l := range open {
							l.Close()
						}
						return nil, nil, fmt.Errorf("demo: open a listener for %s: %w", s.name, err)
					}
				}
				version, track := s.old, "production"
				if n < canaries {
					version, track = s.new, "canary"
				}
				open = append(open, l)
				apps = append(apps, newApp(s, z, h, z*s.perZone+n, l.Addr().String(), version, track, f.conf.Seed))
			}
		}
	}
	return apps, open, nil
}

// tickEvery is how often the applications live; rates and latencies come out right at any value.
const (
	tickEvery = 200 * time.Millisecond
	maxTick   = 2 * time.Second
)

// Run opens the listeners, registers the applications and lives until ctx ends; then it deregisters them.
func (f *Fleet) Run(ctx context.Context) error {
	apps, listeners, err := f.open()
	if err != nil {
		return err
	}
	agents, err := newAgents(f.conf, apps)
	if err != nil {
		for _, l := range listeners {
			l.Close()
		}
		return err
	}
	f.mu.Lock()
	f.apps, f.agents = apps, agents
	f.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	serveCtx, endServe := context.WithCancel(context.WithoutCancel(ctx))
	defer endServe()
	var wg sync.WaitGroup
	for i, a := range apps {
		wg.Go(func() {
			if err := a.serve(serveCtx, listeners[i], func() bool { return f.effect(a).down }); err != nil {
				cancel(err)
			}
		})
	}
	agentsDone := make(chan error, 1)
	go func() { agentsDone <- agents.run(ctx) }()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	next := time.NewTimer(f.conf.FirstFault)
	defer next.Stop()
	if f.conf.Calm {
		next.Stop()
	}
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			err := errors.Join(<-agentsDone)
			endServe()
			wg.Wait()
			if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
				err = errors.Join(cause, err)
			}
			return err
		case <-next.C:
			if _, err := f.Break(""); err != nil {
				f.conf.Log.Warn("nothing broke", "err", err)
			}
		case <-f.wake: // something was broken: the next comes after it
			next.Stop()
		case now := <-tick.C:
			// What a busy machine did not live is not made up for: the longer it takes, the more there would be of it.
			lived := min(now.Sub(last), maxTick)
			for _, a := range apps {
				a.tick(now, lived, f.effect(a))
			}
			last = now
			if ended := f.heal(now); ended && !f.conf.Calm {
				next.Reset(f.conf.FaultEvery)
			}
		}
	}
}

// effect is what the fault of the moment does to an application.
func (f *Fleet) effect(a *app) effect {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == nil {
		return effect{}
	}
	return f.fault.on(a, a.label())
}

// First is what breaks first, when, and for how long; nothing where the fleet is calm.
func (f *Fleet) First() (what string, in, lasts time.Duration) {
	if f.conf.Calm {
		return "", 0, 0
	}
	return coming[nextKind("")], f.conf.FirstFault, faultLasts
}

// Break breaks something of a kind, or of the next kind if it is empty. What was broken before heals.
func (f *Fleet) Break(kind string) (Fault, error) {
	now := time.Now()
	f.mu.Lock()
	if kind == "" {
		kind = nextKind(f.last)
	}
	fault, err := newFault(kind, now, f.rng)
	f.mu.Unlock()
	if err != nil {
		return Fault{}, err // and what is broken stays so
	}
	f.heal(now.Add(24 * time.Hour))
	f.mu.Lock()
	f.fault, f.last = fault, kind
	f.mu.Unlock()
	f.apply(fault, true)
	f.conf.Announce(*fault)
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return *fault, nil
}

// heal ends the fault whose time is over.
func (f *Fleet) heal(now time.Time) bool {
	f.mu.Lock()
	fault := f.fault
	if fault == nil || now.Before(fault.End) {
		f.mu.Unlock()
		return false
	}
	f.fault = nil
	f.mu.Unlock()
	f.apply(fault, false)
	ended := time.Now()
	if !ended.Before(fault.End) && !f.conf.Calm { // nobody broke something else instead
		fault.Next, fault.NextAt = coming[nextKind(fault.Kind)], ended.Add(f.conf.FaultEvery)
	}
	fault.End = ended
	f.conf.Announce(*fault)
	return true
}

// apply does what a fault does to registrations and versions, and takes it back.
func (f *Fleet) apply(fault *Fault, begin bool) {
	f.mu.Lock()
	apps, agents := f.apps, f.agents
	f.mu.Unlock()
	switch fault.Kind {
	case "crash", "expiry":
		agents.turn(!begin, fault.zone, fault.host)
	case "deploy":
		for _, a := range apps {
			switch {
			case a.svc.name != fault.service, a.n%a.svc.perZone < canaries: // runs it already
				continue
			case begin:
				a.upgrade(a.svc.new, "production")
			default:
				a.upgrade(a.svc.old, "production")
			}
			agents.set(a)
		}
	}
}

// Joined is when each registered application came into its serverset, by host:port.
func (f *Fleet) Joined() map[string]time.Time {
	f.mu.Lock()
	agents := f.agents
	f.mu.Unlock()
	if agents == nil {
		return nil // ended before it began
	}
	return agents.joined()
}

// Handler answers POST /demo/fault: kind, as a form value or in JSON; without one the next kind.
func (f *Fleet) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := func(code int, v any) {
			w.WriteHeader(code)
			json.NewEncoder(w).Encode(v)
		}
		fail := func(code int, err error) { answer(code, map[string]string{"error": err.Error()}) }
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", "POST")
			fail(http.StatusMethodNotAllowed, errors.New("POST it: curl -d kind=canary …/demo/fault"))
			return
		}
		// A page elsewhere must not break things through the reader's browser.
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
			fail(http.StatusForbidden, errors.New("only this page and command-line tools may break things"))
			return
		}
		// Nor a name that somebody has pointed at this machine.
		if !local(r.Host) {
			fail(http.StatusForbidden, fmt.Errorf("host %.100q: address the demo as localhost or by its IP address", r.Host))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
		var kind string
		if ct, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); ct == "application/json" {
			var q struct {
				Kind string `json:"kind"`
			}
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil && !errors.Is(err, io.EOF) {
				fail(http.StatusBadRequest, fmt.Errorf(`the body is not JSON such as {"kind":"canary"}: %w`, err))
				return
			}
			kind = q.Kind
		} else {
			kind = r.FormValue("kind")
		}
		fault, err := f.Break(kind)
		if err != nil {
			fail(http.StatusBadRequest, err)
			return
		}
		answer(http.StatusOK, fault)
	})
}

// local reports whether a Host header names this machine in a way that no foreign name server can give: localhost, or an address.
func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")) != nil
}
