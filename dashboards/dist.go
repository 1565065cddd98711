package dashboards

import "github.com/rollcall-metrics/rollcall/collector"

// Quantile is one known point of a distribution: the share P of the values is at most V.
type Quantile struct{ P, V float64 }

// Dist is what one host says of a distribution over one window. Figures that it does not say are NaN.
type Dist struct {
	Host     string
	N        float64 // how many values; NaN: not told, then nothing over several hosts has one number
	Sum      float64
	Min, Max float64
	Q        []Quantile // by P
}

// Interval is a figure over several hosts that is known to lie in [Lo, Hi], with an estimate inside. NaN: not known.
type Interval struct{ Lo, Hi, Est float64 }

// PercentileFunc is the percentile p (0..1) over the mixture of ds: dashboards/quantile has it.
type PercentileFunc func(ds []Dist, p float64) Interval

// Latency is how long a service takes, in milliseconds. Name says what the figures are: a percentile (p99) or "mean", which is all that distributions
// over the life of a process can say about now.
type Latency struct {
	Name string `json:"name"`
	Lo   Num    `json:"lo"`
	Hi   Num    `json:"hi"`
	Est  Num    `json:"est"`
}

// latencyName is what a latencySet can tell: the 99th percentile or the nearest below it, else the mean.
func (l *latencySet) name() (name string, p float64) {
	switch {
	case l.none():
		return "", 0
	case len(l.buckets) > 0:
		return "p99", 0.99
	case l.onlyMean():
		return "mean", 0
	}
	name = "mean"
	for _, q := range l.parts[0].quantiles {
		if q.p <= 0.99 && q.p >= 0.5 {
			name, p = q.name, q.p
		}
	}
	return name, p
}

// onlyMean reports whether percentiles of the set say nothing about now. Where the window is not known and there is a count, the count tells: it has only
// ever risen, so it is taken for the life of the process.
func (l *latencySet) onlyMean() bool {
	if l.window == collector.Lifetime {
		return true
	}
	return l.window == collector.WindowUnknown && len(l.parts) > 0 && l.parts[0].count >= 0
}

// plan lays out which columns the golden signals need, so that one scan brings them all.
type plan struct {
	seq      uint64 // grows with each new plan
	set      goldenSet
	cols     []uint32
	rises    []bool // of each: its difference counts
	nRate    int
	nErrs    int
	parts    []partPlan
	buckets  int // place of the first
	counts   [2]int
	sums     [2]int
	name     string
	p        float64
	onlyMean bool
}

type partPlan struct {
	count, sum, min, max int // places; -1
	q, over              []int
}

func makePlan(cols []column, set goldenSet, seq uint64) plan {
	p := plan{seq: seq, set: set}
	add := func(n int64) int {
		if n < 0 {
			return -1
		}
		p.cols = append(p.cols, uint32(n))
		c := &cols[n]
		p.rises = append(p.rises, c.kindNow() != collector.Delta && (c.rises() || c.kindNow() == collector.Counter))
		return len(p.cols) - 1
	}
	all := func(ns []uint32) (r [2]int) {
		r[0] = len(p.cols)
		for _, n := range ns {
			add(int64(n))
		}
		r[1] = len(p.cols)
		return r
	}
	p.nRate = all(set.rate)[1]
	p.nErrs = all(set.errors)[1]
	for _, lp := range set.latency.parts {
		pp := partPlan{count: add(lp.count), sum: add(lp.sum), min: add(lp.min), max: add(lp.max)}
		for _, q := range lp.quantiles {
			pp.q = append(pp.q, add(int64(q.col)))
		}
		for _, o := range lp.overs {
			pp.over = append(pp.over, add(o.col))
		}
		p.parts = append(p.parts, pp)
	}
	p.buckets = len(p.cols)
	for _, b := range set.latency.buckets {
		add(int64(b.col))
	}
	p.counts, p.sums = all(set.latency.count), all(set.latency.sum)
	p.name, p.p = set.latency.name()
	p.onlyMean = set.latency.onlyMean()
	return p
}

// places maps the plan's columns to those of an instance, and remembers it: the caller holds the service's lock to write.
func (in *instance) places(p *plan) []int32 {
	if in.planSeq != p.seq || in.planCols != len(in.cols) {
		in.planSeq, in.planCols = p.seq, len(in.cols)
		in.planAt = p.find(in, in.planAt[:0])
	}
	return in.planAt
}

// find appends for each of the plan's columns where the instance has it, -1 where it has not.
func (p *plan) find(in *instance, at []int32) []int32 {
	for _, n := range p.cols {
		if c, ok := in.index[n]; ok {
			at = append(at, c)
		} else {
			at = append(at, -1)
		}
	}
	return at
}
