package main

import (
	"errors"
	"fmt"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/exports"
	"github.com/rollcall-metrics/rollcall/cmd/internal/serve"
)

type checkCmd struct {
	Config    checkConfigCmd    `cmd:"" help:"Say what is wrong with a configuration file, by line."`
	Rules     checkRulesCmd     `cmd:"" help:"Say what is wrong with files of alerting and recording rules, by line, group and rule."`
	Service   checkServiceCmd   `cmd:"" help:"What is recognised of a service and what is missing, each thing with its remedy. Exit 1 if any is missing."`
	Discovery checkDiscoveryCmd `cmd:"" name:"service-discovery" help:"Who a job finds, and what its rules make of each. Nobody is scraped."`
}

type checkConfigCmd struct {
	File string `arg:"" type:"path" help:"The file."`
	Show bool   `help:"Print the configuration as it was understood, with secrets hidden."`
}

// Run reads the file and makes of it all that a daemon would, without connecting to anything.
func (c *checkConfigCmd) Run(e *env) error {
	conf, err := config.Load(c.File)
	if err != nil {
		return err
	}
	if err := errors.Join(collect.Check(conf), exports.Check(conf), serve.Check(conf)); err != nil {
		return fmt.Errorf("configuration %s: %w", c.File, err)
	}
	if c.Show {
		text, err := conf.YAML()
		if err != nil {
			return err
		}
		fmt.Fprint(e.stdout, text)
		return nil
	}
	fmt.Fprintf(e.stdout, "%s: %s\n", c.File, describe(conf))
	return nil
}

type checkRulesCmd struct {
	Files []string `arg:"" name:"file" help:"Files, or patterns of them, in Prometheus' format; docs/rules.md says what is different here."`
}

// Run reads each file, as a daemon would.
func (c *checkRulesCmd) Run(e *env) error {
	var errs []error
	for _, f := range c.Files {
		conf := &config.Config{RuleFiles: []string{f}}
		set, err := serve.LoadRules(conf)
		switch {
		case err != nil:
			errs = append(errs, err)
		case len(set.Files) == 0:
			errs = append(errs, fmt.Errorf("%s: no file is called so", f))
		default:
			fmt.Fprintf(e.stdout, "%s: good; %s in %s\n", plain(f), many(set.Rules, "rule", "rules"), many(len(set.Groups), "group", "groups"))
		}
	}
	return errors.Join(errs...)
}

func describe(c *config.Config) string {
	switch n := len(c.Scrape); n {
	case 0:
		return "good; no scrape_configs, so nothing is scraped"
	case 1:
		return "good; 1 job"
	default:
		return fmt.Sprintf("good; %d jobs", n)
	}
}
