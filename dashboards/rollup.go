package dashboards

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// Rollup is what a service did in one slot of ten seconds: all of it, and by each dimension of its instances. What instances that are gone did stays in it.
type Rollup struct {
	Service, Env string
	T            int64 // start of the slot, Unix ms
	Step         int64 // its length, ms
	AsOf         int64 // when it was made, Unix ms
	N, M         int   // it holds N of M instances
	LatencyName  string
	Slices       []Slice        // the first is all of it
	Metrics      []RolledMetric // of the minute that ends with the slot; empty but for each sixth slot
	Events       []Event        // what happened to the service in the slot
	Row          *Row           // the service at a glance as of AsOf, without spark; nil in one of the past
}

// Slice is the part of a service's instances, or of its requests, that has one value of a dimension.
type Slice struct {
	Metric       string // a pinned metric: then Rate is its rate a second, or its mean; empty: the golden signals
	Dim, Value   string // both empty: all of it
	N            int    // instances in it; 0: it is told by a label, not by an instance's tag
	Rate, Errors Num    // a second
	Latency      Interval
}

// RolledMetric is one metric over a minute and all instances: a rate a second, a mean, or of a distribution the mean of what was added.
type RolledMetric struct {
	Name  string
	Kind  string
	Value Num
	N     int
}

const (
	rollStep   = 10 * time.Second
	rollMinute = time.Minute
	maxRolled  = 50  // values of one dimension; the rest is added up as "other"
	maxByLabel = 400 // label sets
	maxMetrics = 500 // of one service by the minute
	// rollAtOnce bounds the slots of a service that are made in one tick, rollWork those of the past over all services, each counting as its service has instances: after
	// a start there is an hour of all of them to make.
	rollAtOnce = 6
	// rollMissed bounds those of a service that nobody has made, which lie in a row: the rows of all of them are unpacked once.
	rollMissed = 30
	rollWork   = 20_000
	// maxAgain bounds the stretches of slots that wait to be made anew: past it the two that are nearest are taken for one.
	maxAgain = 64
	// OtherValue is the value under which the rest of a dimension is added up.
	OtherValue = "other"
)

// rolling is how far a service is rolled up.
type rolling struct {
	next  int64      // start of the slot that comes next; 0: none yet
	again [][2]int64 // slots of the past that are to be made anew, each stretch by its first and last, in order and apart
	miss  [2]int64   // likewise one stretch, but only those that nobody has made: what happened while nobody was there; zero: none
	read  bool       // the history has been read, so that it can be said what that is
	plan  plan       // of the golden signals by label
	of    uint64     // the plan for which that one was made
	dims  []string
	asked int64 // when dims were made, Unix ms
}

// rollDue makes the rollups that are due. The caller holds the lock.
func (s *service) rollDue(o *Options, now int64, past *pastWork) (out []Rollup) {
	step := rollStep.Milliseconds()
	r := &s.rolling
	// A slot is made when the scrapes that its end lies between have come. Services take turns.
	ready := (now - tooLong(int32(max(s.interval, time.Second).Milliseconds())) - 1000 - int64(s.phase%4000)) / step * step
	if r.next == 0 {
		if s.newest == 0 {
			return nil
		}
		r.next = ready
	}
	if r.next < ready-int64(rollAtOnce)*step {
		r.reroll(r.next, ready-step) // this process stood still
		r.next = ready
	}
	for ; r.next < ready; r.next += step {
		out = append(out, s.roll(o, r.next, now))
	}
	oldest := (now - o.Window.Milliseconds()) / step * step
	for n := 0; n < rollAtOnce && !past.over(); n++ {
		t, ok := r.late(oldest)
		if !ok {
			break
		}
		out = append(out, s.roll(o, t, now))
		past.rolls.Add(-int64(max(len(s.instances), 1)))
	}
	if r.read {
		r.read = false
		if t := max(s.oldest(), oldest); s.oldest() > 0 && r.next > t {
			r.miss = [2]int64{(t + step) / step * step, r.next - step}
		}
	}
	if r.miss != ([2]int64{}) {
		r.miss[0] = max(r.miss[0], oldest)
	}
	through := int64(0) // until when the rows are unpacked
	for n := 0; n < rollMissed && r.miss != ([2]int64{}) && !past.over(); {
		t := r.miss[0]
		if r.miss[0] += step; r.miss[0] > r.miss[1] {
			r.miss = [2]int64{}
		}
		if t >= r.next || o.Rolled != nil && o.Rolled(s.name, s.env, t) {
			continue
		}
		if t >= through {
			through = min(t+(rollMissed-int64(n))*step, r.next)
			s.open(t, through)
		}
		out = append(out, s.roll(o, t, now))
		past.rolls.Add(-int64(max(len(s.instances), 1)))
		n++
	}
	if through > 0 {
		for _, in := range s.instances {
			in.shut()
		}
	}
	return out
}

// open unpacks what rolling up the slots from a time to another looks at.
func (s *service) open(from, to int64) {
	for _, in := range s.instances {
		around := tooLong(in.longest)
		in.open(from-rollMinute.Milliseconds()-around, to+rollStep.Milliseconds()+around)
	}
}

// HistoryRead says that all that was there before has been read: what nobody has rolled up of it is now.
func (b *Board) HistoryRead() {
	for _, s := range b.all() {
		s.mu.Lock()
		s.rolling.read = true
		s.mu.Unlock()
	}
}

// reroll notes that the slots from a to b are to be made anew.
func (r *rolling) reroll(a, b int64) {
	step := rollStep.Milliseconds()
	is := [2]int64{a / step * step, b / step * step}
	// Those that it touches become one with it.
	i := 0
	for i < len(r.again) && r.again[i][1]+step < is[0] {
		i++
	}
	j := i
	for ; j < len(r.again) && r.again[j][0] <= is[1]+step; j++ {
		is = [2]int64{min(is[0], r.again[j][0]), max(is[1], r.again[j][1])}
	}
	r.again = slices.Replace(r.again, i, j, is)
	if len(r.again) <= maxAgain {
		return
	}
	near := 1
	for i := 2; i < len(r.again); i++ {
		if r.again[i][0]-r.again[i-1][1] < r.again[near][0]-r.again[near-1][1] {
			near = i
		}
	}
	r.again[near-1][1] = r.again[near][1]
	r.again = slices.Delete(r.again, near, near+1)
}

// late takes the oldest slot that is to be made anew and not before oldest; there is none that has not been made once.
func (r *rolling) late(oldest int64) (t int64, ok bool) {
	for len(r.again) > 0 {
		is := &r.again[0]
		is[0] = max(is[0], oldest)
		if is[0] > is[1] {
			r.again = slices.Delete(r.again, 0, 1)
			continue
		}
		if is[0] >= r.next {
			return 0, false
		}
		t = is[0]
		is[0] += rollStep.Milliseconds()
		return t, true
	}
	return 0, false
}

// rolled adds up one slice.
type rolled struct {
	n          int
	rate, errs float64
	known      bool
	sum, count float64
	dists      []Dist
}

func (a *rolled) add(rate, errs float64) {
	a.rate += rate
	a.known = true
	if !math.IsNaN(errs) {
		a.errs += errs
	}
}

// roll makes the rollup of the slot that begins at t.
func (s *service) roll(o *Options, t, now int64) Rollup {
	end := t + rollStep.Milliseconds()
	out := Rollup{Service: s.name, Env: s.env, T: t, Step: rollStep.Milliseconds(), AsOf: now, LatencyName: s.golden.name}
	if now-s.rolling.asked > rollMinute.Milliseconds() || s.rolling.asked == 0 {
		s.rolling.asked, s.rolling.dims = now, s.rollDims()
	}
	dims := s.rolling.dims
	var all rolled
	by := make([]map[string]*rolled, len(dims))
	for i := range by {
		by[i] = map[string]*rolled{}
	}
	p := &s.golden
	promised := newCounted(s.limits())
	for _, in := range s.instances {
		if in.last < t && now > in.last+tooLong(in.pause()) || in.begun >= end {
			continue
		}
		var one rolled
		var covered float64
		held := figures{rate: math.NaN()}
		promised.begin()
		s.cells(in, p, in.places(p), t, end+tooLong(in.longest), func(c *cell) {
			w := c.within(t, end)
			if w <= 0 {
				if c.to <= t && now <= c.to+tooLong(in.pause()) {
					// Its next scrape is still to come: until then it is taken to go on as it did, as in the figures of now.
					held = figures{rate: c.req / c.seconds(), errs: c.errs / c.seconds()}
				}
				return
			}
			if !math.IsNaN(c.req) {
				one.add(c.req*w, c.errs*w)
				covered += w * c.seconds()
			}
			if len(promised.limits) > 0 {
				promised.add(c, w)
			}
			switch {
			case p.name == "mean":
				if ds, dn := c.mean(); !math.IsNaN(ds) && dn > 0 {
					one.sum, one.count = one.sum+ds*w, one.count+dn*w
				}
			case p.name != "" && (c.to <= end || len(one.dists) == 0):
				one.dists, _ = c.dists(nil, nil)
			}
		})
		promised.end()
		if covered == 0 && one.count == 0 && len(one.dists) == 0 && !math.IsNaN(held.rate) {
			one.add(held.rate, held.errs)
			covered = 1
		}
		if covered == 0 && one.count == 0 && len(one.dists) == 0 {
			continue
		}
		out.N++
		merge := func(a *rolled) {
			a.n++
			if covered > 0 {
				a.add(one.rate/covered, one.errs/covered)
			}
			a.sum, a.count = a.sum+one.sum, a.count+one.count
			a.dists = append(a.dists, one.dists...)
		}
		merge(&all)
		for i, d := range dims {
			if v := in.tag(d); v != "" {
				if by[i][v] == nil {
					by[i][v] = &rolled{}
				}
				merge(by[i][v])
			}
		}
	}
	out.Events = s.events.told(t, end-1)
	out.M = max(s.count(now, nil, nil).expected, out.N)
	out.Slices = append(out.Slices, s.slice(o, &all, "", ""))
	for i, d := range dims {
		out.Slices = s.slices(o, out.Slices, d, by[i])
	}
	out.Slices = s.rollLabels(out.Slices, t, end)
	out.Slices = s.rollPinned(o, promised.slices(out.Slices), dims, t, end)
	if end%rollMinute.Milliseconds() == 0 {
		out.Metrics = s.rollMetrics(end-rollMinute.Milliseconds(), end)
	}
	return out
}

// within is the share of the cell that lies in [from, to).
func (c *cell) within(from, to int64) float64 {
	return float64(min(c.to, to)-max(c.from, from)) / float64(c.to-c.from)
}

func (s *service) slice(o *Options, a *rolled, dim, value string) Slice {
	out := Slice{Dim: dim, Value: value, N: a.n, Rate: Unknown(), Errors: Unknown(), Latency: Interval{math.NaN(), math.NaN(), math.NaN()}}
	if a.known {
		out.Rate = Num(a.rate)
		if s.golden.nErrs > s.golden.nRate {
			out.Errors = Num(a.errs)
		}
	}
	switch p := &s.golden; {
	case a.count > 0:
		out.Latency.Est = a.sum / a.count
	case len(a.dists) > 0 && o.Percentile != nil:
		out.Latency = o.Percentile(a.dists, p.p)
	}
	return out
}

// slices adds one a value, those with the most requests; the rest as one.
func (s *service) slices(o *Options, out []Slice, dim string, by map[string]*rolled) []Slice {
	values := make([]string, 0, len(by))
	for v := range by {
		values = append(values, v)
	}
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(cmp.Compare(by[b].rate, by[a].rate), strings.Compare(a, b)) })
	var other rolled
	for i, v := range values {
		if a := by[v]; i < maxRolled {
			out = append(out, s.slice(o, a, dim, v))
		} else {
			other.n += a.n
			other.rate, other.errs, other.known = other.rate+a.rate, other.errs+a.errs, other.known || a.known
		}
	}
	if other.known {
		out = append(out, s.slice(o, &other, dim, OtherValue))
	}
	return out
}

// noDims tell instances apart, or say nothing.
var noDims = []string{"service.name", "service.instance.id", "deployment.environment.name", "server.address", "instance", "pid", "shard", TagHost, "host.ip", "host.id"}

// rollDims are the tags by which a service is rolled up: those that tell groups of instances apart, and not instances.
func (s *service) rollDims() (dims []string) {
	values := map[string]map[string]bool{}
	for _, in := range s.instances {
		for name, v := range in.allTags() {
			if slices.Contains(noDims, name) || v == "" {
				continue
			}
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			if len(values[name]) <= maxRolled {
				values[name][v] = true
			}
		}
	}
	for name, vs := range values {
		known := name == TagVersion || name == TagZone || name == TagTrack || name == TagRegion
		if known || len(vs) <= maxRolled && (len(vs) <= 8 || 2*len(vs) <= len(s.instances)) {
			dims = append(dims, name)
		}
	}
	slices.Sort(dims)
	return dims
}

// rollLabels adds what the golden signals are counted apart by: client networks, countries.
func (s *service) rollLabels(out []Slice, t, end int64) []Slice {
	set := &s.golden.set
	if len(set.rateBy) == 0 || len(set.rateBy) > maxByLabel {
		return out
	}
	if s.rolling.of != s.golden.seq {
		s.rolling.of, s.rolling.plan = s.golden.seq, makePlan(s.cols, goldenSet{rate: set.rateBy, errors: set.errsBy}, 0)
	}
	p := &s.rolling.plan
	grown, covered := make([]float64, len(p.cols)), make([]float64, len(p.cols))
	rate := make([]float64, len(p.cols))
	at := make([]int32, 0, len(p.cols))
	for _, in := range s.instances {
		if in.last < t || in.begun >= end {
			continue
		}
		clear(grown)
		clear(covered)
		at = p.find(in, at[:0])
		s.cells(in, p, at, t, end+tooLong(in.longest), func(c *cell) {
			w := c.within(t, end)
			if w <= 0 {
				return
			}
			for i := range p.cols {
				if g := c.grew(i); !math.IsNaN(g) {
					grown[i] += g * w
					covered[i] += w * c.seconds()
				}
			}
		})
		for i := range grown {
			if covered[i] > 0 {
				rate[i] += grown[i] / covered[i]
			}
		}
	}
	by := map[string]map[string]*rolled{}
	for i, n := range p.cols {
		for _, l := range s.cols[n].labels {
			if slices.Contains(noDims, l.Name) || l.Name == "client.as.organization.name" || l.Value == "" {
				continue
			}
			if by[l.Name] == nil {
				by[l.Name] = map[string]*rolled{}
			}
			a := by[l.Name][l.Value]
			if a == nil {
				a = &rolled{}
				by[l.Name][l.Value] = a
			}
			if i < p.nRate {
				a.add(rate[i], math.NaN())
			} else {
				a.errs += rate[i]
			}
		}
	}
	names := make([]string, 0, len(by))
	for name := range by {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out = s.slices(&Options{}, out, name, by[name])
	}
	return out
}
