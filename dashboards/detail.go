package dashboards

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// Detail is one service in full.
type Detail struct {
	AsOf      int64      `json:"as_of"`
	Row       *Row       `json:"row"`
	Instances []Instance `json:"instances"`
	Metrics   []Metric   `json:"metrics"`
	Events    []Event    `json:"events"`
	Bursts    []Burst    `json:"bursts"` // that are on
	Usual     Usual      `json:"usual"`
	Bounds    Bounds     `json:"bounds"`
}

// Instance is one endpoint as pages show it. Times are Unix ms.
type Instance struct {
	Instance      string            `json:"instance"`
	Host          string            `json:"host"`
	State         string            `json:"state"`
	Reason        string            `json:"reason"`
	Since         int64             `json:"since"`
	Missing       bool              `json:"missing,omitempty"` // it departed, and nothing excuses it
	Excuse        string            `json:"excuse,omitempty"`  // why nobody misses it
	Outcome       string            `json:"outcome"`           // of the newest scrape; empty: never scraped
	OutcomeReason string            `json:"outcome_reason"`
	AgeMS         Num               `json:"age_ms"`
	TookMS        Num               `json:"took_ms"`
	Version       string            `json:"version"`
	Zone          string            `json:"zone"`
	Track         string            `json:"track"`
	Tags          map[string]string `json:"tags"`
	Facts         map[string]string `json:"facts,omitempty"` // texts the application said
	Rate          Num               `json:"rate"`
	ErrorRatio    Num               `json:"error_ratio"`
	Latency       Num               `json:"latency"` // milliseconds; what it is stands in the row's latency
	Lately        *Lately           `json:"lately,omitempty"`
}

// Bounds are what the latency of the row's spark lies between, step by step.
type Bounds struct {
	T0   int64 `json:"t0"`
	Step int64 `json:"step"`
	Lo   Nums  `json:"lo"`
	Hi   Nums  `json:"hi"`
}

// bounds are those of each step of a spark that ends now.
func (g *ring) bounds(now int64) Bounds {
	first := now/sparkStep - sparkPoints + 1
	out := Bounds{T0: first * sparkStep, Step: sparkStep}
	for k := first; k < first+sparkPoints; k++ {
		lat := g.step(k*sparkStep, (k+1)*sparkStep).lat
		out.Lo, out.Hi = append(out.Lo, Num(lat.Lo)), append(out.Hi, Num(lat.Hi))
	}
	return out
}

// Metric is one name of a service.
type Metric struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Unit      string   `json:"unit"`
	Window    string   `json:"window"`
	Fields    []string `json:"fields,omitempty"` // of a distribution
	Labels    []string `json:"labels,omitempty"` // names of labels that it is counted apart by
	Golden    string   `json:"golden,omitempty"` // rate, errors or latency where it is taken for that
	Instances int      `json:"instances"`
}

// Detail is one service as of now; nil if there is none of that name.
func (b *Board) Detail(name, env string) *Detail {
	s := b.find(name, env)
	if s == nil {
		return nil
	}
	b.mu.RLock()
	now := b.asOf.UnixMilli()
	var row *Row
	for _, r := range b.rows {
		if r.Service == name && r.Env == env {
			row = r
		}
	}
	about := b.findingsAbout(name, env)
	b.mu.RUnlock()
	if row == nil {
		return nil
	}
	bursts := b.Bursts(name, env, time.UnixMilli(now))
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := &Detail{AsOf: now, Row: row, Bursts: bursts, Instances: []Instance{}, Metrics: s.metrics(), Usual: s.usual(about), Events: s.events.told(0, math.MaxInt64)}
	d.Events = b.withTold(d.Events, name, env, time.UnixMilli(0), time.UnixMilli(now).Add(time.Hour))
	for i := range about {
		f := &about[i]
		d.Events = append(d.Events, Event{T: f.Since, Kind: EventFinding, Text: f.Title})
		if f.Ended != nil {
			d.Events = append(d.Events, Event{T: *f.Ended, Kind: EventFinding, Text: "over: " + f.Title})
		}
	}
	slices.SortStableFunc(d.Events, func(x, y Event) int { return cmp.Compare(y.T, x.T) })
	d.Bounds = s.ring.bounds(now)
	for _, in := range s.sorted() {
		d.Instances = append(d.Instances, s.detail(in, now))
	}
	for _, e := range s.broken {
		d.Instances = append(d.Instances, Instance{Instance: e.Member, State: string(e.State), Reason: e.Reason, Since: ms(e.Since), AgeMS: Unknown(), TookMS: Unknown(),
			Tags: e.Tags.Map(), Rate: Unknown(), ErrorRatio: Unknown(), Latency: Unknown()})
	}
	return d
}

func (s *service) detail(in *instance, now int64) Instance {
	state, reason, since := s.state(in, now)
	out := Instance{Instance: in.addr, Host: in.tag(TagHost), State: string(state), Reason: reason, Since: since, AgeMS: Unknown(), TookMS: Unknown(),
		Version: in.tag(TagVersion), Zone: in.tag(TagZone), Track: in.tag(TagTrack), Tags: in.allTags(), Facts: maps.Clone(in.facts),
		Rate: Unknown(), ErrorRatio: Unknown(), Latency: Unknown()}
	if e := in.roster; e != nil {
		out.Missing, out.Excuse = e.Missing(time.UnixMilli(now)), e.Excuse
	}
	if in.last > 0 {
		out.Outcome, out.OutcomeReason = in.outcome.String(), in.reason
		out.AgeMS, out.TookMS = Num(max(now-in.last, 0)), Num(in.took)
	}
	p := &s.golden
	l := Lately{Requests: Unknown(), Errors: Unknown(), ErrorRatio: Unknown(), Latency: Unknown()}
	s.cells(in, p, p.find(in, nil), now-latelyFor, now, func(c *cell) {
		l.add(c)
		out.Lately = &l
		if c.to > now || now >= c.until {
			return
		}
		f := figures{rate: c.req / c.seconds(), errs: c.errs / c.seconds()}
		out.Rate = Num(f.rate)
		if p.nErrs > p.nRate {
			out.ErrorRatio = Num(f.ratio())
		}
		out.Latency = Num(c.latency())
	})
	if !out.Rate.Known() {
		out.Lately = nil // it does not speak any more
	}
	return out
}

// latency is the cell's own: the percentile as reported, or the mean.
func (c *cell) latency() float64 {
	if c.p.name == "mean" {
		sum, n := c.mean()
		return sum / n
	}
	ds, _ := c.dists(nil, nil)
	v := math.NaN()
	for _, d := range ds {
		for _, q := range d.Q {
			if q.P == c.p.p && !(v > q.V) {
				v = q.V
			}
		}
		if len(c.p.set.latency.buckets) > 0 {
			// The bound that the percentile does not exceed.
			for _, q := range d.Q {
				if q.P >= c.p.p {
					return q.V
				}
			}
		}
	}
	return v
}

// metrics lists the names of a service.
func (s *service) metrics() []Metric {
	at := map[string]int{}
	out := []Metric{}
	golden := map[string]string{}
	for what, name := range map[string]string{"rate": s.golden.set.rateName, "errors": s.golden.set.errorsName, "latency": s.golden.set.latency.metric} {
		if golden[name] == "" || what == "latency" {
			golden[name] = what
		}
	}
	for i := range s.cols {
		c := &s.cols[i]
		if c.instances == 0 {
			continue
		}
		k, ok := at[c.metric]
		if !ok {
			k = len(out)
			at[c.metric] = k
			out = append(out, Metric{Name: c.metric, Kind: c.kindNow().String(), Unit: unitOf(c.metric), Window: c.window.String(), Golden: golden[c.metric]})
		}
		m := &out[k]
		m.Instances = max(m.Instances, c.instances)
		if c.field != "" && !slices.Contains(m.Fields, c.field) {
			m.Fields = append(m.Fields, c.field)
		}
		for _, l := range c.labels {
			if !slices.Contains(m.Labels, l.Name) {
				m.Labels = append(m.Labels, l.Name)
			}
		}
	}
	slices.SortFunc(out, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// RosterLine is one entry of the roster as pages show it.
type RosterLine struct {
	Service  string            `json:"service"`
	Env      string            `json:"env"`
	Owner    string            `json:"owner"` // of the service; empty: not known
	Instance string            `json:"instance"`
	State    string            `json:"state"`
	Reason   string            `json:"reason"`
	Since    int64             `json:"since"`
	Joined   int64             `json:"joined"`
	Verified int64             `json:"verified"`
	Format   string            `json:"format"`
	Path     string            `json:"path"`
	Member   string            `json:"member"`
	Source   string            `json:"source"`
	Cause    string            `json:"cause,omitempty"`  // of one that departed
	Excuse   string            `json:"excuse,omitempty"` // why nobody misses it
	Missing  bool              `json:"missing,omitempty"`
	Flaps    int               `json:"flaps,omitempty"`
	Outcome  string            `json:"outcome,omitempty"` // of its newest scrape
	By       string            `json:"by,omitempty"`      // the collector that pulled it last, as 16 hex digits
	Tags     map[string]string `json:"tags"`
}

// place fills in what the roster says of an entry.
func (l *RosterLine) place(e *discovery.Entry, now int64) {
	l.Joined, l.Verified, l.Format, l.Path, l.Member, l.Source = ms(e.Joined), ms(e.Verified), e.Format, e.Path, e.Member, e.Source
	l.Cause, l.Excuse, l.Flaps, l.Missing = string(e.Cause), e.Excuse, e.Flaps, e.Missing(time.UnixMilli(now))
}

// Roster is everyone on the roster, by service, environment and instance; keep decides, nil keeps all.
func (b *Board) Roster(keep func(*RosterLine) bool) []RosterLine {
	now := b.now()
	out := []RosterLine{}
	for _, s := range b.all() {
		out = s.lines(out, now.UnixMilli(), keep)
	}
	return out
}

// RosterOf is Roster for one service.
func (b *Board) RosterOf(name, env string) []RosterLine {
	s := b.find(name, env)
	if s == nil {
		return nil
	}
	return s.lines(nil, b.now().UnixMilli(), nil)
}

// lines appends the service's lines that keep wants.
func (s *service) lines(out []RosterLine, now int64, keep func(*RosterLine) bool) []RosterLine {
	s.mu.RLock()
	defer s.mu.RUnlock()
	add := func(l RosterLine) {
		if keep == nil || keep(&l) {
			out = append(out, l)
		}
	}
	owner := s.owner()
	for _, in := range s.sorted() {
		l := RosterLine{Service: s.name, Env: s.env, Owner: owner, Instance: in.addr, Tags: in.allTags()}
		state, reason, since := s.state(in, now)
		l.State, l.Reason, l.Since = string(state), reason, since
		if e := in.roster; e != nil {
			l.place(e, now)
		}
		if in.last > 0 {
			l.Outcome, l.By = in.outcome.String(), fmt.Sprintf("%016x", in.by)
		}
		add(l)
	}
	for _, e := range s.broken {
		l := RosterLine{Service: s.name, Env: s.env, Owner: owner, State: string(e.State), Reason: e.Reason, Since: ms(e.Since), Tags: e.Tags.Map()}
		l.place(&e, now)
		add(l)
	}
	return out
}

// Health is the Board's account for status pages.
type Health struct {
	Services  int       `json:"services"`
	Bytes     int       `json:"bytes"`
	MaxBytes  int       `json:"max_bytes"`
	Dropped   uint64    `json:"dropped_samples"` // over the limit of names
	Refused   uint64    `json:"refused_records"` // of services over the limit
	Ahead     int       `json:"clocks_ahead"`    // collectors whose clocks are ahead of this machine's
	Future    uint64    `json:"future_records"`  // left out: of the past, and from a time to come
	Evictions Evictions `json:"evictions"`
	NamesGone NamesGone `json:"names_gone"`
	Stats
}

// Health is the Board's account.
func (b *Board) Health() Health {
	h := Health{MaxBytes: b.opts.MaxBytes, Stats: b.Stats()}
	for _, s := range b.all() {
		s.mu.RLock()
		h.Dropped += s.dropped
		s.mu.RUnlock()
		h.Services++
	}
	ahead, future := b.clocks.list(b.now())
	h.Ahead, h.Future = len(ahead), future
	b.mu.RLock()
	defer b.mu.RUnlock()
	h.Bytes, h.Refused, h.Evictions = b.bytes, b.refused, b.evictions
	h.NamesGone = b.namesGone
	return h
}
