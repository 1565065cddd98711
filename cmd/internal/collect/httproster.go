package collect

import (
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

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
		if !q.state(e, now) {
			return
		}
		total++
		if total > q.offset && (q.limit == 0 || total-q.offset <= q.limit) {
			p.item(e)
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
