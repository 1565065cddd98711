package collect

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// Why is everything that made an entry of the roster what it is.
type Why struct {
	AsOf  int64           `json:"as_of"`
	Story discovery.Story `json:"story"`
	Pull  *Pull           `json:"pull"`  // its last scrape by this collector; null: this collector does not pull it
	Owner string          `json:"owner"` // the collector that pulls it; empty: not known here
	Burst *WhyBurst       `json:"burst,omitempty"`
	// Sentences say all of it in plain words, the most important first.
	Sentences []string `json:"sentences"`
}

// WhyBurst is the burst that has it pulled more often by this collector, or would.
type WhyBurst struct {
	Order discovery.Order `json:"order"`
	Not   string          `json:"not,omitempty"` // why it is not pulled more often all the same
}

// Pull is how the last scrape of a target went.
type Pull struct {
	URL     string    `json:"url"`
	At      time.Time `json:"at"` // zero: it was not scraped yet
	Outcome string    `json:"outcome"`
	Error   string    `json:"error,omitempty"`
	TookMS  float64   `json:"took_ms"`
	Samples int       `json:"samples"`
}

// Candidates is the answer to a name that fits several entries.
type Candidates struct {
	Error      string   `json:"error"`
	Candidates []string `json:"candidates"` // by ID, the first of Total
	Total      int      `json:"total"`
}

const maxCandidates = 20

// serveWhy answers with the one that is named by its ID (service/env/host:port), by host:port, or by any part of these that fits nobody else.
func (d *Daemon) serveWhy(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimSpace(r.FormValue("instance"))
	if name == "" || len(name) > maxQuery {
		refuse(w, http.StatusBadRequest, "say who: instance=HOST:PORT, instance=SERVICE/ENV/HOST:PORT, or a part of it")
		return
	}
	id, others, total := d.named(name)
	switch {
	case total == 0:
		refuse(w, http.StatusNotFound, "nobody on the roster is called "+clip(name, 100)+": it was never seen, or left more than a day ago; `rollcall ls` lists everyone")
		return
	case id == "":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusMultipleChoices)
		answer(w, Candidates{clip(name, 100) + " fits several; name one of them", others, total})
		return
	}
	story, err := d.roster.Why(id)
	if err != nil { // it went meanwhile
		refuse(w, http.StatusNotFound, err.Error())
		return
	}
	now := time.Now()
	out := Why{AsOf: now.UnixMilli(), Story: story, Owner: d.ownerOf(&story.Entry)}
	if t, ok := d.pool.Find(scrape.TargetKey{Key: story.Entry.Key, Job: discovery.JobOf(story.Entry.Source)}); ok {
		a := d.activeTarget(t)
		out.Pull = &Pull{URL: a.ScrapeURL, At: t.LastScrape, Outcome: t.Outcome.String(), Error: t.LastError, TookMS: float64(t.LastDuration.Microseconds()) / 1000, Samples: t.Samples}
	}
	out.Burst = d.burstOf(&story.Entry)
	out.Sentences = tell(&out, d.id(), now)
	answer(w, out)
}

// named finds an entry: by its ID, else the only one with that address or member name, else the only one whose ID or host name holds the text. Where several fit, id is
// empty and others are the first of them.
func (d *Daemon) named(name string) (id string, others []string, total int) {
	if e, err := d.roster.Find(name); err == nil {
		return e.ID(), nil, 1
	}
	text := strings.ToLower(name)
	var exact, part []string
	d.roster.Walk(func(e *discovery.Entry) bool {
		switch {
		case e.Host != "" && strings.EqualFold(e.Addr(), name) || e.Member == name || e.Tags.Get("host.name") == name:
			exact = append(exact, e.ID())
		case strings.Contains(strings.ToLower(e.ID()), text) || strings.Contains(strings.ToLower(e.Tags.Get("host.name")), text):
			part = append(part, e.ID())
		}
		return true
	})
	fits := exact
	if len(fits) == 0 {
		fits = part
	}
	if len(fits) == 1 {
		return fits[0], nil, 1
	}
	slices.Sort(fits)
	return "", fits[:min(len(fits), maxCandidates)], len(fits)
}

// id is this collector's name, as records carry it.
func (d *Daemon) id() string { return d.sharing.id }

// ownerOf is the id of the collector that pulls an entry; empty: nobody is known to.
func (d *Daemon) ownerOf(e *discovery.Entry) string {
	if !e.State.Scraped() {
		return ""
	}
	div := d.sharing.now.Load().Division()
	if div == nil {
		return ""
	}
	if c, ok := div.Owner(discovery.JobOf(e.Source), e.Key); ok {
		return c.ID
	}
	return ""
}

func clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
