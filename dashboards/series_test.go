package dashboards

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// storied is a Board of three instances in two zones, a minute old; .3 is new after half of it.
func storied(t *testing.T) *fleet {
	f := newFleet(t, Options{Percentile: func(ds []Dist, p float64) Interval {
		out := Interval{Lo: 1e9}
		for _, d := range ds {
			for _, q := range d.Q {
				if q.P == p {
					out.Lo, out.Hi = min(out.Lo, q.V), max(out.Hi, q.V)
					out.Est = out.Hi
				}
			}
		}
		return out
	}})
	for s := range 60 {
		for i := 1; i <= 3; i++ {
			if i == 3 && s < 30 {
				continue
			}
			at := float64(s) + 0.2*float64(i)
			n := float64(s)
			r := f.record(fmt.Sprintf("10.0.0.%d:80", i), at,
				counter("requests", 10*n*float64(i)), labelled(counter("by", n), "code", "200"), labelled(counter("by", 2*n), "code", "500"),
				gauge("heap_mb", 100*float64(i)), dist("latency_ms", collector.Latched, "count", 10, "sum", 100*i, "p50", 5*i, "p99", 10*i),
				dist("life_ms", collector.Lifetime, "count", 10*n, "sum", 30*n, "p99", 10*i, "minimum", i, "maximum", 100*i))
			r.Tags = []collector.LabelPair{{Name: TagZone, Value: []string{"", "a", "a", "b"}[i]}}
			f.b.Add(r)
		}
	}
	f.tick(59.9)
	return f
}

func TestSeries(t *testing.T) {
	f := storied(t)
	for _, tc := range []struct {
		name          string
		q             Query
		agg, unit, of string
		lines         string // name n: value (lo..hi) at 50 s
	}{
		{"a counter", Query{Metric: "requests"}, "sum", "per second", "3 of 3 instances", " 3: 60"},
		{"by instance", Query{Metric: "requests", By: "instance"}, "sum", "per second", "3 of 3 instances", "10.0.0.1:80 1: 10|10.0.0.2:80 1: 20|10.0.0.3:80 1: 30"},
		{"by a tag's short name", Query{Metric: "requests", By: "zone"}, "sum", "per second", "3 of 3 instances", "a 2: 30|b 1: 30"},
		{"by a tag's full name", Query{Metric: "requests", By: TagZone}, "sum", "per second", "3 of 3 instances", "a 2: 30|b 1: 30"},
		{"by a tag nobody has", Query{Metric: "requests", By: "rack"}, "sum", "per second", "3 of 3 instances", "unknown 3: 60"},
		{"labels added up", Query{Metric: "by"}, "sum", "per second", "3 of 3 instances", " 3: 9"},
		{"by a label", Query{Metric: "by", By: "code"}, "sum", "per second", "3 of 3 instances", "200 3: 3|500 3: 6"},
		{"a gauge", Query{Metric: "heap_mb"}, "mean", "MB", "3 of 3 instances", " 3: 200"},
		{"a percentile", Query{Metric: "latency_ms"}, "percentile", "ms", "3 of 3 instances", " 3: 30 (10..30)"},
		{"another", Query{Metric: "latency_ms", Field: "p50"}, "percentile", "ms", "3 of 3 instances", " 3: 15 (5..15)"},
		{"a percentile by zone", Query{Metric: "latency_ms", By: "zone"}, "percentile", "ms", "3 of 3 instances", "a 2: 20 (10..20)|b 1: 30 (30..30)"},
		{"as reported by each", Query{Metric: "life_ms", Field: "p99", By: "instance"}, "as reported", "ms", "3 of 3 instances", "10.0.0.1:80 1: 10|10.0.0.2:80 1: 20|10.0.0.3:80 1: 30"},
		{"lifetime has no number", Query{Metric: "life_ms", Field: "p99"}, "as reported", "ms", "3 of 3 instances", " 3: null (10..30)"},
		{"lifetime's mean", Query{Metric: "life_ms"}, "mean", "ms", "3 of 3 instances", " 3: 3"},
		{"least", Query{Metric: "life_ms", Field: "min"}, "min", "ms", "3 of 3 instances", " 3: 1"},
		{"greatest", Query{Metric: "life_ms", Field: "maximum"}, "max", "ms", "3 of 3 instances", " 3: 300"},
		{"count of a lifetime", Query{Metric: "life_ms", Field: "count"}, "sum", "per second", "3 of 3 instances", " 3: 30"},
		{"a wider step", Query{Metric: "requests", Step: 10 * time.Second}, "sum", "per second", "3 of 3 instances", " 3: 60"},
		{"before the third", Query{Metric: "requests", To: t0.Add(20 * time.Second)}, "sum", "per second", "2 of 3 instances", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.q.Service, tc.q.Env = "checkout", "prod"
			s, err := f.b.Series(tc.q)
			if err != nil {
				t.Fatal(err)
			}
			if s.Agg != tc.agg || s.Unit != tc.unit || s.Of != tc.of {
				t.Errorf("agg %q unit %q of %q", s.Agg, s.Unit, s.Of)
			}
			if tc.lines == "" {
				return
			}
			k := int((t0.Add(50*time.Second).UnixMilli() - s.T0) / s.Step)
			show := func(n Num) string { b, _ := n.MarshalJSON(); return string(b) }
			var got []string
			for _, l := range s.Lines {
				line := fmt.Sprintf("%s %d: %s", l.Name, l.Instances, show(l.Values[k]))
				if l.Lo != nil {
					line += fmt.Sprintf(" (%s..%s)", show(l.Lo[k]), show(l.Hi[k]))
				}
				got = append(got, line)
			}
			if g := strings.Join(got, "|"); g != tc.lines {
				t.Errorf("lines are %q, want %q", g, tc.lines)
			}
		})
	}
}

// Every second that somebody answered in is drawn up to the newest scrape, and nothing before the first.
func TestSeriesEdges(t *testing.T) {
	f := storied(t)
	s, err := f.b.Series(Query{Service: "checkout", Env: "prod", Metric: "requests", From: t0.Add(-10 * time.Second), Step: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	v := s.Lines[0].Values
	if len(v) != 70 || v[9].Known() || !v[10].Known() || !near(v[30], 30) || !near(v[69], 60) {
		t.Errorf("%d values: %v", len(v), v)
	}
}

func TestSeriesRefuses(t *testing.T) {
	f := storied(t)
	for _, tc := range []struct {
		name string
		q    Query
		want error
		text string
	}{
		{"no service", Query{Service: "x", Env: "prod", Metric: "requests"}, ErrNoService, "/api/v1/search"},
		{"no metric", Query{Metric: "x"}, ErrNoMetric, "/api/v1/service"},
		{"no field", Query{Metric: "latency_ms", Field: "p42"}, ErrQuery, "it has count, p50, p99, sum"},
		{"backwards", Query{Metric: "requests", From: t0.Add(time.Minute), To: t0}, ErrQuery, "before"},
		{"too long", Query{Metric: "requests", From: t0.Add(-25 * time.Hour)}, ErrQuery, "a day"},
		{"too many", Query{Metric: "requests", From: t0.Add(-time.Hour), Step: time.Second}, ErrQuery, "a step of 2s or more"},
		{"half a second", Query{Metric: "requests", Step: 500 * time.Millisecond}, ErrQuery, "whole seconds"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.q.Service == "" {
				tc.q.Service, tc.q.Env = "checkout", "prod"
			}
			if _, err := f.b.Series(tc.q); !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// Of many instances the greatest get lines, the rest are one, and nothing is lost in the sum.
func TestSeriesOther(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 5 {
		for i := range 40 {
			f.add(fmt.Sprintf("10.0.0.%d:80", i), float64(s), counter("requests", float64(s*(i+1))))
		}
	}
	f.tick(4.5)
	s, err := f.b.Series(Query{Service: "checkout", Env: "prod", Metric: "requests", By: "instance", From: t0, Step: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Lines); n != MaxLines+1 || s.Lines[n-1].Name != "other" || s.Lines[n-1].Instances != 16 {
		t.Fatalf("%d lines, the last is %+v", n, s.Lines[n-1])
	}
	var sum Num
	for _, l := range s.Lines {
		sum += l.Values[2]
	}
	if !near(sum, 820) || !near(s.Lines[MaxLines].Values[2], 136) {
		t.Errorf("sum is %v, other is %v", sum, s.Lines[MaxLines].Values[2])
	}
}

// The last step of a rate is not over, and some have not been scraped in it yet: it does not dip, and neither does a mean.
func TestLastStepDoesNotDip(t *testing.T) {
	f := newFleet(t, Options{})
	f.every = 10 * time.Second
	for s := 0; s <= 127; s++ {
		for i := range 5 {
			if s%10 == 2*i {
				f.add(fmt.Sprintf("10.0.0.%d:80", i), float64(s), counter("requests", float64(20*s)), gauge("heap_mb", 50))
			}
		}
		f.tick(float64(s) + .5)
		if s < 40 {
			continue
		}
		for metric, want := range map[string]float64{"requests": 100, "heap_mb": 50} {
			x, err := f.b.Series(Query{Service: "checkout", Env: "prod", Metric: metric, From: t0.Add(30 * time.Second), Step: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range x.Lines[0].Values {
				if !near(v, want) {
					t.Fatalf("%s at %d s: point %d of %d is %v, want %v", metric, s, k, len(x.Lines[0].Values), v, want)
				}
			}
		}
	}
	for to := 60; to <= 127; to++ { // nor does it where the past was asked for up to the middle of a step
		x, err := f.b.Series(Query{Service: "checkout", Env: "prod", Metric: "requests", From: at(30), To: at(float64(to)), Step: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range x.Lines[0].Values {
			if !near(v, 100) {
				t.Fatalf("up to %d s: point %d of %d is %v, want 100", to, k, len(x.Lines[0].Values), v)
			}
		}
	}
}
