package collect

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// serveSD is Prometheus' HTTP service discovery: the full list each time, or 304 for one who has it. Without a state those are listed that are scraped.
func (d *Daemon) serveSD(w http.ResponseWriter, r *http.Request) {
	q, err := queryOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if len(q.states) == 0 {
		q.states = []string{scrapedWord}
	}
	// Taken before the look at the roster: a list that is newer than its tag is only sent once more.
	tag := d.sdTag(r)
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-cache")
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	now := time.Now()
	p := newReply(w, r)
	defer p.close()
	p.open()
	var last string    // the labels of the group that is open
	var targets []byte // of that group
	flush := func() {
		if len(targets) > 0 {
			p.comma()
			p.raw(`{"targets":[`)
			p.out.Write(targets)
			p.raw(`],"labels":` + last + "}")
			targets = targets[:0]
		}
	}
	d.each(&q, func(e *discovery.Entry) {
		if e.Host == "" || !q.entry(e) || !q.state(e, d.listing(e).Outcome != "", now) || d.forbids(e) {
			return
		}
		labels, err := json.Marshal(sdLabels(e)) // sorted by name
		if err != nil {
			return
		}
		if string(labels) != last || len(targets) > 32<<10 {
			flush()
			last = string(labels)
		}
		if len(targets) > 0 {
			targets = append(targets, ',')
		}
		targets = strconv.AppendQuote(targets, e.ScrapeAddr()) // host and port: nothing in them is quoted otherwise than in JSON
	})
	flush()
	p.shut()
}

// forbids reports that an entry stands at an address that its job must not dial: whoever reads our list must not be sent there either. Of a name only the dial can
// tell.
func (d *Daemon) forbids(e *discovery.Entry) bool {
	at, err := netip.ParseAddrPort(e.ScrapeAddr())
	if err != nil {
		return false
	}
	j := (*d.jobs.Load())[discovery.JobOf(e.Source)]
	return j.Job != nil && j.Allow.Check(at) != nil
}

// sdTag stands for all that the answer is made of: the start, the roster's version, what is read differently with time alone, and the question.
func (d *Daemon) sdTag(r *http.Request) string {
	h := fnv.New64a()
	fmt.Fprint(h, d.published.ident.Collector, d.published.ident.Start, d.roster.Version(), d.roster.Counts(), d.own.reloadTime.Load(), r.URL.RawQuery)
	return fmt.Sprintf(`"%x-gz%t"`, h.Sum64(), takesGzip(r))
}

// matches reports whether a list of tags has tag.
func matches(list, tag string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if t = strings.TrimPrefix(strings.TrimSpace(t), "W/"); t == tag || t == "*" {
			return true
		}
	}
	return false
}

// sdLabels are an entry's labels for Prometheus: what its serverset_sd and nerve_sd call by these names, what we know beside, and job and env, which are the
// service's everywhere in our outputs. Where the member itself names a scheme, it is followed; a path for statistics is no path of Prometheus' metrics, so it is
// a label to relabel with.
func sdLabels(e *discovery.Entry) map[string]string {
	out := e.MetaMap()
	set := func(name, v string) {
		if v != "" {
			out["__meta_rollcall_"+name] = v
		}
	}
	set("service", e.Service)
	set("env", e.Env)
	set("instance", e.Addr())
	set("state", string(e.State))
	set("job", discovery.JobOf(e.Source))
	set("path", e.Path)
	set("format", e.Format)
	set("status", e.Status)
	set("stats_path", e.StatsPath)
	if e.Shard != discovery.NoShard {
		set("shard", strconv.Itoa(int(e.Shard)))
	}
	for n, v := range e.Tags.All() {
		set("tag_"+labelName(n), v)
	}
	if e.Scheme != "" {
		out["__scheme__"] = e.Scheme
	}
	out["job"], out["env"] = e.Service, e.Env
	if e.ScrapeAddr() != e.Addr() {
		out["instance"] = e.Addr() // its name, wherever it is pulled from
	}
	if e.Env == "" {
		delete(out, "env")
	}
	if e.Format == "static" || e.Format == "file_sd" || e.Format == "http_sd" {
		delete(out, "__meta_rollcall_instance") // so that targets with the same labels stay one group; __address__ says the same
	}
	return out
}

// labelName makes a Prometheus label name of a tag's.
func labelName(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			b[i] = '_'
		}
	}
	return string(b)
}
