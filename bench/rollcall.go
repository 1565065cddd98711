package main

import (
	"context"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// followRollcall is discovery/zk with the roster behind it, as a collector runs them.
func followRollcall() *way {
	roster := discovery.NewRoster(discovery.RosterOptions{})
	return &way{
		start: func(ctx context.Context, s *side) error {
			session, err := zk.NewSession(zk.Config{Servers: []string{s.addr}, SessionTimeout: time.Minute, ReadOnly: true})
			if err != nil {
				return err
			}
			p, err := serverset.ParsePattern(pattern, "", "")
			if err != nil {
				return err
			}
			source, err := zk.NewSource(zk.SourceConfig{Name: "apps", Rules: []zk.Rule{{Pattern: p}}}, session)
			if err != nil {
				return err
			}
			go func() { _ = session.Run(ctx) }() // nil until ctx ends
			w := discovery.NewWatcher(roster, func(changes []discovery.Change) {
				now := time.Now()
				for i := range changes {
					c := &changes[i]
					tags := c.Tags.Get(serverset.TagZone) != ""
					if c.State.Scraped() && !c.Was.Scraped() {
						s.known.Add(1)
						if tags {
							s.tagged.Add(1)
						}
					} else if tags && c.State.Scraped() && c.OldTags.Get(serverset.TagZone) == "" {
						s.tagged.Add(1)
					}
					if seq := int(c.Shard); c.State.Scraped() {
						s.saw(c.Addr(), seq, now)
					} else {
						s.saw(c.Addr(), gone, now)
					}
				}
				s.progress()
			})
			if err := w.Set([]discovery.Source{source}); err != nil {
				return err
			}
			return w.Run(ctx)
		},
		dump: func() (out []held) {
			for _, e := range roster.Entries() {
				if e.State.Scraped() {
					z, _ := strings.CutPrefix(e.Tags.Get(serverset.TagZone), zone)
					out = append(out, held{e.Addr(), e.Addr(), int(e.Shard), z})
				}
			}
			return out
		},
	}
}
