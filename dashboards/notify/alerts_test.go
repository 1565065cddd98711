package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// ofRule is an alert in a state, that fired or was over so long ago.
func ofRule(state string, fired, over time.Duration) dashboards.Alert {
	a := dashboards.Alert{ID: "a1", Group: "g", Rule: "High", State: state, Labels: map[string]string{"alertname": "High", "job": "check out", "env": "prod", "region": "us"},
		Annotations: map[string]string{"summary": "too high"}, ActiveAt: time.Now().Add(-time.Hour).UnixMilli()}
	if fired > 0 {
		a.FiredAt = time.Now().Add(-fired).UnixMilli()
	}
	if over > 0 {
		a.ResolvedAt = time.Now().Add(-over).UnixMilli()
	}
	return a
}

// Alerts of rules are told as Prometheus does: while they fire, and for fifteen minutes that they are over; webhooks hear of each change once.
func TestAlerts(t *testing.T) {
	now := time.Now()
	const m = time.Minute
	said := func(ago time.Duration, over bool) map[string]told {
		return map[string]told{"a1": {now.Add(-ago), dashboards.AlertFiring, over, nil}}
	}
	for _, tc := range []struct {
		name     string
		told     map[string]told
		a        dashboards.Alert
		am, hook string
	}{
		{"pending", nil, ofRule("pending", 0, 0), "", ""},
		{"fires", nil, ofRule("firing", m, 0), "firing", "firing"},
		{"told", said(time.Second, false), ofRule("firing", m, 0), "", ""},
		{"told a while ago", said(2*m, false), ofRule("firing", m, 0), "firing", ""},
		{"over", said(time.Second, false), ofRule("inactive", 5*m, time.Second), "resolved", "resolved"},
		{"over and told", said(time.Second, true), ofRule("inactive", 5*m, time.Second), "", ""},
		{"over and told a while ago", said(2*m, true), ofRule("inactive", 5*m, 3*m), "resolved", ""},
		{"over since this process began", nil, ofRule("inactive", 20*m, m), "resolved", "resolved"},
		{"over before", nil, ofRule("inactive", 20*m, 9*m), "resolved", ""},
		{"over for long", nil, ofRule("inactive", 60*m, 16*m), "", ""},
		{"fires again", said(m, true), ofRule("firing", time.Second, 0), "firing", "firing"},
		{"waits again", said(m, false), ofRule("pending", 0, 0), "resolved", "resolved"},
		{"waits after it was over", said(m, true), ofRule("pending", 0, 0), "", ""},
	} {
		for form, want := range map[Form]string{Alertmanager: tc.am, Webhook: tc.hook} {
			r := &receiver{Receiver: Receiver{Form: form}, cfg: &Config{Resend: time.Minute, Link: "http://page", External: func() map[string]string { return map[string]string{"region": "eu", "cluster": "c1"} }}, told: map[string]told{}, began: now.Add(-5 * m)}
			for id, x := range tc.told {
				r.told[id] = x
			}
			words := r.words(now, nil, []dashboards.Alert{tc.a})
			got := ""
			for _, w := range words {
				got = map[bool]string{true: "resolved", false: "firing"}[w.told.over]
			}
			if got != want {
				t.Errorf("%s, %s: %q, want %q", tc.name, form, got, want)
			}
			if len(words) == 0 {
				continue
			}
			body, err := r.body(words, now)
			if err != nil {
				t.Fatal(err)
			}
			if form == Webhook {
				var m Message
				if json.Unmarshal(body, &m) != nil || m.Status != want || m.Alert == nil || m.ID != "a1" || m.Text != "too high" || m.Link != "http://page/service/check%20out?env=prod" || strings.Contains(string(body), `"finding"`) {
					t.Errorf("%s: %s", tc.name, body)
				}
				continue
			}
			var as []alert
			if json.Unmarshal(body, &as) != nil || len(as) != 1 || as[0].Labels["cluster"] != "c1" || as[0].Labels["region"] != "us" || as[0].Annotations["summary"] != "too high" ||
				as[0].EndsAt.After(now) == (want == "resolved") || as[0].StartsAt.IsZero() || as[0].EndsAt.Before(as[0].StartsAt) {
				t.Errorf("%s: %s", tc.name, body)
			}
		}
	}
}
