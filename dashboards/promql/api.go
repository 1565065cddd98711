package promql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/promql/expr"
	"github.com/rollcall-metrics/rollcall/internal/gate"
)

// Bounds of a request, and of what range queries may ask for; the last is Prometheus'.
const (
	maxBody   = 256 << 10
	maxSteps  = 11_000
	maxTarget = 100 // match[] of one request
)

// Routes are the pages by ServeMux pattern, but for /api/v1/series, which is Series: another page may have that address too.
func (a *API) Routes() map[string]http.Handler {
	out := map[string]http.Handler{}
	for path, f := range map[string]func(*http.Request) (any, annotations.Annotations, error){
		"/api/v1/query": a.instant, "/api/v1/query_range": a.ranged, "/api/v1/labels": a.labelNames, "/api/v1/query_exemplars": a.exemplars,
	} {
		out["GET "+path], out["POST "+path] = a.answer(f), a.answer(f)
	}
	out["GET /api/v1/label/{name}/values"] = a.answer(a.labelValues)
	out["GET /api/v1/metadata"] = a.answer(a.metadata)
	out["GET /api/v1/status/buildinfo"] = a.answer(a.buildInfo)
	return out
}

// Series answers /api/v1/series as Prometheus does: by match[].
func (a *API) Series() http.Handler { return a.answer(a.series) }

func (a *API) instant(r *http.Request) (any, annotations.Annotations, error) {
	at, err := timeParam(r, "time", a.cfg.Now())
	if err != nil {
		return nil, nil, err
	}
	return a.run(r, func(ctx context.Context, o promql.QueryOpts, q string) (promql.Query, error) {
		return a.engine.NewInstantQuery(ctx, a, o, q, at)
	})
}

func (a *API) ranged(r *http.Request) (any, annotations.Annotations, error) {
	start, err := timeParam(r, "start", time.Time{})
	if err != nil {
		return nil, nil, err
	}
	end, err := timeParam(r, "end", time.Time{})
	if err != nil {
		return nil, nil, err
	}
	if end.Before(start) {
		return nil, nil, badData("invalid parameter %q: end timestamp must not be before start time", "end")
	}
	step, err := duration(r.FormValue("step"))
	switch {
	case err != nil:
		return nil, nil, badData("invalid parameter %q: %v", "step", err)
	case step <= 0:
		return nil, nil, badData("invalid parameter %q: zero or negative query resolution step widths are not accepted. Try a positive integer", "step")
	case step < time.Millisecond:
		return nil, nil, badData("invalid parameter %q: a step is a millisecond at least", "step")
	case end.Sub(start)/step > maxSteps || end.Sub(start) == math.MaxInt64:
		return nil, nil, badData("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
	}
	return a.run(r, func(ctx context.Context, o promql.QueryOpts, q string) (promql.Query, error) {
		return a.engine.NewRangeQuery(ctx, a, o, q, start, end, step)
	})
}

// run answers a query of either kind.
func (a *API) run(r *http.Request, make func(context.Context, promql.QueryOpts, string) (promql.Query, error)) (any, annotations.Annotations, error) {
	limit, err := limitParam(r)
	if err != nil {
		return nil, nil, err
	}
	within := a.cfg.Timeout
	if t := r.FormValue("timeout"); t != "" {
		d, err := duration(t)
		if err != nil {
			return nil, nil, badData("invalid parameter %q: %v", "timeout", err)
		}
		within = min(within, d)
	}
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	back := time.Duration(0)
	if t := r.FormValue("lookback_delta"); t != "" {
		if back, err = duration(t); err != nil {
			return nil, nil, badData("invalid parameter %q: %v", "lookback_delta", err)
		}
	}
	text := r.FormValue("query")
	if _, err := expr.Parse(a.parser, text); err != nil {
		return nil, nil, badData("invalid parameter %q: %v", "query", err)
	}
	q, err := make(ctx, promql.NewPrometheusQueryOpts(r.FormValue("stats") == "all", back), text)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case errors.Is(err, gate.ErrFull), errors.Is(err, gate.ErrLong):
		return nil, nil, err
	case err != nil:
		return nil, nil, badData("invalid parameter %q: %v", "query", err)
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, res.Warnings, res.Err
	}
	warn := res.Warnings
	data := queryData{ResultType: string(res.Value.Type())}
	cut := 0
	switch v := res.Value.(type) {
	case promql.Vector:
		if limit > 0 && len(v) > limit {
			v, cut = v[:limit], 1
		}
		data.Result = appendVector(nil, v)
	case promql.Matrix:
		if limit > 0 && len(v) > limit {
			v, cut = v[:limit], 1
		}
		data.Result = appendMatrix(nil, v)
	case promql.Scalar:
		data.Result = appendPoint(nil, v.T, v.V)
	case promql.String:
		data.Result = appendText(nil, v.T, v.V)
	default:
		return nil, warn, fmt.Errorf("the engine gave a %T", v)
	}
	if r.FormValue("stats") != "" {
		data.Stats = stats.NewQueryStats(q.Stats())
	}
	if cut > 0 {
		warn = warn.Add(errors.New("results truncated due to limit"))
	}
	return data, warn, nil
}

// selected walks what match[] selects of a request, under the same gate and time as queries.
func (a *API) selected(r *http.Request, needed bool, fn func(ctx context.Context, q storage.Querier, span *storage.SelectHints, ms []*labels.Matcher) error) error {
	from, err := timeParam(r, "start", time.UnixMilli(0))
	if err != nil {
		return err
	}
	to, err := timeParam(r, "end", a.cfg.Now().Add(time.Hour))
	if err != nil {
		return err
	}
	texts := r.Form["match[]"]
	if len(texts) == 0 && needed {
		return badData("no match[] parameter provided")
	}
	if len(texts) > maxTarget {
		return badData("invalid parameter %q: more than %d of them", "match[]", maxTarget)
	}
	sets, err := a.parser.ParseMetricSelectors(texts)
	if err != nil {
		return badData("invalid parameter %q: %v", "match[]", err)
	}
	for _, ms := range sets {
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return badData("invalid parameter %q: match[] must contain at least one non-empty matcher", "match[]")
		}
	}
	if len(sets) == 0 {
		sets = append(sets, nil)
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Timeout)
	defer cancel()
	if err := a.gate.Enter(ctx); err != nil {
		return err
	}
	defer a.gate.Leave()
	q, err := a.Querier(from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return err
	}
	defer q.Close()
	for _, ms := range sets {
		if err := fn(ctx, q, &storage.SelectHints{Start: from.UnixMilli(), End: to.UnixMilli(), Func: "series"}, ms); err != nil {
			return err
		}
	}
	return nil
}

func (a *API) series(r *http.Request) (any, annotations.Annotations, error) {
	limit, err := limitParam(r)
	if err != nil {
		return nil, nil, err
	}
	var warn annotations.Annotations
	seen := map[string]bool{}
	out := []rawJSON{}
	err = a.selected(r, true, func(ctx context.Context, q storage.Querier, span *storage.SelectHints, ms []*labels.Matcher) error {
		set := q.Select(ctx, true, span, ms...)
		for set.Next() {
			ls := set.At().Labels()
			if k := string(ls.Bytes(nil)); !seen[k] {
				seen[k] = true
				out = append(out, appendLabels(nil, ls))
			}
		}
		warn.Merge(set.Warnings())
		return set.Err()
	})
	if limit > 0 && len(out) > limit {
		out, warn = out[:limit], warn.Add(errors.New("results truncated due to limit"))
	}
	return out, warn, err
}

func (a *API) labelNames(r *http.Request) (any, annotations.Annotations, error) {
	return a.collect(r, func(ctx context.Context, q storage.Querier, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelNames(ctx, nil, ms...)
	})
}

func (a *API) labelValues(r *http.Request) (any, annotations.Annotations, error) {
	name := r.PathValue("name")
	if name == "" || len(name) > expr.MaxBytes || !model.UTF8Validation.IsValidLabelName(name) {
		return nil, nil, badData("invalid label name: %q", name[:min(len(name), 80)])
	}
	return a.collect(r, func(ctx context.Context, q storage.Querier, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelValues(ctx, name, nil, ms...)
	})
}

// collect is the union over match[], in order.
func (a *API) collect(r *http.Request, one func(context.Context, storage.Querier, []*labels.Matcher) ([]string, annotations.Annotations, error)) (any, annotations.Annotations, error) {
	limit, err := limitParam(r)
	if err != nil {
		return nil, nil, err
	}
	var warn annotations.Annotations
	out := []string{}
	err = a.selected(r, false, func(ctx context.Context, q storage.Querier, _ *storage.SelectHints, ms []*labels.Matcher) error {
		v, w, err := one(ctx, q, ms)
		out = append(out, v...)
		warn.Merge(w)
		return err
	})
	slices.Sort(out)
	out = slices.Compact(out)
	if limit > 0 && len(out) > limit {
		out, warn = out[:limit], warn.Add(errors.New("results truncated due to limit"))
	}
	return out, warn, err
}

type metadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

func (a *API) metadata(r *http.Request) (any, annotations.Annotations, error) {
	limit, err := limitParam(r)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Timeout)
	defer cancel()
	if err := a.gate.Enter(ctx); err != nil {
		return nil, nil, err
	}
	defer a.gate.Leave()
	only := r.FormValue("metric")
	if a.cfg.Others == nil {
		return a.kinds(ctx, only, limit), nil, ctx.Err()
	}
	w := &whole{api: a}
	w.left.Store(int64(a.cfg.MaxSamples) * bytesPerSample)
	wait := w.ask(ctx, question{What: askMetadata, Name: only}, nil, a.cfg.Now().UnixMilli())
	out := a.kinds(ctx, only, limit)
	if wait == nil {
		return out, nil, ctx.Err()
	}
	others := wait()
	for _, s := range others.texts {
		if f := strings.Split(s, "\x00"); len(f) == 4 {
			addKind(out, f[0], metadata{f[1], f[2], f[3]}, limit)
		}
	}
	return out, others.warn, others.err
}

// maxKinds bounds the types of one name.
const maxKinds = 10

func addKind(to map[string][]metadata, name string, m metadata, limit int) {
	if (limit == 0 || len(to) < limit || to[name] != nil) && !slices.Contains(to[name], m) && len(to[name]) < maxKinds {
		to[name] = append(to[name], m)
	}
}

// kinds is what is known here of the names of metrics, or of one.
func (a *API) kinds(ctx context.Context, only string, limit int) map[string][]metadata {
	out := map[string][]metadata{}
	a.cfg.Board.Raw(func(service, env string) bool { return ctx.Err() == nil && a.cfg.Owns(service, env) }, func(c *dashboards.RawColumn) bool {
		if name, _ := metricName(c); only == "" || name == only {
			addKind(out, name, metadata{typeOf(c), "", c.Unit()}, limit)
		}
		return false
	}, nil)
	for _, f := range figures {
		if only == "" || f.metric == only {
			addKind(out, f.metric, metadata{"gauge", f.help, (&dashboards.RawColumn{Name: f.metric}).Unit()}, limit)
		}
	}
	return out
}

// exemplars are nowhere kept; those who ask get none.
func (a *API) exemplars(*http.Request) (any, annotations.Annotations, error) {
	return []string{}, nil, nil
}

// buildInfo lets Grafana and promtool know which API this is: version is that of the Prometheus whose engine answers.
func (a *API) buildInfo(*http.Request) (any, annotations.Annotations, error) {
	return map[string]string{"version": engineVersion(), "revision": "rollcall " + a.cfg.Version, "branch": "", "buildUser": "", "buildDate": "", "goVersion": runtime.Version()}, nil, nil
}

func timeParam(r *http.Request, name string, def time.Time) (time.Time, error) {
	s := r.FormValue(name)
	if s == "" && !def.IsZero() {
		return def, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1e11 {
		sec, frac := math.Modf(f)
		return time.Unix(int64(sec), int64(math.Round(frac*1000)/1000*float64(time.Second))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	return time.Time{}, badData("invalid parameter %q: cannot parse %q to a valid timestamp", name, s[:min(len(s), 80)])
}

func duration(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if f *= float64(time.Second); math.Abs(f) < math.MaxInt64 {
			return time.Duration(f), nil
		}
		return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
	}
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", s[:min(len(s), 80)])
}

func limitParam(r *http.Request) (int, error) {
	s := r.FormValue("limit")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, badData("invalid parameter %q: %q is no limit; give a number", "limit", s[:min(len(s), 80)])
	}
	return n, nil
}
