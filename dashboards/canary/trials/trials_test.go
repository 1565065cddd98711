package trials

import (
	"math/rand/v2"
	"testing"

	"github.com/rollcall-metrics/rollcall/dashboards/canary"
)

// tally is how studies of one kind came out.
func tally(t *testing.T, runs int, h Harm, families []Family, shapes []Shape) (passed, failed, all int) {
	t.Helper()
	for fi := range families {
		for _, shape := range shapes {
			for i := range runs {
				r, err := canary.Watch(Study(rand.New(rand.NewPCG(uint64(i), uint64(fi))), &families[fi], shape, 120, h), canary.Rules{})
				if err != nil {
					t.Fatal(err)
				}
				all++
				switch r.Verdict {
				case canary.Pass:
					passed++
				case canary.Fail:
					failed++
					if h == (Harm{}) {
						t.Logf("%s, %d/%d, run %d: %s", families[fi].Name, shape.Baseline, shape.Canary, i, r.Reason)
					}
				}
			}
		}
	}
	return passed, failed, all
}

// A canary that does no harm is failed by at most one run in fifty, looked at in each of 120 polls, however its fleet is noisy. The analysis does it 10,000 times.
func TestNoHarm(t *testing.T) {
	passed, failed, all := tally(t, 8, Harm{}, Families, Shapes)
	t.Logf("%d passed, %d failed of %d", passed, failed, all)
	if failed*50 > all {
		t.Errorf("%d of %d canaries that do no harm are failed", failed, all)
	}
	if passed*4 < all {
		t.Errorf("only %d of %d canaries that do no harm are passed", passed, all)
	}
}

func TestHarm(t *testing.T) {
	shapes := []Shape{{16, 2}, {12, 6}, {45, 5}}
	for _, h := range []Harm{{Slower: 1.6}, {Errors: 0.02}} {
		_, failed, all := tally(t, 5, h, Families[:3], shapes)
		if failed*20 < 19*all {
			t.Errorf("%+v: only %d of %d are failed", h, failed, all)
		}
		if passed, _, all := tally(t, 5, h, Families, shapes); passed*20 > all {
			t.Errorf("%+v: %d of %d are passed", h, passed, all)
		}
	}
}

// What is drawn is what is said: counts are whole and no more than requests, and a seed gives the same again.
func TestStudy(t *testing.T) {
	for fi := range Families {
		a := Study(rand.New(rand.NewPCG(1, 2)), &Families[fi], Shapes[1], 60, Harm{Errors: 0.5})
		b := Study(rand.New(rand.NewPCG(1, 2)), &Families[fi], Shapes[1], 60, Harm{Errors: 0.5})
		for i, m := range a.Members {
			var errors, requests float64
			for k, x := range m.Series[0].X {
				n := m.Series[0].N[k]
				if x != float64(int(x)) || x < 0 || x > n || b.Members[i].Series[0].X[k] != x {
					t.Fatalf("%s: %v errors of %v requests", Families[fi].Name, x, n)
				}
				errors, requests = errors+x, requests+n
			}
			if ratio := errors / requests; m.Canary && (ratio < 0.4 || ratio > 0.7) {
				t.Errorf("%s: a ratio of %v of a canary whose requests fail half", Families[fi].Name, ratio)
			}
		}
	}
}
