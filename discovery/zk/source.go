package zk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// Rule says which paths are serversets, and how their members are read.
type Rule struct {
	Pattern serverset.Pattern
	Options serverset.Options
}

// SourceConfig says what a Source follows. Name and Rules have no default.
type SourceConfig struct {
	Name  string // of the scrape job
	Rules []Rule // a path that several match belongs to the first
	// MaxMembers of one serverset are read; those beyond are unparsable, with that reason. Default 50,000.
	MaxMembers int
	// InFlight is how many requests are under way at once, at most: a server that throttles or is slow gets fewer. Default 256.
	InFlight int
	// ListEvery is the least time between two lists of one path where the server has no recursive watches. Default 1 s.
	ListEvery time.Duration
	// Reconcile is how often everything is listed again although nothing was lost; up to a tenth is added by chance. Default 30 min, as KingPin's.
	Reconcile time.Duration
	// RefreshRate is how many members a second are read again after a reconnect, for changes of their data while nobody looked. Default 2,000.
	RefreshRate int
	Log         *slog.Logger
	Metrics     *metrics.Set
}

func (c SourceConfig) withDefaults() SourceConfig {
	c.MaxMembers = cmp.Or(c.MaxMembers, 50_000)
	c.InFlight = cmp.Or(c.InFlight, 256)
	c.ListEvery = cmp.Or(c.ListEvery, time.Second)
	c.Reconcile = cmp.Or(c.Reconcile, 30*time.Minute)
	c.RefreshRate = cmp.Or(c.RefreshRate, 2000)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
	return c
}

func (c SourceConfig) validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("name: none given"))
	}
	if len(c.Rules) == 0 {
		errs = append(errs, errors.New("rules: none given; name a path such as /discovery/{service}/{env}"))
	}
	for _, r := range c.Rules {
		if r.Pattern.Depth() == 0 {
			errs = append(errs, errors.New("rules: a pattern is empty; make it with serverset.ParsePattern"))
		}
		if err := r.Options.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("rules: %q: %w", r.Pattern, err))
		}
	}
	for _, b := range []struct {
		name string
		bad  bool
	}{{"max members", c.MaxMembers < 1}, {"in flight", c.InFlight < 1}, {"list every", c.ListEvery < 0}, {"reconcile", c.Reconcile < time.Second}, {"refresh rate", c.RefreshRate < 1}} {
		if b.bad {
			errs = append(errs, fmt.Errorf("%s: too small", b.name))
		}
	}
	return errors.Join(errs...)
}

// Source follows serversets over a Session. It implements discovery.Source; several may share a Session, which runs beside them.
type Source struct {
	cfg SourceConfig
	s   *Session
	m   sourceMetrics
}

type sourceMetrics struct {
	lists, reads, events, walks, published, shed *metrics.Counter
	sets, members, unparsable                    *metrics.Gauge
}

// NewSource checks the configuration.
func NewSource(cfg SourceConfig, s *Session) (*Source, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("make zookeeper source %q: %w", cfg.Name, err)
	}
	label := "{source=" + promtext.Quote(cfg.Name) + "}"
	count := func(what string) *metrics.Counter {
		return cfg.Metrics.GetOrCreateCounter("rollcall_discovery_zk_" + what + "_total" + label)
	}
	gauge := func(what string) *metrics.Gauge {
		return cfg.Metrics.GetOrCreateGauge("rollcall_discovery_zk_"+what+label, nil)
	}
	return &Source{cfg, s, sourceMetrics{count("lists"), count("reads"), count("events"), count("walks"), count("sets_published"), count("shed_requests"),
		gauge("serversets"), gauge("members"), gauge("unparsable_members")}}, nil
}

// Name is the name of the scrape job.
func (s *Source) Name() string { return s.cfg.Name }

// Run follows the serversets until ctx ends, and returns its error. The Session must run beside it; one of Sessions does so by itself.
func (s *Source) Run(ctx context.Context, out *discovery.Latest) error {
	defer s.s.Hold()()
	r := &run{Source: s, ctx: ctx, out: out, wake: make(chan struct{}, 1), pace: newPace(s.cfg.InFlight)}
	for _, root := range roots(s.cfg.Rules) {
		t := &tree{run: r, root: root, feed: s.s.follow(root, r.wake), sets: map[string]*set{}, lists: map[string]*listing{}, blind: map[string]string{}}
		for i := range s.cfg.Rules {
			if under(root, s.cfg.Rules[i].Pattern.Root()) {
				t.rules = append(t.rules, &s.cfg.Rules[i])
			}
		}
		r.trees = append(r.trees, t)
	}
	defer func() {
		for _, t := range r.trees {
			s.s.unfollow(t.feed)
		}
	}()
	return r.loop()
}

// under reports whether path is root or below it.
func under(root, path string) bool {
	return root == "/" || path == root || strings.HasPrefix(path, root+"/")
}

// roots are the paths to watch: those of the rules, without such as lie below another.
func roots(rules []Rule) []string {
	var all []string
	for _, r := range rules {
		all = append(all, r.Pattern.Root())
	}
	slices.Sort(all) // a path comes before what is below it
	var out []string
	for _, p := range all {
		if !slices.ContainsFunc(out, func(root string) bool { return under(root, p) }) {
			out = append(out, p)
		}
	}
	return out
}

// split takes a path apart; "/" has no parts.
func split(path string) []string {
	if path == "/" {
		return nil
	}
	return strings.Split(path[1:], "/")
}

func join(path, name string) string {
	if path == "/" {
		return "/" + name
	}
	return path + "/" + name
}

// parent is the path above, and the last name.
func parent(path string) (string, string) {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/", path[i+1:]
	}
	return path[:i], path[i+1:]
}

// explains reports whether the pattern matches path, or could match something below it.
func explains(p serverset.Pattern, parts []string) bool {
	if len(parts) > p.Depth() {
		return false
	}
	for i, name := range parts {
		if !p.MatchPart(i, name) {
			return false
		}
	}
	return true
}
