package dashboards

import (
	"errors"
	"fmt"
	"time"
)

// Alert is one of a rule that people have written, as it stands or as it was when it was over.
type Alert struct {
	ID    string `json:"id"`    // of its group, rule and labels
	Group string `json:"group"` // FILE;NAME
	Rule  string `json:"rule"`
	State string `json:"state"` // pending, firing or inactive
	// Labels name it, alertname among them; Annotations are for people.
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Value       string            `json:"value"` // of its expression, as Prometheus writes it
	// Since when its condition holds, it fires, only keep_firing_for holds it, and it is over; Unix ms, 0: it is not so.
	ActiveAt   int64 `json:"active_at"`
	FiredAt    int64 `json:"fired_at,omitempty"`
	KeptSince  int64 `json:"kept_since,omitempty"`
	ResolvedAt int64 `json:"resolved_at,omitempty"`
}

// The states of alerts.
const (
	AlertPending  = "pending"
	AlertFiring   = "firing"
	AlertInactive = "inactive"
)

// Bounds of an alert.
const (
	MaxAlertLabels = 128 // labels, and likewise annotations
	maxAlertText   = 64 << 10
)

// Name is what the alert is called, and what tells it from others of its rule.
func (a *Alert) Name() string {
	service, env := a.Labels["job"], a.Labels["env"]
	switch {
	case service == "":
		return a.Rule
	case env == "":
		return a.Rule + " (" + service + ")"
	}
	return a.Rule + " (" + service + "/" + env + ")"
}

// Text is the alert in one sentence: its summary or description, or its name.
func (a *Alert) Text() string {
	for _, k := range []string{"summary", "description", "message"} {
		if s := a.Annotations[k]; s != "" {
			return s
		}
	}
	return a.Name()
}

// check holds an alert from the topic to what one of ours can be.
func (a *Alert) check(past func(string, int64) error) error {
	var errs []error
	switch a.State {
	case AlertPending, AlertFiring, AlertInactive:
	default:
		errs = append(errs, fmt.Errorf("state %q is not pending, firing or inactive", a.State[:min(len(a.State), 40)]))
	}
	if len(a.Labels) > MaxAlertLabels || len(a.Annotations) > MaxAlertLabels {
		errs = append(errs, fmt.Errorf("more than %d labels or annotations", MaxAlertLabels))
	}
	if a.Group == "" || a.Rule == "" || a.Labels["alertname"] != a.Rule {
		errs = append(errs, errors.New("it names no rule"))
	}
	for k, v := range a.Labels {
		if len(k) > maxAlertText || len(v) > maxAlertText {
			errs = append(errs, errors.New("a label is too long"))
		}
	}
	return errors.Join(append(errs, past("active_at", a.ActiveAt), past("fired_at", a.FiredAt), past("kept_since", a.KeptSince), past("resolved_at", a.ResolvedAt))...)
}

// Over is when the alert was over; ok is false while it is not.
func (a *Alert) Over() (at time.Time, ok bool) {
	return time.UnixMilli(a.ResolvedAt), a.ResolvedAt != 0
}
