package collect

import (
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/enrich/tag"
	"github.com/rollcall-metrics/rollcall/sink"
)

// Status is the collector's own account, for `rollcall status` and the page.
type Status struct {
	AsOf     int64                   `json:"as_of"`
	Roster   map[discovery.State]int `json:"roster"` // instances by state
	Sources  []discovery.View        `json:"sources"`
	Guards   []discovery.Guard       `json:"guards"`
	Missing  Culprits                `json:"missing"`                   // departed without an excuse, lately
	Broken   Culprits                `json:"unparsable"`                // members that cannot be read
	Failed   map[string]Culprits     `json:"failed"`                    // targets by the outcome of their last scrape, those that were good aside
	OldPaths Culprits                `json:"old_paths"`                 // not verified for more than a minute though they are watched
	Unsaved  string                  `json:"unsaved,omitempty"`         // why the roster is not on disk: after a restart it would not be known
	Outcomes map[string]int          `json:"outcomes"`                  // targets by the outcome of their last scrape
	Bursts   []ShownOrder            `json:"bursts,omitempty"`          // what is pulled more often now, by whose order
	Orders   string                  `json:"orders_trouble,omitempty"`  // what stands among the group's orders and is not obeyed
	Series   []tag.Exceeded          `json:"series_exceeded,omitempty"` // who has more series than a day may have: the first by samples left out
	Delivery sink.Sums               `json:"delivery"`
	Kafka    string                  `json:"kafka,omitempty"` // what is wrong with it, empty if nothing
	TopicsAt TopicsAt                `json:"topics_at"`
	Loaded   int64                   `json:"config_loaded"` // when the configuration in force was read
	ConfigOK bool                    `json:"config_ok"`     // false: the file on disk is not what runs
	oldest   time.Duration           // since the path was verified that was so longest ago, those aside that guards hold
}

// Culprits are how many there are, and the first of them by name.
type Culprits struct {
	Count int      `json:"count"`
	Names []string `json:"names"`
}

const (
	namedCulprits = 10
	oldPath       = time.Minute // a path that is older is told of
)

func (c *Culprits) add(name string) {
	if c.Count++; len(c.Names) < namedCulprits {
		c.Names = append(c.Names, name)
	}
}

// Status is at most a second old, for it costs a look at every instance: every page asks for it at every tick. The caller must not change its maps.
func (d *Daemon) Status() Status { return d.status.get(time.Second, d.lookAround) }

func (d *Daemon) lookAround() Status {
	now := time.Now()
	s := Status{AsOf: now.UnixMilli(), Roster: d.roster.Counts(), Sources: d.roster.Views(), Guards: d.roster.Guards(), Outcomes: d.pool.Outcomes(), Failed: map[string]Culprits{},
		Delivery: d.ledger.Report(now).Total, Kafka: d.sink.Status().Trouble, TopicsAt: Place(d.Config().Kafka), Unsaved: d.journal.Status().Err, Loaded: d.own.reloadTime.Load() * 1000, ConfigOK: d.own.reloadOK.Load() == 1}
	var missing, broken, old []string
	failed, outcomes := map[string][]string{}, map[string]int{}
	troubled := len(s.Outcomes) > s.fine()
	if troubled || s.Roster[discovery.Unparsable] > 0 || s.Roster[discovery.Departed] > 0 {
		d.roster.Walk(func(e *discovery.Entry) bool {
			switch {
			case troubled && e.State.Scraped():
				t, ok := d.pool.Find(scrape.TargetKey{Key: e.Key, Job: discovery.JobOf(e.Source)})
				switch {
				case !ok:
				case t.LastScrape.IsZero():
					outcomes[scrape.NotPulled]++
				default:
					if outcomes[t.Outcome.String()]++; t.Outcome != collector.OK {
						failed[t.Outcome.String()] = append(failed[t.Outcome.String()], e.Key.String())
					}
				}
			case e.State == discovery.Unparsable:
				broken = append(broken, e.ID())
			case e.Missing(now):
				missing = append(missing, e.Key.String())
			}
			return true
		})
	}
	if troubled {
		s.Outcomes = outcomes // as they were when the names were taken: one number, not two of two moments
	}
	s.Missing, s.Broken = culprits(missing), culprits(broken)
	for word, names := range failed {
		s.Failed[word] = culprits(names)
	}
	oldAfter := oldAfter(d.Config())
	for _, p := range d.roster.Paths() {
		limit, ages := oldAfter(p.Source)
		if !ages || p.Guard != "" { // what a guard holds may be gone with its path
			continue
		}
		age := now.Sub(p.Verified)
		if !p.Verified.IsZero() {
			s.oldest = max(s.oldest, age)
		}
		if age > limit {
			old = append(old, p.Path)
		}
	}
	s.OldPaths = culprits(old)
	s.Series = d.enrich.Status().Exceeded
	s.Series = s.Series[:min(len(s.Series), namedCulprits)]
	s.Orders = d.sharing.now.Load().Status().Orders
	s.Bursts = slices.DeleteFunc(d.shownOrders(), func(o ShownOrder) bool { return o.Kind != discovery.BurstOrder })
	return s
}

// fine is how many of the outcomes are nobody's failure.
func (s *Status) fine() (n int) {
	for _, word := range []string{collector.OK.String(), scrape.NotPulled} {
		if s.Outcomes[word] > 0 {
			n++
		}
	}
	return n
}

// oldAfter says of a source when its paths are old: three rounds of asking where it asks, a minute at least. ages is false where the configuration itself holds them.
func oldAfter(c *config.Config) func(source string) (limit time.Duration, ages bool) {
	type rule struct {
		limit time.Duration
		ages  bool
	}
	rules := map[string]rule{}
	for i := range c.Scrape {
		s := &c.Scrape[i]
		r := rule{oldPath, len(s.Serverset)+len(s.Nerve)+len(s.Files)+len(s.HTTP)+len(s.ServersetFiles) > 0}
		for _, sd := range s.HTTP {
			r.limit = max(r.limit, 3*sd.Refresh.Std(listEvery))
		}
		for _, sd := range slices.Concat(s.Files, s.ServersetFiles) {
			r.limit = max(r.limit, 3*sd.Refresh.Std(0))
		}
		rules[s.JobName] = r
	}
	return func(source string) (time.Duration, bool) {
		if r, ok := rules[discovery.JobOf(source)]; ok {
			return r.limit, r.ages
		}
		return oldPath, true
	}
}

// culprits sorts names and keeps the first.
func culprits(names []string) (c Culprits) {
	slices.Sort(names)
	c.Names = []string{}
	for _, n := range names {
		c.add(n)
	}
	return c
}

// kept is a value that is made at most once in a while, by one of those who ask for it.
type kept[T any] struct {
	mu   sync.Mutex
	made time.Time // zero: never
	v    T
}

func (k *kept[T]) get(atMost time.Duration, fresh func() T) T {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.made.IsZero() || time.Since(k.made) >= atMost {
		k.v, k.made = fresh(), time.Now()
	}
	return k.v
}

// forget has the next one make it anew.
func (k *kept[T]) forget() {
	k.mu.Lock()
	k.made = time.Time{}
	k.mu.Unlock()
}

// Views is what every source says of itself.
func (d *Daemon) Views() []discovery.View { return d.roster.Views() }
