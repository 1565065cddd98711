package dashboards

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

// A pull that the collector did not make says nothing about the instance: it is no failure of its own.
func TestSkippedIsNoFailure(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 20 {
		f.add("a:1", float64(s), counter("requests", float64(s)))
		r := f.record("b:1", float64(s), counter("requests", float64(s)))
		if s >= 15 {
			r.Outcome, r.Samples = collector.Skipped, nil
		}
		f.b.Add(r)
		r = f.record("c:1", float64(s), counter("requests", float64(s)))
		if s >= 15 {
			r.Outcome, r.Samples = collector.Timeout, nil
		}
		f.b.Add(r)
		f.tick(float64(s) + .5)
	}
	fails := map[string]int{}
	for _, m := range f.b.Signals("checkout", "prod", 10).Silent {
		fails[m.Instance] = m.Fails
	}
	if _, accused := fails["b:1"]; accused || fails["c:1"] != 5 {
		t.Errorf("%v: want b, which was not asked, not to be accused, and 5 of c", fails)
	}
	if r := f.row(); r.Answering != 2 || r.Expected != 3 {
		t.Errorf("%d of %d answer, want 2 of 3: what is not asked is what it was", r.Answering, r.Expected)
	}
}

// Where most of a collector's instances are skipped it is told of, once, and nobody else.
func TestCollectorDoesNotKeepUp(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 20 {
		for i := range 8 {
			r := f.record(fmt.Sprintf("h%d:1", i), float64(s), counter("requests", float64(s)))
			if s >= 10 && i < 6 {
				r.Outcome, r.Samples = collector.Skipped, nil
			}
			f.b.Add(r)
		}
		f.tick(float64(s) + .5)
		said := ""
		for _, e := range f.b.Now("").Strip.Exceptions {
			if strings.Contains(e.Text, "keep up") {
				said += e.Text
			}
		}
		if want := "Collector 0000000000000001 does not keep up: it did not get round to 6 of its 8 instances; what is shown of them is from when it last did"; s < 10 && said != "" || s >= 10 && said != want {
			t.Fatalf("at %d s: %q", s, said)
		}
		if g := f.b.Signals("checkout", "prod", 30); len(g.Silent) > 0 || g.AnsweringNow != 8 || s > 1 && slices.Contains(g.Answering[1:], 2) {
			t.Fatalf("at %d s: %+v", s, g)
		}
	}
}

func TestWordsOfMany(t *testing.T) {
	strip := Strip{Expected: 146, Answering: 126}
	gone := Strip{Expected: 10, Answering: 7, Missing: 2}
	over := Finding{Metric: "instances", News: "2 of 9 instances do not answer", Title: "a has stopped: 2 of 9 instances do not answer since 12:00:00 UTC"}
	over.past()
	verdict := Finding{Title: "canary 2 of a holds: b: c", Since: 1, Canary: &CanaryTold{}}
	state := happening{kind: EventState, detail: "is unconfirmed: a guard", who: "h:1"}
	for _, tc := range [][2]string{
		{strip.Roll(), "126 of 146 answering, 20 silent"},
		{gone.Roll(), "7 of 10 answering, 2 missing, 1 silent"},
		{state.text(1), "h:1 is unconfirmed: a guard"},
		{state.text(7), "7 instances are unconfirmed: a guard"},
		{over.Title, "a had stopped: 2 of 9 instances did not answer since 12:00:00 UTC"},
		{over.News, "2 of 9 instances did not answer"},
		{verdict.sentence(), "canary 2 of a holds since 00:00:00 UTC: b: c"},
	} {
		if tc[0] != tc[1] {
			t.Errorf("%q, want %q", tc[0], tc[1])
		}
	}
}
