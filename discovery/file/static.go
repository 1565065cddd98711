package file

import (
	"context"
	"errors"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// Static is a discovery.Source over targets that stand in the configuration itself: static_configs.
type Static struct {
	name    string
	members []discovery.Member
}

// NewStatic checks the targets; every one that is no address is an error here, as there is nobody else to mend it.
func NewStatic(name string, groups []Group) (*Static, error) {
	if name == "" {
		return nil, errors.New("static_configs: the source has no name")
	}
	ms, err := members(groups, origin{file: staticPath, format: "static", job: discovery.JobOf(name)})
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, m := range ms {
		errs = append(errs, m.Err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i := range ms {
		ms[i].Source, ms[i].Path = name, staticPath
	}
	return &Static{name, ms}, nil
}

const staticPath = "static_configs"

// Name implements discovery.Source.
func (s *Static) Name() string { return s.name }

// Run implements discovery.Source: what the configuration says is true as long as it is in force.
func (s *Static) Run(ctx context.Context, out *discovery.Latest) error {
	t := time.NewTicker(renew)
	defer t.Stop()
	for {
		now := time.Now()
		out.PutSet(discovery.Set{Source: s.name, Path: staticPath, Members: of(s.name, staticPath, s.members), Verified: now})
		out.PutView(discovery.View{Source: s.name, Complete: true, Paths: []string{staticPath}, Connected: true, Server: "the configuration"})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}
