package register

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// State is where a service stands with its agent.
type State string

// The states of a service.
const (
	Waiting    State = "waiting"    // not registered: no ZooKeeper server answers
	Starting   State = "starting"   // not registered: the checks have no word yet
	Up         State = "up"         // registered
	Failing    State = "failing"    // registered although its checks fail, and marked so
	Down       State = "down"       // not registered: its checks fail
	Damped     State = "damped"     // passes its checks, but fell too often lately to be believed
	Superseded State = "superseded" // another agent has registered the endpoint
)

// ServiceStatus is what there is to know of one service.
type ServiceStatus struct {
	Service  string        `json:"service"`
	Env      string        `json:"env"`
	Endpoint string        `json:"endpoint"`
	State    State         `json:"state"`
	Reason   string        `json:"reason,omitempty"`
	Since    time.Time     `json:"since"`
	Member   string        `json:"member,omitempty"`  // path of its znode
	Verified time.Time     `json:"verified,omitzero"` // when that was last proven to be our own
	Trouble  string        `json:"trouble,omitempty"` // what went wrong when something was last to be done
	Source   string        `json:"source,omitempty"`  // the file that configures it
	Checks   []CheckStatus `json:"checks,omitempty"`
}

// Status is what there is to know of an agent.
type Status struct {
	ZooKeeper zk.Status       `json:"zookeeper"`
	Services  []ServiceStatus `json:"services"` // by service, environment and endpoint
}

// Status is where everything stands now.
func (a *Agent) Status() Status {
	a.mu.Lock()
	out := Status{ZooKeeper: a.session.Status(), Services: make([]ServiceStatus, 0, len(a.workers))}
	workers := make([]*worker, 0, len(a.workers))
	for _, w := range a.workers {
		workers = append(workers, w)
	}
	a.mu.Unlock()
	slices.SortFunc(workers, func(x, y *worker) int { return x.key.Compare(y.key) })
	for _, w := range workers {
		w.mu.Lock()
		s, h, ended := w.status, w.health, w.ended
		w.mu.Unlock()
		if ended {
			continue
		}
		if h != nil {
			s.Checks = h.checkStatus()
		}
		out.Services = append(out.Services, s)
	}
	return out
}

// unansweredFor is how long ZooKeeper may be silent before the log says so: a reconnect takes less.
const unansweredFor = 1500 * time.Millisecond

// tellAway logs once an outage that no ZooKeeper server answers, while it lasts, and once that one does again.
func (a *Agent) tellAway(ctx context.Context) {
	var lost time.Time // zero while connected
	said := false
	for {
		st, moved := a.session.Changed()
		var due <-chan time.Time
		if st.Connected {
			if said {
				a.cfg.Log.Info("a ZooKeeper server answers again", "server", st.Server, "after", time.Since(lost).Round(time.Millisecond))
			}
			lost, said = time.Time{}, false
		} else if !said {
			if lost.IsZero() {
				lost = time.Now()
			}
			wait := time.Until(lost.Add(unansweredFor))
			if said = wait <= 0; said {
				a.cfg.Log.Warn("no ZooKeeper server answers; trying on, and nothing is registered or deregistered meanwhile", "for", time.Since(lost).Round(time.Millisecond),
					"waiting", a.count(Waiting), "registered", a.count(Up)+a.count(Failing), "err", st.Err)
			} else {
				due = time.After(wait)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-moved:
		case <-due:
		}
	}
}

// Settled reports whether every service wanted has got as far as it can: registered, or kept out for a reason that is not the agent's. why names
// one that has not.
func (a *Agent) Settled() (ok bool, why string) {
	a.mu.Lock()
	want := len(a.want)
	a.mu.Unlock()
	st := a.Status()
	if len(st.Services) < want {
		return false, "services are being started"
	}
	for _, s := range st.Services {
		if s.State == Waiting || s.State == Starting {
			return false, fmt.Sprintf("%s/%s/%s is %s: %s", s.Service, s.Env, s.Endpoint, s.State, s.Reason)
		}
	}
	return true, ""
}

// say sets the service's state.
func (w *worker) say(s State, reason string) {
	w.mu.Lock()
	was := w.status.State
	if was != s {
		w.status.State, w.status.Since = s, time.Now()
	}
	w.status.Reason = reason
	w.mu.Unlock()
	if was != s {
		w.a.cfg.Log.Debug("service changed state", append(w.attrs(), "was", string(was), "state", string(s), "reason", reason)...)
	}
}

// trouble notes what went wrong, or that nothing does any more.
func (w *worker) trouble(text string) {
	w.mu.Lock()
	was := w.status.Trouble
	w.status.Trouble = text
	w.mu.Unlock()
	if text != "" && was == "" {
		w.a.cfg.Log.Warn("registration does not get on; trying again", append(w.attrs(), "err", text)...)
	}
}

type agentMetrics struct {
	joins, takeovers, renewals, leaves, kept, falls, proofs, lost, failures, passed, failed *metrics.Counter
	took                                                                                    *metrics.PrometheusHistogram
}

func newAgentMetrics(set *metrics.Set, a *Agent) agentMetrics {
	for _, s := range []State{Waiting, Starting, Up, Failing, Down, Damped, Superseded} {
		set.GetOrCreateGauge(fmt.Sprintf("rollcall_register_services{state=%q}", s), func() float64 { return float64(a.count(s)) })
	}
	return agentMetrics{
		joins:     set.GetOrCreateCounter("rollcall_register_joins_total"),
		takeovers: set.GetOrCreateCounter("rollcall_register_takeovers_total"), // of a predecessor's members
		renewals:  set.GetOrCreateCounter("rollcall_register_renewals_total"),  // after an expiry, or of members that were gone
		leaves:    set.GetOrCreateCounter("rollcall_register_leaves_total"),
		kept:      set.GetOrCreateCounter("rollcall_register_kept_failing_total"),
		falls:     set.GetOrCreateCounter("rollcall_register_falls_total"), // services whose checks turned from well to not
		proofs:    set.GetOrCreateCounter("rollcall_register_proofs_total"),
		lost:      set.GetOrCreateCounter("rollcall_register_proofs_failed_total"),
		failures:  set.GetOrCreateCounter("rollcall_register_call_failures_total"),
		passed:    set.GetOrCreateCounter(`rollcall_register_checks_total{result="pass"}`),
		failed:    set.GetOrCreateCounter(`rollcall_register_checks_total{result="fail"}`),
		took:      set.GetOrCreatePrometheusHistogramExt("rollcall_register_check_duration_seconds", []float64{.001, .005, .02, .1, .5, 2, 10}),
	}
}

func (m *agentMetrics) probed(ok bool, took time.Duration) {
	if ok {
		m.passed.Inc()
	} else {
		m.failed.Inc()
	}
	m.took.Update(took.Seconds())
}

func (a *Agent) count(s State) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.workers {
		w.mu.Lock()
		if w.status.State == s && !w.ended {
			n++
		}
		w.mu.Unlock()
	}
	return n
}
