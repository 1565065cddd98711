// Package notify tells others of findings, and of the alerts of rules: Alertmanagers by their v2 API, and anybody else by a webhook.
//
// It owns who has been told what, and the tries until they have heard it. There is no queue: at each look what a receiver was told last is compared with what is, so
// that one that was away hears how things are now, and never more than there are findings. It must not know where findings come from.
package notify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// Form is how a receiver wants to be told.
type Form string

// The forms.
const (
	Alertmanager Form = "alertmanager" // POST URL/api/v2/alerts: firing alerts again and again, resolved ones when they are over
	Webhook      Form = "webhook"      // POST URL: one JSON object a finding, as it opens, changes its level and ends
)

// Receiver is one who is told.
type Receiver struct {
	Name      string // for the log and the metrics; default: the URL's host
	Form      Form
	URL       string
	Client    *http.Client              // nil: one that follows no redirects
	Authorize func(*http.Request) error // nil: nothing is said of who we are
	Timeout   time.Duration             // of one request, default 10 s
}

// Config says whom to tell of what. Findings and Receivers are needed.
type Config struct {
	// Findings is everything that is open, and what was over of late, that this process has to tell of.
	Findings func() []dashboards.Finding
	// Alerts is likewise the alerts of rules, pending ones too, and those that were over within fifteen minutes; nil: there are none.
	Alerts func() []dashboards.Alert
	// Silences are those that stand; of alerts whom one covers nobody is told, or that they are over. Findings say themselves that they are silenced. nil: there are none.
	Silences  func() []dashboards.Silence
	External  func() map[string]string // labels that an Alertmanager hears with each alert of a rule, unless it has them; nil: none
	Receivers []Receiver
	Link      string        // URL of the page, for those who are told; empty: none
	Resend    time.Duration // how often an Alertmanager hears of what goes on, default 1 min; after four times that it takes it for over by itself
	Log       *slog.Logger
	Metrics   *metrics.Set
}

const (
	lookEvery  = time.Second
	overFor    = 15 * time.Minute // for how long after its end a finding is told to be over
	maxRequest = 64               // alerts in one request
	leastPause = time.Second      // between two tries, growing to
	mostPause  = 30 * time.Second
	mostInRow  = 8 // answers that fail one after the other, and the receiver is taken for away
)

func (c *Config) defaults() {
	c.Resend = cmp.Or(c.Resend, time.Minute)
	if c.Alerts == nil {
		c.Alerts = func() []dashboards.Alert { return nil }
	}
	if c.Silences == nil {
		c.Silences = func() []dashboards.Silence { return nil }
	}
	if c.External == nil {
		c.External = func() map[string]string { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
}

func (c *Config) validate() error {
	var errs []error
	if c.Findings == nil {
		errs = append(errs, errors.New("there are no findings to tell of"))
	}
	if c.Resend < time.Second || c.Resend > time.Hour {
		errs = append(errs, fmt.Errorf("resend %s is not within 1s..1h", c.Resend))
	}
	for _, r := range c.Receivers {
		if u, err := url.Parse(r.URL); err != nil || u.Host == "" {
			errs = append(errs, fmt.Errorf("receiver %q has no URL", r.Name))
		}
		if r.Form != Alertmanager && r.Form != Webhook {
			errs = append(errs, fmt.Errorf("receiver %q: form %q is neither alertmanager nor webhook", r.Name, r.Form))
		}
	}
	return errors.Join(errs...)
}

// Notifier tells receivers of findings while it runs.
type Notifier struct {
	cfg Config
	to  []*receiver
}

// New makes a Notifier. The error names everything that cannot be.
func New(c Config) (*Notifier, error) {
	c.defaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("make notifier: %w", err)
	}
	n := &Notifier{cfg: c}
	for _, r := range c.Receivers {
		u, _ := url.Parse(r.URL) // validate has
		r.Name, r.Timeout = cmp.Or(r.Name, u.Host), cmp.Or(r.Timeout, 10*time.Second)
		if r.Client == nil {
			r.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		}
		x := &receiver{Receiver: r, cfg: &n.cfg, began: time.Now(), told: map[string]told{}, again: map[string]again{}}
		label := "{receiver=" + promtext.Quote(r.Name) + "}"
		x.sent, x.failed = c.Metrics.GetOrCreateCounter("rollcall_notify_sent_total"+label), c.Metrics.GetOrCreateCounter("rollcall_notify_failures_total"+label)
		n.to = append(n.to, x)
	}
	return n, nil
}

// Run tells until ctx ends. One receiver that is away holds up no other.
func (n *Notifier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, r := range n.to {
		wg.Go(func() { r.run(ctx) })
	}
	wg.Wait()
	return nil
}

// receiver is one who is told, and what they were told.
type receiver struct {
	Receiver
	cfg          *Config
	began        time.Time
	told         map[string]told  // by finding, or alert
	again        map[string]again // what failed, likewise
	sent, failed *metrics.Counter
	trouble      bool
}

// again is when a word that failed is said again.
type again struct {
	at    time.Time
	pause time.Duration // before it; twice as long the next time
}

type told struct {
	at    time.Time
	level string
	over  bool
	as    map[string]string // labels, of an Alertmanager: they are its name for the alert
}

// word is one thing to say: of a finding or of an alert.
type word struct {
	f    *dashboards.Finding
	a    *dashboards.Alert
	told told              // what will have been told once it is said
	was  map[string]string // labels under which the alert was known until now and is no more
}

func (w *word) id() string {
	if w.a != nil {
		return w.a.ID
	}
	return w.f.ID
}

func (r *receiver) run(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	pause := leastPause
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			if now.Before(next) {
				continue
			}
			away, err := r.look(ctx, now)
			if err != nil && ctx.Err() == nil {
				r.failed.Inc()
				if !r.trouble {
					r.cfg.Log.Warn("a receiver of findings cannot be told; trying again", "receiver", r.Name, "err", err)
				}
				r.trouble = true
				if away {
					next = now.Add(pause)
					pause = min(2*pause, mostPause)
				} else {
					pause = leastPause
				}
			} else if err == nil {
				pause = leastPause
				if r.trouble && len(r.again) == 0 {
					r.cfg.Log.Info("a receiver of findings is told again", "receiver", r.Name)
					r.trouble = false
				}
			}
		}
	}
}

// look says what is to be said now, what has not failed yet first. One word that the receiver does not take holds up no other: it is said again after a pause of
// its own. away is that the receiver itself cannot be told now: it does not answer, has enough, or takes nothing of several.
func (r *receiver) look(ctx context.Context, now time.Time) (away bool, first error) {
	words := slices.DeleteFunc(r.words(now, r.cfg.Findings(), r.cfg.Alerts()), func(w word) bool { return now.Before(r.again[w.id()].at) })
	slices.SortStableFunc(words, func(a, b word) int { return cmp.Compare(r.again[a.id()].pause, r.again[b.id()].pause) })
	row := 0 // failed one after the other
	for len(words) > 0 {
		n := min(len(words), maxRequest)
		if r.Form == Webhook {
			n = 1
		}
		said := words[:n]
		words = words[n:]
		body, err := r.body(said, now)
		if err != nil {
			return false, err
		}
		refused, err := r.post(ctx, body)
		if err != nil {
			for _, w := range said {
				pause := min(max(2*r.again[w.id()].pause, leastPause), mostPause)
				r.again[w.id()] = again{now.Add(pause), pause}
			}
			first = cmp.Or(first, err)
			row++
			var a *answer
			if !errors.As(err, &a) || a.status == http.StatusTooManyRequests || row == mostInRow {
				return true, first
			}
			continue
		}
		row = 0
		if refused != "" { // for good: the same again would be refused again
			r.failed.Inc()
			r.cfg.Log.Error("a receiver of findings refuses what it is told", "receiver", r.Name, "findings", n, "first", said[0].id(), "answer", refused)
		} else {
			r.sent.Add(n)
		}
		for _, w := range said {
			r.told[w.id()] = w.told
			delete(r.again, w.id())
		}
	}
	return false, first
}

// words is what the receiver does not know yet, or has to hear again.
func (r *receiver) words(now time.Time, fs []dashboards.Finding, as []dashboards.Alert) (out []word) {
	there := map[string]bool{}
	for i := range fs {
		f := &fs[i]
		there[f.ID] = true
		was, known := r.told[f.ID]
		is := told{at: now, level: f.Level, over: f.Ended != nil || f.Silenced != nil || f.Level == dashboards.LevelInfo, as: labels(f)}
		switch {
		case !known && is.over:
			// Of what nobody was told nobody is told that it is over, but for an Alertmanager, which may know it from our last run.
			if r.Form != Alertmanager || f.Ended == nil || f.Level == dashboards.LevelInfo || now.Sub(time.UnixMilli(*f.Ended)) > overFor {
				continue
			}
		case known && is.over == was.over && is.level == was.level && (is.over || r.Form == Webhook || now.Sub(was.at) < r.cfg.Resend):
			continue
		}
		w := word{f: f, told: is}
		if r.Form == Alertmanager && known && !was.over && !maps.Equal(was.as, is.as) {
			w.was = was.as
		}
		out = append(out, w)
	}
	var silences []dashboards.Silence
	if len(as) > 0 {
		silences = r.cfg.Silences()
	}
	for i := range as {
		a := &as[i]
		there[a.ID] = true
		was, known := r.told[a.ID]
		silent := slices.ContainsFunc(silences, func(s dashboards.Silence) bool { return s.CoversAlert(a, now.UnixMilli()) })
		is := told{at: now, level: dashboards.AlertFiring, over: a.State != dashboards.AlertFiring || silent}
		ended, _ := a.Over()
		switch {
		case a.State == dashboards.AlertPending && (!known || was.over):
			continue
		case !known && is.over:
			// It fired before we began, and perhaps nobody else tells that it is over.
			if r.Form != Alertmanager && ended.Before(r.began) || now.Sub(ended) > overFor {
				continue
			}
		case known && is.over == was.over && (r.Form == Webhook || silent || now.Sub(was.at) < r.cfg.Resend):
			continue
		}
		out = append(out, word{a: a, told: is})
	}
	for id := range r.told {
		if !there[id] {
			delete(r.told, id)
		}
	}
	for id := range r.again {
		if !there[id] {
			delete(r.again, id)
		}
	}
	return out
}

// labels name an alert.
func labels(f *dashboards.Finding) map[string]string {
	m := map[string]string{"alertname": "RollcallFinding", "service": f.Service, "env": f.Env, "metric": f.Metric, "level": f.Level, "finding": f.ID, "owner": f.Owner, "chat": f.Chat}
	if len(f.Services) > 0 {
		m["services"] = strings.Join(f.Services, ",")
	}
	for k, v := range m {
		if v == "" {
			delete(m, k)
		}
	}
	return m
}

// link is the finding's own address on the page.
func link(base string, f *dashboards.Finding) string {
	if base == "" {
		return ""
	}
	return strings.TrimSuffix(base, "/") + "/finding/" + url.PathEscape(f.ID) + "?env=" + url.QueryEscape(f.Env)
}

// linkTo is where the page shows a service.
func linkTo(base, service, env string) string {
	base = strings.TrimSuffix(base, "/")
	switch {
	case base == "":
		return ""
	case service == "":
		return base + "/"
	}
	return base + "/service/" + url.PathEscape(service) + "?env=" + url.QueryEscape(env)
}

// post sends a body. refused is the answer of a receiver that does not want it, whenever it is sent.
func (r *receiver) post(ctx context.Context, body []byte) (refused string, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	at := r.URL
	if r.Form == Alertmanager {
		u, err := url.Parse(r.URL)
		if err != nil {
			return "", err
		}
		at = u.JoinPath("/api/v2/alerts").String()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "rollcall")
	if r.Authorize != nil {
		if err := r.Authorize(req); err != nil {
			return "", err
		}
	}
	res, err := r.Client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which may hold a secret
		}
		return "", err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 512))
	switch said := strings.TrimSpace(fmt.Sprintf("%s %s", res.Status, bytes.ToValidUTF8(text, nil))); {
	case res.StatusCode < 300:
		return "", nil
	case res.StatusCode >= 400 && res.StatusCode < 500 && !slices.Contains(ofUs, res.StatusCode):
		return said, nil
	default:
		return "", &answer{res.StatusCode, said}
	}
}

// ofUs are the refusals that are of our name, our address or the moment, and not of what is said: somebody mends them, and then it has to be heard.
var ofUs = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests}

// answer is a failure that the receiver told us.
type answer struct {
	status int
	said   string
}

func (a *answer) Error() string { return "it answers " + a.said }
