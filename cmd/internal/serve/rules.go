package serve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/promql"
	"github.com/rollcall-metrics/rollcall/dashboards/rules"
)

const (
	// settleRules is for how long after the feed is live rules wait for what was told of their alerts before.
	settleRules = 3 * time.Second
	// ruleQueries is how many rules ask at once; people's queries do not hold them up, nor they those.
	ruleQueries = 2
	// maxFiring bounds the alerts that the page names.
	maxFiring = 5
)

// ruling is the rules of people, evaluated over the windows.
type ruling struct {
	*rules.Manager
	store *rules.Store
	d     *Daemon

	mu       sync.Mutex
	next     *rules.Set        // read, and not in force yet
	nextWith map[string]string // external labels, likewise
	external map[string]string
	gives    map[string]bool // names of series, since the start
}

// LoadRules reads the rule files that a configuration names.
func LoadRules(c *config.Config) (*rules.Set, error) { return rules.Load(c.RuleFiles, ruleOptions(c)) }

func ruleOptions(c *config.Config) rules.Options {
	o := rules.Options{Interval: c.Global.EvaluationInterval.Std(0), Offset: c.Global.RuleQueryOffset.Std(0), ExternalURL: c.Alerting.ExternalURL.Reveal(), ExternalLabels: map[string]string{}}
	for name, v := range c.Global.ExternalLabels { // tags, whose names become those of labels
		o.ExternalLabels[promql.LabelName(name)] = v
	}
	return o
}

func newRuling(c *config.Config, d *Daemon) (*ruling, error) {
	r := &ruling{d: d, store: rules.NewStore(c.Dashboards.Window.Std(config.DefaultWindow)), external: ruleOptions(c).ExternalLabels, gives: map[string]bool{}}
	asks, err := d.promql(c, func(p *promql.Config) {
		p.Also, p.Concurrent, p.Waiting, p.Metrics = r.store, ruleQueries, rules.MaxRules, nil
	})
	if err != nil {
		return nil, err
	}
	rc := rules.Config{Query: asks.Instant, Store: r.store, Wait: r.wait, Publish: d.publish, Timeout: c.Dashboards.PromQL.Timeout.Std(0), MaxAlerts: c.Dashboards.MaxAlerts,
		Log: d.o.Log.With("part", "rules"), Metrics: d.o.Metrics.NewSet()}
	if d.peers != nil {
		rc.Owns = d.peers.ownsGroup
	}
	if r.Manager, err = rules.New(rc); err != nil {
		return nil, err
	}
	set, err := LoadRules(c)
	if err != nil {
		return nil, err
	}
	r.learn(set)
	r.Update(set)
	return r, nil
}

// wait says why rules that look so far back cannot be evaluated now.
func (r *ruling) wait(reach time.Duration) string {
	f, now := r.d.board.Feed(), time.Now().UnixMilli()
	switch {
	case f.State != dashboards.FeedLive:
		return fmt.Sprintf("the feed is %s: %s", f.State, f.Error)
	case now-f.Since < settleRules.Milliseconds():
		return "what was told of alerts is being read"
	case f.Filling && reach > 0 && (f.History == 0 || now-f.History < reach.Milliseconds()):
		return "history is being read"
	}
	return ""
}

// mayGive reports whether rules may give, or have given, what matchers select. All replicas have the same rules, and any of them may have evaluated them.
func (r *ruling) mayGive(ms []*labels.Matcher) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.gives {
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return m.Name == model.MetricNameLabel && !m.Matches(name) }) {
			return true
		}
	}
	return false
}

// learn notes what rules give.
func (r *ruling) learn(set *rules.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range set.Groups {
		for _, x := range g.Rules {
			if x.Alert {
				r.gives["ALERTS"], r.gives["ALERTS_FOR_STATE"] = true, true
			} else {
				r.gives[x.Name] = true
			}
		}
	}
}

// read reads the rule files of a new configuration, to be put in force by apply.
func (r *ruling) read(c *config.Config) error {
	set, err := LoadRules(c)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.next, r.nextWith = set, ruleOptions(c).ExternalLabels
	r.mu.Unlock()
	return nil
}

func (r *ruling) apply() {
	r.mu.Lock()
	set := r.next
	if r.next = nil; set != nil {
		r.external = r.nextWith
	}
	r.mu.Unlock()
	if set != nil {
		r.learn(set)
		r.Update(set)
	}
}

// labels are those that Alertmanagers hear with each alert.
func (r *ruling) labels() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.external
}

// exceptions is what of rules a reader of the page has to know.
func (r *ruling) exceptions() (out []dashboards.Exception) {
	var firing []string
	n := 0
	for _, a := range r.Active() {
		if a.State != dashboards.AlertFiring {
			continue
		}
		if n++; n <= maxFiring {
			firing = append(firing, a.Name())
		}
	}
	if n > 0 {
		text := "Your rules fire: "
		for i, name := range firing {
			if i > 0 {
				text += ", "
			}
			text += name
		}
		if n > len(firing) {
			text += fmt.Sprintf(" and %d more", n-len(firing))
		}
		out = append(out, dashboards.Exception{Level: dashboards.LevelWarn, Text: text})
	}
	if faults := r.Faults(); len(faults) > 0 {
		text := faults[0]
		if len(faults) > 1 {
			text += fmt.Sprintf("; nor can %d more", len(faults)-1)
		}
		out = append(out, dashboards.Exception{Level: dashboards.LevelWarn, Text: "R" + text[1:]})
	}
	return out
}

// routes are the pages of rules and alerts.
func (r *ruling) routes() map[string]http.Handler {
	var others rules.Others
	if r.d.peers != nil {
		others = r.d.peers.askAll
	}
	return r.Routes(others, func(q *http.Request) bool { return q.Header.Get(forwardedBy) != "" })
}

// maxAnswer bounds what is read of another replica's answer.
const maxAnswer = 32 << 20

// askAll asks all other replicas that answer a question, and gives their answers; who does not answer is left out.
func (p *peers) askAll(ctx context.Context, path string, q url.Values) [][]byte {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	all := *p.alive.Load()
	out := make([][]byte, len(all))
	var wg sync.WaitGroup
	for n, i := range all {
		if i == int(p.self.Load())-1 {
			continue
		}
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.at(i, path)+"?"+q.Encode(), nil)
			if err != nil {
				return
			}
			req.Header.Set(forwardedBy, p.id)
			p.sign(req, i)
			res, err := p.client.Do(req)
			if err != nil {
				p.log.Warn("another replica does not answer", "peer", p.urls[i].Host, "path", path, "err", err)
				return
			}
			defer res.Body.Close()
			if b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer)); err == nil && res.StatusCode == http.StatusOK {
				out[n] = b
			}
		})
	}
	wg.Wait()
	return out
}
