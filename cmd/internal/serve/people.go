package serve

import (
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/check"
	"github.com/rollcall-metrics/rollcall/dashboards/profile"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
	"github.com/rollcall-metrics/rollcall/dashboards/slo"
)

// people is what people say of services, for all who want to know.
type people struct {
	store   *profile.Store
	board   *dashboards.Board
	history *rollup.History
}

func newPeople(c *config.Config, o Options) (*people, error) {
	p := &people{}
	var err error
	p.store, err = profile.NewStore(profile.Config{Files: c.Dashboards.ServiceFiles, Changed: func() { p.board.Renew() }, Log: o.Log.With("part", "services"), Metrics: o.Metrics.NewSet()})
	return p, err
}

// about is a dashboards.Options.About.
func (p *people) about(service, env string, tag func(names ...string) string) dashboards.About {
	return p.store.Of(service, env, tag).About
}

// of is all that is said of a service.
func (p *people) of(service, env string) profile.Profile {
	return p.store.Of(service, env, func(names ...string) string { return p.board.Said(service, env, names...) })
}

// measures is a web.Config.Measures.
func (p *people) measures(service, env string) ([]canary.Measure, time.Duration) {
	is := p.of(service, env)
	return is.Measures(), is.Canary.Warmup
}

// promises is how what a service promises stands, as of now: a detect.Config.Promises, and a web.Config.Promises.
func (p *people) promises(service, env string, now time.Time) (out []slo.Standing) {
	is, _ := p.board.About(service, env)
	for _, o := range is.Objectives {
		out = append(out, slo.Stand(p.history, service, env, o, now))
	}
	return out
}

// said is a web.Config.Said.
func (p *people) said(service, env string) (profile.Profile, []profile.FileStatus) {
	return p.of(service, env), p.store.Files()
}

// CheckService reports what the files that a configuration names say of a service, without asking anybody.
func CheckService(c *config.Config, service, env string) (*check.Report, error) {
	s, err := profile.NewStore(profile.Config{Files: c.Dashboards.ServiceFiles})
	if err != nil {
		return nil, err
	}
	s.Read()
	g := c.Dashboards.Golden
	return check.Service(check.Source{Service: service, Env: env, Said: s.Of(service, env, nil), Files: s.Files(), Golden: dashboards.Golden{Rate: g.Rate, Errors: g.Errors, Latency: g.Latency}}), nil
}

// Check reads the files that a configuration names for the page, and says what is wrong with them.
func Check(c *config.Config) error {
	s, err := profile.NewStore(profile.Config{Files: c.Dashboards.ServiceFiles})
	if err != nil {
		return err
	}
	s.Read()
	var errs []error
	for _, f := range s.Files() {
		if f.Error != "" {
			errs = append(errs, fmt.Errorf("%s: %s", f.File, f.Error))
		}
	}
	_, err = LoadRules(c)
	return errors.Join(append(errs, err)...)
}
