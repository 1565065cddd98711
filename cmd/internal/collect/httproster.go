package collect

import (
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// Listing is an entry of the roster as it is listed.
type Listing struct {
	discovery.Entry
	// How its last scrape failed; empty where it did not, or another collector makes it.
	Outcome   string `json:"outcome,omitempty"`
	LastError string `json:"last_error,omitempty"`
}

func (d *Daemon) listing(e *discovery.Entry) Listing {
	l := Listing{Entry: *e}
	if !e.State.Scraped() {
		return l
	}
	if t, ok := d.pool.Find(scrape.TargetKey{Key: e.Key, Job: discovery.JobOf(e.Source)}); ok && t.Outcome != collector.OK {
		l.Outcome, l.LastError = t.Outcome.String(), t.LastError
	}
	return l
}

// serveRoster answers with the entries that are asked for, in order. Total and counts are known at the end, so they stand there.
func (d *Daemon) serveRoster(w http.ResponseWriter, r *http.Request) {
	q, err := queryOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	now := time.Now()
	p := newReply(w, r)
	defer p.close()
	p.raw(`{"as_of":`)
	p.value(now.UnixMilli())
	p.raw(`,"version":`)
	p.value(d.roster.Version())
	p.raw(`,"entries":`)
	p.open()
	total, counts := 0, map[discovery.State]int{}
	d.each(&q, func(e *discovery.Entry) {
		if !q.entry(e) {
			return
		}
		counts[e.State]++
		l := d.listing(e)
		if !q.state(e, l.Outcome != "", now) {
			return
		}
		total++
		if total > q.offset && (q.limit == 0 || total-q.offset <= q.limit) {
			p.item(&l)
		}
	})
	p.shut()
	p.raw(`,"total":`)
	p.value(total)
	p.raw(`,"counts":`)
	p.value(counts)
	p.raw(`,"views":`)
	p.value(d.roster.Views())
	p.raw("}")
}

func (d *Daemon) serveGroups(w http.ResponseWriter, r *http.Request) {
	d.list(w, r, "groups", func(q *query, add func(any)) {
		for _, g := range d.roster.Groups() {
			if q.group(g.Service, g.Env) && (q.text == "" || strings.Contains(strings.ToLower(g.Service+"/"+g.Env), q.text)) {
				add(g)
			}
		}
	})
}

func (d *Daemon) servePaths(w http.ResponseWriter, r *http.Request) {
	d.list(w, r, "paths", func(q *query, add func(any)) {
		for _, s := range d.roster.Paths() {
			if q.group(s.Service, s.Env) && q.at(s.Path) && (q.job == "" || q.job == discovery.JobOf(s.Source)) && (q.text == "" || strings.Contains(strings.ToLower(s.Path+" "+s.Source+" "+s.Service), q.text)) {
				add(s)
			}
		}
	})
}

func (d *Daemon) serveGuards(w http.ResponseWriter, r *http.Request) {
	d.list(w, r, "guards", func(q *query, add func(any)) {
		for _, g := range d.roster.Guards() {
			if q.at(g.Scope) {
				add(g)
			}
		}
	})
}

// list answers with a list of its own name, and how many there are in all.
func (d *Daemon) list(w http.ResponseWriter, r *http.Request, name string, walk func(q *query, add func(any))) {
	q, err := queryOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	p := newReply(w, r)
	defer p.close()
	p.raw(`{"as_of":`)
	p.value(time.Now().UnixMilli())
	p.raw(`,"` + name + `":`)
	p.open()
	total := 0
	walk(&q, func(v any) {
		if total++; total > q.offset && (q.limit == 0 || total-q.offset <= q.limit) {
			p.item(v)
		}
	})
	p.shut()
	p.raw(`,"total":`)
	p.value(total)
	p.raw("}")
}
