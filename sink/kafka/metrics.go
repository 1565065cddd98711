package kafka

import (
	"fmt"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/spool"
)

// attempted is how a produce request ended, by lane.
type attempted struct {
	lane   sink.Lane
	reason string
}

// meters are the sink's own metrics.
type meters struct {
	set         *metrics.Set
	scraped     *metrics.Counter
	published   *metrics.Counter
	encoded     *metrics.Counter
	packedIn    *metrics.Counter
	packedOut   *metrics.Counter
	resent      *metrics.Counter
	joined      *metrics.Counter
	retimed     *metrics.Counter
	maybeDouble *metrics.Counter
	producerIDs *metrics.Counter
	seconds     [sink.NumLanes]*metrics.PrometheusHistogram
	lanes       [sink.NumLanes]*metrics.Counter
	encode      *metrics.PrometheusHistogram
	hand        *metrics.PrometheusHistogram

	mu       sync.Mutex
	requests map[attempted]*metrics.Counter
}

var produceBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func newMeters(set *metrics.Set) *meters {
	m := &meters{set: set,
		scraped:     set.GetOrCreateCounter("rollcall_sink_snapshots_total"),
		published:   set.GetOrCreateCounter("rollcall_sink_published_total"),
		encoded:     set.GetOrCreateCounter("rollcall_sink_encoded_bytes_total"),
		packedIn:    set.GetOrCreateCounter("rollcall_sink_batch_bytes_total"),
		packedOut:   set.GetOrCreateCounter("rollcall_sink_batch_compressed_bytes_total"),
		resent:      set.GetOrCreateCounter("rollcall_sink_batches_resent_total"),
		joined:      set.GetOrCreateCounter("rollcall_sink_batches_joined_total"),
		retimed:     set.GetOrCreateCounter("rollcall_sink_retimed_records_total"),
		maybeDouble: set.GetOrCreateCounter("rollcall_sink_maybe_double_records_total"),
		producerIDs: set.GetOrCreateCounter("rollcall_sink_producer_ids_total"),
		requests:    map[attempted]*metrics.Counter{},
	}
	for _, reason := range sink.DroppedReasons { // from the start, so that a first loss is an increase
		m.dropped(reason, 0)
	}
	stage := func(name string) *metrics.PrometheusHistogram {
		return set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf(`%s{stage=%q}`, collector.StageSeconds, name), collector.StageBounds())
	}
	m.encode, m.hand = stage(collector.StageEncoded), stage(collector.StageHanded)
	for lane := range sink.NumLanes {
		m.lanes[lane] = set.GetOrCreateCounter(fmt.Sprintf(`rollcall_sink_acknowledged_total{lane=%q}`, lane))
		m.seconds[lane] = set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf(`rollcall_sink_produce_seconds{lane=%q}`, lane), produceBounds)
	}
	return m
}

// packed counts a batch's bytes before and after compression.
func (m *meters) packed(in, out int) {
	m.packedIn.Add(in)
	m.packedOut.Add(out)
}

// acked counts acknowledged snapshots.
func (m *meters) acked(lane sink.Lane, n uint64) { m.lanes[lane].AddInt64(int64(n)) }

// dropped counts snapshots and records that will not be in a topic.
func (m *meters) dropped(reason string, n uint64) {
	m.set.GetOrCreateCounter(fmt.Sprintf(`rollcall_sink_dropped_total{reason=%q}`, reason)).AddInt64(int64(n))
}

// asided counts what was set aside.
func (m *meters) asided(reason string, counts []sink.Count) {
	n := uint64(0)
	for _, c := range counts {
		n += c.N
	}
	m.set.GetOrCreateCounter(fmt.Sprintf(`rollcall_sink_set_aside_total{reason=%q}`, reason)).AddInt64(int64(n))
}

// attempted counts a produce request by how it ended.
func (m *meters) attempted(lane sink.Lane, reason string, took time.Duration) {
	m.seconds[lane].Update(took.Seconds())
	m.mu.Lock()
	c := m.requests[attempted{lane, reason}]
	if c == nil {
		c = m.set.GetOrCreateCounter(fmt.Sprintf(`rollcall_sink_produce_requests_total{lane=%q,result=%q}`, lane, reason))
		m.requests[attempted{lane, reason}] = c
	}
	m.mu.Unlock()
	c.Inc()
}

// watch registers what is read when somebody asks. The latest sink of a set speaks.
func (m *meters) watch(l *backlog) {
	gauge := func(name string, f func() float64) {
		m.set.UnregisterMetric(name)
		m.set.NewGauge(name, f)
	}
	gauge("rollcall_sink_memory_bytes", func() float64 {
		bytes, _, _ := l.waiting(time.Now())
		return float64(bytes)
	})
	gauge("rollcall_sink_memory_batches", func() float64 {
		_, batches, _ := l.waiting(time.Now())
		return float64(batches)
	})
	gauge("rollcall_sink_oldest_seconds", func() float64 {
		_, _, oldest := l.waiting(time.Now())
		return oldest.Seconds()
	})
	gauge("rollcall_sink_memory_budget_bytes", func() float64 { return float64(l.budget) })
	for lane := range sink.NumLanes {
		gauge(fmt.Sprintf(`rollcall_sink_lane_oldest_seconds{lane=%q}`, lane), func() float64 { return l.lag(lane, time.Now()).Seconds() })
	}
	spooled := func(name string, f func(spool.Status) float64) {
		gauge("rollcall_sink_spool_"+name, func() float64 {
			if sp := l.store(); sp != nil {
				return f(sp.Status())
			}
			return 0
		})
	}
	spooled("bytes", func(s spool.Status) float64 { return float64(s.Bytes) })
	spooled("budget_bytes", func(s spool.Status) float64 { return float64(s.Budget) })
	spooled("batches", func(s spool.Status) float64 { return float64(s.Batches) })
	spooled("damaged_batches", func(s spool.Status) float64 { return float64(s.Damage.Entries) })
	spooled("damaged_bytes", func(s spool.Status) float64 { return float64(s.Damage.Bytes) })
	spooled("failing", func(s spool.Status) float64 {
		if s.Fault != nil {
			return 1
		}
		return 0
	})
}
