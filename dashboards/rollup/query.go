package rollup

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// Query asks for one signal of a service over the last day.
type Query struct {
	Service, Env string
	Signal       string // rate, errors, error_ratio, latency, instances, or metric:NAME for any other
	By           string // empty: one line; a tag by its full or short name, or a label such as client.as.number
	From, To     time.Time
	Step         time.Duration // a multiple of ten seconds; 0: what makes at most 500 points
}

// Answer is a Query's. Point k of a line speaks for [T0+k·Step, T0+(k+1)·Step).
type Answer struct {
	Service string            `json:"service"`
	Env     string            `json:"env"`
	Signal  string            `json:"signal"`
	Name    string            `json:"name,omitempty"` // of a latency: p99, mean, …
	By      string            `json:"by,omitempty"`
	T0      int64             `json:"t0"`
	Step    int64             `json:"step"`
	AsOf    int64             `json:"as_of"` // of the newest rollup
	Of      string            `json:"of"`    // n of m instances, as of then
	Since   *int64            `json:"since"` // what is known begins here; null: nothing is
	Lines   []dashboards.Line `json:"series"`
}

// What a query may complain of; the text says how to mend it.
var (
	ErrNone  = errors.New("no such history")
	ErrQuery = errors.New("bad query")
)

const (
	maxPoints  = 9000
	nicePoints = 500
)

var signals = []string{"rate", "errors", "error_ratio", "latency", "instances"}

// Query answers from what is known. now is the default end.
func (h *History) Query(q Query, now time.Time) (*Answer, error) {
	name, other := strings.CutPrefix(q.Signal, "metric:")
	if !other && !slices.Contains(signals, q.Signal) {
		return nil, fmt.Errorf("%w: signal %q: use %s, or metric:NAME", ErrQuery, q.Signal, strings.Join(signals, ", "))
	}
	if q.To.IsZero() || q.To.After(now) {
		q.To = now
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-time.Hour)
	}
	if !q.From.Before(q.To) {
		return nil, fmt.Errorf("%w: from is not before to", ErrQuery)
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.services[[2]string{q.Service, q.Env}]
	if s == nil {
		return nil, fmt.Errorf("%w: nothing is known of %s/%s; /api/v1/search finds services", ErrNone, q.Service, q.Env)
	}
	by := dashboards.TagName(q.By)
	metric := ""
	least := int64(step)
	if other {
		metric = name
		if _, pinned := s.lines[lineKey{name, "", ""}]; !pinned {
			if least = minute; q.By != "" {
				return nil, fmt.Errorf("%w: %q is kept by the minute and as a whole; name it under dashboards.pinned to have it by %s", ErrQuery, name, q.By)
			}
			by = byMinute
		}
	}
	if q.Step == 0 {
		q.Step = time.Duration(least) * time.Millisecond
		for _, nice := range []time.Duration{1, 3, 6, 12, 30, 60, 180} {
			if d := nice * 10 * time.Second; d >= q.Step && q.Step < q.To.Sub(q.From)/nicePoints {
				q.Step = d
			}
		}
	}
	if q.Step < time.Millisecond || q.Step.Milliseconds()%least != 0 {
		return nil, fmt.Errorf("%w: step is not a multiple of %s", ErrQuery, time.Duration(least)*time.Millisecond)
	}
	if n := q.To.Sub(q.From) / q.Step; n > maxPoints {
		return nil, fmt.Errorf("%w: %d points; at most %d: take a longer step", ErrQuery, n, maxPoints)
	}
	st := q.Step.Milliseconds()
	out := &Answer{Service: q.Service, Env: q.Env, Signal: q.Signal, By: q.By, T0: q.From.UnixMilli() / st * st, Step: st, AsOf: s.asOf, Of: fmt.Sprintf("%d of %d instances", s.n, s.m), Lines: []dashboards.Line{}}
	if q.Signal == "latency" {
		out.Name = s.latency
	}
	points := int((q.To.UnixMilli() - out.T0 + st - 1) / st)
	for k, l := range s.lines {
		if k.metric != metric || k.dim != by {
			continue
		}
		out.Lines = append(out.Lines, l.draw(k.value, q.Signal, out.T0, st, points))
	}
	if len(out.Lines) == 0 {
		return nil, fmt.Errorf("%w: %s/%s has no %s by %q; it has %s", ErrNone, q.Service, q.Env, q.Signal, q.By, strings.Join(s.dims(metric), ", "))
	}
	slices.SortFunc(out.Lines, func(a, b dashboards.Line) int {
		last := func(l *dashboards.Line) int {
			if l.Name == dashboards.OtherValue {
				return 1
			}
			return 0
		}
		return cmp.Or(last(&a)-last(&b), cmp.Compare(b.Instances, a.Instances), strings.Compare(a.Name, b.Name))
	})
	if len(out.Lines) > maxLines {
		out.Lines = out.Lines[:maxLines]
	}
	if t, ok := s.since(); ok {
		out.Since = &t
	}
	return out, nil
}

const maxLines = 64

// dims is what a metric is known by.
func (s *service) dims(metric string) (out []string) {
	for k := range s.lines {
		if k.metric == metric && k.dim != "" && k.dim != byMinute && !slices.Contains(out, k.dim) {
			out = append(out, k.dim)
		}
	}
	slices.Sort(out)
	return append([]string{"no dimension"}, out...)
}

// since is the oldest slot that is known.
func (s *service) since() (int64, bool) {
	oldest, any := int64(0), false
	for c, bits := range s.slots {
		if bits == 0 {
			continue
		}
		i := int64(0)
		for bits>>uint(i)&1 == 0 {
			i++
		}
		if t := (c*chunkPoints + i) * step; !any || t < oldest {
			oldest, any = t, true
		}
	}
	return oldest, any
}

// span is where the line's first chunk begins and its last one ends, Unix ms.
func (l *line) span() (begin, end int64) {
	for c := range l.chunks {
		from, to := c*chunkPoints*l.step, (c+1)*chunkPoints*l.step
		if end == 0 || from < begin {
			begin = from
		}
		end = max(end, to)
	}
	return begin, end
}

// draw makes a line. Over several slots rates and ratios are means, a latency the mean of its estimates, weighed by requests, within the widest bounds.
func (l *line) draw(name, signal string, t0, st int64, points int) dashboards.Line {
	out := dashboards.Line{Name: name, Instances: l.n, Values: make(dashboards.Nums, points)}
	if signal == "latency" {
		out.Lo, out.Hi = make(dashboards.Nums, points), make(dashboards.Nums, points)
	}
	begin, end := l.span() // a point may be a day, and a query reach back for years
	for k := range points {
		var n, sum, errs, weight float64
		lo, hi := math.NaN(), math.NaN()
		from := t0 + int64(k)*st
		for t := max((from+l.step-1)/l.step*l.step, begin); t < min(from+st, end); t += l.step {
			data := l.chunks[t/l.step/chunkPoints]
			if data == nil {
				continue
			}
			p := data[int(t/l.step%chunkPoints)*l.width:][:l.width]
			rate := float64(p[0])
			switch signal {
			case "latency":
				x, w := float64(p[3]), rate
				if math.IsNaN(x) {
					continue
				}
				if !(w > 0) {
					w = 1e-9
				}
				sum, weight, n = sum+x*w, weight+w, n+1
				if a := float64(p[2]); !(a >= lo) && !math.IsNaN(a) {
					lo = a
				}
				if a := float64(p[4]); !(a <= hi) && !math.IsNaN(a) {
					hi = a
				}
			case "errors", "error_ratio":
				if e := float64(p[1]); !math.IsNaN(e) {
					errs, sum, n = errs+e, sum+rate, n+1
				}
			case "instances":
				if x := float64(p[l.width-1]); !math.IsNaN(x) {
					sum, n = sum+x, n+1
				}
			default:
				if !math.IsNaN(rate) {
					sum, n = sum+rate, n+1
				}
			}
		}
		v := math.NaN()
		switch {
		case n == 0:
		case signal == "latency":
			v = sum / weight
		case signal == "errors":
			v = errs / n
		case signal == "error_ratio":
			if sum > 0 {
				v = min(errs/sum, 1)
			} else if errs == 0 {
				v = 0
			}
		default:
			v = sum / n
		}
		out.Values[k] = dashboards.Num(v)
		if out.Lo != nil {
			out.Lo[k], out.Hi[k] = dashboards.Num(lo), dashboards.Num(hi)
		}
	}
	return out
}

// Spark is the last quarter of an hour of a service in slots, for a row whose owner is another replica; nil: nothing is known.
func (h *History) Spark(name, env string, now int64) *dashboards.Spark {
	const points = 90
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.services[[2]string{name, env}]
	if s == nil || s.lines[lineKey{}] == nil {
		return nil
	}
	l := s.lines[lineKey{}]
	t0 := now/step*step - (points-1)*step
	get := func(signal string) dashboards.Nums { return l.draw("", signal, t0, step, points).Values }
	return &dashboards.Spark{T0: t0, Step: step, Rate: get("rate"), ErrorRatio: get("error_ratio"), Latency: get("latency"), Answering: get("instances")}
}
