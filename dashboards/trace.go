package dashboards

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Change is another value of a tag, or of a text that the application said, since a scrape.
type Change struct {
	T        int64 // Unix ms, of the first scrape with the new value
	Name     string
	Was, Now string
}

// maxChanges bounds what is remembered of one instance. Where something changes all the time, versions and tracks are remembered longest.
const maxChanges = 64

// changed remembers that a value is another one since t. An instance that is new changes nothing.
func (in *instance) changed(t int64, name, was, now string) {
	if was == now {
		return
	}
	c := Change{t, strings.Clone(name), strings.Clone(was), strings.Clone(now)}
	i := len(in.changes)
	for i > 0 && in.changes[i-1].T > t {
		i--
	}
	in.changes = slices.Insert(in.changes, i, c)
	if len(in.changes) > maxChanges {
		k := slices.IndexFunc(in.changes, func(c Change) bool { return c.Name != TagVersion && c.Name != TagTrack })
		in.changes = slices.Delete(in.changes, max(k, 0), max(k, 0)+1)
	}
}

// older takes a record in that is older than all before it, as they come where history is read backwards: what it says otherwise changed between the two.
func (in *instance) older(r *Record, begun int64) {
	for _, name := range []string{TagVersion, TagTrack} {
		if i, ok := slices.BinarySearchFunc(r.Tags, name, func(l collector.LabelPair, n string) int { return strings.Compare(l.Name, n) }); ok {
			was := r.Tags[i].Value
			in.changed(begun, name, was, in.at(name, begun-1))
		}
	}
}

// at is what a tag was at a moment, as far as is known.
func (in *instance) at(name string, t int64) string {
	v := in.tag(name)
	for i := len(in.changes) - 1; i >= 0 && in.changes[i].T > t; i-- {
		if in.changes[i].Name == name {
			v = in.changes[i].Was
		}
	}
	return v
}

// Trace is what one instance did over a span, and what it was.
type Trace struct {
	Instance  string
	Tags      map[string]string
	Facts     map[string]string // texts the application said
	Changes   []Change          // of both, oldest first
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
	for i := len(t.Changes) - 1; i >= 0 && t.Changes[i].T > at.UnixMilli(); i-- {
		if t.Changes[i].Name == name {
			v = t.Changes[i].Was
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
		t := Trace{Instance: in.addr, Tags: in.allTags(), Facts: map[string]string{}, Changes: slices.Clone(in.changes), Begun: time.UnixMilli(in.begun), Last: time.UnixMilli(in.last),
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
