package collect

import (
	"context"
	"strings"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/ensemble"
	"github.com/rollcall-metrics/rollcall/discovery/file"
)

// rosterOptions is what the configuration says of the roster; it is read at the start.
func (d *Daemon) rosterOptions(c *config.Config) discovery.RosterOptions {
	g := c.Guard
	return discovery.RosterOptions{
		Filter: d.filter, NoGuard: d.believed,
		Guard: discovery.GuardOptions{Off: g.Off, Shrink: g.Shrink, MinimumSize: g.MinimumSize, Window: g.Window.Std(0), HoldFor: g.HoldFor.Std(0)},
		Flap:  discovery.FlapOptions{Penalty: g.Flap.Penalty, HalfLife: g.Flap.HalfLife.Std(0), Quarantine: g.Flap.Quarantine, Release: g.Flap.Release},
	}
}

// believed reports a source whose targets stand in our own configuration: who is taken out of it is gone, however many.
func (d *Daemon) believed(source string) bool {
	names := d.static.Load() // not under d.mu: the roster asks
	return names != nil && (*names)[source]
}

// staticOf are the names of such sources.
func staticOf(sources map[string]source) *map[string]bool {
	out := map[string]bool{}
	for name, s := range sources {
		switch s.Source.(type) {
		case *file.Static, *ensemble.Source:
			out[name] = true
		}
	}
	return &out
}

// followExpected keeps the roster at how many instances somebody else says there should be.
func (d *Daemon) followExpected(ctx context.Context) error {
	c := d.Config().Expected
	if c.File == "" && c.URL == "" {
		return nil
	}
	e, err := file.NewExpected(file.ExpectedConfig{File: c.File, URL: c.URL.Reveal(), Every: c.Refresh.Std(config.DefaultExpectedEvery), Log: d.log})
	if err != nil {
		return err
	}
	return e.Run(ctx, func(counts map[string]int) {
		want := make(map[[2]string]discovery.Expected, len(counts))
		for k, n := range counts {
			service, env, _ := strings.Cut(k, "/")
			want[[2]string{service, env}] = discovery.Expected{Count: n, From: e.From()}
		}
		d.roster.Expect(want)
	})
}
