package main

import (
	"errors"

	"github.com/rollcall-metrics/rollcall/cmd/internal/ruletest"
)

type testCmd struct {
	Files []string `arg:"" name:"file" help:"Files of tests; docs/enrich.md says what stands in one."`
}

// Run runs every file, and fails if some test did.
func (c *testCmd) Run(e *env) error {
	var errs []error
	failed := false
	for _, name := range c.Files {
		switch err := ruletest.Run(name, e.stdout); {
		case errors.Is(err, ruletest.ErrFailed):
			failed = true
		case err != nil:
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if failed {
		return failure{exitFailure, nil} // what failed is said
	}
	return nil
}
