package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// A page that takes parts reads an event piece by piece: each is small, the last one alone says what is now, and together they are what others get at once.
func TestParts(t *testing.T) {
	at := time.UnixMilli(1764000000000)
	spark := func(t0 int64, last float64) *dashboards.Spark {
		n := func(v float64) dashboards.Nums {
			out := make(dashboards.Nums, 90)
			out[88], out[89] = dashboards.Num(v), dashboards.Num(v+1)
			return out
		}
		return &dashboards.Spark{T0: t0, Step: 10_000, Rate: n(last), ErrorRatio: n(0), Latency: n(last), Answering: n(4)}
	}
	rows := make([]*dashboards.Row, 300)
	for i := range rows {
		rows[i] = &dashboards.Row{Service: fmt.Sprintf("s%03d", i), Env: "prod", Rate: 1, Latency: &dashboards.Latency{Name: "p99", Est: 5}, Spark: spark(0, 1), SparkSeq: 100}
	}
	c := &client{parts: true, sent: map[string]seen{}}
	said := func(change func(r *dashboards.Row)) (parts []map[string]json.RawMessage) {
		for i := range rows {
			r := *rows[i]
			change(&r)
			rows[i] = &r
		}
		at = at.Add(time.Second)
		f := newFrame(dashboards.Now{AsOf: at, Rows: rows})
		f.head, f.findings = fmt.Appendf(nil, `"as_of":%d,`, at.UnixMilli()), []byte("[]")
		text := c.event(f)
		for _, e := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n\n") {
			name, data, _ := strings.Cut(strings.TrimPrefix(e, "event: "), "\ndata: ")
			var o map[string]json.RawMessage
			if err := json.Unmarshal([]byte(data), &o); err != nil || len(data) > partSize+8000 {
				t.Fatalf("%v, %d bytes: %.200s", err, len(data), data)
			}
			o["name"] = json.RawMessage(name)
			parts = append(parts, o)
		}
		for i, p := range parts {
			if want := map[bool]string{true: "now", false: "rows"}[i == len(parts)-1]; string(p["name"]) != want || string(p["as_of"]) != fmt.Sprint(at.UnixMilli()) {
				t.Errorf("part %d of %d is %s of %s", i, len(parts), p["name"], p["as_of"])
			}
		}
		return parts
	}
	count := func(parts []map[string]json.RawMessage, what string) (n int) {
		for _, p := range parts {
			n += bytes.Count(p["services"], []byte(what))
		}
		return n
	}
	first := said(func(*dashboards.Row) {})
	if len(first) < 5 || count(first, `"spark":`) != 300 || string(first[len(first)-1]["full"]) != "true" || first[0]["full"] != nil {
		t.Errorf("the first event has %d parts with %d sparks", len(first), count(first, `"spark":`))
	}
	moved := said(func(r *dashboards.Row) { r.Rate, r.FigureSeq = 7.123456789, r.FigureSeq+1 })
	var numbers []json.Number
	if len(moved) != 1 || count(moved, "{") != 0 || json.Unmarshal(moved[0]["figures"], &numbers) != nil || len(numbers) != 300*7 || fmt.Sprint(numbers[7:14]) != "[1 7.12346 0 0 0 0 5]" {
		t.Errorf("figures alone are %.300s", moved[0]["figures"])
	}
	step := said(func(r *dashboards.Row) { r.SparkSeq, r.Spark = r.SparkSeq+1, spark(10_000, 8) })
	if count(step, `"tip":{"t0":10000,"step":10000,"rate":[8,9]`) != 300 || count(step, `"spark":`) != 0 {
		t.Errorf("a step on the page gets %.400s", step[0]["services"])
	}
	if late := said(func(r *dashboards.Row) { r.SparkSeq, r.TipSeq, r.Spark = r.SparkSeq+1, r.TipSeq+1, spark(20_000, 9) }); count(late, `"tip":{"t0":20000,"step":10000,"rate":[0,9,10]`) != 300 {
		t.Errorf("a step after a point came late gets %.400s", late[0]["services"])
	}
	if words := said(func(r *dashboards.Row) { r.Owner, r.FigureSeq, r.WordSeq = "home", r.FigureSeq+1, r.WordSeq+1 }); count(words, `"owner":"home"`) != 300 || count(words, `"tip":`) != 0 {
		t.Errorf("another owner is told as %.300s", words[0]["services"])
	}
	if past := said(func(r *dashboards.Row) { r.PastSeq++ }); count(past, `"spark":`) != 300 {
		t.Error("another past comes without it")
	}
	if calm := said(func(*dashboards.Row) {}); len(calm) != 1 || string(calm[0]["services"]) != "[]" || calm[0]["figures"] != nil {
		t.Errorf("of nothing new: %v", calm)
	}
	rows = rows[:299]
	gone := said(func(*dashboards.Row) {})
	if string(gone[0]["gone"]) != `["s299/prod"]` {
		t.Errorf("gone is %s", gone[0]["gone"])
	}
}

func TestEvery(t *testing.T) {
	r := newRig(t, nil)
	for _, c := range []struct {
		query string
		code  int
	}{{"every=-1", 400}, {"every=60001", 400}, {"every=x", 400}} {
		if res, body := r.get(t, "/api/v1/stream?"+c.query); res.StatusCode != c.code || !strings.Contains(body, "every=") {
			t.Errorf("%s: %d %s", c.query, res.StatusCode, body)
		}
	}
	w := r.watch(t, "/api/v1/stream?parts=1&every=60000")
	if e := w.next(); !e.Full || len(e.Services) != 8 {
		t.Errorf("the first event is %+v", e)
	}
}

// BenchmarkNews is the first event of a tick to a page that watches 2,000 services: of their figures alone, and of a step on of their sparks.
func BenchmarkNews(b *testing.B) {
	line := func() dashboards.Nums {
		out := make(dashboards.Nums, 90)
		for i := range out {
			out[i] = dashboards.Num(100.0 / float64(3+i))
		}
		return out
	}
	for _, bc := range []struct {
		name  string
		spark uint64
	}{{"figures", 0}, {"sparks", 1}} {
		b.Run(bc.name, func(b *testing.B) {
			rows := make([]*dashboards.Row, 2000)
			for i := range rows {
				rows[i] = &dashboards.Row{Service: fmt.Sprintf("service-%04d", i), Env: "prod", Owner: "team", Expected: 10, Present: 10, Answering: 10, Why: []string{}, Rate: 1234.5678,
					Errors: 1.2345, ErrorRatio: 0.001, Latency: &dashboards.Latency{Name: "p99", Lo: 12.34, Hi: 23.45, Est: 17.89}, Versions: []dashboards.Version{{Version: "1.41.3", N: 9}, {Version: "1.42.0", N: 1}},
					Spark: &dashboards.Spark{Step: 10_000, Rate: line(), ErrorRatio: line(), Latency: line(), Answering: line()}}
			}
			c := &client{parts: true, sent: map[string]seen{}}
			f := newFrame(dashboards.Now{Rows: rows})
			c.event(f)
			b.ReportAllocs()
			for b.Loop() {
				for _, r := range rows {
					r.FigureSeq, r.SparkSeq = r.FigureSeq+1, r.SparkSeq+bc.spark
				}
				b.SetBytes(int64(len(c.event(newFrame(dashboards.Now{Rows: rows})))))
			}
		})
	}
}
