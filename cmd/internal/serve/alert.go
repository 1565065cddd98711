package serve

import (
	"net/http"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/notify"
)

// notifier tells those whom the configuration names of the findings and alerts of this process.
func notifier(c *config.Config, board *dashboards.Board, r *ruling, o Options) (*notify.Notifier, error) {
	nc := notify.Config{Findings: board.OwnFindings, Alerts: r.Alerts, Silences: board.Silences, External: r.labels, Link: c.Alerting.ExternalURL.Reveal(), Resend: c.Alerting.ResendDelay.Std(time.Minute), Log: o.Log.With("part", "alerts"), Metrics: o.Metrics.NewSet()}
	for form, list := range map[notify.Form][]config.Receiver{notify.Alertmanager: c.Alerting.Alertmanagers, notify.Webhook: c.Alerting.Webhooks} {
		for _, r := range list {
			t := http.DefaultTransport.(*http.Transport).Clone()
			var err error
			if t.TLSClientConfig, err = collect.TLS(r.TLS); err != nil {
				return nil, err
			}
			nc.Receivers = append(nc.Receivers, notify.Receiver{Form: form, URL: r.URL.Reveal(), Timeout: r.Timeout.Std(10 * time.Second), Authorize: config.Authorize(r.BasicAuth, r.Authorization),
				Client: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}})
		}
	}
	slices.SortFunc(nc.Receivers, func(a, b notify.Receiver) int {
		return slices.Compare([]string{string(a.Form), a.URL}, []string{string(b.Form), b.URL})
	})
	return notify.New(nc)
}
