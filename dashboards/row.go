package dashboards

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Row is a service at a glance. A Row that has been published is not changed any more.
type Row struct {
	Service    string    `json:"service"`
	Env        string    `json:"env"`
	Owner      string    `json:"owner"`
	Chat       string    `json:"chat,omitempty"`
	Runbook    string    `json:"runbook,omitempty"` // a URL
	Expected   int       `json:"expected"`
	Present    int       `json:"present"`
	Answering  int       `json:"answering"`
	Missing    int       `json:"missing"`  // of those expected: they left without an excuse. Who is there and does not answer is silent
	AgeMS      Num       `json:"age_ms"`   // median age of the newest scrapes of those who answer; of the newest of all if none does
	EveryMS    int64     `json:"every_ms"` // the longest interval at which any of those who answer is pulled now, closer looks too; 0: nobody answers
	Trouble    int       `json:"trouble"`  // 0 calm, 1 warn, 2 bad
	Why        []string  `json:"why"`
	Signals    []string  `json:"signals,omitempty"` // of rate, errors, latency and answering those that are in trouble
	Rate       Num       `json:"rate"`              // requests a second
	Errors     Num       `json:"errors"`            // a second
	ErrorRatio Num       `json:"error_ratio"`
	Latency    *Latency  `json:"latency"`
	Versions   []Version `json:"versions"`
	Spark      *Spark    `json:"spark,omitempty"`

	// FigureSeq grows when anything but age and spark changed, WordSeq when of that something other than rate, errors and latency did. SparkSeq is when the spark ends, in steps since 1970, and PastSeq and TipSeq grow when points of it change
	// that were there before: PastSeq when any did, TipSeq when only the one before the last.
	FigureSeq uint64 `json:"-"`
	WordSeq   uint64 `json:"-"`
	SparkSeq  uint64 `json:"-"`
	PastSeq   uint64 `json:"-"`
	TipSeq    uint64 `json:"-"`
	Region    string `json:"-"` // that it is a part of; empty: it is the whole
}

// Group is service/env.
func (r *Row) Group() string { return r.Service + "/" + r.Env }

// Version is how many instances run it.
type Version struct {
	Version string `json:"version"`
	N       int    `json:"n"`
}

// Spark is the last 15 minutes in steps of 10 s: point k speaks for [T0+k·Step, T0+(k+1)·Step).
type Spark struct {
	T0         int64 `json:"t0"`
	Step       int64 `json:"step"`
	Rate       Nums  `json:"rate"`
	ErrorRatio Nums  `json:"error_ratio"`
	Latency    Nums  `json:"latency"`
	Answering  Nums  `json:"answering"`
}

const (
	sparkStep   = 10_000
	sparkPoints = 90
)

// Strip is what the page itself is worth.
type Strip struct {
	Expected   int         `json:"expected"`
	Present    int         `json:"present"`
	Answering  int         `json:"answering"`
	Missing    int         `json:"missing"`
	AgeMS      Num         `json:"age_ms"` // median of the services' ages, each weighing as much as it has instances that answer
	Feed       Feed        `json:"feed"`
	Exceptions []Exception `json:"exceptions"`
}

// sum adds a row's numbers.
func (s *Strip) sum(r *Row) {
	s.Expected, s.Present, s.Answering, s.Missing = s.Expected+r.Expected, s.Present+r.Present, s.Answering+r.Answering, s.Missing+r.Missing
}

// Roll is the sum in words: how many of those expected answer, who is missing, and who is there and silent.
func (s *Strip) Roll() string {
	text := fmt.Sprintf("%d of %d answering", s.Answering, s.Expected)
	if s.Missing > 0 {
		text += fmt.Sprintf(", %d missing", s.Missing)
	}
	if silent := s.Expected - s.Answering - s.Missing; silent > 0 {
		text += fmt.Sprintf(", %d silent", silent)
	}
	return text
}

// Exception is something that shakes the belief in the page, with its consequence.
type Exception struct {
	Level string `json:"level"` // warn or bad
	Text  string `json:"text"`
	Link  string `json:"link,omitempty"`
}

type aged struct {
	age float64
	n   int
}

func medianAge(a []aged) float64 {
	slices.SortFunc(a, func(x, y aged) int { return cmp.Compare(x.age, y.age) })
	all := 0
	for _, x := range a {
		all += x.n
	}
	k := 0
	for _, x := range a {
		if k += x.n; 2*k >= all {
			return x.age
		}
	}
	return math.NaN()
}

// row makes a service's row, or that of its part in a region, with the instances as they were when anything was last known. The caller holds the read lock.
func (s *service) row(now, known int64, why []Finding, old *Row, region string) *Row {
	t := s.countIn(region, known, nil, nil)
	f, g, seq, tip := &s.figures, &s.ring, s.sparkSeq, s.tipSeq
	if region != "" {
		p := s.parts[region]
		f, g, seq, tip = &p.figures, &p.ring, p.seq, 0
	}
	r := &Row{Service: s.name, Env: s.env, Owner: s.owner(), Chat: s.about.Chat, Runbook: s.about.Runbook, Expected: t.expected, Present: t.present, Answering: t.answering, Missing: t.missing, EveryMS: t.every.Milliseconds(), AgeMS: Num(s.age(now, known, region)),
		Why: []string{}, Rate: Num(f.rate), Errors: Num(f.errs), ErrorRatio: Num(f.ratio()), Versions: s.versionCounts(known, region), Region: region}
	if len(s.golden.set.errors) == 0 {
		r.Errors, r.ErrorRatio = Unknown(), Unknown()
	}
	if s.golden.name != "" {
		r.Latency = &Latency{s.golden.name, Num(f.lat.Lo), Num(f.lat.Hi), Num(f.lat.Est)}
	}
	for i := range why {
		if !why[i].In(region) {
			continue
		}
		r.Trouble = max(r.Trouble, why[i].weight())
		r.Why = append(r.Why, why[i].Why)
		for _, signal := range why[i].Signals[s.name] {
			if !slices.Contains(r.Signals, signal) {
				r.Signals = append(r.Signals, signal)
			}
		}
	}
	r.SparkSeq, r.PastSeq, r.TipSeq = uint64(now/sparkStep), seq, tip
	if old != nil {
		r.FigureSeq, r.WordSeq = old.FigureSeq, old.WordSeq
		switch {
		case !r.saysAs(old):
			r.WordSeq++
			r.FigureSeq++
		case old.figures() != r.figures():
			r.FigureSeq++
		}
	}
	r.Spark = s.spark(g, r, old)
	// What is not known is not drawn: a dead feed makes a gap, not a flat line.
	if known >= now/sparkStep*sparkStep {
		r.Spark = r.Spark.withLast(r)
	}
	return r
}

// saysAs reports whether two rows of a service are the same but for what moves each second.
func (r *Row) saysAs(o *Row) bool {
	if r.Latency == nil || o.Latency == nil {
		if r.Latency != o.Latency {
			return false
		}
	} else if r.Latency.Name != o.Latency.Name {
		return false
	}
	return r.Owner == o.Owner && r.Chat == o.Chat && r.Runbook == o.Runbook && r.Expected == o.Expected && r.Present == o.Present && r.Answering == o.Answering &&
		r.Missing == o.Missing && r.EveryMS == o.EveryMS && r.Trouble == o.Trouble && slices.Equal(r.Why, o.Why) && slices.Equal(r.Signals, o.Signals) && slices.Equal(r.Versions, o.Versions)
}

// Figures are rate, errors and error ratio, and the latency's lo, hi and est: what moves each second.
func (r *Row) Figures() [6]Num {
	f := [6]Num{r.Rate, r.Errors, r.ErrorRatio, Unknown(), Unknown(), Unknown()}
	if r.Latency != nil {
		f[3], f[4], f[5] = r.Latency.Lo, r.Latency.Hi, r.Latency.Est
	}
	return f
}

// figures are those as they are compared: what is not known equals itself.
func (r *Row) figures() (out [6]float64) {
	for i, n := range r.Figures() {
		if out[i] = float64(n); !n.Known() {
			out[i] = math.Inf(1)
		}
	}
	return out
}

// newSpark has room for all of its points.
func newSpark(t0 int64) *Spark {
	all := make(Nums, 4*sparkPoints)
	line := func(k int) Nums { return all[k*sparkPoints : (k+1)*sparkPoints : (k+1)*sparkPoints] }
	return &Spark{t0, sparkStep, line(0), line(1), line(2), line(3)}
}

// withLast is the spark with its last point replaced by the row's figures.
func (sp *Spark) withLast(r *Row) *Spark {
	is, last := newSpark(sp.T0), sparkPoints-1
	is.take(sp, 0)
	is.Rate[last], is.ErrorRatio[last], is.Latency[last], is.Answering[last] = r.Rate, r.ErrorRatio, Unknown(), Num(r.Answering)
	if r.Latency != nil {
		is.Latency[last] = r.Latency.Est
	}
	return is
}

// take copies the points of another, from one on.
func (sp *Spark) take(from *Spark, k int) {
	copy(sp.Rate, from.Rate[k:])
	copy(sp.ErrorRatio, from.ErrorRatio[k:])
	copy(sp.Latency, from.Latency[k:])
	copy(sp.Answering, from.Answering[k:])
}

// spark samples the ring for a row: the mean rate and ratio of each step, and latency and answering as they were at its end. Of the row before it takes the points that are
// as they were: all but the newest two, which have moved on by a step or none.
func (s *service) spark(g *ring, r, old *Row) *Spark {
	last := int64(r.SparkSeq)
	sp, first := newSpark((last-sparkPoints+1)*sparkStep), 0
	if old != nil && old.Spark != nil && old.PastSeq == r.PastSeq && len(old.Spark.Rate) == sparkPoints {
		switch moved := r.SparkSeq - old.SparkSeq; {
		case moved == 0 && old.TipSeq == r.TipSeq:
			return old.Spark
		case moved <= 1:
			sp.take(old.Spark, int(moved))
			first = sparkPoints - 2
		}
	}
	for i := first; i < sparkPoints; i++ {
		k := last - sparkPoints + 1 + int64(i)
		p := g.step(k*sparkStep, (k+1)*sparkStep)
		sp.Rate[i], sp.ErrorRatio[i], sp.Latency[i], sp.Answering[i] = Num(p.rate), Num(p.ratio()), Num(p.lat.Est), Unknown()
		if len(s.golden.set.errors) == 0 {
			sp.ErrorRatio[i] = Unknown()
		}
		if p.answering >= 0 {
			sp.Answering[i] = Num(p.answering)
		}
	}
	return sp
}

// step is the figures of the ring over [from, to).
func (g *ring) step(from, to int64) figures {
	f := figures{rate: math.NaN(), errs: math.NaN(), lat: Interval{math.NaN(), math.NaN(), math.NaN()}, answering: -1}
	if g.width == 0 {
		return f
	}
	lo, hi := (from+g.width-1)/g.width, (to-1)/g.width
	lo = min(lo, hi) // a tick wider than the step speaks until the next one
	var n, rate, errs float64
	for k := lo; k <= hi; k++ {
		if !g.has(k) {
			continue
		}
		i := k % g.len()
		if r := float64(g.rate[i]); !math.IsNaN(r) {
			n++
			rate += r
			if e := float64(g.errs[i]); !math.IsNaN(e) {
				errs += e
			}
		}
		if !math.IsNaN(float64(g.lat[i])) {
			f.lat = Interval{float64(g.lo[i]), float64(g.hi[i]), float64(g.lat[i])}
		}
		if g.answering[i] >= 0 {
			f.answering = int(g.answering[i])
		}
	}
	if n > 0 {
		f.rate, f.errs = rate/n, errs/n
	}
	return f
}

// age is the median age now of the newest scrapes of those who answer in a region, for all that is known.
func (s *service) age(now, known int64, region string) float64 {
	ages := make([]int64, 0, 64)
	newest := int64(0)
	if region == "" {
		newest = s.newest
	}
	for _, in := range s.instances {
		if !in.in(region) {
			continue
		}
		newest = max(newest, in.last)
		if in.answering(known) {
			ages = append(ages, max(now-in.last, 0))
		}
	}
	switch {
	case len(ages) > 0:
		slices.Sort(ages)
		return float64(ages[len(ages)/2])
	case newest > 0:
		return float64(max(now-newest, 0))
	}
	return math.NaN()
}

// versionCounts is the versions of those expected, most frequent first.
func (s *service) versionCounts(now int64, region string) []Version {
	out := make([]Version, 0, 2)
	for _, in := range s.instances {
		if yes, _ := in.expected(s.rostered, now); !yes || !in.in(region) {
			continue
		}
		v := in.tag(TagVersion)
		if v == "" {
			continue
		}
		i := slices.IndexFunc(out, func(o Version) bool { return o.Version == v })
		if i < 0 {
			i = len(out)
			out = append(out, Version{Version: v})
		}
		out[i].N++
	}
	slices.SortFunc(out, func(a, b Version) int { return cmp.Or(b.N-a.N, strings.Compare(b.Version, a.Version)) })
	return out
}

// Rows is every service as of the last tick, by name and environment. The rows are shared: do not change them.
func (b *Board) Rows() []*Row {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.rows
}

// Pulse is how many instances of this process's own services were expected to answer at the last tick, and the shortest interval at which any of them is scraped.
func (b *Board) Pulse() (expected int, interval time.Duration) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.ownExpected, b.shortest
}

// Now is one consistent look at the last tick.
type Now struct {
	AsOf     time.Time
	Envs     []string // prod first, then by name
	Regions  []string // of the environment, by name
	Strip    Strip
	Findings []Finding
	Rows     []*Row
}

// shownEnded is how long a finding that is over stays on the page; the last one stays longer, to say when it was.
const (
	shownEnded    = time.Hour
	maxShownEnded = 100
)

// Now is the last tick of one environment, or of all if env is empty. The strip's numbers are the sums over the rows.
func (b *Board) Now(env string) Now {
	b.mu.RLock()
	defer b.mu.RUnlock()
	n := Now{AsOf: b.shown, Findings: []Finding{}, Envs: []string{}}
	if n.AsOf.IsZero() {
		n.AsOf = time.Now() // nothing has been judged yet
	}
	for _, r := range b.rows {
		if !slices.Contains(n.Envs, r.Env) {
			n.Envs = append(n.Envs, r.Env)
		}
		if env == "" || r.Env == env {
			n.Rows = append(n.Rows, r)
		}
	}
	slices.SortFunc(n.Envs, func(a, c string) int {
		if a != c && (a == "prod" || c == "prod") {
			return cmp.Compare(b2i(c == "prod"), b2i(a == "prod"))
		}
		return strings.Compare(a, c)
	})
	n.Regions = listRegions(b.regions, env)
	st, ok := b.strips[env]
	if !ok {
		st.AgeMS = Unknown()
	}
	st.Feed, st.Exceptions = b.feed, b.exceptions()
	n.Strip = st
	ended := 0
	for _, f := range b.findings { // those that are over come last, the newest first
		if env != "" && f.Env != env || f.Metric == MetricCanary && !f.untold(b.findings) {
			continue // canaries have a page of their own
		}
		if f.Ended != nil {
			if ended++; ended > maxShownEnded || ended > 1 && n.AsOf.UnixMilli()-*f.Ended > shownEnded.Milliseconds() {
				continue
			}
		}
		n.Findings = append(n.Findings, f)
	}
	return n
}

// AsOf is the moment of the last tick, of which rows and findings are; zero before the first.
func (b *Board) AsOf() time.Time {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.shown
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
