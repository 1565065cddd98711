package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/discovery/zookeeper"
)

// followPrometheus is Prometheus' own discovery of serversets (treecache and parser) up to the channel over which its scrape manager would get the groups.
// Nothing is kept behind the channel until the changes begin, so that its memory is its own.
func followPrometheus() *way {
	var mu sync.Mutex
	groups := map[string]model.LabelSet{}
	kept := false
	return &way{
		start: func(ctx context.Context, s *side) error {
			conf := zookeeper.DefaultServersetSDConfig
			conf.Servers, conf.Paths, conf.Timeout = []string{s.addr}, []string{root}, model.Duration(time.Minute)
			d, err := zookeeper.NewServersetDiscovery(&conf, nil)
			if err != nil {
				return err
			}
			ch := make(chan []*targetgroup.Group)
			go d.Run(ctx, ch)
			var early []*targetgroup.Group // pointers to what the library holds itself
			for {
				var got []*targetgroup.Group
				select {
				case <-ctx.Done():
					return ctx.Err()
				case got = <-ch:
				}
				now := time.Now()
				for _, g := range got {
					if s.known.Load() < s.want {
						if len(g.Targets) > 0 { // folders have none
							early = append(early, g)
							s.known.Add(1)
							s.tagged.Add(1)
							s.progress()
						}
						continue
					}
					mu.Lock()
					if !kept {
						for _, e := range early {
							groups[e.Source] = e.Targets[0]
						}
						early, kept = nil, true
					}
					if len(g.Targets) == 0 {
						if _, was := groups[g.Source]; was {
							delete(groups, g.Source)
							s.saw(g.Source, gone, now)
						}
					} else {
						groups[g.Source] = g.Targets[0]
						s.saw(g.Source, shard(g.Targets[0]), now)
					}
					mu.Unlock()
				}
			}
		},
		dump: func() (out []held) {
			mu.Lock()
			defer mu.Unlock()
			for path, l := range groups {
				out = append(out, held{Key: path, Addr: string(l[model.AddressLabel]), Seq: shard(l)})
			}
			return out
		},
	}
}

func shard(l model.LabelSet) int {
	n, err := strconv.Atoi(string(l["__meta_serverset_shard"]))
	if err != nil {
		return gone
	}
	return n
}
