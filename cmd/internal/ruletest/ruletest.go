// Package ruletest runs unit tests of rules: bodies go through the relabelling and the rules of a configuration, as in the collector, and what comes out is compared
// with what a file says. It needs no server and no database.
package ruletest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/yamltext"
)

// file is a file of tests.
type file struct {
	Config        string                       `yaml:"config"` // a configuration, beside this file; what follows takes the place of its part of it
	Job           string                       `yaml:"job"`    // whose relabelling is tested; default: the only one
	Rules         []config.Rule                `yaml:"rules"`
	Relabel       []config.Relabel             `yaml:"relabel_configs"`
	MetricRelabel []config.Relabel             `yaml:"metric_relabel_configs"`
	Places        map[string]map[string]string `yaml:"places"` // network or address → attributes of its place
	Began         time.Time                    `yaml:"began"`  // when the first scrape is; default: 2026 began
	Tests         []test                       `yaml:"tests"`

	name    string
	tree    *ast.File
	conf    *config.Config
	job     *config.Scrape // of conf
	scraped *scrape.Job    // what the collector makes of it
}

// test is one target, and the scrapes of it in their order.
type test struct {
	Name    string       `yaml:"name"`
	Target  target       `yaml:"target"`
	Expect  expectTarget `yaml:"expect"`
	Scrapes []pull       `yaml:"scrapes"`
}

type target struct {
	Service string            `yaml:"service"` // default app
	Env     string            `yaml:"env"`     // default prod
	Address string            `yaml:"address"` // default 10.0.0.1:8080
	Tags    map[string]string `yaml:"tags"`    // of its registration
	Meta    map[string]string `yaml:"meta"`    // __meta_* and __param_* labels
}

// expectTarget is what relabel_configs make of the target.
type expectTarget struct {
	Dropped string            `yaml:"dropped"` // part of the reason; empty: it is scraped
	Address string            `yaml:"address"` // where it is pulled from
	Path    string            `yaml:"path"`
	Tags    map[string]string `yaml:"tags"` // these among others; "": there is none
}

// pull is one scrape, at a time since the first.
type pull struct {
	At          config.Duration `yaml:"at"`
	Body        string          `yaml:"body"`
	BodyFile    string          `yaml:"body_file"`
	ContentType string          `yaml:"content_type"` // default: told from the body
	Outcome     string          `yaml:"outcome"`      // default ok; a failed one has no body
	Expect      expectScrape    `yaml:"expect"`
}

type expectScrape struct {
	Samples  *[]string         `yaml:"samples"`  // all of them
	Contains []string          `yaml:"contains"` // these among others
	Tags     map[string]string `yaml:"tags"`     // these among others; "": there is none
}

// load reads a file of tests and the configuration that it names. Errors have the line and the remedy.
func load(name string) (*file, error) {
	b, err := yamltext.Read(name)
	if err != nil {
		return nil, fmt.Errorf("read tests: %w", err)
	}
	f := &file{name: name}
	if f.tree, err = parser.ParseBytes(b, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := yaml.NewDecoder(strings.NewReader(string(b)), yaml.Strict()).Decode(f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(f.Tests) == 0 {
		return nil, fmt.Errorf("%s: there is no test in it; add one under tests, with scrapes and what to expect of them", name)
	}
	if err := f.configure(); err != nil {
		return nil, err
	}
	return f, f.check()
}

// configure reads the configuration, and puts the file's own rules in.
func (f *file) configure() error {
	f.conf = &config.Config{}
	if f.Config != "" {
		c, err := config.Load(f.beside(f.Config))
		if err != nil {
			return f.fault("$.config", "%w", err)
		}
		f.conf = c
	}
	for i := range f.conf.Scrape {
		s := &f.conf.Scrape[i]
		if s.JobName == f.Job || f.Job == "" && len(f.conf.Scrape) == 1 {
			f.job = s
		}
	}
	own := func(name string) {
		f.conf.Scrape = append(f.conf.Scrape, config.Scrape{JobName: name})
		f.job = &f.conf.Scrape[len(f.conf.Scrape)-1]
	}
	switch {
	case f.job != nil:
	case f.Config == "":
		own(cmp.Or(f.Job, "test"))
	case f.Job == "" && len(f.conf.Scrape) > 1:
		var jobs []string
		for _, s := range f.conf.Scrape {
			jobs = append(jobs, s.JobName)
		}
		return f.fault("$.config", "it has several jobs: say which one is tested, as `job: %s`; there are %s", jobs[0], strings.Join(jobs, ", "))
	case f.Job != "":
		return f.fault("$.job", "no job of %s is called %q", f.Config, f.Job)
	default:
		own("test")
	}
	if f.Rules != nil {
		f.conf.Enrich.Rules = f.Rules
	}
	if f.Relabel != nil {
		f.job.Relabel = f.Relabel
	}
	if f.MetricRelabel != nil {
		f.job.MetricRelabel = f.MetricRelabel
	}
	var errs []error
	config.CheckRules(f.Rules, f.Relabel, f.MetricRelabel, func(path, text string) { errs = append(errs, f.fault(path, "%s", text)) })
	err := errors.Join(errs...)
	if err != nil {
		return err
	}
	if f.scraped, err = collect.BareJob(f.conf, f.job); err != nil {
		return f.fault("$.job", "%w", err)
	}
	return nil
}

// check says what is wrong with the tests themselves.
func (f *file) check() error {
	var errs []error
	fault := func(path, format string, args ...any) { errs = append(errs, f.fault(path, format, args...)) }
	names := map[string]bool{}
	for i := range f.Tests {
		t, at := &f.Tests[i], fmt.Sprintf("$.tests[%d]", i)
		switch {
		case t.Name == "":
			fault(at, "the test has no name; give it one that says what should be so")
		case names[t.Name]:
			fault(at, "two tests are called %q; give each a name of its own", t.Name)
		}
		names[t.Name] = true
		if a := t.Target.Address; a != "" {
			if _, _, err := discovery.SplitAddr(a); err != nil {
				fault(at+".target.address", "%q is not HOST:PORT", a)
			}
		}
		if len(t.Scrapes) == 0 && t.Expect.empty() {
			fault(at, "it expects nothing: add scrapes, or say under expect what relabel_configs make of the target")
		}
		for j := range t.Scrapes {
			s, at := &t.Scrapes[j], fmt.Sprintf("%s.scrapes[%d]", at, j)
			if j > 0 && s.At <= t.Scrapes[j-1].At {
				fault(at, "it is at %s, and the one before at %s; times since the first scrape only grow, such as `at: 10s`", s.At, t.Scrapes[j-1].At)
			}
			o, ok := collector.ParseOutcome(cmp.Or(s.Outcome, "ok"))
			switch {
			case !ok:
				fault(at+".outcome", "%q is no outcome; use ok, timeout, refused, dns, tls, status, body_limit, sample_limit, parse, forbidden or skipped", s.Outcome)
			case o != collector.OK && s.Body+s.BodyFile != "":
				fault(at, "a scrape that failed has no body; leave out body or outcome")
			case s.Body != "" && s.BodyFile != "":
				fault(at, "both body and body_file are given; keep one")
			}
			for _, list := range s.Expect.lists() {
				for k, text := range *list.texts {
					if _, err := parseExpected(text); err != nil {
						fault(fmt.Sprintf("%s.expect.%s[%d]", at, list.key, k), "%w", err)
					}
				}
			}
		}
	}
	return errors.Join(errs...)
}

func (e *expectTarget) empty() bool {
	return e.Dropped == "" && e.Address == "" && e.Path == "" && len(e.Tags) == 0
}

type expectedList struct {
	key   string
	texts *[]string
}

func (e *expectScrape) lists() (out []expectedList) {
	if e.Samples != nil {
		out = append(out, expectedList{"samples", e.Samples})
	}
	return append(out, expectedList{"contains", &e.Contains})
}

// beside is the path of a file that this one names.
func (f *file) beside(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(f.name), name)
}

// line is where a path of the file stands, or where what it is in does; 0 if nowhere.
func (f *file) line(path string) int {
	for path != "$" && path != "" {
		if p, err := yaml.PathString(path); err == nil {
			if n, err := p.FilterFile(f.tree); err == nil && n != nil && n.GetToken() != nil {
				return n.GetToken().Position.Line
			}
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

func (f *file) fault(path, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if n := f.line(path); n > 0 {
		return fmt.Errorf("%s: line %d: %s: %w", f.name, n, strings.TrimPrefix(path, "$."), err)
	}
	return fmt.Errorf("%s: %s: %w", f.name, strings.TrimPrefix(path, "$."), err)
}
