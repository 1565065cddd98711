// Package tag gives each snapshot the tags and the form in which it goes on the wire.
//
// It owns the rules over metric names and labels, with their sums; networks (CIDR → tags); target and metric relabelling; where a version and a track come
// from when nobody registered them; and what is dropped, renamed and added at the end. Enricher does all of it in one pass. It does not scrape, discover or
// deliver; addresses are looked up by enrich/geo.
package tag

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/enrich/geo"
)

// Config says what is added, changed and left out. The zero value adds versions and inferred tracks, and nothing else.
type Config struct {
	Networks []string // CSV files: cidr,tag,…
	Host     bool     // look the instance's own address up: server.geo.*, server.as.*

	Drop     []string          // tags that are left out at the end, whoever gave them
	Rename   map[string]string // tags by their old names → new; a tag that has the new name already stays
	External map[string]string // tags of this collector; they lose against everybody's

	Rules         []Rule
	MetricRelabel map[string][]Relabel // metric_relabel_configs by scrape job, as ofJob finds it
	Limits        Limits               // of series, for every job that has none of its own
	JobLimits     map[string]Limits    // by scrape job

	Versions  []string      // names of labels that hold a version, before those that are known
	NoTracks  bool          // infer no rollcall.track
	CanaryAge time.Duration // how long a minority version may be a canary; default 24 h

	StateBytes int64         // what may be remembered of series over all instances; default 256 MiB
	Idle       time.Duration // an instance not seen for so long, and for 5 of its intervals, is forgotten; default 10 min
	CheckEvery time.Duration // how often the files of networks are looked at; default 5 s

	Geo     *geo.DB      // may be nil
	Log     *slog.Logger // nil: nothing is logged
	Metrics *metrics.Set // nil: a private set
}

// compiled is a Config made ready; it is replaced whole.
type compiled struct {
	cfg        Config
	generation uint64
	hash       string // of rules and metric relabelling; "" without
	rules      []*rule
	plans      map[string]*plan // of jobs
	plan       *plan            // of all other jobs
	networks   *networks
	drop       map[string]bool
	rename     []string // old names in order
	places     bool     // the databases are asked

	versions, trackNames map[string]int // normalised names → rank
}

func (c *Config) validate() error {
	var errs []error
	for _, n := range c.Drop {
		if n == "" {
			errs = append(errs, errors.New("tags.drop has an empty name"))
		}
	}
	for old, name := range c.Rename {
		if old == "" || name == "" {
			errs = append(errs, fmt.Errorf("tags.rename %q: %q: give both names", old, name))
		}
	}
	for _, l := range c.JobLimits {
		if l.Target < 0 || l.Service < 0 {
			errs = append(errs, errors.New("a limit of series is negative; 0 is none"))
		}
	}
	if c.Limits.Target < 0 || c.Limits.Service < 0 {
		errs = append(errs, errors.New("a limit of series is negative; 0 is none"))
	}
	if c.CanaryAge < 0 || c.Idle < 0 || c.CheckEvery < 0 || c.StateBytes < 0 {
		errs = append(errs, errors.New("a duration or size is negative"))
	}
	if c.Host && c.Geo == nil {
		errs = append(errs, errors.New("places of hosts are asked for, but there is no database; give geo.city or geo.asn"))
	}
	return errors.Join(errs...)
}

func compile(cfg Config, generation uint64) (*compiled, error) {
	cfg.CanaryAge = cmp.Or(cfg.CanaryAge, 24*time.Hour)
	cfg.StateBytes = cmp.Or(cfg.StateBytes, 256<<20)
	cfg.Idle = cmp.Or(cfg.Idle, 10*time.Minute)
	cfg.CheckEvery = cmp.Or(cfg.CheckEvery, 5*time.Second)
	c := &compiled{cfg: cfg, generation: generation, drop: map[string]bool{}, plans: map[string]*plan{}, places: cfg.Host, rename: slices.Sorted(maps.Keys(cfg.Rename))}
	c.versions, c.trackNames = ranks(cfg.Versions, versionNames), ranks(nil, trackNames)
	errs := []error{cfg.validate()}
	for _, n := range cfg.Drop {
		c.drop[n] = true
	}
	for i, r := range cfg.Rules {
		cr, err := r.compile()
		if err != nil {
			errs = append(errs, fmt.Errorf("rules[%d]: %w", i, err))
			continue
		}
		c.rules = append(c.rules, cr)
		c.places = c.places || cr.from != ""
	}
	jobs := map[string]bool{}
	for job := range cfg.MetricRelabel {
		jobs[job] = true
	}
	for job := range cfg.JobLimits {
		jobs[job] = true
	}
	relabels := false
	for _, job := range slices.Sorted(maps.Keys(jobs)) {
		limits, own := cfg.JobLimits[job]
		if !own {
			limits = cfg.Limits
		}
		p, err := newPlan(cfg.MetricRelabel[job], c.rules, cfg.Rules, limits)
		if err != nil {
			errs = append(errs, fmt.Errorf("job %q: %w", job, err))
			continue
		}
		relabels = relabels || p.relabel != nil
		c.plans[job] = p
	}
	var err error
	if c.plan, err = newPlan(nil, c.rules, cfg.Rules, cfg.Limits); err != nil {
		errs = append(errs, err)
	}
	if len(c.rules) > 0 || relabels {
		b, err := json.Marshal([]any{cfg.Rules, cfg.MetricRelabel})
		errs = append(errs, err)
		sum := sha256.Sum256(b)
		c.hash = hex.EncodeToString(sum[:4])
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("enrich: %w", err)
	}
	return c, nil
}

// of is the plan of a source's job.
func (c *compiled) of(source string) *plan {
	if p := ofJob(c.plans, source); p != nil {
		return p
	}
	return c.plan
}

// Enricher implements enrich.Enricher. Samples of good scrapes go through metric relabelling, then rules; the tags of every snapshot, failed ones too, get networks,
// places, version, track and the external ones, and are dropped and renamed at last. It keeps no string of a sample, and allocates nothing while nothing changes.
type Enricher struct {
	log     *slog.Logger
	set     *metrics.Set
	states  *states
	library library
	recall  recall
	walkers sync.Pool // of *walker
	over    exceeders
	tracks  *Tracks
	cur     atomic.Pointer[compiled]
	update  sync.Mutex

	leftOut  [collector.Label + 1]*metrics.Counter
	noRoom   *metrics.Counter
	unknown  *metrics.Counter
	saidFull atomic.Int64 // Unix time
	dropped  *metrics.Counter
}

// New makes an Enricher that has read no file yet: call Load or Run.
func New(cfg Config) (*Enricher, error) {
	c, err := compile(cfg, 1)
	if err != nil {
		return nil, err
	}
	e := &Enricher{log: cfg.Log, set: cfg.Metrics, states: newStates(c.cfg.StateBytes), library: library{services: map[serviceID]*service{}}, tracks: NewTracks(c.cfg.CanaryAge)}
	e.states.bury = e.bury
	e.recall.bytes = e.recall.share(c.cfg.StateBytes)
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.set == nil {
		e.set = metrics.NewSet()
	}
	for k := range e.leftOut {
		e.leftOut[k] = e.set.GetOrCreateCounter(fmt.Sprintf("rollcall_rules_left_out_samples_total{kind=%q}", collector.Kind(k)))
	}
	e.noRoom = e.set.GetOrCreateCounter("rollcall_rules_state_limit_samples_total")
	e.unknown = e.set.GetOrCreateCounter("rollcall_series_unremembered_samples_total")
	e.dropped = e.set.GetOrCreateCounter("rollcall_metric_relabel_dropped_samples_total")
	e.set.GetOrCreateGauge("rollcall_rules_state_bytes", func() float64 { return float64(e.states.bytes.Load()) })
	e.set.GetOrCreateGauge("rollcall_enrich_instances", func() float64 { return float64(e.states.len()) })
	e.set.GetOrCreateGauge("rollcall_networks_ok", func() float64 {
		if e.cur.Load().networks.err() != nil {
			return 0
		}
		return 1
	})
	c.networks = newNetworks(c.cfg.Networks, e.log)
	e.cur.Store(c)
	return e, nil
}

// Update takes a changed configuration; a faulty one changes nothing. What is remembered of instances stays, the sums of rules only where rules and metric
// relabelling are the same. Log, Metrics and CanaryAge keep their first values. Files of networks are read at once; those that cannot be keep the
// last good tags and are logged, and Status and a metric keep telling: they are no error, for the configuration is in force without them.
func (e *Enricher) Update(cfg Config) error {
	e.update.Lock()
	defer e.update.Unlock()
	old := e.cur.Load()
	c, err := compile(cfg, old.generation+1)
	if err != nil {
		return err
	}
	c.networks = old.networks
	if !slices.Equal(old.cfg.Networks, c.cfg.Networks) {
		c.networks = newNetworks(c.cfg.Networks, e.log)
	}
	c.networks.check() // it logs what is new
	e.states.limit.Store(c.cfg.StateBytes)
	e.cur.Store(c)
	return nil
}

// Load reads the files of networks. Call it before the first scrape; the error names file and line, and the other files are in use.
func (e *Enricher) Load() error { return e.cur.Load().networks.check() }

// Run follows the files of networks and forgets instances that are gone, until ctx ends.
func (e *Enricher) Run(ctx context.Context) error {
	for {
		c := e.cur.Load()
		c.networks.check() // it logs what is new; Status and a metric keep telling
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-time.After(c.cfg.CheckEvery):
			e.states.sweep(now, c.cfg.Idle)
			e.over.sweep(now)
			e.tracks.Sweep(now)
		}
	}
}

// Left tells that an instance has left the roster. It may be pulled once more, and what it has counted until then counts; when it comes back later, its first scrape is a
// first one. What is remembered of it goes when it was idle for long enough.
func (e *Enricher) Left(k discovery.Key) {
	if st := e.states.peek(k); st != nil {
		st.shape.slot.left = true
		st.mu.Unlock()
	}
	e.tracks.Forget(k)
}

// Forget drops what is remembered of an instance. Call it when the instance is handed over to another collector. Its next scrape is then a first one; otherwise its
// sums would count again what the other collector has counted. A scrape that was under way may bring it back to mind; then the gap in its slots, under another
// division of the fleet, makes the next one a first one.
func (e *Enricher) Forget(k discovery.Key) {
	e.states.forget(k)
	e.tracks.Forget(k)
}

// Tags are those that the last snapshot of an instance went on the wire with; ok is false where none is remembered.
func (e *Enricher) Tags(k discovery.Key) (t discovery.Tags, ok bool) {
	st := e.states.peek(k)
	if st == nil {
		return t, false
	}
	defer st.mu.Unlock()
	return st.out, st.in != composition{}
}

// RulesHash identifies the rules in force; empty without rules.
func (e *Enricher) RulesHash() string { return e.cur.Load().hash }

// SaveTracks writes the versions and their ages to file, for LoadTracks after a restart.
func (e *Enricher) SaveTracks(file string) error { return e.tracks.Save(file, time.Now()) }

// LoadTracks takes what SaveTracks wrote. A file that is not there is no error.
func (e *Enricher) LoadTracks(file string) error { return e.tracks.Load(file, time.Now()) }

// ofJob finds what belongs to the scrape job of a source: the one called like it, or like it up to a #, as the second source of job `apps` is called `apps#2`.
func ofJob[T any](m map[string]T, source string) T {
	v, ok := m[source]
	if !ok {
		job, _, _ := strings.Cut(source, "#")
		v = m[job]
	}
	return v
}

// Status tells how the Enricher stands.
type Status struct {
	Rules      string       `json:"rules,omitempty"`    // RulesHash
	Instances  int          `json:"instances"`          // of which something is remembered
	StateBytes int64        `json:"state_bytes"`        // what is remembered of series, roughly
	Exceeded   []Exceeded   `json:"exceeded,omitempty"` // who has more series than a day may have
	Networks   int          `json:"networks"`           // prefixes in use
	Error      string       `json:"error,omitempty"`    // of the files of networks
	Geo        []geo.Status `json:"geo,omitempty"`
}

// Status tells how the Enricher stands.
func (e *Enricher) Status() Status {
	c := e.cur.Load()
	s := Status{Rules: c.hash, Instances: e.states.len(), StateBytes: e.states.bytes.Load(), Exceeded: e.over.list(), Networks: c.networks.len(), Geo: c.cfg.Geo.Status()}
	if err := c.networks.err(); err != nil {
		s.Error = err.Error()
	}
	return s
}

// Enrich implements enrich.Enricher.
func (e *Enricher) Enrich(s *collector.Snapshot) {
	c := e.cur.Load()
	st := e.states.get(s.Instance.Key)
	defer st.mu.Unlock()
	st.seen, st.interval = s.Time, s.Interval
	t, ask := e.read(c, st, s)
	if st.shape.slot.handed(s) {
		st.shape.last = time.Time{} // what another collector has counted is not counted again
	}
	st.shape.slot = pulled{at: slotOf(s), term: s.Term, interval: s.Interval}
	if s.Outcome == collector.OK {
		switch p := c.of(s.Instance.Source); {
		case p.active && ask:
			e.walk(c, p, st, s, &t)
		case p.active:
			e.walk(c, p, st, s, nil)
		default:
			e.bury(&st.shape)
			if ask {
				t.samples(s)
			}
		}
		if ask {
			st.told(&t)
		}
	}
	if c.places {
		s.GeoBuild = c.cfg.Geo.Build()
	}
	s.Tags = e.compose(c, st, s)
}
