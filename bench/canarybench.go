package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/rollcall-metrics/rollcall/dashboards/canary/cases"
)

// canaryResult is how the judge's cases came out.
type canaryResult struct {
	Passed int      `json:"passed"`
	Failed int      `json:"failed"`
	Names  []string `json:"failures,omitempty"`
}

// benchCanary answers the cases of Kayenta's judge. A file that is not there is left out if the other one is.
func benchCanary(_ context.Context, dir string) (analysisResult, error) {
	var out canaryResult
	read := 0
	for _, name := range []string{"judge.json", "mannwhitney.json"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read cases: %w", err)
		}
		r, err := cases.Run(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		read++
		out.Passed += r.Passed
		out.Failed += len(r.Failed)
		out.Names = append(out.Names, r.Failed...)
	}
	if read == 0 {
		return nil, fmt.Errorf("neither judge.json nor mannwhitney.json is in %s", dir)
	}
	return out, nil
}

func (r canaryResult) print(w io.Writer) {
	fmt.Fprintf(w, "canary: %d of %d cases of Kayenta's judge come out as there\n", r.Passed, r.Passed+r.Failed)
	for _, n := range r.Names {
		fmt.Fprintln(w, "  differs:", n)
	}
}
