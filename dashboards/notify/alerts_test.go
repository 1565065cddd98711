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

func silenced(service, env, metric string, left time.Duration) []dashboards.Silence {
	now := time.Now()
	return []dashboards.Silence{{ID: "s1", Service: service, Env: env, Metric: metric, At: now.Add(-time.Hour).UnixMilli(), Until: now.Add(left).UnixMilli()}}
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
		silences []dashboards.Silence
	}{
		{"pending", nil, ofRule("pending", 0, 0), "", "", nil},
		{"fires", nil, ofRule("firing", m, 0), "firing", "firing", nil},
		{"told", said(time.Second, false), ofRule("firing", m, 0), "", "", nil},
		{"told a while ago", said(2*m, false), ofRule("firing", m, 0), "firing", "", nil},
		{"over", said(time.Second, false), ofRule("inactive", 5*m, time.Second), "resolved", "resolved", nil},
		{"over and told", said(time.Second, true), ofRule("inactive", 5*m, time.Second), "", "", nil},
		{"over and told a while ago", said(2*m, true), ofRule("inactive", 5*m, 3*m), "resolved", "", nil},
		{"over since this process began", nil, ofRule("inactive", 20*m, m), "resolved", "resolved", nil},
		{"over before", nil, ofRule("inactive", 20*m, 9*m), "resolved", "", nil},
		{"over for long", nil, ofRule("inactive", 60*m, 16*m), "", "", nil},
		{"fires again", said(m, true), ofRule("firing", time.Second, 0), "firing", "firing", nil},
		{"waits again", said(m, false), ofRule("pending", 0, 0), "resolved", "resolved", nil},
		{"waits after it was over", said(m, true), ofRule("pending", 0, 0), "", "", nil},
		{"silenced", said(time.Second, false), ofRule("firing", m, 0), "resolved", "resolved", silenced("check out", "prod", "", m)},
		{"silenced in every environment", said(time.Second, false), ofRule("firing", m, 0), "resolved", "resolved", silenced("check out", "", "", m)},
		{"silenced from the first on", nil, ofRule("firing", m, 0), "", "", silenced("check out", "", "", m)},
		{"silenced for long", said(2*m, true), ofRule("firing", m, 0), "", "", silenced("check out", "", "", m)},
		{"over while silenced", said(2*m, true), ofRule("inactive", 5*m, 3*m), "", "", silenced("check out", "", "", m)},
		{"no more silenced", said(2*m, true), ofRule("firing", m, 0), "firing", "firing", silenced("check out", "", "", -time.Second)},
		{"another is silenced", nil, ofRule("firing", m, 0), "firing", "firing", silenced("cart", "prod", "", m)},
		{"elsewhere it is silenced", nil, ofRule("firing", m, 0), "firing", "firing", silenced("check out", "test", "", m)},
		{"findings about one metric are silenced", nil, ofRule("firing", m, 0), "firing", "firing", silenced("check out", "prod", "errors", m)},
	} {
		for form, want := range map[Form]string{Alertmanager: tc.am, Webhook: tc.hook} {
			r := &receiver{Receiver: Receiver{Form: form}, cfg: &Config{Resend: time.Minute, Link: "http://page", External: func() map[string]string { return map[string]string{"region": "eu", "cluster": "c1"} }, Silences: func() []dashboards.Silence { return tc.silences }}, told: map[string]told{}, began: now.Add(-5 * m)}
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
