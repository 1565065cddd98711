package export

import (
	"errors"
	"fmt"
	"path"
	"regexp"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Filter says what goes to an output; the zero value lets everything pass.
type Filter struct {
	Services []string // names, or service/env, with * and ?; none: all
	Metrics  []string // anchored regular expressions over the names of samples; none: all

	metrics []*regexp.Regexp
}

func (f *Filter) compile() error {
	var faults []error
	for _, s := range f.Services {
		if _, err := path.Match(s, "x"); err != nil || s == "" {
			faults = append(faults, fmt.Errorf("service %q: write a name, or service/env, with * and ? for any", s))
		}
	}
	f.metrics = nil
	for _, m := range f.Metrics {
		re, err := regexp.Compile("^(?:" + m + ")$")
		if err != nil {
			faults = append(faults, fmt.Errorf("metric %q: %w", m, err))
			continue
		}
		f.metrics = append(f.metrics, re)
	}
	return errors.Join(faults...)
}

// service reports whether a service passes.
func (f *Filter) service(service, env string) bool {
	if len(f.Services) == 0 {
		return true
	}
	for _, s := range f.Services {
		if ok, _ := path.Match(s, service); ok {
			return true
		}
		if ok, _ := path.Match(s, service+"/"+env); ok {
			return true
		}
	}
	return false
}

// samples are those that pass, in place. known remembers the answer for a name.
func (f *Filter) samples(in []collector.Sample, known map[string]bool) []collector.Sample {
	if len(f.metrics) == 0 {
		return in
	}
	out := in[:0]
	for i := range in {
		pass, asked := known[in[i].Name]
		if !asked {
			for _, re := range f.metrics {
				pass = pass || re.MatchString(in[i].Name)
			}
			if len(known) >= maxKnownNames {
				clear(known)
			}
			known[string([]byte(in[i].Name))] = pass
		}
		if pass {
			out = append(out, in[i])
		}
	}
	return out
}

const maxKnownNames = 100_000
