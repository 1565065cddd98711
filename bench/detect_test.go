package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

const detectDir = "cases/detect"

func readDetect(t *testing.T) suite {
	t.Helper()
	s, err := readLabels(detectDir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The scorer gives what NAB's own sweeper gives, to 1e-9: at the published thresholds, at the best, file by file.
func TestDetectScorer(t *testing.T) {
	type figures struct {
		Threshold, Raw, Null, Perfect, Normalised float64
		TP, TN, FP, FN                            int
		Files                                     map[string]float64
		Best                                      *struct{ Threshold, Raw, Normalised float64 }
	}
	var want struct {
		Detectors map[string]map[string]figures
		Every500  map[string]figures
	}
	b, err := os.ReadFile(filepath.Join(detectDir, "check", "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	s := readDetect(t)
	near := func(t *testing.T, what string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) <= 1e-9) {
			t.Errorf("%s is %.12f, not %.12f", what, got, want)
		}
	}
	hold := func(name string, scores map[string][]float64, by map[string]figures) {
		t.Run(name, func(t *testing.T) {
			if len(by) != len(nabProfiles) {
				t.Fatalf("%d nabProfiles are expected", len(by))
			}
			for i := range nabProfiles {
				p := &nabProfiles[i]
				e := by[p.name]
				got := s.total(p, scores, e.Threshold)
				near(t, p.name+" raw", got.raw, e.Raw)
				near(t, p.name+" normalised", s.normalised(p, got.raw), e.Normalised)
				near(t, p.name+" null", s.normalised(p, e.Null), 0)
				near(t, p.name+" perfect", s.normalised(p, e.Perfect), 100)
				if got.tp != e.TP || got.fp != e.FP || got.tn != e.TN || got.fn != e.FN {
					t.Errorf("%s counts %+v, not %+v", p.name, got, e)
				}
				for n, raw := range e.Files {
					near(t, p.name+" "+n, s[n].score(p, scores[n], e.Threshold).raw, raw)
				}
				if e.Best != nil {
					at, raw := s.best(p, scores)
					near(t, p.name+" best raw", raw, e.Best.Raw)
					near(t, p.name+" best threshold", at, e.Best.Threshold)
				}
			}
		})
	}
	if len(want.Detectors) < 3 {
		t.Fatalf("%d detectors are expected", len(want.Detectors))
	}
	for name, by := range want.Detectors {
		scores, err := readScores(s, filepath.Join(detectDir, "check", name+".csv.gz"))
		if err != nil {
			t.Fatal(err)
		}
		hold(name, scores, by)
	}
	blind := map[string][]float64{}
	for n, l := range s {
		blind[n] = make([]float64, l.Rows)
		for i := 0; i < l.Rows; i += 500 {
			blind[n][i] = 1
		}
	}
	hold("every 500th", blind, want.Every500)
}

// What the detector comes to, with its one threshold: a floor under the figures that docs/analysis.md tells.
func TestDetectFigures(t *testing.T) {
	r, err := benchDetect(t.Context(), detectDir)
	if err != nil {
		t.Fatal(err)
	}
	f := r.(*detectFigures)
	for _, c := range []struct {
		name       string
		got, least float64
	}{
		{"standard", f.Standard, 68},
		{"low FP", f.LowFP, 64},
		{"low FN", f.LowFN, 70},
		{"realAWSCloudwatch", f.Folders["realAWSCloudwatch"], 62},
		{"realAdExchange", f.Folders["realAdExchange"], 70},
		{"realTweets", f.Folders["realTweets"], 74},
	} {
		if !(c.got >= c.least) {
			t.Errorf("%s is %.2f, below %g", c.name, c.got, c.least)
		}
	}
	if f.Bytes > 128 {
		t.Errorf("%d bytes a series", f.Bytes)
	}
	if !f.given {
		t.Errorf("%d series with %d windows are not those that others' figures are of", f.Series, f.Windows)
	}
}

// Damaged labels are an error that names the series.
func TestReadLabels(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":      `{`,
		"no windows":   `{"a/b.csv": {"rows": 10, "probation": 1}}`,
		"out of order": `{"a/b.csv": {"rows": 10, "probation": 1, "windows": [{"first": 5, "last": 7}, {"first": 2, "last": 3}]}}`,
		"too long":     `{"a/b.csv": {"rows": 10, "probation": 1, "windows": [{"first": 5, "last": 10}]}}`,
		"elsewhere":    `{"../b.csv": {"rows": 10, "probation": 1, "windows": [{"first": 5, "last": 7}]}}`,
		"nothing":      `{"a/b.csv": null}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "labels.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readLabels(dir); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
