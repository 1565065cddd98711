package notify

import (
	"encoding/json"
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
	Finding dashboards.Finding `json:"finding"`
}

// body is a request's.
func (r *receiver) body(words []word, now time.Time) ([]byte, error) {
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
