package dashboards

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
)

// say is one scrape of a test's story: when, by whom, how it went, and the total it told.
type say struct {
	at        float64
	v         float64 // NaN: the metric was not in the body
	collector uint64
	outcome   collector.Outcome
}

func TestIncreases(t *testing.T) {
	for _, tc := range []struct {
		name string
		says []say
		want string // from-to:by, r where a reset is flagged
	}{
		{"steady", []say{{0, 10, 1, 0}, {1, 12, 1, 0}, {2, 15, 1, 0}}, "0-1:2 1-2:3"},
		{"reset", []say{{0, 10, 1, 0}, {1, 12, 1, 0}, {2, 5, 1, 0}, {3, 9, 1, 0}}, "0-1:2 1-2:5r 2-3:4"},
		{"one scrape missed", []say{{0, 10, 1, 0}, {2, 14, 1, 0}}, "0-2:4"},
		{"a gap of more than two", []say{{0, 10, 1, 0}, {3, 16, 1, 0}, {4, 18, 1, 0}}, "3-4:2"},
		{"a failed scrape between", []say{{0, 10, 1, 0}, {1, nan, 1, collector.Timeout}, {2, 14, 1, 0}}, "0-2:4"},
		{"another collector", []say{{0, 10, 1, 0}, {1, 12, 2, 0}, {2, 13, 2, 0}}, "1-2:1"},
		{"new while watched counts whole", []say{{0, nan, 1, 0}, {1, nan, 1, 0}, {2, 3, 1, 0}, {3, 4, 1, 0}}, "1-2:3 2-3:1"},
		{"there from the first on", []say{{0, 3, 1, 0}, {1, 4, 1, 0}}, "0-1:1"},
		{"gone and back", []say{{0, 3, 1, 0}, {1, nan, 1, 0}, {2, 5, 1, 0}}, "0-2:2"},
		{"late rows find their place", []say{{0, 10, 1, 0}, {3, 16, 1, 0}, {1, 12, 1, 0}, {2, 15, 1, 0}}, "0-1:2 1-2:3 2-3:1"},
		{"twice the same moment", []say{{0, 10, 1, 0}, {1, 12, 1, 0}, {1, 12, 1, 0}}, "0-1:2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t, Options{})
			for _, s := range tc.says {
				r := f.record("10.0.0.1:80", s.at, gauge("other", 1))
				if !math.IsNaN(s.v) {
					r.Samples = append(r.Samples, counter("n", s.v))
				}
				r.ID.Collector, r.Outcome = s.collector, s.outcome
				if s.outcome != collector.OK {
					r.Samples = nil
				}
				f.b.Add(r)
			}
			f.tick(5)
			s := f.b.find("checkout", "prod")
			in := s.instances["10.0.0.1:80"]
			n := slices.IndexFunc(s.cols, func(c column) bool { return c.metric == "n" })
			w := in.window(&s.cols[n], in.index[uint32(n)], t0.UnixMilli(), t0.Add(10*time.Second).UnixMilli())
			got := ""
			w.Increases(func(i Increase) bool {
				if got != "" {
					got += " "
				}
				got += fmt.Sprintf("%d-%d:%g", (i.From-t0.UnixMilli())/1000, (i.To-t0.UnixMilli())/1000, i.By)
				if i.Reset {
					got += "r"
				}
				return true
			})
			if got != tc.want {
				t.Errorf("increases are %q, want %q", got, tc.want)
			}
		})
	}
}

// Rows come in any order, are sealed into blocks, and read back as if they had come in order: the model is a sorted map.
func TestRowsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		b, err := NewBoard(Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := 1 + r.IntN(400)
		order := r.Perm(n)
		// Mostly in order, as life is: only some are late.
		slices.SortFunc(order, func(a, b int) int {
			if a/40 == b/40 && r.IntN(4) > 0 {
				return a - b
			}
			return a/60 - b/60
		})
		model := map[int64]float64{}
		for i, k := range order {
			at := t0.Add(time.Duration(k) * time.Second)
			v := math.Floor(r.Float64() * 1e6)
			model[at.UnixMilli()] = v
			b.Add(&Record{ID: RecordID{1, 1, 0, uint64(i + 1), 0}, Seen: at, Service: "checkout", Env: "prod", Instance: "10.0.0.1:80", Time: at, Interval: time.Second,
				Samples: []collector.Sample{gauge("x", v)}})
			if r.IntN(20) == 0 {
				b.Tick(t0.Add(time.Duration(n) * time.Second))
			}
		}
		b.Tick(t0.Add(time.Duration(n) * time.Second))
		s := b.find("checkout", "prod")
		in := s.instances["10.0.0.1:80"]
		lo := r.IntN(n)
		from, to := t0.Add(time.Duration(lo)*time.Second).UnixMilli(), t0.Add(time.Duration(lo+r.IntN(n-lo))*time.Second).UnixMilli()
		var last int64
		in.scan(from, to, []int32{0}, func(s scanned) {
			if s.t <= last {
				t.Fatalf("row at %d after one at %d", s.t, last)
			}
			last = s.t
			if model[s.t] != s.vals[0] {
				t.Fatalf("value at %d is %v, want %v", s.t, s.vals[0], model[s.t])
			}
			delete(model, s.t)
		})
		for k := range model {
			if k >= from && k <= to {
				t.Fatalf("row at %d was not found", k)
			}
		}
	})
}

// Parts of one snapshot make one row.
func TestParts(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 3 {
		for part := range 2 {
			r := f.record("10.0.0.1:80", float64(s), counter([]string{"requests", "errors"}[part], float64(10*(s+1)*(2-part))))
			r.ID.Sequence, r.ID.Part, r.Parts = uint64(s+1), part+1, 2
			f.b.Add(r)
			f.b.Add(r) // and the same part again
		}
	}
	f.tick(2.5)
	if r := f.row(); !near(r.Rate, 20) || !near(r.Errors, 10) {
		t.Errorf("row is %+v", r)
	}
	if s := f.b.Stats(); s.Seen != 6 || s.Lost != 0 || s.Duplicated != 6 {
		t.Errorf("stats are %+v", s)
	}
}
