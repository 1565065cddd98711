package rules

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/promql/expr"
)

// Others asks the other replicas a question of this API, and gives what they answer; those that do not answer are left out.
type Others func(ctx context.Context, path string, q url.Values) [][]byte

// Routes are Prometheus' pages of rules and alerts, by ServeMux pattern. asked reports whether a question comes from another replica, which wants to know what is evaluated
// here and no more; others may be nil.
func (m *Manager) Routes(others Others, asked func(*http.Request) bool) map[string]http.Handler {
	return map[string]http.Handler{
		"GET /api/v1/rules": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a, err := m.rules(r, others, asked(r))
			respond(w, a, err)
		}),
		"GET /api/v1/alerts": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			out := struct {
				Alerts []apiAlert `json:"alerts"`
			}{[]apiAlert{}}
			for _, a := range m.Active() {
				out.Alerts = append(out.Alerts, shown(&a))
			}
			respond(w, out, nil)
		}),
	}
}

func respond(w http.ResponseWriter, data any, err error) {
	out := struct {
		Status    string `json:"status"`
		Data      any    `json:"data,omitempty"`
		ErrorType string `json:"errorType,omitempty"`
		Error     string `json:"error,omitempty"`
	}{Status: "success", Data: data}
	status := http.StatusOK
	if err != nil {
		out.Status, out.Data, out.ErrorType, out.Error, status = "error", nil, "bad_data", err.Error(), http.StatusBadRequest
	}
	b, err := json.Marshal(out)
	if err != nil {
		http.Error(w, "the answer cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the reader may have gone
}

// The shapes are Prometheus'.
type apiAlert struct {
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	State           string            `json:"state"`
	ActiveAt        time.Time         `json:"activeAt"`
	KeepFiringSince *time.Time        `json:"keepFiringSince,omitempty"`
	Value           string            `json:"value"`
}

type apiGroup struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []any     `json:"rules"`
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
}

type apiRule struct {
	State          string            `json:"state,omitempty"`
	Name           string            `json:"name"`
	Query          string            `json:"query"`
	Duration       *float64          `json:"duration,omitempty"`
	KeepFiringFor  *float64          `json:"keepFiringFor,omitempty"`
	Labels         map[string]string `json:"labels"`
	Annotations    map[string]string `json:"annotations,omitempty"`
	Alerts         []apiAlert        `json:"alerts,omitempty"`
	Health         string            `json:"health"`
	LastError      string            `json:"lastError,omitempty"`
	EvaluationTime float64           `json:"evaluationTime"`
	LastEvaluation time.Time         `json:"lastEvaluation"`
	Type           string            `json:"type"`
}

// alerting is an apiRule whose lists stand there even where they are empty, as Prometheus has them.
type alerting struct {
	apiRule
	Annotations map[string]string `json:"annotations"`
	Alerts      []apiAlert        `json:"alerts"`
}

func shown(a *dashboards.Alert) apiAlert {
	out := apiAlert{Labels: a.Labels, Annotations: a.Annotations, State: a.State, ActiveAt: time.UnixMilli(a.ActiveAt).UTC(), Value: a.Value}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	if a.KeptSince != 0 {
		at := time.UnixMilli(a.KeptSince).UTC()
		out.KeepFiringSince = &at
	}
	return out
}

// asking is what a question about rules wants to see.
type asking struct {
	kind                string // "", alert or record
	names, groups, file []string
	sets                [][]*labels.Matcher
	without             bool // alerts
	limit               int
	token               string
}

func readAsking(r *http.Request) (q asking, err error) {
	if err := r.ParseForm(); err != nil {
		return q, fmt.Errorf("error parsing form values: %w", err)
	}
	invalid := func(name string, err error) error { return fmt.Errorf("invalid parameter %q: %w", name, err) }
	q.names, q.groups, q.file = r.Form["rule_name[]"], r.Form["rule_group[]"], r.Form["file[]"]
	p := parser.NewParser(parser.Options{})
	for _, text := range r.Form["match[]"] {
		if err := expr.Check(text); err != nil {
			return q, invalid("match[]", err)
		}
		ms, err := p.ParseMetricSelector(text)
		if err != nil {
			return q, invalid("match[]", err)
		}
		q.sets = append(q.sets, ms)
	}
	if q.kind = strings.ToLower(r.Form.Get("type")); q.kind != "" && q.kind != "alert" && q.kind != "record" {
		return q, invalid("type", fmt.Errorf("not supported value %q", clip(q.kind)))
	}
	if v := strings.ToLower(r.Form.Get("exclude_alerts")); v != "" {
		if q.without, err = strconv.ParseBool(v); err != nil {
			return q, invalid("exclude_alerts", fmt.Errorf("error converting exclude_alerts: %w", err))
		}
	}
	limit := r.Form.Get("group_limit")
	if q.token = r.Form.Get("group_next_token"); q.token != "" && limit == "" {
		return q, invalid("group_next_token", fmt.Errorf("group_limit needs to be present in order to paginate over the groups"))
	}
	if limit != "" {
		n, err := strconv.ParseInt(limit, 10, 32)
		if err != nil {
			return q, invalid("group_limit", fmt.Errorf("group_limit needs to be a valid number: %w", err))
		}
		if n <= 0 {
			return q, invalid("group_limit", fmt.Errorf("group_limit needs to be greater than 0"))
		}
		q.limit = int(n)
	}
	return q, nil
}

func (q *asking) wants(r *Rule) bool {
	if q.kind == "alert" && !r.Alert || q.kind == "record" && r.Alert || len(q.names) > 0 && !slices.Contains(q.names, r.Name) {
		return false
	}
	for _, ms := range q.sets {
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(r.Labels.Get(m.Name)) }) {
			return true
		}
	}
	return len(q.sets) == 0
}

// discovery is the answer: each group as it is here, or as another replica tells it.
type discovery struct {
	Groups []any  `json:"groups"`
	Next   string `json:"groupNextToken,omitempty"`
}

func tokenOf(file, group string) string {
	h := sha256.Sum256([]byte(file + ";" + group))
	return hex.EncodeToString(h[:])
}

func (m *Manager) rules(r *http.Request, others Others, asked bool) (any, error) {
	q, err := readAsking(r)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	set := m.set
	states := make([]*groupState, len(set.Groups))
	elsewhere := false
	for i, def := range set.Groups {
		states[i] = m.groups[def.Key()]
		elsewhere = elsewhere || !m.evaluated(def.Key())
	}
	m.mu.Unlock()
	told := map[string]json.RawMessage{}
	if elsewhere && !asked && others != nil {
		told = askOthers(r, others)
	}
	out := discovery{Groups: []any{}}
	found := q.token == ""
	for i, def := range set.Groups {
		if !found {
			if tokenOf(def.File, def.Name) != q.token {
				continue
			}
			found = true
		}
		if len(q.groups) > 0 && !slices.Contains(q.groups, def.Name) || len(q.file) > 0 && !slices.Contains(q.file, def.File) {
			continue
		}
		var g any
		here, mine := states[i].shown(&q, !asked)
		switch {
		case asked && !mine, len(here.Rules) == 0:
			continue
		case !mine && told[def.Key()] != nil:
			g = told[def.Key()]
		default:
			g = here
		}
		if q.limit > 0 && len(out.Groups) == q.limit {
			out.Next = tokenOf(def.File, def.Name)
			break
		}
		out.Groups = append(out.Groups, g)
	}
	if !found {
		return nil, fmt.Errorf("invalid parameter %q: invalid group_next_token '%v'. were rule groups changed?", "group_next_token", clip(q.token))
	}
	return out, nil
}

// askOthers gives the groups that others evaluate, by their keys.
func askOthers(r *http.Request, others Others) map[string]json.RawMessage {
	ask := url.Values{}
	for _, k := range []string{"type", "rule_name[]", "rule_group[]", "file[]", "match[]", "exclude_alerts"} {
		if v := r.Form[k]; len(v) > 0 {
			ask[k] = v
		}
	}
	out := map[string]json.RawMessage{}
	for _, b := range others(r.Context(), "/api/v1/rules", ask) {
		var a struct {
			Data struct{ Groups []json.RawMessage }
		}
		if json.Unmarshal(b, &a) != nil {
			continue // it is left out as one that does not answer
		}
		for _, g := range a.Data.Groups {
			var of struct{ Name, File string }
			if json.Unmarshal(g, &of) == nil {
				out[of.File+";"+of.Name] = g
			}
		}
	}
	return out
}

// shown is the group for the API, all with alerts that others have told of; mine reports whether it is evaluated here.
func (g *groupState) shown(q *asking, all bool) (out apiGroup, mine bool) {
	d := g.def
	out = apiGroup{Name: d.Name, File: d.File, Rules: []any{}, Interval: d.Interval.Seconds(), Limit: d.Limit}
	g.mu.Lock()
	mine = g.mine
	waits := g.waits
	out.EvaluationTime, out.LastEvaluation = g.took.Seconds(), g.last.UTC()
	g.mu.Unlock()
	for i, s := range g.rules {
		if r := d.Rules[i]; q.wants(r) {
			var own, others []dashboards.Alert
			if r.Alert {
				s.mu.Lock()
				for _, x := range s.active {
					if x.state != dashboards.AlertInactive {
						own = append(own, x.noun(d, r))
					}
				}
				s.mu.Unlock()
				if all {
					g.m.mu.Lock()
					others = g.m.told(d, r, own)
					g.m.mu.Unlock()
				}
			}
			out.Rules = append(out.Rules, s.shown(r, append(own, others...), q.without, waits))
		}
	}
	return out, mine
}

func (s *ruleState) shown(r *Rule, alerts []dashboards.Alert, without bool, waits string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := apiRule{Name: r.Name, Query: r.Expr, Labels: r.Labels.Map(), Health: s.health, LastError: cmp.Or(s.err, s.badText), EvaluationTime: s.took.Seconds(), LastEvaluation: s.last.UTC(), Type: "recording"}
	if waits != "" && out.LastError == "" {
		out.LastError = "waits: " + waits
	}
	if !r.Alert {
		return out
	}
	hold, keep := r.For.Seconds(), r.KeepFiringFor.Seconds()
	out.Type, out.Duration, out.KeepFiringFor = "alerting", &hold, &keep
	out.State = dashboards.AlertInactive
	if s.last.IsZero() {
		out.State = healthUnknown
	}
	a := alerting{apiRule: out, Annotations: r.Annotations.Map()}
	if !without {
		a.Alerts = []apiAlert{}
	}
	for _, x := range alerts {
		if x.State == dashboards.AlertFiring || a.State != dashboards.AlertFiring {
			a.State = x.State
		}
		if !without {
			a.Alerts = append(a.Alerts, shown(&x))
		}
	}
	slices.SortFunc(a.Alerts, func(x, y apiAlert) int {
		return cmp.Or(x.ActiveAt.Compare(y.ActiveAt), cmp.Compare(fmt.Sprint(x.Labels), fmt.Sprint(y.Labels)))
	})
	return a
}
