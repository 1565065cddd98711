package main

import (
	"strings"
	"testing"
)

// A smaller run of what the analysis makes by itself: it holds there, too.
func TestMadeParts(t *testing.T) {
	var b strings.Builder
	r, err := benchQuantile(t.Context(), 300)
	if err != nil {
		t.Fatal(err)
	}
	q := r.(quantileResult)
	q.print(&b)
	if q.Inside != q.Runs || q.Ratio > 0.2 || len(q.Shapes) != len(mixtures) {
		t.Errorf("%+v", q)
	}
	r, err = benchCanaryAA(t.Context(), 40)
	if err != nil {
		t.Fatal(err)
	}
	aa := r.(canaryAA)
	aa.print(&b)
	if aa.Runs != 40 || aa.Fails > 0.02 || aa.Peeked < aa.Fails {
		t.Errorf("%+v", aa.trialTally)
	}
	r, err = benchCanaryAB(t.Context(), 40)
	if err != nil {
		t.Fatal(err)
	}
	ab := r.(canaryAB)
	ab.print(&b)
	if len(ab.Harms) != len(harms) || ab.Harms[5].Fails < ab.Harms[3].Fails || ab.Harms[5].Fails < 0.5 {
		t.Errorf("%+v", ab)
	}
	for _, part := range []string{"the truth is in the interval in 300 of 300 mixtures", "one sick host in 1,000", "40, judged at each of 180 polls", "errors + 10 points"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("%q is not told in\n%s", part, &b)
		}
	}
	t.Logf("\n%s", &b)
}
