package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rollcall-metrics/rollcall/discovery/register"
)

type checkCmd struct {
	Files    []string `arg:"" name:"file" help:"Files to check."`
	Services bool     `name:"services" help:"They are files of services (services.d), not configuration files."`
}

// Run reads every file, and those that they name, and says what is wrong with each.
func (c *checkCmd) Run(e *env) error {
	var errs []error
	services := func(file string, d register.Defaults) {
		text, err := os.ReadFile(file)
		if err != nil {
			errs = append(errs, err)
			return
		}
		got, err := register.ParseServices(text, d, os.LookupEnv)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			return
		}
		fmt.Fprintf(e.stdout, "%s: %d services\n", file, len(got))
	}
	base := register.Defaults{Host: findHost}
	for _, file := range c.Files {
		if c.Services {
			services(file, base)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f, err := register.ParseFile(text, base, os.LookupEnv)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			continue
		}
		fmt.Fprintf(e.stdout, "%s: %d services, %d patterns of files\n", file, len(f.Services), len(f.ServiceFiles))
		for _, p := range f.ServiceFiles {
			if !filepath.IsAbs(p) {
				p = filepath.Join(filepath.Dir(file), p)
			}
			found, err := filepath.Glob(p)
			if err != nil {
				errs = append(errs, err)
			}
			for _, name := range found {
				services(name, f.Defaults)
			}
		}
	}
	return errors.Join(errs...)
}
