package notify

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// alert is one of Alertmanager's v2 API.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Message is what a webhook gets. The same may come again after a restart, with the same id.
type Message struct {
	Version int                `json:"version"` // 1
	Status  string             `json:"status"`  // firing or resolved; silenced is resolved, too
	ID      string             `json:"id"`
	Text    string             `json:"text"` // the sentence
	Link    string             `json:"link,omitempty"`
	Finding dashboards.Finding `json:"finding,omitzero"`
	Alert   *dashboards.Alert  `json:"alert,omitempty"` // of a rule, in place of a finding
}

// body is a request's.
func (r *receiver) body(words []word, now time.Time) ([]byte, error) {
	if r.Form == Webhook && words[0].a != nil {
		a := words[0].a
		m := Message{Version: 1, Status: "firing", ID: a.ID, Text: a.Text(), Link: linkTo(r.cfg.Link, a.Labels["job"], a.Labels["env"]), Alert: a}
		if words[0].told.over {
			m.Status = "resolved"
		}
		return json.Marshal(m)
	}
	if r.Form == Webhook {
		f := words[0].f
		m := Message{Version: 1, Status: "firing", ID: f.ID, Text: f.Text, Link: link(r.cfg.Link, f), Finding: *f}
		if words[0].told.over {
			m.Status = "resolved"
		}
		return json.Marshal(m)
	}
	var out []alert
	for _, w := range words {
		if w.a != nil {
			out = append(out, r.ofRule(w, now))
			continue
		}
		a := alert{Labels: w.told.as, StartsAt: time.UnixMilli(w.f.Since).UTC(), EndsAt: now.Add(4 * r.cfg.Resend).UTC(), GeneratorURL: link(r.cfg.Link, w.f),
			Annotations: map[string]string{"summary": w.f.Title, "description": w.f.Text}}
		if a.GeneratorURL != "" {
			a.Annotations["link"] = a.GeneratorURL
		}
		if w.f.Runbook != "" {
			a.Annotations["runbook_url"] = w.f.Runbook
		}
		if k := w.f.Ack; k != nil {
			a.Annotations["acknowledged"] = "by " + k.By
		}
		switch {
		case w.f.Ended != nil:
			a.EndsAt = time.UnixMilli(max(*w.f.Ended, w.f.Since+1)).UTC()
		case w.told.over:
			a.EndsAt = now.UTC()
		}
		if w.was != nil {
			old := a
			old.Labels, old.EndsAt = w.was, now.UTC()
			out = append(out, old)
		}
		out = append(out, a)
	}
	return json.Marshal(out)
}

// ofRule is an alert of a rule as Prometheus sends it.
func (r *receiver) ofRule(w word, now time.Time) alert {
	a := alert{Labels: w.a.Labels, Annotations: w.a.Annotations, StartsAt: time.UnixMilli(w.a.FiredAt).UTC(), EndsAt: now.Add(4 * r.cfg.Resend).UTC(), GeneratorURL: linkTo(r.cfg.Link, w.a.Labels["job"], w.a.Labels["env"])}
	if more := r.cfg.External(); len(more) > 0 {
		a.Labels = maps.Clone(more)
		maps.Copy(a.Labels, w.a.Labels)
	}
	if a.Annotations == nil {
		a.Annotations = map[string]string{}
	}
	if w.told.over {
		a.EndsAt = now.UTC()
		if at, ok := w.a.Over(); ok {
			a.EndsAt = at.UTC()
		}
	}
	if w.a.FiredAt == 0 { // it waits again, as its rule's time is longer now
		a.StartsAt = time.UnixMilli(w.a.ActiveAt).UTC()
	}
	return a
}
