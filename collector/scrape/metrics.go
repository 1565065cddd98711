package scrape

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// poolMetrics are the pool's own numbers: by job and outcome, never by target.
type poolMetrics struct {
	set    *metrics.Set
	stages [numMeasured]*metrics.PrometheusHistogram
	held   *metrics.Counter // moments at which something was due and nobody knew whose it was

	mu   sync.Mutex
	jobs map[string]*jobMetrics
}

// measured is a stage of collector.StageSeconds that is the pool's.
type measured uint8

const (
	started measured = iota
	connected
	firstByte
	bodyRead
	parsed
	numMeasured
)

var measuredNames = [numMeasured]string{collector.StageStarted, collector.StageConnected, collector.StageFirstByte, collector.StageBody, collector.StageParsed}

// jobMetrics are those of one job, by its name: they outlive a reload.
type jobMetrics struct {
	set         *metrics.Set
	name        string
	targets     atomic.Int64
	outcomes    [collector.NumOutcomes]*metrics.Counter
	seconds     *metrics.PrometheusHistogram
	samples     *metrics.Counter
	bytes       *metrics.Counter
	duplicates  *metrics.Counter
	nonfinite   *metrics.Counter
	stale       *metrics.Counter
	late        *metrics.Counter
	skipped     map[string]*metrics.Counter // by reason
	connections *metrics.Counter
	infoFound   *metrics.Counter
	infoNone    *metrics.Counter
	infoFailed  *metrics.Counter

	periods, periodRefused, periodFailed *metrics.Counter
}

func (m *poolMetrics) register(p *Pool) {
	m.set, m.jobs = p.c.Metrics, map[string]*jobMetrics{}
	for s, name := range measuredNames {
		m.stages[s] = m.set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf("%s{stage=%q}", collector.StageSeconds, name), collector.StageBounds())
	}
	m.held = m.set.GetOrCreateCounter("rollcall_scrape_not_fresh_total")
	locked := func(f func() int) func() float64 {
		return func() float64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			return float64(f())
		}
	}
	m.set.GetOrCreateGauge("rollcall_scrape_in_flight", locked(func() int { return p.workers.busy }))
	m.set.GetOrCreateGauge("rollcall_scrape_waiting", locked(p.inLine))
	m.set.GetOrCreateGauge("rollcall_scrape_held_bytes", func() float64 { return float64(p.pulls.used.Load()) })
	m.set.GetOrCreateGauge("rollcall_scrape_workers", locked(func() int { return p.workers.busy + len(p.workers.resting) }))
}

// job is the metrics of the job of that name.
func (m *poolMetrics) job(name string) *jobMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.jobs[name]; j != nil {
		return j
	}
	j := &jobMetrics{set: m.set, name: name, skipped: map[string]*metrics.Counter{}}
	counter := func(what string) *metrics.Counter {
		return m.set.GetOrCreateCounter(fmt.Sprintf("rollcall_scrape_%s_total{job=%s}", what, promtext.Quote(name)))
	}
	for o := range collector.NumOutcomes {
		j.outcomes[o] = m.set.GetOrCreateCounter(fmt.Sprintf("rollcall_scrape_pulls_total{job=%s,outcome=%q}", promtext.Quote(name), o))
	}
	j.seconds = m.set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf("rollcall_scrape_duration_seconds{job=%s}", promtext.Quote(name)), []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10})
	j.samples, j.bytes, j.late, j.connections = counter("samples"), counter("body_bytes"), counter("late"), counter("connections")
	j.duplicates, j.nonfinite, j.stale = counter("duplicates"), counter("nonfinite"), counter("stale")
	info := func(result string) *metrics.Counter {
		return m.set.GetOrCreateCounter(fmt.Sprintf("rollcall_scrape_server_info_total{job=%s,result=%q}", promtext.Quote(name), result))
	}
	period := func(result string) *metrics.Counter {
		return m.set.GetOrCreateCounter(fmt.Sprintf("rollcall_scrape_period_total{job=%s,result=%q}", promtext.Quote(name), result))
	}
	j.periods, j.periodRefused, j.periodFailed = period("ok"), period("refused"), period("failed")
	j.infoFound, j.infoNone, j.infoFailed = info("found"), info("none"), info("failed")
	m.set.GetOrCreateGauge(fmt.Sprintf("rollcall_scrape_targets{job=%s}", promtext.Quote(name)), func() float64 { return float64(j.targets.Load()) })
	for _, why := range skippedReasons {
		j.skipped[why] = m.set.GetOrCreateCounter(fmt.Sprintf("rollcall_scrape_skipped_total{job=%s,reason=%q}", promtext.Quote(name), why))
	}
	m.jobs[name] = j
	return j
}

// last counts what became of the last pulls of those who left in order.
func (j *jobMetrics) last(result string) *metrics.Counter {
	return j.set.GetOrCreateCounter(fmt.Sprintf("rollcall_scrape_last_total{job=%s,result=%q}", promtext.Quote(j.name), result))
}

// note counts one pull.
func (j *jobMetrics) note(s *collector.Snapshot) {
	j.outcomes[s.Outcome].Inc()
	j.seconds.Update(s.Took.Seconds())
	j.samples.Add(len(s.Samples))
	j.bytes.Add(s.BodyBytes)
	j.duplicates.Add(s.Duplicates)
	j.nonfinite.Add(s.Nonfinite)
	j.stale.Add(s.Stale)
}
