package collect

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink"
)

// Routes adds the collector's API.
func (d *Daemon) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/targets", d.serveTargets)
	mux.HandleFunc("GET /api/v1/roster", d.serveRoster)
	mux.HandleFunc("GET /api/v1/ledger", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.ledger.Report(time.Now())) })
	mux.HandleFunc("GET /api/v1/collector", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Status()) })
	mux.HandleFunc("GET /api/v1/status/config", func(w http.ResponseWriter, _ *http.Request) {
		text, err := d.Config().YAML()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, prometheus{"success", map[string]string{"yaml": text}})
	})
}

// prometheus is the envelope of Prometheus' API.
type prometheus struct {
	Status string `json:"status"`
	Data   any    `json:"data"`
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // a broken connection is the reader's loss
}

// activeTarget has the keys of Prometheus' /api/v1/targets.
type activeTarget struct {
	DiscoveredLabels map[string]string `json:"discoveredLabels"`
	Labels           map[string]string `json:"labels"`
	ScrapePool       string            `json:"scrapePool"`
	ScrapeURL        string            `json:"scrapeUrl"`
	GlobalURL        string            `json:"globalUrl"`
	LastError        string            `json:"lastError"`
	LastScrape       time.Time         `json:"lastScrape"`
	LastDuration     float64           `json:"lastScrapeDuration"`
	Health           string            `json:"health"`
	Interval         string            `json:"scrapeInterval"`
	Timeout          string            `json:"scrapeTimeout"`
}

type droppedTarget struct {
	DiscoveredLabels map[string]string `json:"discoveredLabels"`
	ScrapePool       string            `json:"scrapePool"`
	Reason           string            `json:"reason"`
}

func (d *Daemon) serveTargets(w http.ResponseWriter, r *http.Request) {
	state, pool := cmp.Or(r.FormValue("state"), "any"), r.FormValue("scrapePool")
	if !slices.Contains([]string{"active", "dropped", "any"}, strings.ToLower(state)) {
		w.WriteHeader(http.StatusBadRequest)
		answer(w, map[string]string{"status": "error", "errorType": "bad_data", "error": fmt.Sprintf("state %q: use active, dropped or any", state)})
		return
	}
	active, dropped := []activeTarget{}, []droppedTarget{}
	for _, t := range d.pool.Status() {
		if state == "dropped" || pool != "" && pool != t.Job.Name {
			continue
		}
		active = append(active, d.activeTarget(t))
	}
	for _, e := range append(d.roster.Entries(), d.roster.Shadowed()...) {
		if e.State != discovery.Filtered || state == "active" || pool != "" && pool != jobOf(e.Source) {
			continue
		}
		dropped = append(dropped, droppedTarget{discovered(&e.Instance), jobOf(e.Source), e.Reason})
	}
	answer(w, prometheus{"success", map[string]any{"activeTargets": active, "droppedTargets": dropped}})
}

// discovered is what relabelling sees of an instance.
func discovered(i *discovery.Instance) map[string]string {
	out := i.Meta.Map()
	out["__address__"], out["job"] = i.ScrapeAddr(), jobOf(i.Source)
	return out
}

func (d *Daemon) activeTarget(t scrape.TargetStatus) activeTarget {
	i := &t.Instance
	labels := i.Tags.Map()
	labels["job"], labels["instance"], labels["env"] = i.Service, i.Addr(), i.Env // job is the service, in every output of Prometheus' shape
	at := config.RedactURL(t.URL)                                                 // params may hold a token
	return activeTarget{DiscoveredLabels: discovered(i), Labels: labels, ScrapePool: t.Job.Name, ScrapeURL: at, GlobalURL: at,
		LastError: t.LastError, LastScrape: t.LastScrape, LastDuration: t.LastDuration.Seconds(), Health: t.Health, Interval: t.Interval.String(), Timeout: t.Timeout.String()}
}

func (d *Daemon) serveRoster(w http.ResponseWriter, r *http.Request) {
	env, state, q := r.FormValue("env"), r.FormValue("state"), strings.ToLower(r.FormValue("q"))
	out := []discovery.Entry{}
	for _, e := range d.roster.Entries() {
		if env != "" && e.Env != env || state != "" && string(e.State) != state || q != "" && !strings.Contains(strings.ToLower(e.ID()+" "+e.Member), q) {
			continue
		}
		out = append(out, e)
	}
	answer(w, map[string]any{"as_of": time.Now().UnixMilli(), "entries": out, "views": d.roster.Views()})
}

// Status is the collector's own account, for `rollcall status` and the page.
type Status struct {
	AsOf     int64                   `json:"as_of"`
	Roster   map[discovery.State]int `json:"roster"` // instances by state
	Sources  []discovery.View        `json:"sources"`
	Outcomes map[string]int          `json:"outcomes"` // targets by the outcome of their last scrape
	Delivery sink.Sums               `json:"delivery"`
	Kafka    string                  `json:"kafka,omitempty"` // what is wrong with it, empty if nothing
	Loaded   int64                   `json:"config_loaded"`   // when the configuration in force was read
	ConfigOK bool                    `json:"config_ok"`       // false: the file on disk is not what runs
}

// Status is at most a second old, for it costs a look at every instance: every page asks for it at every tick. The caller must not change its maps.
func (d *Daemon) Status() Status { return d.status.get(time.Second, d.lookAround) }

func (d *Daemon) lookAround() Status {
	now := time.Now()
	s := Status{AsOf: now.UnixMilli(), Roster: map[discovery.State]int{}, Sources: d.roster.Views(), Outcomes: map[string]int{},
		Delivery: d.ledger.Report(now).Total, Kafka: d.sink.Status().Trouble, Loaded: d.own.reloadTime.Load() * 1000, ConfigOK: d.own.reloadOK.Load() == 1}
	for _, e := range d.roster.Entries() {
		s.Roster[e.State]++
	}
	for _, t := range d.pool.Status() {
		word := "not scraped yet"
		if !t.LastScrape.IsZero() {
			word = t.Outcome.String()
		}
		s.Outcomes[word]++
	}
	return s
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
