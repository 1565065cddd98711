package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/pick"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// Bounds of asking a service's instances beside their schedule.
const (
	asksAtOnce  = 2
	maxAsked    = 5000 // instances
	maxAskedFor = 64   // patterns
	maxNumbers  = 200  // of one instance's answer
	askEvery    = 5 * time.Second
	askTimeout  = 4500 * time.Millisecond
	askAtOnce   = 64
	askBodies   = 64 << 20
	askGrace    = 3 * time.Second
	notInTime   = "it was not asked in time"
)

// Asked is what one instance said when it was asked beside its schedule: a line of the answer to POST /api/v1/ask.
type Asked struct {
	Service  string            `json:"service"`
	Env      string            `json:"env"`
	Instance string            `json:"instance"`
	Version  string            `json:"version,omitempty"`
	Zone     string            `json:"zone,omitempty"`
	Outcome  string            `json:"outcome"`
	Reason   string            `json:"reason,omitempty"`
	TookMS   float64           `json:"took_ms"`
	Values   map[string]string `json:"values,omitempty"` // digits as they were sent, or texts, by the full name of the number
	LeftOut  int               `json:"left_out,omitempty"`
}

// serveAsk pulls from every instance of a service now, beside its schedule, as its job says, and answers with a line for each as it comes: of all that the instance
// says, what the patterns name. It goes to the asker alone, and not to Kafka.
func (d *Daemon) serveAsk(w http.ResponseWriter, r *http.Request) {
	service, env, patterns := r.FormValue("service"), r.FormValue("env"), r.Form["metric"]
	switch {
	case service == "":
		refuse(w, http.StatusBadRequest, "name a service: ?service=checkout&metric=requests")
		return
	case len(patterns) == 0 || len(patterns) > maxAskedFor:
		refuse(w, http.StatusBadRequest, fmt.Sprintf("name what is asked for, in 1 to %d patterns: &metric=requests&metric=latency*.p99", maxAskedFor))
		return
	}
	select {
	case d.askers <- struct{}{}:
		defer func() { <-d.askers }()
	default:
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d others ask at this moment; try again in a few seconds", asksAtOnce))
		return
	}
	targets, known := d.askable(service, env)
	switch {
	case !known:
		refuse(w, http.StatusNotFound, fmt.Sprintf("no service is called %q; `rollcall ls` lists everyone", service))
		return
	case len(targets) > maxAsked:
		refuse(w, http.StatusBadRequest, fmt.Sprintf("%s has %d instances, and %d can be asked at once; its numbers are in the topic: `rollcall tap service=%s`", service, len(targets), maxAsked, service))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Rollcall-Instances", strconv.Itoa(len(targets)))
	out := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	// Who asks and does not read is let go: they would keep one of the few places for good.
	_ = flush.SetWriteDeadline(time.Now().Add(askEvery + askTimeout + 2*askGrace))
	defer func() { _ = flush.SetWriteDeadline(time.Time{}) }()
	err := d.ask(r.Context(), targets, patterns, func(a Asked) {
		if out.Encode(a) == nil {
			_ = flush.Flush() // whoever has gone does not need it
		}
	})
	if err != nil {
		d.log.Warn("a service could not be asked", "service", service, "err", err)
		_ = out.Encode(map[string]string{"error": err.Error()}) // the status is sent already
	}
}

// askable are the targets of a service that are pulled by anybody of the group, as their jobs say, but with short intervals; known is whether there is such a service.
func (d *Daemon) askable(service, env string) (out []scrape.Target, known bool) {
	jobs, quick := *d.jobs.Load(), map[string]*scrape.Job{}
	d.each(&query{service: service, env: env}, func(e *discovery.Entry) {
		known = true
		name := discovery.JobOf(e.Source)
		if !e.State.Scraped() || jobs[name].Job == nil {
			return
		}
		if quick[name] == nil {
			j := *jobs[name].Job
			j.Interval, j.Timeout, j.NoServerInfo = askEvery, askTimeout, true
			quick[name] = &j
		}
		out = append(out, scrape.Target{Instance: e.Instance, Job: quick[name]})
	})
	return out, known
}

// ask pulls once from each of the targets, in a pool of its own, and tells of each once, from one goroutine at a time.
func (d *Daemon) ask(ctx context.Context, targets []scrape.Target, patterns []string, tell func(Asked)) error {
	ctx, stop := context.WithTimeout(ctx, askEvery+askTimeout+askGrace)
	defer stop()
	var mu sync.Mutex
	open := make(map[scrape.TargetKey]*scrape.Target, len(targets))
	for i := range targets {
		open[targets[i].TargetKey()] = &targets[i]
	}
	handle := func(s *collector.Snapshot) {
		defer s.Release()
		if s.Outcome == collector.Skipped {
			return // it is asked in the next slot
		}
		key := scrape.TargetKey{Key: s.Instance.Key, Job: discovery.JobOf(s.Instance.Source)}
		mu.Lock()
		defer mu.Unlock()
		if open[key] == nil {
			return
		}
		delete(open, key)
		tell(askedOf(s, patterns))
		if len(open) == 0 {
			stop()
		}
	}
	pool, err := scrape.New(scrape.Config{Handle: handle, AtOnce: true, MaxInFlight: askAtOnce, MaxBodyBytes: askBodies, UserAgent: "rollcall-get", Log: d.log.With("part", "ask")})
	if err != nil {
		return err
	}
	if err := pool.Set(targets); err != nil {
		return err
	}
	if len(open) == 0 {
		return nil
	}
	if err := pool.Run(ctx); err != nil {
		return err
	}
	for _, t := range open { // the pool has ended: nobody else tells
		a := askedInstance(&t.Instance)
		a.Outcome, a.Reason = collector.Skipped.String(), notInTime
		tell(a)
	}
	return nil
}

func askedInstance(i *discovery.Instance) Asked {
	return Asked{Service: i.Service, Env: i.Env, Instance: i.Addr(), Version: i.Tags.Get("service.version"), Zone: i.Tags.Get("cloud.availability_zone")}
}

func askedOf(s *collector.Snapshot, patterns []string) Asked {
	a := askedInstance(&s.Instance)
	a.Outcome, a.Reason, a.TookMS = s.Outcome.String(), s.Reason, float64(s.Took.Microseconds())/1000
	nums := pick.Numbers(s.Samples, patterns)
	if a.LeftOut = max(0, len(nums)-maxNumbers); a.LeftOut > 0 {
		nums = nums[:maxNumbers]
	}
	for _, n := range nums {
		if a.Values == nil {
			a.Values = make(map[string]string, len(nums))
		}
		a.Values[n.Name] = string(append([]byte(nil), n.Text...)) // a view of the body
	}
	return a
}
