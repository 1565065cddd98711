package collect

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
)

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
	ClockSkew        float64           `json:"clockSkew,omitzero"`  // ours: seconds by which its clock is ahead, where it is more than one
	PeriodNote       string            `json:"periodNote,omitzero"` // ours: why its distributions are not those of ostrich_period
}

type droppedTarget struct {
	DiscoveredLabels map[string]string `json:"discoveredLabels"`
	ScrapePool       string            `json:"scrapePool"`
	Reason           string            `json:"reason"` // ours: which rule dropped it, or who else pulls it
}

// serveTargets has the shape of Prometheus' API: active targets are those that this collector pulls, dropped ones those that a rule dropped, that another job
// pulls, or another collector.
func (d *Daemon) serveTargets(w http.ResponseWriter, r *http.Request) {
	state, pool := strings.ToLower(cmp.Or(r.FormValue("state"), "any")), r.FormValue("scrapePool")
	if state != "active" && state != "dropped" && state != "any" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		answer(w, map[string]string{"status": "error", "errorType": "bad_data", "error": fmt.Sprintf("state %q: use active, dropped or any", r.FormValue("state"))})
		return
	}
	p := newReply(w, r)
	defer p.close()
	p.raw(`{"status":"success","data":{"activeTargets":`)
	p.open()
	all := &query{}
	if state != "dropped" {
		d.each(all, func(e *discovery.Entry) {
			job := discovery.JobOf(e.Source)
			if !e.State.Scraped() || pool != "" && pool != job {
				return
			}
			if t, pulled := d.pool.Find(scrape.TargetKey{Key: e.Key, Job: job}); pulled {
				p.item(d.activeTarget(t))
			}
		})
	}
	p.shut()
	p.raw(`,"droppedTargets":`)
	p.open()
	counts := map[string]int{}
	drop := func(e *discovery.Entry, why string) {
		job := discovery.JobOf(e.Source)
		if pool != "" && pool != job {
			return
		}
		counts[job]++
		if state != "active" {
			p.item(droppedTarget{d.discovered(&e.Instance), job, why})
		}
	}
	d.each(all, func(e *discovery.Entry) {
		if e.State == discovery.Filtered {
			drop(e, e.Reason)
			return
		}
		if !e.State.Scraped() {
			return
		}
		if _, pulled := d.pool.Find(scrape.TargetKey{Key: e.Key, Job: discovery.JobOf(e.Source)}); !pulled {
			drop(e, "this collector does not pull it")
		}
	})
	for _, e := range d.roster.Shadowed() {
		drop(&e, e.Reason)
	}
	p.shut()
	p.raw(`,"droppedTargetCounts":`)
	p.value(counts)
	p.raw("}}")
}

// discovered is what relabelling sees of an instance, with the job's own settings as Prometheus names them.
func (d *Daemon) discovered(i *discovery.Instance) map[string]string {
	out := i.MetaMap()
	out["__address__"], out["job"] = i.ScrapeAddr(), discovery.JobOf(i.Source)
	if j := (*d.jobs.Load())[discovery.JobOf(i.Source)]; j.Job != nil {
		out["__scheme__"], out["__metrics_path__"] = j.Scheme, j.MetricsPath
		out["__scrape_interval__"], out["__scrape_timeout__"] = config.Duration(j.Interval).String(), config.Duration(j.Timeout).String()
		for n := range j.Params {
			out["__param_"+n] = "<secret>" // a token may stand there
		}
	}
	return out
}

func (d *Daemon) activeTarget(t scrape.TargetStatus) activeTarget {
	i := &t.Instance
	labels := i.Tags.Map()
	labels["job"], labels["instance"], labels["env"] = i.Service, i.Addr(), i.Env // job is the service, in every output of Prometheus' shape
	at := config.RedactURL(t.URL)                                                 // params may hold a token
	return activeTarget{DiscoveredLabels: d.discovered(i), Labels: labels, ScrapePool: t.Job.Name, ScrapeURL: at, GlobalURL: at, LastError: t.LastError,
		LastScrape: t.LastScrape, LastDuration: t.LastDuration.Seconds(), Health: t.Health, Interval: config.Duration(t.Interval).String(), Timeout: config.Duration(t.Timeout).String(), ClockSkew: t.Skew.Seconds(), PeriodNote: t.PeriodNote}
}
