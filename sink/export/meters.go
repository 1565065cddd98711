package export

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// meters are an export's own metrics.
type meters struct {
	records [2]*metrics.Counter // acknowledged, by lane
	doubles *metrics.Counter
	known   *metrics.Counter
	other   *metrics.Counter
	bad     *metrics.Counter
	retries *metrics.Counter
	trimmed *metrics.Counter
	commits *metrics.Counter
	took    *metrics.PrometheusHistogram
	newest  atomic.Int64 // scrape time of the newest record that was acknowledged, Unix ms

	mu      sync.Mutex
	lags    map[lane]int64
	trouble string
	since   time.Time
}

type lane struct {
	topic     string
	partition int
}

func newMeters(set *metrics.Set, name string) *meters {
	m := &meters{lags: map[lane]int64{}}
	count := func(metric, labels string) *metrics.Counter {
		return set.GetOrCreateCounter(fmt.Sprintf("rollcall_export_%s{export=%s%s}", metric, promtext.Quote(name), labels))
	}
	m.records[0], m.records[1] = count("records_total", `,lane="live"`), count("records_total", `,lane="backfill"`)
	m.doubles, m.known = count("skipped_total", `,reason="double"`), count("skipped_total", `,reason="delivered_before"`)
	m.other, m.bad = count("skipped_total", `,reason="filter"`), count("skipped_total", `,reason="unreadable"`)
	m.retries, m.trimmed, m.commits = count("write_errors_total", ""), count("trimmed_total", ""), count("commits_total", "")
	m.took = set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf("rollcall_export_write_duration_seconds{export=%s}", promtext.Quote(name)), []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10})
	gauge := func(metric string, f func() float64) {
		metric = fmt.Sprintf("rollcall_export_%s{export=%s}", metric, promtext.Quote(name))
		set.UnregisterMetric(metric) // of an export that ended before this one
		set.NewGauge(metric, f)
	}
	gauge("lag_records", func() float64 { return float64(m.lag()) })
	gauge("newest_timestamp_seconds", func() float64 { return float64(m.newest.Load()) / 1000 })
	gauge("held_up", func() float64 {
		if text, _ := m.held(); text != "" {
			return 1
		}
		return 0
	})
	return m
}

// behind notes how many records of a partition are there and not acknowledged.
func (m *meters) behind(l lane, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lags[l] = max(0, n)
}

func (m *meters) forget(l lane) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.lags, l)
}

func (m *meters) lag() (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.lags {
		n += v
	}
	return n
}

// hold notes what holds the export up; nil: nothing does. It reports whether that is news.
func (m *meters) hold(err error, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := ""
	if err != nil {
		text = err.Error()
	}
	news := (text == "") != (m.trouble == "")
	if news {
		m.since = now
	}
	m.trouble = text
	return news
}

func (m *meters) held() (string, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.trouble, m.since
}

// Status is how an export stands.
type Status struct {
	Name       string `json:"name"`
	Partitions int    `json:"partitions"` // of both lanes, that this process reads
	Records    uint64 `json:"records"`    // acknowledged
	Lag        int64  `json:"lag"`        // records that are there and not acknowledged
	Newest     int64  `json:"newest"`     // scrape time of the newest acknowledged record, Unix ms; 0: none
	Trouble    string `json:"trouble,omitempty"`
	Since      int64  `json:"since,omitempty"` // of Trouble, Unix ms
}

// Status tells how the export stands now.
func (x *Exporter) Status() Status {
	m := x.meters
	s := Status{Name: x.cfg.Name, Records: m.records[0].Get() + m.records[1].Get(), Lag: m.lag(), Newest: m.newest.Load()}
	m.mu.Lock()
	s.Partitions = len(m.lags)
	m.mu.Unlock()
	if text, since := m.held(); text != "" {
		s.Trouble, s.Since = text, since.UnixMilli()
	}
	return s
}
