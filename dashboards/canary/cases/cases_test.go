package cases

import (
	"os"
	"strings"
	"testing"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// All public cases of Kayenta's judge come out as they do there.
func TestCases(t *testing.T) {
	for name, n := range map[string]int{"judge.json": 73, "mannwhitney.json": 4} {
		r, err := Run(read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Failed {
			t.Errorf("%s: %s", name, f)
		}
		if r.Passed+len(r.Failed) != n {
			t.Errorf("%s has %d cases, want %d", name, r.Passed+len(r.Failed), n)
		}
	}
}

// A case that is not understood, or comes out otherwise, is a failure by name.
func TestFailures(t *testing.T) {
	for _, tc := range []struct{ file, says string }{
		{`{"oracle":[{"name":"a","expect":1}]}`, `oracle: a: kind "oracle" is not known`},
		{`{"classifier":[{"name":"a","method":"guess","options":{},"control":[1],"experiment":[2],"expect":{"classification":"High"}}]}`, `method "guess" is not known`},
		{`{"classifier":[{"name":"a","method":"meanInequality","options":{"mood":1},"control":[1],"experiment":[2],"expect":{"classification":"High"}}]}`, `unknown field "mood"`},
		{`{"classifier":[{"name":"a","method":"meanInequality","options":{},"control":[1],"experiment":[2],"expect":{"classification":"Low"}}]}`, "classified as High, not Low"},
		{`{"classifier":[{"name":"a","method":"meanInequality","options":{},"control":[1],"experiment":[2],"expect":{"deviation":{"value":3,"tolerance":0}}}]}`, "deviation is 2, not 3"},
		{`{"classifier":[{"name":"a","method":"meanInequality","options":{},"control":[1],"experiment":[2],"expect":{"deviation":null}}]}`, "deviation is 2, not NaN"},
		{`{"scorer":[{"name":"a","groupWeights":{},"metrics":[],"expect":{"score":1}}]}`, "score 0, not 1"},
		{`{"statistic":[{"name":"a","function":"mode","expect":{"value":1,"tolerance":0}}]}`, `function "mode" is not known`},
		{`{"detector":[{"name":"a","options":{"detector":"grubbs"},"data":[],"expect":[]}]}`, `detector "grubbs" is not known`},
		{`{"transform":[{"name":"a","transform":"removeNaNs","options":{},"data":[null],"expect":[0]}]}`, "becomes []"},
		{`{"cases":[{"name":"a","kind":"interval","confidence":0.95,"x":[1,2],"y":[3],"expect":{"middle":{"value":1,"tolerance":0}}}]}`, `"middle" is not known`},
	} {
		r, err := Run([]byte(tc.file))
		if err != nil || r.Passed != 0 || len(r.Failed) != 1 || !strings.Contains(r.Failed[0], tc.says) {
			t.Errorf("%s\n gives %+v, %v", tc.file, r, err)
		}
	}
	for _, bad := range []string{``, `[]`, `{"classifier":{}}`} {
		if _, err := Run([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func FuzzRun(f *testing.F) {
	f.Add(read(f, "mannwhitney.json"))
	f.Add([]byte(`{"classifier":[{"name":"a","method":"mannWhitney","options":{},"control":[1,null,1e308],"experiment":[-1e308,2],"expect":{"deviation":null}}]}`))
	f.Add([]byte(`{"statistic":[{"name":"a","function":"percentile","data":[1,null],"expect":[{"p":5,"value":1,"tolerance":0}]}]}`))
	f.Add([]byte(`{"detector":[{"name":"a","options":{"detector":"iqr","factor":1.5},"data":[],"expect":[]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 64<<10 {
			return
		}
		Run(b)
	})
}
