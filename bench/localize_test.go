package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/dashboards/localize"
)

// The figures that the public cases must not fall below, whatever else changes.
func TestLocalizePublicCases(t *testing.T) {
	cases, err := readIncidents("cases/localize")
	if err != nil {
		t.Fatal(err)
	}
	var c answerTally
	rows := 0
	for i := range cases {
		rows += len(cases[i].leaves)
		answers, _ := cases[i].localize(localize.Settings{})
		c.add(cases[i].truth, answers)
	}
	if r := c.result(); r.Cases != 100 || r.Top1 < .82 || r.Top3 < .93 || r.Top5 < .98 || r.F1 < .82 {
		t.Errorf("fell to %+v", r)
	}
}

func TestAnswerTally(t *testing.T) {
	for _, tc := range []struct {
		truth   []string
		answers [][]string
		rank    int
		element int // whose answer has an element first, -1: none
		counts  [3]int
	}{
		{[]string{"a"}, [][]string{{"a"}, {"b"}}, 0, 0, [3]int{1, 0, 0}},
		{[]string{"a"}, [][]string{{"b"}, {"a"}}, 1, 1, [3]int{0, 1, 1}},
		{[]string{"a", "b"}, [][]string{{"a"}, {"a", "b"}}, 1, 0, [3]int{1, 0, 1}},
		{[]string{"a", "b"}, [][]string{{"a", "c"}}, -1, 0, [3]int{1, 1, 1}},
		{[]string{"a"}, [][]string{{"1"}, {"2"}, {"3"}, {"4"}, {"5"}, {"a"}}, -1, -1, [3]int{0, 1, 1}},
		{[]string{"a", "b"}, nil, -1, -1, [3]int{0, 0, 2}},
	} {
		var c answerTally
		rank := c.add(tc.truth, tc.answers)
		if got := [3]int{c.tp, c.fp, c.fn}; rank != tc.rank || got != tc.counts || slices.Index(c.element[:], 1) != tc.element {
			t.Errorf("%v in %v: rank %d, element %v, counts %v", tc.truth, tc.answers, rank, c.element, got)
		}
	}
}

func TestParseIncident(t *testing.T) {
	const head = "min,a,b,value,cnt\n"
	for _, tc := range []struct {
		name, text string
		want       string // leaves, or the error
	}{
		{"rows before, at and after", head + "60,x,y,1,4\n120,x,y,2,5\n180,x,y,3,6\n", "[x y] {2 5} [{1 4}]"},
		{"columns in another order", "cnt,value,b,min,a\n5,2,y,120,x\n", "[y x] {2 5} []"},
		{"elements are texts", head + "120,1,01,2,5\n120,1,1,0,5\n", "[1 01] {2 5} []; [1 1] {0 5} []"},
		{"gone at the minute", head + "60,x,y,1,4\n", "[x y] {0 0} [{1 4}]"},
		{"no cnt", "min,a,value\n60,x,1\n", "it has no min, value and cnt"},
		{"a dimension twice", "min,a,a,value,cnt\n", "occurs twice"},
		{"a column short", head + "120,x,2,5\n", "row 1: 4 columns"},
		{"no number", head + "120,x,y,two,5\n", "row 1"},
		{"not a number", head + "120,x,y,NaN,5\n", "NaN of 5"},
		{"more than all", head + "120,x,y,6,5\n", "6 of 5"},
		{"twice in a minute", head + "120,x,y,1,5\n120,x,y,1,5\n", "two rows of minute 120"},
		{"nothing", "", "it has no min"},
	} {
		in, err := parseIncident(strings.NewReader(tc.text), 120)
		got := ""
		for i, l := range in.leaves {
			if i > 0 {
				got += "; "
			}
			got += fmt.Sprint(l.elements, l.now, l.past)
		}
		if err != nil {
			got = err.Error()
		}
		if got != tc.want && (err == nil || !strings.Contains(got, tc.want)) {
			t.Errorf("%s: %s", tc.name, got)
		}
	}
}

func FuzzParseIncident(f *testing.F) {
	f.Add("min,a,b,value,cnt\n60,x,y,1,4\n120,x,y,2,5\n", int64(120))
	f.Add("min,value,cnt\n60,1,4\n", int64(60))
	f.Add("cnt,min,value,移动\r\n5,-60,1e3,\r\n", int64(-60))
	f.Fuzz(func(t *testing.T, text string, at int64) {
		in, err := parseIncident(strings.NewReader(text), at)
		if err != nil {
			return
		}
		for _, l := range in.leaves {
			if len(l.elements) != len(in.dims) {
				t.Fatalf("%d elements of %d dimensions", len(l.elements), len(in.dims))
			}
			for _, p := range append(l.past, l.now) {
				if math.IsNaN(p.X) || math.IsInf(p.X, 0) || p.X < 0 || p.X > p.N {
					t.Fatalf("%+v", p)
				}
			}
		}
		answers, _ := in.localize(localize.Settings{})
		if len(answers) > 5 {
			t.Fatalf("%d answers", len(answers))
		}
	})
}

func FuzzParseIncidentLabels(f *testing.F) {
	f.Add([]byte(`{"a":{"timestamp":60,"causes":[[{"b":"500"},{"p":"1"}],[{"b":"2000"}]]}}`))
	f.Add([]byte(`{"a":{"causes":[[{}]]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		labels, err := parseIncidentLabels(b)
		if err != nil {
			return
		}
		for _, l := range labels {
			for _, cause := range l.Causes {
				if elementName(cause) == "" {
					t.Fatalf("%v has no name", cause)
				}
			}
		}
	})
}
