package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// analysisPart is one part of the analysis, measured over a folder of cases of its own.
type analysisPart struct {
	name string // of its folder, and of its key in the JSON
	made bool   // it makes its cases itself: there is no folder
	run  func(ctx context.Context, dir string) (analysisResult, error)
}

// analysisResult is what a part measured: it marshals to its part's object in the JSON, and prints itself beside the best published.
type analysisResult interface {
	print(w io.Writer)
}

// analysisParts lists the parts in the order in which they are told.
func analysisParts(faults faultsSize) []analysisPart {
	return []analysisPart{
		{name: "localize", run: benchLocalize},
		{name: "detect", run: benchDetect},
		{name: "canary", run: benchCanary},
		{name: "canary_aa", made: true, run: func(ctx context.Context, _ string) (analysisResult, error) { return benchCanaryAA(ctx, canaryRuns) }},
		{name: "canary_ab", made: true, run: func(ctx context.Context, _ string) (analysisResult, error) { return benchCanaryAB(ctx, canaryABRuns) }},
		{name: "quantile", made: true, run: func(ctx context.Context, _ string) (analysisResult, error) { return benchQuantile(ctx, quantileRuns) }},
		{name: "faults", made: true, run: faults.bench},
	}
}

// benchAnalysis measures each part whose folder is there. What fails is told and makes the whole fail, after the others have run.
func benchAnalysis(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench analysis", flag.ContinueOnError)
	flags.SetOutput(stderr)
	cases := flags.String("cases", "", "measure the cases of this folder with localize/, detect/ and canary/, and nothing else; default: our own, and what makes its cases itself")
	out := flags.String("out", "", "write the figures as JSON to this file")
	only := flags.String("only", "", "only these parts, by comma")
	var faults faultsSize
	flags.IntVar(&faults.each, "faults", 50, "break so many made-up fleets in each way; 0 leaves faults out")
	flags.DurationVar(&faults.calm, "calm", 24*time.Hour, "let a made-up fleet in which nothing is wrong live so long, in its own time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("parse flags: %q is left over", flags.Args())
	}
	if faults.each < 0 || faults.calm < 0 {
		return errors.New("parse flags: -faults and -calm cannot be negative")
	}
	parts := analysisParts(faults)
	if faults.each == 0 {
		parts = slices.DeleteFunc(parts, func(p analysisPart) bool { return p.name == "faults" })
	}
	if *cases == "" {
		*cases = ownCases
	} else if *only == "" { // the others would say the same of any folder
		parts = slices.DeleteFunc(parts, func(p analysisPart) bool { return p.made })
	}
	return runAnalysis(ctx, parts, *cases, *out, *only, stdout)
}

// ownCases are those that are kept beside this program.
const ownCases = "cases"

func runAnalysis(ctx context.Context, parts []analysisPart, cases, out, only string, stdout io.Writer) error {
	if st, err := os.Stat(cases); err != nil {
		return fmt.Errorf("open cases: %w", err)
	} else if !st.IsDir() {
		return fmt.Errorf("open cases: %s is not a folder", cases)
	}
	fmt.Fprintf(stdout, "cases of %s; %s, %d processors\n", cases, runtime.Version(), runtime.NumCPU())
	wanted := func(name string) bool {
		if only == "" {
			return true
		}
		for _, o := range strings.Split(only, ",") {
			if o == name {
				return true
			}
		}
		return false
	}
	results := map[string]any{}
	var errs []error
	var absent []string
	for _, p := range parts {
		if !wanted(p.name) {
			continue
		}
		dir := filepath.Join(cases, p.name)
		if _, err := os.Stat(dir); !p.made && errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(stdout, "\n%s: no such folder among the cases, left out\n", p.name)
			absent = append(absent, p.name)
			continue
		}
		r, err := p.run(ctx, dir)
		if err != nil {
			err = fmt.Errorf("measure %s: %w", p.name, err)
			fmt.Fprintf(stdout, "\n%v\n", err)
			errs = append(errs, err)
			continue
		}
		fmt.Fprintln(stdout)
		r.print(stdout)
		results[p.name] = r
		if err := writeFigures(out, results); err != nil { // after each part: some take minutes
			return errors.Join(append(errs, err)...)
		}
	}
	if len(results) == 0 {
		return errors.Join(append(errs, fmt.Errorf("measure %s: none of the parts was measured", cases))...)
	}
	if len(absent) > 0 {
		results["absent"] = absent
		errs = append(errs, writeFigures(out, results))
	}
	return errors.Join(errs...)
}

// writeFigures writes what was measured so far, whole or not at all; out "" is nowhere.
func writeFigures(out string, results map[string]any) error {
	if out == "" {
		return nil
	}
	b, err := json.MarshalIndent(results, "", "  ")
	if err == nil {
		err = os.WriteFile(out+".new", append(b, '\n'), 0o644)
	}
	if err == nil {
		err = os.Rename(out+".new", out)
	}
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}
