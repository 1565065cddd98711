package expose

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// window closes every period and keeps the last closed one for all readers. Its timer lives only while somebody asks. All under handler.mu.
type window struct {
	period time.Duration
	next   time.Time // when the open window closes
	open   []*dto.MetricFamily
	closed []*dto.MetricFamily
	at     time.Time // when closed was closed; zero before the first
	asked  time.Time
}

// latched is the last closed window of period; ok is false if the answer has been written already.
func (h *handler) latched(w http.ResponseWriter, period time.Duration) (_ []*dto.MetricFamily, at time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	win := h.windows[period]
	if win == nil {
		if len(h.windows) >= h.o.MaxPeriods {
			http.Error(w, fmt.Sprintf("%d other periods are being kept already, which is the most; ask for one of %s seconds", len(h.windows), h.periods()), http.StatusBadRequest)
			return nil, at, false
		}
		open, err := h.gather()
		if err != nil {
			http.Error(w, "gathering statistics failed: "+err.Error(), http.StatusInternalServerError)
			return nil, at, false
		}
		win = &window{period: period, open: open, next: now.Add(period)}
		h.windows[period] = win
		time.AfterFunc(period, func() { h.close(win) })
	}
	win.asked = now
	if win.at.IsZero() {
		wait := int(math.Ceil(win.next.Sub(now).Seconds()))
		w.Header().Set("Retry-After", fmt.Sprint(max(wait, 1)))
		http.Error(w, fmt.Sprintf("the first window of %s has not closed yet; ask again in %d s", period, max(wait, 1)), http.StatusServiceUnavailable)
		return nil, at, false
	}
	return win.closed, win.at, true
}

func (h *handler) periods() string {
	var out []string
	for p := range h.windows {
		out = append(out, fmt.Sprint(int(p.Seconds())))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// close ends the open window and opens the next, unless nobody asked for a long time.
func (h *handler) close(win *window) {
	families, err := h.gather() // outside the lock: collectors may be slow
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if now.Sub(win.asked) > max(10*win.period, 10*time.Minute) {
		delete(h.windows, win.period)
		return
	}
	if err != nil {
		// This boundary is lost: the window goes on and the next one closes both, rather than showing an empty one.
		errorLog{h.o.Log}.Println(err)
	} else {
		win.closed, win.at, win.open = increase(win.open, families), now, families
	}
	for !win.next.After(now) {
		win.next = win.next.Add(win.period)
	}
	time.AfterFunc(win.next.Sub(now), func() { h.close(win) })
}

// increase is now less before, series by series: counters and distributions as differences, gauges as they are. A series that fell was set back
// and counts whole; one that is new counts whole.
func increase(before, now []*dto.MetricFamily) []*dto.MetricFamily {
	old := map[string]*dto.Metric{}
	for _, f := range before {
		for _, m := range f.Metric {
			old[seriesName(f.GetName(), m.Label)] = m
		}
	}
	out := make([]*dto.MetricFamily, 0, len(now))
	for _, f := range now {
		d := &dto.MetricFamily{Name: f.Name, Type: f.Type, Metric: make([]*dto.Metric, 0, len(f.Metric))}
		for _, m := range f.Metric {
			was := old[seriesName(f.GetName(), m.Label)]
			if was == nil {
				d.Metric = append(d.Metric, m)
				continue
			}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				d.Metric = append(d.Metric, &dto.Metric{Label: m.Label, Counter: &dto.Counter{Value: new(grown(was.GetCounter().GetValue(), m.GetCounter().GetValue()))}})
			case dto.MetricType_SUMMARY:
				d.Metric = append(d.Metric, &dto.Metric{Label: m.Label, Summary: summaryIncrease(was.GetSummary(), m.GetSummary())})
			case dto.MetricType_HISTOGRAM:
				d.Metric = append(d.Metric, &dto.Metric{Label: m.Label, Histogram: histogramIncrease(was.GetHistogram(), m.GetHistogram())})
			default:
				d.Metric = append(d.Metric, m)
			}
		}
		out = append(out, d)
	}
	return out
}

func grown(was, now float64) float64 {
	if now < was {
		return now
	}
	return now - was
}

func summaryIncrease(was, now *dto.Summary) *dto.Summary {
	if now.GetSampleCount() < was.GetSampleCount() {
		return now
	}
	return &dto.Summary{
		SampleCount: new(now.GetSampleCount() - was.GetSampleCount()),
		SampleSum:   new(now.GetSampleSum() - was.GetSampleSum()),
		Quantile:    now.Quantile,
	}
}

func histogramIncrease(was, now *dto.Histogram) *dto.Histogram {
	if histogramCount(now) < histogramCount(was) {
		return now
	}
	count := histogramCount(now) - histogramCount(was)
	d := &dto.Histogram{SampleCountFloat: &count, SampleCount: new(uint64(count)), SampleSum: new(now.GetSampleSum() - was.GetSampleSum())}
	if len(now.Bucket) > 0 { // classic buckets are subtracted bound by bound
		had := map[float64]uint64{}
		for _, b := range was.Bucket {
			had[b.GetUpperBound()] = b.GetCumulativeCount()
		}
		for _, b := range now.Bucket {
			n := b.GetCumulativeCount()
			if h := had[b.GetUpperBound()]; h <= n {
				n -= h
			}
			d.Bucket = append(d.Bucket, &dto.Bucket{UpperBound: b.UpperBound, CumulativeCount: &n})
		}
		return d
	}
	if now.Schema == nil || now.GetSchema() != was.GetSchema() || now.GetZeroThreshold() != was.GetZeroThreshold() {
		// The resolution was changed during this window, so the buckets cannot be compared: count and sum stand alone.
		return d
	}
	d.Schema, d.ZeroThreshold = now.Schema, now.ZeroThreshold
	d.ZeroCountFloat = new(max(float64(now.GetZeroCount())-float64(was.GetZeroCount()), 0))
	d.PositiveSpan, d.PositiveCount = spansIncrease(was.PositiveSpan, was.PositiveDelta, now.PositiveSpan, now.PositiveDelta)
	d.NegativeSpan, d.NegativeCount = spansIncrease(was.NegativeSpan, was.NegativeDelta, now.NegativeSpan, now.NegativeDelta)
	return d
}

func spansIncrease(wasSpans []*dto.BucketSpan, wasDeltas []int64, spans []*dto.BucketSpan, deltas []int64) (_ []*dto.BucketSpan, counts []float64) {
	had := map[int]float64{}
	walkSpans(wasSpans, wasDeltas, nil, func(i int, n float64) { had[i] = n })
	var out []*dto.BucketSpan
	last := 0
	walkSpans(spans, deltas, nil, func(i int, n float64) {
		if n = n - had[i]; n <= 0 {
			return
		}
		out = append(out, &dto.BucketSpan{Offset: new(int32(i - last)), Length: new(uint32(1))})
		counts = append(counts, n)
		last = i + 1
	})
	return out, counts
}
