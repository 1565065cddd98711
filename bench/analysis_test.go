package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type told struct {
	Figure float64 `json:"figure"`
}

func (r told) print(w io.Writer) { fmt.Fprintf(w, "figure %g\n", r.Figure) }

func TestRunAnalysis(t *testing.T) {
	part := func(name string, err error) analysisPart {
		return analysisPart{name: name, run: func(_ context.Context, dir string) (analysisResult, error) {
			if err != nil {
				return nil, err
			}
			if filepath.Base(dir) != name {
				return nil, fmt.Errorf("asked to read %s", dir)
			}
			return told{2}, nil
		}}
	}
	made := part("made", nil)
	made.made = true
	broken := errors.New("the cases are damaged")
	for _, tc := range []struct {
		name    string
		folders []string
		parts   []analysisPart
		only    string
		json    string // "": no file
		says    string
		fails   string
	}{
		{"all", []string{"a", "b"}, []analysisPart{part("a", nil), part("b", nil)}, "", `{"a":{"figure":2},"b":{"figure":2}}`, "figure 2", ""},
		{"one is absent", []string{"a"}, []analysisPart{part("a", nil), part("b", nil)}, "", `{"a":{"figure":2},"absent":["b"]}`, "b: no such folder", ""},
		{"one makes its cases", nil, []analysisPart{made}, "", `{"made":{"figure":2}}`, "figure 2", ""},
		{"one fails, the other is told", []string{"a", "b"}, []analysisPart{part("a", broken), part("b", nil)}, "", `{"b":{"figure":2}}`, "figure 2", "measure a: the cases are damaged"},
		{"only one", []string{"a", "b"}, []analysisPart{part("a", broken), part("b", nil)}, "b", `{"b":{"figure":2}}`, "figure 2", ""},
		{"none is there", nil, []analysisPart{part("a", nil)}, "", "", "", "none of the parts was measured"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range tc.folders {
				if err := os.Mkdir(filepath.Join(dir, f), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			out := filepath.Join(dir, "x.json")
			var b strings.Builder
			err := runAnalysis(t.Context(), tc.parts, dir, out, tc.only, &b)
			if (err == nil) != (tc.fails == "") || err != nil && !strings.Contains(err.Error(), tc.fails) {
				t.Errorf("error is %v", err)
			}
			if !strings.Contains(b.String(), tc.says) {
				t.Errorf("it says %q", b.String())
			}
			got, _ := os.ReadFile(out)
			if tc.json == "" && len(got) == 0 {
				return
			}
			var x, y any
			if json.Unmarshal(got, &x) != nil || json.Unmarshal([]byte(tc.json), &y) != nil || fmt.Sprint(x) != fmt.Sprint(y) {
				t.Errorf("it writes %s", got)
			}
		})
	}
	if err := benchAnalysis(t.Context(), []string{"-cases", filepath.Join(t.TempDir(), "nowhere")}, io.Discard, io.Discard); err == nil {
		t.Error("cases that are not there are no error")
	}
}
