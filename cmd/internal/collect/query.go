package collect

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// query says which entries somebody asks for; the zero value is all.
type query struct {
	service, env, path, job, text string
	states                        []string // of discovery.State, or one of the words below; none: all
	limit, offset                 int      // of entries; limit 0: all
}

// Words for more than one state, or for a part of one.
const (
	scrapedWord = "scraped" // everyone who is pulled from
	missingWord = "missing" // departed without an excuse, lately
	silentWord  = "silent"  // its last scrape failed
)

var stateWords = []string{string(discovery.Present), string(discovery.Unconfirmed), string(discovery.Quarantined), string(discovery.Failing),
	string(discovery.Departed), string(discovery.Unparsable), string(discovery.Filtered), scrapedWord, missingWord, silentWord}

// maxQuery bounds each of a query's texts.
const maxQuery = 1000

func queryOf(r *http.Request) (q query, err error) {
	v := r.URL.Query()
	for name := range v {
		if len(v.Get(name)) > maxQuery {
			return q, fmt.Errorf("%s is of %d bytes; give %d at most", name, len(v.Get(name)), maxQuery)
		}
	}
	q = query{service: v.Get("service"), env: v.Get("env"), path: v.Get("path"), job: v.Get("job"), text: strings.ToLower(strings.TrimSpace(v.Get("q")))}
	for s := range strings.SplitSeq(strings.Join(v["state"], ","), ",") {
		if s = strings.ToLower(strings.TrimSpace(s)); s == "" {
			continue
		}
		if !slices.Contains(stateWords, s) {
			return q, fmt.Errorf("state %q: use %s", s, strings.Join(stateWords, ", "))
		}
		q.states = append(q.states, s)
	}
	for name, into := range map[string]*int{"limit": &q.limit, "offset": &q.offset} {
		if s := v.Get(name); s != "" {
			if *into, err = strconv.Atoi(s); err != nil || *into < 0 {
				return q, fmt.Errorf("%s=%q is no number of entries", name, s)
			}
		}
	}
	return q, nil
}

// group reports whether the query may ask for somebody of this service.
func (q *query) group(service, env string) bool {
	return (q.service == "" || q.service == service) && (q.env == "" || q.env == env)
}

// entry reports whether the query asks for e, its state aside.
func (q *query) entry(e *discovery.Entry) bool {
	return q.group(e.Service, e.Env) && q.at(e.Path) && (q.job == "" || q.job == discovery.JobOf(e.Source)) && (q.text == "" || holds(e, q.text))
}

// at reports whether path is at or below the query's.
func (q *query) at(path string) bool {
	return q.path == "" || path == q.path || strings.HasPrefix(path, strings.TrimSuffix(q.path, "/")+"/")
}

// state reports whether the query asks for those in the state of e, which is silent where its last scrape failed.
func (q *query) state(e *discovery.Entry, silent bool, now time.Time) bool {
	return len(q.states) == 0 || slices.ContainsFunc(q.states, func(s string) bool {
		switch s {
		case scrapedWord:
			return e.State.Scraped()
		case missingWord:
			return e.Missing(now)
		case silentWord:
			return silent
		}
		return s == string(e.State)
	})
}

// holds reports whether any of what people search by has the text, which is in lower case.
func holds(e *discovery.Entry, text string) bool {
	for _, s := range []string{e.ID(), e.Member, e.Reason, e.Path, string(e.Cause)} {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	for _, v := range e.Tags.All() {
		if strings.Contains(strings.ToLower(v), text) {
			return true
		}
	}
	return false
}

// each calls f with every entry of the services that q asks for, in order. It holds a copy of one service at a time, so the answer is of one moment a service.
func (d *Daemon) each(q *query, f func(*discovery.Entry)) {
	for _, g := range d.roster.Groups() {
		if !q.group(g.Service, g.Env) {
			continue
		}
		list := d.roster.Of(g.Service, g.Env)
		for i := range list {
			f(&list[i])
		}
	}
}
