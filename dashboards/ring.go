package dashboards

import (
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// figures are a service's golden signals as of one moment: the sum of what its instances' newest good scrapes say, each as long as it speaks.
type figures struct {
	rate, errs float64 // per second
	lat        Interval
	answering  int
	of         int // instances with a rate
}

func (f *figures) ratio() float64 {
	switch {
	case f.rate > 0:
		return min(f.errs/f.rate, 1)
	case f.rate == 0 && f.errs == 0:
		return 0
	}
	return math.NaN()
}

// asOf derives the figures of a region ("": of all of it) at each of the moments, which are in order. The caller holds the lock.
func (s *service) asOf(p *plan, percentile PercentileFunc, times []int64, region string) []figures {
	out := make([]figures, len(times))
	type sums struct {
		sum, n float64
		known  bool
		dists  []Dist
	}
	lat := make([]sums, len(times))
	for i := range out {
		out[i].rate, out[i].errs, out[i].answering = math.NaN(), math.NaN(), -1
	}
	add := func(to *float64, x float64) {
		if math.IsNaN(x) {
			return
		}
		if math.IsNaN(*to) {
			*to = 0
		}
		*to += x
	}
	var arena []Quantile
	if p.name != "mean" && p.name != "" { // mostly each instance says all of it, and speaks at each moment
		sets, known := max(len(p.parts), 1), len(p.set.latency.buckets)
		for i := range p.parts {
			known += len(p.parts[i].q)
		}
		for i := range lat {
			lat[i].dists = make([]Dist, 0, len(s.instances)*sets)
		}
		arena = make([]Quantile, 0, len(s.instances)*len(times)*known)
	}
	from, to := times[0], times[len(times)-1]
	for _, in := range s.instances {
		if !in.in(region) {
			continue
		}
		s.cells(in, p, in.places(p), from, to, func(c *cell) {
			lo, _ := slices.BinarySearch(times, c.to)
			for i := lo; i < len(times) && times[i] < c.until; i++ {
				f := &out[i]
				if !math.IsNaN(c.req) {
					f.of++
				}
				add(&f.rate, c.req/c.seconds())
				add(&f.errs, c.errs/c.seconds())
				switch {
				case p.name == "mean":
					if ds, dn := c.mean(); !math.IsNaN(ds) && dn > 0 {
						lat[i].sum, lat[i].n, lat[i].known = lat[i].sum+ds, lat[i].n+dn, true
					}
				case p.name != "":
					lat[i].dists, arena = c.dists(lat[i].dists, arena)
				}
			}
		})
		in.answers(from, to, times, out)
	}
	for i := range out {
		out[i].lat = Interval{math.NaN(), math.NaN(), math.NaN()}
		switch {
		case p.name == "mean" && lat[i].known:
			out[i].lat.Est = lat[i].sum / lat[i].n
		case p.name != "mean" && len(lat[i].dists) > 0 && percentile != nil:
			out[i].lat = percentile(lat[i].dists, p.p)
		}
	}
	return out
}

// answers counts the instance at the moments at which its newest scrape was good and fresh.
func (in *instance) answers(from, to int64, times []int64, out []figures) {
	var last scanned
	have := false
	// every is the interval of whichever scrape came next, where that is longer.
	mark := func(until int64, every int32) {
		if !have {
			return
		}
		limit := last.t + patience(max(last.every, every))
		i, _ := slices.BinarySearch(times, last.t)
		for ; i < len(times) && times[i] < until; i++ {
			out[i].answering = max(out[i].answering, 0)
			if last.outcome == collector.OK && times[i] <= limit {
				out[i].answering++
			}
		}
	}
	in.scan(from-patience(in.longest), to, nil, func(r scanned) {
		mark(r.t, r.every)
		if r.outcome == collector.Skipped { // it says nothing of the instance, which is what it was
			last.t, last.every = r.t, r.every
			return
		}
		last, have = r, true
	})
	mark(math.MaxInt64, in.pause())
}

// ring is a service's figures at every tick of the last hour.
type ring struct {
	width     int64 // ms
	last      int64 // number of the newest tick, its time / width; 0: none
	rate      []float32
	errs      []float32
	lat       []float32
	lo, hi    []float32
	answering []int32
}

func newRing(width, window time.Duration) ring {
	n := ticks(width, window)
	return ring{width: width.Milliseconds(), rate: make([]float32, n), errs: make([]float32, n), lat: make([]float32, n), lo: make([]float32, n), hi: make([]float32, n), answering: make([]int32, n)}
}

// ticks is how many of a width make a window.
func ticks(width, window time.Duration) int64 { return int64(window/width) + 1 }

func (r *ring) len() int64 { return int64(len(r.rate)) }

// has reports whether the ring reaches back to tick k.
func (r *ring) has(k int64) bool { return r.last > 0 && k <= r.last && k > r.last-r.len() }

// each calls fn with the stretches of the ring, one or two, that hold the ticks from..to, which it has.
func (r *ring) each(from, to int64, fn func(a, b int64)) {
	for from <= to {
		a := from % r.len()
		b := min(a+to-from+1, r.len())
		fn(a, b)
		from += b - a
	}
}

// appendWide appends figures as they are reckoned with.
func appendWide(to []float64, from []float32) []float64 {
	to = slices.Grow(to, len(from))
	for _, x := range from {
		to = append(to, float64(x))
	}
	return to
}

// advance makes room up to tick k; the new ones are unknown.
func (r *ring) advance(k int64) {
	if r.last == 0 || k-r.last > r.len() {
		r.last = k - r.len()
	}
	nan := float32(math.NaN())
	for r.last < k {
		r.last++
		i := r.last % r.len()
		r.rate[i], r.errs[i], r.lat[i], r.lo[i], r.hi[i], r.answering[i] = nan, nan, nan, nan, nan, -1
	}
}

// set stores the figures of tick k and reports whether they differ visibly from what was there.
func (r *ring) set(k int64, f *figures) (changed bool) {
	if !r.has(k) {
		return false
	}
	i := k % r.len()
	differ := func(a float32, b float64) bool {
		x := float64(a)
		return math.IsNaN(x) != math.IsNaN(b) || math.Abs(x-b) > 0.005*max(math.Abs(x), math.Abs(b))
	}
	changed = differ(r.rate[i], f.rate) || differ(r.errs[i], f.errs) || differ(r.lat[i], f.lat.Est) || r.answering[i] != int32(f.answering)
	r.rate[i], r.errs[i], r.lat[i], r.lo[i], r.hi[i], r.answering[i] = float32(f.rate), float32(f.errs), float32(f.lat.Est), float32(f.lat.Lo), float32(f.lat.Hi), int32(f.answering)
	return changed
}

// Widths of a tick: the service's interval within these.
const (
	minTick = time.Second
	maxTick = time.Minute
)

// How many ticks are brought up to date at once: the newest always, older ones bit by bit, the newest of them first.
const (
	liveTicks    = 60
	backlogTicks = 240
)

// tick brings the figures up to now; after `known` nothing is known, and the figures are those of then. The caller holds the lock.
func (s *service) tick(o *Options, p *packer, now, known int64, past *pastWork) {
	s.tickOwner(now)
	for _, in := range s.instances {
		if in.flushDue(now) || s.rolling.read { // what is to be rolled up of the past is all there then
			in.flush(s, p)
		}
		in.seal(s, p)
	}
	s.forget(o, now)
	s.recognise(s.about.Golden.over(&o.Golden), now)
	width := min(max(s.interval.Round(time.Second), minTick), maxTick)
	if s.ring.width != width.Milliseconds() || s.ring.len() != ticks(width, o.Window) {
		s.ring = newRing(width, o.Window)
		s.backlog = [2]int64{}
		for _, l := range s.beside {
			l.ring = nil // ticks of another width
		}
		s.dirtyFrom, s.dirtyTo = max(s.oldest(), 1), now
	}
	w := s.ring.width
	newest := now / w
	lo := newest + 1
	if s.ring.last < newest {
		lo = max(s.ring.last+1, newest-liveTicks)
		s.ring.advance(newest)
	}
	if s.dirtyFrom > 0 {
		first := (s.dirtyFrom + w - 1) / w
		if s.dirtyTo/w >= newest-liveTicks {
			lo = min(lo, max(first, newest-liveTicks))
		}
		if first < newest-liveTicks {
			s.owe(max(first, newest-s.ring.len()+1), min(s.dirtyTo/w, newest-liveTicks-1))
		}
		s.dirtyFrom, s.dirtyTo = 0, 0
	}
	times := make([]int64, 0, newest-lo+2)
	for k := lo; k <= newest; k++ {
		times = append(times, k*w)
	}
	times = append(times, now)
	fs := s.asOf(&s.golden, o.Percentile, times, "")
	before, lately := false, false
	for i := range fs[:len(fs)-1] {
		if times[i] > known {
			fs[i].answering = -1
		}
		// The last point of a spark is replaced by the figures; only one before it is news, and the one just before it takes few words.
		if point := now - now%sparkStep; s.ring.set(lo+int64(i), &fs[i]) {
			before = before || times[i] < point-sparkStep
			lately = lately || times[i] < point
		}
	}
	s.tickLines(lo, newest)
	s.figures = s.ring.smooth(fs[len(fs)-1], newest)
	if known >= now && w >= smoothFor.Milliseconds() && s.finest(now) < smoothFor {
		s.figures = s.smoothClose(o, now, "")
	}
	if known < now {
		s.figures = s.ring.smooth(s.asOf(&s.golden, o.Percentile, []int64{known}, "")[0], known/w)
	}
	switch {
	case before:
		s.sparkSeq++
	case lately:
		s.tipSeq++
	}
	s.tickParts(o, lo, now, known, s.backlog != [2]int64{})
	s.pay(o, w, past)
}

// recognise finds the golden signals and what stands beside them, if anything is new of which they may be. Figures of the past are made anew only where another column
// is a signal now. The caller holds the lock.
func (s *service) recognise(g Golden, now int64) {
	if s.known == nil || !s.known.by.equal(&g) {
		s.known, s.goldenStale = newKnowing(g), true
	}
	if news := s.known.learn(s.cols); !news && !s.goldenStale {
		return
	}
	s.goldenStale = false
	p := makePlan(s.cols, s.known.golden(s.cols), s.golden.seq)
	if !reflect.DeepEqual(&p, &s.golden) {
		p.seq++
		s.golden = p
		if !s.renumbered { // else they are the same under other numbers
			s.dirtyFrom, s.dirtyTo = max(s.oldest(), 1), now
		}
	}
	s.renumbered = false
	s.beside = s.known.lines(s.cols, s.beside)
	was := s.linePlan
	if s.planLines(); !reflect.DeepEqual(&was, &s.linePlan) { // of what is new beside them the newest ticks are told, too
		if from := max(now-liveTicks*s.ring.width, s.oldest(), 1); s.dirtyFrom == 0 || from < s.dirtyFrom {
			s.dirtyFrom = from
		}
		s.dirtyTo = now
	}
}

// smoothFor is what the rates that people read are averaged over: at short intervals a few errors more or less are no news.
const smoothFor = 5 * time.Second

// smooth averages rate and errors of the newest figures with those of the ticks of the last seconds.
func (r *ring) smooth(f figures, newest int64) figures {
	rate, errs, n := f.rate, f.errs, 1.0
	for k := newest; (newest-k+1)*r.width < smoothFor.Milliseconds() && r.has(k); k-- {
		i := k % r.len()
		if x, e := float64(r.rate[i]), float64(r.errs[i]); !math.IsNaN(x + e + f.rate + f.errs) {
			rate, errs, n = rate+x, errs+e, n+1
		}
	}
	f.rate, f.errs = rate/n, errs/n
	return f
}

// smoothClose are the newest figures of a service that is looked at closely, whose ticks are too wide to average: it averages over the same seconds, one by one.
func (s *service) smoothClose(o *Options, now int64, region string) figures {
	var times []int64
	for t := now - smoothFor.Milliseconds() + 1000; t <= now; t += 1000 {
		times = append(times, t)
	}
	fs := s.asOf(&s.golden, o.Percentile, times, region)
	f := fs[len(fs)-1]
	rate, errs, n := 0.0, 0.0, 0.0
	for i := range fs {
		if !math.IsNaN(fs[i].rate + fs[i].errs) {
			rate, errs, n = rate+fs[i].rate, errs+fs[i].errs, n+1
		}
	}
	if n > 0 && !math.IsNaN(f.rate+f.errs) {
		f.rate, f.errs = rate/n, errs/n
	}
	return f
}

// finest is the shortest interval at which anybody who may still speak is scraped: who died under a closer look would leave it on.
func (s *service) finest(now int64) time.Duration {
	d := s.interval
	for _, in := range s.instances {
		if in.last > 0 && now-in.last <= in.patience() {
			d = min(d, in.interval)
		}
	}
	return d
}

// owe notes ticks of the past that are to be computed anew.
func (s *service) owe(lo, hi int64) {
	if hi < lo {
		return
	}
	if s.backlog == ([2]int64{}) {
		s.backlog = [2]int64{lo, hi}
		return
	}
	s.backlog = [2]int64{min(s.backlog[0], lo), max(s.backlog[1], hi)}
}

// pay computes some of what is owed, the newest first.
func (s *service) pay(o *Options, w int64, past *pastWork) {
	if s.backlog == ([2]int64{}) {
		return
	}
	hi := s.backlog[1]
	lo := max(s.backlog[0], hi-backlogTicks+1)
	for ; hi >= lo && !past.over(); hi -= liveTicks {
		var times []int64
		for k := max(lo, hi-liveTicks+1); k <= hi; k++ {
			times = append(times, k*w)
		}
		fs := s.asOf(&s.golden, o.Percentile, times, "")
		for i := range fs {
			s.ring.set(times[i]/w, &fs[i])
		}
	}
	if hi == s.backlog[1] {
		return
	}
	s.sparkSeq++
	if s.backlog[1] = max(hi, lo-1); s.backlog[1] < s.backlog[0] {
		s.backlog = [2]int64{}
	}
}

// oldest is the time of the oldest row kept.
func (s *service) oldest() int64 {
	t := int64(math.MaxInt64)
	for _, in := range s.instances {
		if len(in.blocks) > 0 {
			t = min(t, in.blocks[0].first)
		} else if len(in.head) > 0 {
			t = min(t, in.head[0].t)
		}
	}
	if t == math.MaxInt64 {
		return 0
	}
	return t
}
