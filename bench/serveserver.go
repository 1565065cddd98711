package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// replica is one `rollcall serve`, as it is delivered, and when it was started.
type replica struct {
	*daemon
	began time.Time
}

// startServe starts one on a core; settings are those of `dashboards`.
func (b *serveBench) startServe(ctx context.Context, port, core int, settings string) (*replica, error) {
	if b.bothCores {
		core = anyCore
	}
	dir, err := os.MkdirTemp(b.dir, "serve-")
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "rollcall.yml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "kafka: {brokers: [%q]}\ndashboards: {%s}\n", b.addr, settings), 0o600); err != nil {
		return nil, err
	}
	r := &replica{&daemon{conf: conf, kafk: b.addr}, time.Now()}
	return r, r.launch(ctx, b.program, dir, core, port, "serve", "--config.file="+conf)
}

// kill ends it as a crash would.
func (r *replica) kill() {
	_ = r.cmd.Process.Kill() // it may have ended by itself
	<-r.done
}

// confine puts every thread of a process on a core.
func confine(pid, core int) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(core)
	for _, t := range threads {
		if n, err := strconv.Atoi(t.Name()); err == nil {
			if err := unix.SchedSetaffinity(n, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("bind process %d to core %d: %w", pid, core, err)
			}
		}
	}
	return nil
}

// ask reads one of its pages of JSON.
func (r *replica) ask(ctx context.Context, path string, into any) error {
	body, err := r.get(ctx, path)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	return err
}

// until asks it something again and again until the answer is good, and gives how long that took from a moment on. What it has not learned to answer yet is asked again.
func (r *replica) until(ctx context.Context, from time.Time, limit time.Duration, what string, good func() (bool, error)) (time.Duration, error) {
	var last error
	for {
		ok, err := good()
		if ok {
			return time.Since(from), nil
		}
		if err != nil {
			last = err
		}
		select {
		case <-r.gone():
			b, _ := os.ReadFile(r.log.Name())
			return 0, fmt.Errorf("wait until %s: it has ended\n%s", what, b[max(0, len(b)-2000):])
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(from) > limit {
			return 0, fmt.Errorf("wait until %s: not within %s: %w", what, limit, last)
		}
	}
}

// status is what the benchmark reads of /api/v1/status.
type status struct {
	Feed struct {
		State   string
		Filling bool
	}
	Strip struct {
		Expected, Answering int
		Exceptions          []struct{ Text string }
	}
	Board struct {
		Bytes, Max uint64
		MaxBytes   uint64 `json:"max_bytes"`
		Evictions  struct {
			Values  uint64
			Service string
			Before  int64
		}
		Seen       uint64 `json:"records_seen"`
		Lost       uint64 `json:"records_lost"`
		Duplicated uint64 `json:"records_duplicated"`
	}
}

func (r *replica) status(ctx context.Context) (s status, err error) {
	return s, r.ask(ctx, "/api/v1/status", &s)
}

// begun is how a server came up.
type begun struct {
	live   time.Duration    // its feed says that it shows the present
	whole  time.Duration    // everybody of the fleet answers on its page
	filled time.Duration    // all that the window reaches back to has been read
	cpu    [2]time.Duration // until it was live, and until all had been read
}

func (b begun) line() string {
	return fmt.Sprintf("live after %.1f s (%.1f s of CPU), all instances after %.1f s, the whole window after %.1f s (%.1f s of CPU)", b.live.Seconds(), b.cpu[0].Seconds(), b.whole.Seconds(), b.filled.Seconds(), b.cpu[1].Seconds())
}

// comeUp waits until a server shows everybody and has read all there is, from a moment on.
func (b *serveBench) comeUp(ctx context.Context, r *replica, from time.Time) (out begun, err error) {
	const limit = 5 * time.Minute
	spent, err := cpuOf(r.pid())
	if err != nil {
		return out, err
	}
	if from == r.began {
		spent = 0
	}
	if out.live, err = r.until(ctx, from, limit, "it is live", func() (bool, error) {
		_, err := r.get(ctx, "/-/ready")
		return err == nil, err
	}); err != nil {
		return out, err
	}
	if out.cpu[0], err = cpuOf(r.pid()); err != nil {
		return out, err
	}
	if out.whole, err = r.until(ctx, from, limit, "everybody answers", func() (bool, error) {
		s, err := r.status(ctx)
		return s.Strip.Answering == b.instances, errors.Join(err, fmt.Errorf("%d of %d answer", s.Strip.Answering, b.instances))
	}); err != nil {
		return out, err
	}
	out.filled, err = r.until(ctx, from, limit, "the window is full", func() (bool, error) {
		s, err := r.status(ctx)
		return err == nil && s.Feed.State == "live" && !s.Feed.Filling, err
	})
	if err == nil {
		out.cpu[1], err = cpuOf(r.pid())
	}
	out.cpu[0], out.cpu[1] = out.cpu[0]-spent, out.cpu[1]-spent
	return out, err
}

// metricsOf are the values of a server's own metrics by their names with labels.
func (r *replica) metricsOf(ctx context.Context) (map[string]float64, error) {
	body, err := r.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = v
		}
	}
	return out, nil
}

// lags is a distribution in short.
type lags struct{ p50, p99, max time.Duration }

func (s lags) String() string {
	return fmt.Sprintf("p50 %d ms, p99 %d ms, max %d ms", s.p50.Milliseconds(), s.p99.Milliseconds(), s.max.Milliseconds())
}

// lagBetween is how old records were when they could be asked for, by the server's own histogram, between two looks at its metrics: the upper ends of its buckets.
func lagBetween(was, is map[string]float64) lags {
	type bucket struct{ to, n float64 } // n is how many were no older
	var all []bucket
	for name, n := range is {
		text, ok := strings.CutPrefix(name, `rollcall_feed_lag_seconds_bucket{le="`)
		if !ok {
			continue
		}
		if to, err := strconv.ParseFloat(strings.TrimSuffix(text, `"}`), 64); err == nil {
			all = append(all, bucket{to, n - was[name]})
		}
	}
	slices.SortFunc(all, func(a, b bucket) int { return cmp.Compare(a.to, b.to) })
	at := func(q float64) time.Duration {
		last := len(all) - 1 // of all there were
		for i := range all {
			switch b := &all[i]; {
			case all[last].n == 0 || b.n < q*all[last].n:
			case math.IsInf(b.to, 1):
				return math.MaxInt64 // older than all bounds
			default:
				return time.Duration(b.to * float64(time.Second))
			}
		}
		return 0
	}
	return lags{at(.5), at(.99), at(1)}
}

func lagsOf(all []time.Duration) lags {
	if len(all) == 0 {
		return lags{}
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[min(len(all)-1, int(q*float64(len(all))))] }
	return lags{at(.5), at(.99), all[len(all)-1]}
}

// query asks it in PromQL, for what is one number.
func (r *replica) query(ctx context.Context, promql string) (float64, error) {
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := r.ask(ctx, "/api/v1/query?query="+url.QueryEscape(promql), &answer); err != nil {
		return 0, err
	}
	if n := len(answer.Data.Result); n != 1 {
		return 0, fmt.Errorf("%s: %d values, not one", promql, n)
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	return strconv.ParseFloat(text, 64)
}

// finding is what the benchmark reads of one.
type finding struct {
	ID, Service, Metric, Title, Level string
	Ended                             *int64
	Ack                               *struct{ By string }
}

// open are the findings of trouble that are not over.
func (r *replica) open(ctx context.Context) ([]finding, error) {
	var a struct{ Findings []finding }
	err := r.ask(ctx, "/api/v1/findings?state=open", &a)
	return slices.DeleteFunc(a.Findings, func(f finding) bool { return f.Level == dashboards.LevelInfo }), err // such as a canary's that passes
}

// acknowledge says that somebody looks after a finding.
func (r *replica) acknowledge(ctx context.Context, id string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/api/v1/findings/"+url.PathEscape(id)+"/ack", strings.NewReader(`{"by":"bench","why":"it is ours"}`))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("acknowledge a finding: %s", resp.Status)
	}
	return nil
}
