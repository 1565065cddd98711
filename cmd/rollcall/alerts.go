package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// ruleAlert is one of /api/v1/alerts.
type ruleAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       string            `json:"state"`
	ActiveAt    time.Time         `json:"activeAt"`
}

// alerts are those of rules that wait or fire now, of one service where one is named.
func (c *findingsListCmd) alerts(ctx context.Context) ([]ruleAlert, error) {
	var a struct{ Data struct{ Alerts []ruleAlert } }
	if err := c.ask(ctx, http.MethodGet, "/api/v1/alerts", nil, nil, &a); err != nil {
		return nil, err
	}
	if c.Service == "" {
		return a.Data.Alerts, nil
	}
	q := serviceOf(c.Service)
	var out []ruleAlert
	for _, x := range a.Data.Alerts {
		if x.Labels["job"] == q.Get("service") && (q.Get("env") == "" || x.Labels["env"] == "" || x.Labels["env"] == q.Get("env")) {
			out = append(out, x)
		}
	}
	return out, nil
}

// printAlerts lists what rules of people say, apart from the findings, and reports how many there are. A page that does not know is no reason to fail.
func (c *findingsListCmd) printAlerts(e *env) (n int, err error) {
	if c.Format != "text" {
		return 0, nil
	}
	list, err := c.alerts(e.ctx)
	if err != nil {
		fmt.Fprintf(e.stderr, "the alerts of rules are not known: %s\n", plain(err.Error()))
		return 0, nil
	}
	for _, x := range list {
		a := dashboards.Alert{Rule: x.Labels["alertname"], Labels: x.Labels, Annotations: x.Annotations}
		text := ""
		if t := a.Text(); t != a.Name() {
			text = ": " + t
		}
		_, err := fmt.Fprintf(e.stdout, "RULE %s since %s  %s%s\n", plain(strings.ToUpper(x.State)), x.ActiveAt.UTC().Format("15:04:05 UTC"), plain(a.Name()), plain(text))
		if err != nil {
			return n, err
		}
	}
	return len(list), nil
}
