package collect

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// Discovered is one member that a job's sources see, before and after the job's rules. Its JSON is that of promtool's check of service discovery, and more.
type Discovered struct {
	ID     string            `json:"id"`
	Before map[string]string `json:"discoveredLabels"`
	After  map[string]string `json:"labels"`          // null where it is not scraped
	Reason string            `json:"error,omitempty"` // why it is not scraped
	Path   string            `json:"path"`
}

// quiet is how long sources must have said nothing new before what they said is taken for all.
const quiet = 300 * time.Millisecond

// Discover asks a job's sources who is there, and stops when all of them have said so or ctx ends: then silent names those that have not. An error means that there is
// no such job, or that a source cannot run at all.
func Discover(ctx context.Context, c *config.Config, job string, log *slog.Logger) (found []Discovered, views []discovery.View, silent []string, err error) {
	only := *c
	only.Scrape = nil
	var names []string
	for _, s := range c.Scrape {
		if names = append(names, s.JobName); s.JobName == job {
			only.Scrape = []config.Scrape{s}
		}
	}
	if only.Scrape == nil {
		return nil, nil, nil, fmt.Errorf("find job %q: no such job; there are %s", job, strings.Join(names, ", "))
	}
	d := &Daemon{log: log, sources: map[string]source{}, zk: zk.NewSessions(), o: Options{Log: log, Metrics: ops.NewMetrics(ops.Build{})}}
	if err := d.setJobs(&only); err != nil {
		return nil, nil, nil, err
	}
	sources, err := d.buildSources(&only)
	if err != nil {
		return nil, nil, nil, err
	}
	run, cancel := context.WithCancelCause(ctx)
	box := discovery.NewLatest()
	var running sync.WaitGroup
	running.Go(func() { _ = d.zk.Run(run) }) // the sources' sessions; it fails never
	for _, s := range sources {
		running.Go(func() {
			if err := s.Run(run, box); err != nil && run.Err() == nil {
				cancel(fmt.Errorf("source %q: %w", s.Name(), err))
			}
		})
	}
	sets, told := listen(run, box, len(sources))
	cause := context.Cause(run)
	cancel(nil)
	running.Wait()
	if cause != nil && ctx.Err() == nil {
		return nil, nil, nil, cause
	}
	for _, s := range sources {
		if v, ok := told[s.Name()]; !ok || !v.Complete {
			silent = append(silent, s.Name())
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(sets), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		for _, m := range sets[k].Members {
			found = append(found, d.judged(m))
		}
	}
	slices.SortStableFunc(found, func(a, b Discovered) int { return strings.Compare(a.ID, b.ID) })
	return found, slices.SortedFunc(maps.Values(told), func(a, b discovery.View) int { return strings.Compare(a.Source, b.Source) }), silent, nil
}

// listen takes what n sources say until all have said everything, or ctx ends.
func listen(ctx context.Context, box *discovery.Latest, n int) (sets map[[2]string]discovery.Set, views map[string]discovery.View) {
	sets, views = map[[2]string]discovery.Set{}, map[string]discovery.View{}
	still := time.NewTimer(quiet)
	defer still.Stop()
	for {
		select {
		case <-ctx.Done():
			return sets, views
		case <-still.C:
			complete := len(views) == n
			for _, v := range views {
				complete = complete && v.Complete
			}
			for _, s := range sets {
				complete = complete && !s.Partial
			}
			if complete {
				return sets, views
			}
			still.Reset(quiet)
		case <-box.Ready():
			newer, said := box.Take()
			for _, s := range newer {
				sets[[2]string{s.Source, s.Path}] = s
			}
			for _, v := range said {
				v.Complete = v.Complete || views[v.Source].Complete
				views[v.Source] = v
			}
			if len(newer) > 0 {
				still.Reset(quiet)
			}
		}
	}
}

// judged puts a member through its job's rules.
func (d *Daemon) judged(m *discovery.Member) Discovered {
	i := m.Instance
	out := Discovered{ID: (&discovery.Entry{Instance: i}).ID(), Path: i.Path}
	if m.Err != nil {
		out.Before, out.Reason = map[string]string{"__meta_rollcall_path": i.Path, "__meta_rollcall_member": i.Member}, "it cannot be read: "+m.Err.Error()
		return out
	}
	out.Before = d.discovered(&i)
	for n, v := range i.Tags.All() {
		out.Before[n] = v
	}
	why, keep := d.filter(&i)
	if !keep {
		out.Reason = why
		return out
	}
	out.After = i.Tags.Map()
	out.After["job"], out.After["instance"], out.After["env"] = i.Service, i.Addr(), i.Env
	return out
}
