package dashboards

import (
	"math"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Signals is what a service did lately, tick by tick, and who is not there: what detection looks at. Lines are oldest first and equally long; the last
// point is the newest tick. NaN: not known.
type Signals struct {
	Service, Env string
	Owner        string
	Width        time.Duration // of a tick
	Newest       time.Time     // of the newest tick
	Rate         []float64     // requests a second
	Errors       []float64     // errors a second; nil where the service has no errors that we know of
	Latency      []float64     // milliseconds
	LatencyName  string        // p99, mean, …
	LatencyP     float64       // .99, …; 0: the mean
	Answering    []int         // -1: not known
	Beside       []SideLine    // exceptions by class, and what may run full
	Settled      bool          // the service has gathered: nobody joins for the first time any more

	Expected, Present, AnsweringNow int
	Missing                         []Member // left without an excuse in the last 15 minutes
	Silent                          []Member // expected, and its newest scrape failed or is too old
	Flapping                        []Member // who come and go, if they are several of the service; those of them who are away or silent are among the above, too
}

// Member is an instance that gives cause to speak of it.
type Member struct {
	Instance string
	Tags     map[string]string
	Since    time.Time // when it left, or when it last answered
	Outcome  collector.Outcome
	Reason   string
	Fails    int  // newest scrapes that failed, in a row
	Stale    bool // it is not scraped any more, as far as a feed that was live all the while can tell
}

// Signals is one service's last ticks, at most n; nil if there is none of that name.
func (b *Board) Signals(name, env string, n int) *Signals {
	out := &Signals{}
	if !b.SignalsInto(out, name, env, n) {
		return nil
	}
	return out
}

// SignalsInto is Signals in the memory of others that nobody needs any more, whose lines it takes; false if there is no service of that name.
func (b *Board) SignalsInto(out *Signals, name, env string, n int) bool {
	s := b.find(name, env)
	if s == nil {
		return false
	}
	heard := b.hearing()
	s.mu.RLock()
	defer s.mu.RUnlock()
	g := &s.ring
	*out = Signals{Service: s.name, Env: s.env, Owner: s.owner(), Width: time.Duration(g.width) * time.Millisecond, Newest: time.UnixMilli(g.last * g.width),
		LatencyName: s.golden.name, LatencyP: s.golden.p, Rate: out.Rate[:0], Errors: out.Errors[:0], Latency: out.Latency[:0], Answering: out.Answering[:0]}
	from := max(g.last-int64(n)+1, g.last-g.len()+1, 0)
	for from <= g.last && math.IsNaN(float64(g.rate[from%g.len()])) && g.answering[from%g.len()] < 0 {
		from++ // before anything was known
	}
	g.each(from, g.last, func(a, b int64) {
		out.Rate, out.Latency = appendWide(out.Rate, g.rate[a:b]), appendWide(out.Latency, g.lat[a:b])
		for _, n := range g.answering[a:b] {
			out.Answering = append(out.Answering, int(n))
		}
		out.Errors = appendWide(out.Errors, g.errs[a:b])
	})
	if len(s.golden.set.errors) == 0 {
		out.Errors = nil
	}
	out.Beside = s.tellLines(len(out.Rate))
	now := out.Newest.UnixMilli()
	out.Settled = s.settled(now)
	var missing, silent []*instance
	t := s.count(now, &missing, &silent)
	out.Expected, out.Present, out.AnsweringNow = t.expected, t.present, t.answering
	for _, in := range missing {
		out.Missing = append(out.Missing, Member{Instance: in.addr, Tags: in.allTags(), Since: in.roster.Since, Reason: in.roster.Reason, Outcome: in.outcome})
	}
	for _, in := range silent {
		out.Silent = append(out.Silent, Member{Instance: in.addr, Tags: in.allTags(), Since: time.UnixMilli(in.lastOK), Outcome: in.outcome, Reason: in.reason,
			Fails: in.fails, Stale: now-max(in.heard(), heard) > in.patience()})
	}
	for _, in := range s.flapping(now) {
		out.Flapping = append(out.Flapping, Member{Instance: in.addr, Tags: in.allTags(), Since: in.roster.Since, Outcome: in.outcome, Reason: in.roster.Reason})
	}
	return true
}

// hearing is since when (Unix ms) silence counts: what was not read while the feed was away, or this process stood still, may still come.
func (b *Board) hearing() (since int64) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.woke.IsZero() {
		since = b.woke.UnixMilli()
	}
	if b.feed.State == FeedLive {
		since = max(since, b.feed.Since)
	}
	return since
}

// Names is the services and environments that the Board knows and this process owns, in order.
func (b *Board) Names() [][2]string {
	var out [][2]string
	for _, s := range b.all() {
		if !b.owned(s.name, s.env) {
			continue
		}
		out = append(out, [2]string{s.name, s.env})
	}
	return out
}

// Differ reports whether those who are there of a service differ in version or track: where all are alike there is no canary.
func (b *Board) Differ(name, env string) bool {
	s := b.find(name, env)
	if s == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.differ()
}

func (s *service) differ() bool {
	first := true
	var version, track string
	for _, in := range s.instances {
		if in.roster != nil && !in.roster.State.Scraped() {
			continue
		}
		v, t := in.tag(TagVersion), in.tag(TagTrack)
		if !first && (v != version || t != track) {
			return true
		}
		first, version, track = false, v, t
	}
	return false
}

// runs reports whether anybody who is there runs a version, or is of the track of that name.
func (s *service) runs(version string) bool {
	for _, in := range s.instances {
		if (in.roster == nil || in.roster.State.Scraped()) && (in.tag(TagVersion) == version || in.tag(TagTrack) == version) {
			return true
		}
	}
	return false
}

// Leaf is one instance, or one label set of one instance, with what it did before and after a moment. The labels of a leaf join its tags.
type Leaf struct {
	Instance string
	Tags     map[string]string // versions and tracks as they were for most of the later span
	Labels   []collector.LabelPair
	Before   Sums
	After    Sums
}

// Sums is what was counted over a span. Latency is the mean of what scrapes said (percentile or mean, as the service's latency is), weighed by requests.
type Sums struct {
	Seconds  float64
	Requests float64
	Errors   float64
	Latency  float64 // milliseconds; NaN: not known
	weight   float64
}

func (s *Sums) latency(x, n float64) {
	if math.IsNaN(x) || !(n > 0) {
		return
	}
	if s.weight == 0 {
		s.Latency = 0
	}
	s.weight += n
	s.Latency += (x - s.Latency) * n / s.weight
}

// maxLeaves is above how many label sets over instances the instances are added up.
const maxLeaves = 20_000

// Leaves is what the instances of a service did in [from, cut) and in [cut, to). byLabel gives a leaf for each label set that the golden signals are counted
// apart by (client networks), none if there is no such; then there are no latencies.
func (b *Board) Leaves(name, env string, from, cut, to time.Time, byLabel bool) []Leaf {
	s := b.find(name, env)
	if s == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if byLabel {
		return s.labelLeaves(ms(from), ms(cut), ms(to))
	}
	p := &s.golden
	var out []Leaf
	for _, in := range s.sorted() {
		l := Leaf{Instance: in.addr, Tags: in.tagsDuring(ms(cut), ms(to))}
		l.Before.Latency, l.After.Latency = math.NaN(), math.NaN()
		s.cells(in, p, p.find(in, nil), ms(from), ms(to), func(c *cell) {
			side := &l.Before
			switch {
			case c.from < ms(from) || c.to > ms(to):
				return
			case c.from >= ms(cut):
				side = &l.After
			case c.to > ms(cut):
				return // it straddles the moment and belongs to neither
			}
			side.Seconds += c.seconds()
			if !math.IsNaN(c.req) {
				side.Requests += c.req
			}
			if !math.IsNaN(c.errs) {
				side.Errors += c.errs
			}
			w := c.req
			if math.IsNaN(w) {
				w = 1
			}
			side.latency(c.latency(), w)
		})
		if l.Before.Seconds+l.After.Seconds > 0 {
			out = append(out, l)
		}
	}
	return out
}

// JoinLeaves gives what one list says of after the before that another says of the same: for spans that are apart. Who was there before and did nothing after is left
// out.
func JoinLeaves(before, after []Leaf) []Leaf { return joinLeaves(before, after)[:len(after)] }

// LeavesApart is Leaves where what [from, to) is compared with, [b0, b1), ends before it begins.
func (b *Board) LeavesApart(name, env string, b0, b1, from, to time.Time, byLabel bool) []Leaf {
	return joinLeaves(b.Leaves(name, env, b0, b1, b1, byLabel), b.Leaves(name, env, from, from, to, byLabel))
}

// joinLeaves is all of after, and behind them those that only before has.
func joinLeaves(before, after []Leaf) []Leaf {
	old := map[string]*Leaf{}
	for i := range before {
		old[leafKey(&before[i])] = &before[i]
	}
	for i := range after {
		key := leafKey(&after[i])
		if b := old[key]; b != nil {
			after[i].Before = b.Before
			delete(old, key)
		} else {
			after[i].Before = Sums{Latency: math.NaN()}
		}
	}
	for i := range before {
		if l := &before[i]; old[leafKey(l)] == l {
			l.After = Sums{Latency: math.NaN()}
			after = append(after, *l)
		}
	}
	return after
}

func leafKey(l *Leaf) string {
	k := l.Instance
	for _, p := range l.Labels {
		k += "\x00" + p.Name + "\x01" + p.Value
	}
	return k
}

// SideLeaves is Leaves of a line beside the golden signals: Errors counts the exceptions of a class; of what is used or waits Latency is the mean, with
// one Request for each scrape.
func (b *Board) SideLeaves(name, env string, kind SideKind, line string, from, cut, to time.Time) []Leaf {
	s := b.find(name, env)
	if s == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sideLeaves(kind, line, ms(from), ms(cut), ms(to))
}

func (s *service) labelLeaves(from, cut, to int64) []Leaf {
	set := &s.golden.set
	if len(set.rateBy) == 0 {
		return nil
	}
	pl := makePlan(s.cols, goldenSet{rate: set.rateBy, errors: set.errsBy}, 0)
	keys := make([]string, len(pl.cols))
	for i, n := range pl.cols {
		keys[i] = string(columnKey(nil, "", s.cols[n].labels, ""))
	}
	merged := len(s.instances)*len(set.rateBy) > maxLeaves
	var out []Leaf
	at := map[string]int{}
	for _, in := range s.sorted() {
		if !merged {
			clear(at)
		}
		var tags map[string]string
		if !merged {
			tags = in.tagsDuring(cut, to)
		}
		s.cells(in, &pl, pl.find(in, nil), from, to, func(c *cell) {
			if c.from < from || c.to > to || c.from < cut && c.to > cut {
				return
			}
			for i := range pl.cols {
				g := c.grew(i)
				if math.IsNaN(g) {
					continue
				}
				k, ok := at[keys[i]]
				if !ok {
					k = len(out)
					at[keys[i]] = k
					l := Leaf{Tags: tags, Labels: s.cols[pl.cols[i]].labels}
					if !merged {
						l.Instance = in.addr
					}
					out = append(out, l)
				}
				side := &out[k].Before
				if c.from >= cut {
					side = &out[k].After
				}
				if i < pl.nRate {
					side.Requests += g
					side.Seconds += c.seconds()
				} else {
					side.Errors += g
				}
			}
		})
	}
	return out
}
