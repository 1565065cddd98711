package dashboards

import (
	"cmp"
	"math"
	"slices"
)

// Figure is one line of what the Board makes of a service as a whole.
type Figure uint8

// Who should answer, who is there, who answers, and how much trouble there is are as the page has it.
const (
	FigureExpected Figure = iota
	FigurePresent
	FigureAnswering
	FigureTrouble // 0 calm, 1 warn, 2 bad
	FigureRate    // requests a second
	FigureErrors  // a second
	FigureLatency // milliseconds; it lies between the next two
	FigureLatencyLo
	FigureLatencyHi
	NumFigures
)

// RawService is a service as RawServices shows it; it may be kept.
type RawService struct {
	Service, Env, Owner string
	Latency             string // p99, mean, …; empty: it has none
	Rate, Errors        bool   // something of it is known to count requests, errors
	s                   *service
}

// RawServices visits the services that this process owns and that want says, by name and environment, until visit says false.
func (b *Board) RawServices(want func(service, env string) bool, visit func(*RawService) bool) {
	for _, s := range b.all() {
		if !want(s.name, s.env) || !b.owned(s.name, s.env) {
			continue
		}
		s.mu.RLock()
		r := &RawService{Service: s.name, Env: s.env, Owner: s.owner(), Latency: s.golden.name, Rate: s.golden.tells(aboutRate), Errors: s.golden.tells(aboutErrors), s: s}
		known := len(s.heads) > 0
		s.mu.RUnlock()
		if known && !visit(r) {
			return
		}
	}
}

// heads is who should answer, who is there and how much trouble there is, from t on.
type heads struct {
	t                          int64 // Unix ms
	expected, present, trouble int32
}

// maxHeads bounds how many changes of that are remembered of a service; past it the oldest go.
const maxHeads = 1024

// remember keeps what a row says, where it is news. The caller holds the lock.
func (s *service) remember(r *Row, now, cutoff int64) {
	h := heads{now, int32(r.Expected), int32(r.Present), int32(r.Trouble)}
	if n := len(s.heads); n == 0 || s.heads[n-1].expected != h.expected || s.heads[n-1].present != h.present || s.heads[n-1].trouble != h.trouble {
		s.heads = append(s.heads, h)
	}
	gone := max(len(s.heads)-maxHeads, 0)
	for gone+1 < len(s.heads) && s.heads[gone+1].t <= cutoff {
		gone++
	}
	s.heads = slices.Delete(s.heads, 0, gone)
}

// headsEvery is how far apart the points of a line are that does not change.
const headsEvery = 15_000

// FigurePoints is Points of a figure. Who should answer, who is there and trouble are known since this process began.
func (b *Board) FigurePoints(dst []RawPoint, r *RawService, f Figure, from, to int64) []RawPoint {
	to = min(to, b.now().UnixMilli())
	s := r.s
	s.mu.RLock()
	defer s.mu.RUnlock()
	line := drawn{dst, len(dst), from, to}
	if f > FigureTrouble || f == FigureAnswering {
		s.ringPoints(&line, f)
		return line.points
	}
	at, found := slices.BinarySearchFunc(s.heads, from, func(h heads, t int64) int { return cmp.Compare(h.t, t) })
	if !found {
		at--
	}
	for i := max(at, 0); i < len(s.heads) && s.heads[i].t <= to; i++ {
		h, end := &s.heads[i], to+1
		if i+1 < len(s.heads) {
			end = min(end, s.heads[i+1].t)
		}
		v := float64(h.expected)
		switch f {
		case FigurePresent:
			v = float64(h.present)
		case FigureTrouble:
			v = float64(h.trouble)
		}
		for t := max(h.t, from); t < end; t = (t/headsEvery + 1) * headsEvery {
			line.put(t, v)
		}
	}
	return line.points
}

// ringPoints draws what the ring has, tick by tick. The caller holds the lock.
func (s *service) ringPoints(line *drawn, f Figure) {
	g := &s.ring
	if g.width == 0 {
		return
	}
	for k := max((line.from+g.width-1)/g.width, g.last-g.len()+1, 0); k <= min(line.to/g.width, g.last); k++ {
		i := k % g.len()
		v := math.NaN()
		switch f {
		case FigureAnswering:
			if g.answering[i] >= 0 {
				v = float64(g.answering[i])
			}
		case FigureRate:
			v = float64(g.rate[i])
		case FigureErrors:
			v = float64(g.errs[i])
		case FigureLatency:
			v = float64(g.lat[i])
		case FigureLatencyLo:
			v = float64(g.lo[i])
		case FigureLatencyHi:
			v = float64(g.hi[i])
		}
		line.put(k*g.width, v)
	}
}
