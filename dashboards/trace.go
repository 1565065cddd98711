package dashboards

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Move is another value of a tag, or of a text that the application said, since a scrape.
type Move struct {
	T        int64 // Unix ms, of the first scrape with the new value
	Name     string
	Was, Now string
}

// maxMoves bounds what is remembered of one instance. Where something changes all the time, versions and tracks are remembered longest.
const maxMoves = 64

// moved remembers that a value is another one since t. An instance that is new changes nothing.
func (in *instance) moved(t int64, name, was, now string) {
	if was == now {
		return
	}
	c := Move{t, strings.Clone(name), strings.Clone(was), strings.Clone(now)}
	i := len(in.moves)
	for i > 0 && in.moves[i-1].T > t {
		i--
	}
	in.moves = slices.Insert(in.moves, i, c)
	if len(in.moves) > maxMoves {
		k := slices.IndexFunc(in.moves, func(c Move) bool { return c.Name != TagVersion && c.Name != TagTrack })
		in.moves = slices.Delete(in.moves, max(k, 0), max(k, 0)+1)
	}
}

// older takes a record in that is older than all before it, as they come where history is read backwards: what it says otherwise changed between the two.
func (in *instance) older(r *Record, begun int64) {
	for _, name := range []string{TagVersion, TagTrack} {
		if i, ok := slices.BinarySearchFunc(r.Tags, name, func(l collector.LabelPair, n string) int { return strings.Compare(l.Name, n) }); ok {
			was := r.Tags[i].Value
			in.moved(begun, name, was, in.at(name, begun-1))
		}
	}
}

// at is what a tag was at a moment, as far as is known.
func (in *instance) at(name string, t int64) string {
	v := in.tag(name)
	for i := len(in.moves) - 1; i >= 0 && in.moves[i].T > t; i-- {
		if in.moves[i].Name == name {
			v = in.moves[i].Was
		}
	}
	return v
}

// tagsDuring is all tags, versions and tracks as they were for most of a span.
func (in *instance) tagsDuring(from, to int64) map[string]string {
	tags := in.allTags()
	for _, name := range []string{TagVersion, TagTrack} {
		if v := in.during(name, from, to); v != "" {
			tags[name] = v
		}
	}
	return tags
}

// during is what a tag was for most of a span.
func (in *instance) during(name string, from, to int64) string {
	if from >= to || !slices.ContainsFunc(in.moves, func(m Move) bool { return m.Name == name && m.T > from }) {
		return in.at(name, to)
	}
	long := map[string]int64{}
	end := to
	v := in.tag(name)
	for i := len(in.moves) - 1; i >= 0 && end > from; i-- {
		if m := &in.moves[i]; m.Name == name {
			long[v] += max(end-max(m.T, from), 0)
			v, end = m.Was, min(end, m.T)
		}
	}
	long[v] += max(end-from, 0)
	best := v
	for was, l := range long {
		if l > long[best] || l == long[best] && was < best {
			best = was
		}
	}
	return best
}

// Trace is what one instance did over a span, and what it was.
type Trace struct {
	Instance  string
	Tags      map[string]string
	Facts     map[string]string // texts the application said
	Moves     []Move            // of both, oldest first
	Begun     time.Time         // its oldest scrape ever seen
	Last      time.Time         // its newest
	Every     time.Duration     // the interval in force
	Expected  bool              // it should answer now
	Answering bool              // and does
	Steps     []Step            // oldest first
}

// Step is what an instance did between two good scrapes that follow each other, in golden signals; NaN: not known.
type Step struct {
	From, To         int64 // Unix ms
	Requests, Errors float64
	Latency          float64 // milliseconds: the percentile that it reports, or the mean; see Traces
	Reset            bool    // it began anew in between: the process is another one
}

// At is what a tag, or a text of the application's, was at a moment.
func (t *Trace) At(name string, at time.Time) string {
	v, ok := t.Tags[name]
	if !ok {
		v = t.Facts[name]
	}
	for i := len(t.Moves) - 1; i >= 0 && t.Moves[i].T > at.UnixMilli(); i-- {
		if t.Moves[i].Name == name {
			v = t.Moves[i].Was
		}
	}
	return v
}

// Traces is what every instance of a service did from `from` to `to`, by address, and what its latencies are (p99, mean, …). nil where there is no such service.
func (b *Board) Traces(name, env string, from, to time.Time) (traces []Trace, latency string) {
	s := b.find(name, env)
	if s == nil {
		return nil, ""
	}
	now := b.now().UnixMilli()
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := &s.golden
	traces = []Trace{}
	for _, in := range s.sorted() {
		t := Trace{Instance: in.addr, Tags: in.allTags(), Facts: map[string]string{}, Moves: slices.Clone(in.moves), Begun: time.UnixMilli(in.begun), Last: time.UnixMilli(in.last),
			Every: in.interval, Answering: in.answering(now)}
		for k, v := range in.facts {
			t.Facts[k] = v
		}
		t.Expected, _ = in.expected(s.rostered, now)
		s.cells(in, p, p.find(in, nil), ms(from), ms(to), func(c *cell) {
			if c.from < ms(from) || c.to > ms(to) {
				return
			}
			step := Step{From: c.from, To: c.to, Requests: c.req, Errors: c.errs, Latency: c.latency(), Reset: c.reset}
			if p.nErrs == p.nRate {
				step.Errors = math.NaN() // nothing of it is known to count errors
			}
			t.Steps = append(t.Steps, step)
		})
		traces = append(traces, t)
	}
	return traces, p.name
}
