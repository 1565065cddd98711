package web

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// Told is one collector's answer to a question about its roster.
type Told struct {
	Collector string // its address, as it was configured
	Status    int    // of HTTP; 0: it did not answer
	Body      json.RawMessage
	Err       string // why it did not
}

// rosterPage is how many entries one answer holds where nothing else is asked for, rosterLimit how many at most.
const (
	rosterPage  = 1000
	rosterLimit = 20_000
)

// graveness orders states for those who look for trouble: the higher, the graver.
var graveness = map[string]int{"filtered": 0, "departed": 1, "present": 2, "quarantined": 3, "unconfirmed": 4, "failing": 5, "unparsable": 6}

func grave(l *dashboards.RosterLine) int {
	if l.Missing {
		return 7
	}
	return graveness[l.State]
}

// rosterOrders are what a roster may be sorted by; a minus before the name turns it round. Equals stay in the order of service and instance.
var rosterOrders = map[string]func(a, b *dashboards.RosterLine) int{
	"state":    func(a, b *dashboards.RosterLine) int { return cmp.Compare(grave(a), grave(b)) },
	"instance": func(a, b *dashboards.RosterLine) int { return strings.Compare(a.Instance, b.Instance) },
	"service": func(a, b *dashboards.RosterLine) int {
		return strings.Compare(a.Service+"/"+a.Env, b.Service+"/"+b.Env)
	},
	"since":    func(a, b *dashboards.RosterLine) int { return cmp.Compare(b.Since, a.Since) },
	"owner":    func(a, b *dashboards.RosterLine) int { return strings.Compare(a.Owner, b.Owner) },
	"joined":   func(a, b *dashboards.RosterLine) int { return cmp.Compare(a.Joined, b.Joined) },
	"verified": func(a, b *dashboards.RosterLine) int { return cmp.Compare(a.Verified, b.Verified) },
	"path":     func(a, b *dashboards.RosterLine) int { return strings.Compare(a.Path, b.Path) },
	"by":       func(a, b *dashboards.RosterLine) int { return strings.Compare(a.By, b.By) },
}

func (s *Server) roster(r *http.Request) (any, error) {
	var env, region, state, q, service, offset, limit, sort string
	if err := params(r, map[string]*string{"env": &env, "region": &region, "state": &state, "q": &q, "service": &service, "offset": &offset, "limit": &limit, "sort": &sort}); err != nil {
		return nil, err
	}
	from, most := 0, rosterPage
	for _, n := range []struct {
		name, text string
		into       *int
	}{{"offset", offset, &from}, {"limit", limit, &most}} {
		if n.text != "" {
			var err error
			if *n.into, err = strconv.Atoi(n.text); err != nil || *n.into < 0 {
				return nil, badRequest("%s=%q is no number of entries", n.name, clip(n.text))
			}
		}
	}
	by := rosterOrders[strings.TrimPrefix(sort, "-")]
	if sort != "" && by == nil {
		return nil, badRequest("sort=%q: use state, instance, service, owner, since, joined, verified, path or by, with a - before it for the other way round", clip(sort))
	}
	views := shown(s.views(r.Context())) // they may take their time: before there is a place to keep
	if err := s.gate.Enter(r.Context()); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	words := strings.Fields(strings.ToLower(q))
	words = words[:min(len(words), mostAsked)]
	counts := map[string]int{}
	missing := 0
	entries := s.cfg.Board.Roster(func(l *dashboards.RosterLine) bool {
		if env != "" && l.Env != env || region != "" && regionOf(l.Tags) != region || service != "" && l.Service != service || !holds(l, words) {
			return false
		}
		if counts[l.State]++; l.Missing {
			missing++
		}
		return state == "" || l.State == state || state == "missing" && l.Missing
	})
	if by != nil {
		turn := 1
		if strings.HasPrefix(sort, "-") {
			turn = -1
		}
		slices.SortStableFunc(entries, func(a, b dashboards.RosterLine) int { return turn * by(&a, &b) })
	}
	total := len(entries)
	entries = entries[min(from, total):]
	entries = entries[:min(most, rosterLimit, len(entries))]
	return written(struct {
		AsOf    int64                   `json:"as_of"`
		Entries []dashboards.RosterLine `json:"entries"`
		Total   int                     `json:"total"`
		Counts  map[string]int          `json:"counts"`
		Missing int                     `json:"missing"`
		Views   []view                  `json:"views"`
	}{s.cfg.Board.Now("").AsOf.UnixMilli(), entries, total, counts, missing, views})
}

// views is what the sources say of themselves: those in this process, else those of the collectors that can be asked.
func (s *Server) views(ctx context.Context) []discovery.View {
	if s.cfg.Views != nil {
		return s.cfg.Views()
	}
	var out []discovery.View
	blind, of := map[string][]string{}, map[string]int{}
	for _, t := range s.ask(ctx, "/api/v1/collector", nil) {
		var said struct{ Sources []discovery.View }
		if t.Status != http.StatusOK || json.Unmarshal(t.Body, &said) != nil {
			continue
		}
		for _, v := range said.Sources {
			if of[v.Source]++; !v.Connected || v.ReadOnly || v.Err != "" {
				blind[v.Source] = append(blind[v.Source], t.Collector)
			}
		}
		out = append(out, said.Sources...)
	}
	for i := range out { // the best is shown, and says that others are worse off
		v := &out[i]
		if n := len(blind[v.Source]); n > 0 && n < of[v.Source] && v.Err == "" {
			v.Err = fmt.Sprintf("%d of %d collectors do not see it: %s", n, of[v.Source], strings.Join(blind[v.Source], ", "))
		}
	}
	return newest(out, func(v *discovery.View) string { return v.Source }, func(v *discovery.View) time.Time { return v.LastHeard })
}

// ask asks every collector that is known.
func (s *Server) ask(ctx context.Context, path string, q url.Values) []Told {
	if s.cfg.Ask == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return s.cfg.Ask(ctx, path, q)
}

// askFor bounds how long collectors may take: a page would rather say that one does not answer.
const askFor = 3 * time.Second

// asked says of each collector whether it answered.
type asked struct {
	Collector string `json:"collector"`
	Error     string `json:"error,omitempty"`
}

// known are the collectors that were asked; Known is false where there is none to ask, so that what only they know is not known here.
type known struct {
	AsOf       int64   `json:"as_of"`
	Known      bool    `json:"known"`
	Collectors []asked `json:"collectors"`
}

func knownOf(told []Told) known {
	k := known{AsOf: time.Now().UnixMilli(), Known: len(told) > 0, Collectors: []asked{}}
	for _, t := range told {
		a := asked{Collector: t.Collector, Error: t.Err}
		if a.Error == "" && t.Status != http.StatusOK {
			a.Error = "answers " + strconv.Itoa(t.Status)
		}
		k.Collectors = append(k.Collectors, a)
	}
	return k
}

// newest keeps, of those with one name, the one that was heard or verified last, in the order of names.
func newest[T any](all []T, name func(*T) string, at func(*T) time.Time) []T {
	best := map[string]int{}
	out := []T{}
	for i := range all {
		n := name(&all[i])
		if j, has := best[n]; !has {
			best[n] = len(out)
			out = append(out, all[i])
		} else if at(&all[i]).After(at(&out[j])) {
			out[j] = all[i]
		}
	}
	slices.SortFunc(out, func(a, b T) int { return strings.Compare(name(&a), name(&b)) })
	return out
}

// guards is which guards hold somebody, and which orders are in force.
func (s *Server) guards(r *http.Request) (any, error) {
	var told, ordered []Told
	var both sync.WaitGroup
	both.Go(func() { told = s.ask(r.Context(), "/api/v1/roster/guards", nil) })
	both.Go(func() { ordered = s.ask(r.Context(), "/api/v1/orders", nil) })
	both.Wait()
	guards, orders := []discovery.Guard{}, []discovery.Order{}
	for _, t := range told {
		var said struct{ Guards []discovery.Guard }
		if json.Unmarshal(t.Body, &said) == nil {
			guards = append(guards, said.Guards...)
		}
	}
	for _, t := range ordered {
		var said struct{ Orders []discovery.Order }
		if t.Status == http.StatusOK && json.Unmarshal(t.Body, &said) == nil {
			orders = append(orders, said.Orders...)
		}
	}
	return struct {
		known
		Guards []discovery.Guard `json:"guards"`
		Orders []discovery.Order `json:"orders"`
	}{knownOf(told), newest(guards, func(g *discovery.Guard) string { return g.Scope + " " + g.Source }, func(g *discovery.Guard) time.Time { return g.Since }),
		newest(orders, func(o *discovery.Order) string { return o.ID }, func(o *discovery.Order) time.Time { return o.At })}, nil
}

// paths is what is known of each path, those in trouble first.
func (s *Server) paths(r *http.Request) (any, error) {
	var q, limit string
	if err := params(r, map[string]*string{"q": &q, "limit": &limit}); err != nil {
		return nil, err
	}
	most := rosterPage
	if n, err := strconv.Atoi(limit); err == nil && n >= 0 {
		most = min(n, rosterLimit)
	}
	ask := url.Values{}
	if q != "" {
		ask.Set("q", q)
	}
	told := s.ask(r.Context(), "/api/v1/roster/paths", ask)
	var all []discovery.PathState
	for _, t := range told {
		var said struct{ Paths []discovery.PathState }
		if json.Unmarshal(t.Body, &said) == nil {
			all = append(all, said.Paths...)
		}
	}
	all = newest(all, func(p *discovery.PathState) string { return p.Source + " " + p.Path }, func(p *discovery.PathState) time.Time { return p.Verified })
	slices.SortStableFunc(all, func(a, b discovery.PathState) int { return cmp.Compare(troubled(&b), troubled(&a)) })
	total := len(all)
	return struct {
		known
		Paths []discovery.PathState `json:"paths"`
		Total int                   `json:"total"`
	}{knownOf(told), all[:min(most, total)], total}, nil
}

func troubled(p *discovery.PathState) int {
	switch {
	case p.Guard != "":
		return 3
	case p.Err != "" || p.Stale || p.Loaded:
		return 2
	case p.Unparsable > 0:
		return 1
	}
	return 0
}

// why passes on the story of one instance by the first collector that has one.
func (s *Server) why(r *http.Request) (any, error) {
	name, err := param(r, "instance")
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, badRequest("say who: instance=SERVICE/ENV/HOST:PORT")
	}
	told := s.ask(r.Context(), "/api/v1/roster/why", url.Values{"instance": {name}})
	if len(told) == 0 {
		return nil, &problem{http.StatusNotFound, "only a collector knows why, and none is named here: set dashboards.collectors in the configuration of serve"}
	}
	var best *Told
	for i, t := range told {
		if t.Status == http.StatusOK {
			best = &told[i]
			break
		}
		if best == nil || t.Status == http.StatusNotFound {
			best = &told[i]
		}
	}
	if best.Status == http.StatusOK {
		return best.Body, nil
	}
	var said struct{ Error string }
	json.Unmarshal(best.Body, &said) // else its Err says it
	return nil, &problem{cmp.Or(best.Status, http.StatusBadGateway), cmp.Or(said.Error, best.Err, "the collector does not say why")}
}
