package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/ensemble"
	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/internal/jsonread"
)

const (
	seedFor     = 15 * time.Second // how long a start tries to learn from others who is there
	maxSeed     = 512 << 20        // bytes of a peer's roster
	maxSeeds    = 2_000_000        // of its entries
	maxSeedText = 1 << 20          // bytes of what one says of itself: as much as a znode holds
)

// seed fills what our own sources have not said yet with what a peer of the group knows: a start does not wait for a large tree to be read, nor for a ZooKeeper that
// is away. What a source says later takes its place. It tries peers in turn until one has told, the sources have, or its time is up.
func (d *Daemon) seed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, seedFor)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	tried := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		silent := d.silent()
		if len(silent) == 0 {
			return
		}
		div := d.sharing.now.Load().Division()
		if div == nil {
			continue
		}
		for _, p := range div.Peers() {
			if tried[p.ID] || p.Addr == "" {
				continue
			}
			tried[p.ID] = true
			n, err := d.seedFrom(ctx, p, silent)
			if err != nil {
				d.log.Info("a peer's roster cannot be had", "peer", p.ID, "address", p.Addr, "err", err)
				continue
			}
			d.log.Info("the roster begins with what a peer knows", "peer", p.ID, "instances", n)
			return
		}
	}
}

// silent is the sources that have not said who is there: neither now nor, as far as the disk knows, ever before.
func (d *Daemon) silent() (out []string) {
	_ = d.Ready() // it looks who has spoken
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.sources {
		if !d.spoken[name] {
			out = append(out, name)
		}
	}
	return out
}

func (d *Daemon) seedFrom(ctx context.Context, p share.Collector, silent []string) (n int, err error) {
	body, err := d.askPeer(ctx, p, "/api/v1/roster")
	if err != nil {
		return 0, err
	}
	defer body.Close()
	own := d.digests(d.Config())
	ruled := map[string]bool{}
	for _, s := range d.Config().Scrape {
		ruled[s.JobName] = len(s.Relabel) > 0
	}
	sets := map[[2]string]*discovery.Set{}
	now := time.Now()
	err = eachEntry(ctx, body, func(e *discovery.Entry) {
		job := discovery.JobOf(e.Source)
		// A peer that has the job as we do has its sources under our names. What it has relabelled cannot be relabelled again.
		if !e.State.Scraped() || !seedable(&e.Instance) || own[job] == "" || own[job] != p.Jobs[job] || ruled[job] || !slices.Contains(silent, e.Source) || n == maxSeeds {
			return
		}
		at := [2]string{e.Source, e.Path}
		s := sets[at]
		if s == nil {
			s = &discovery.Set{Source: e.Source, Path: e.Path, Verified: e.Verified, Stale: true}
			sets[at] = s
		}
		s.Members = append(s.Members, &discovery.Member{Instance: e.Instance})
		n++
	})
	if err != nil {
		return 0, err
	}
	n = 0
	for at, s := range sets {
		if !d.knows(at) {
			d.onChange(d.roster.Apply(*s, now))
			n += len(s.Members)
		}
	}
	return n, nil
}

// seedable reports whether what a peer says of an instance could stand in a member's data: no more is believed of it. What our own configuration lists, and
// ZooKeeper's servers, come from here only; and only a rule of ours sends us to another host than the instance's.
func seedable(i *discovery.Instance) bool {
	switch i.Format {
	case "static", ensemble.Format, "":
		return false
	}
	i.RuledScheme = false // the rules say it anew
	_, _, err := discovery.SplitAddr(i.Addr())
	text := len(i.Service) + len(i.Env) + len(i.Host) + len(i.Path) + len(i.Member) + len(i.Status) + len(i.StatsPath)
	for n, v := range i.Tags.All() {
		text += len(n) + len(v)
	}
	for n, v := range i.Meta.All() {
		text += len(n) + len(v)
	}
	return err == nil && i.Service != "" && i.StatsHost == "" && (i.Scheme == "" || i.Scheme == "http" || i.Scheme == "https") && text <= maxSeedText && !strings.ContainsAny(i.Host, "/@?# \\\t\r\n")
}

// knows reports whether a source has said who is at a path, or that it has told of all paths: while the peer told, it may have.
func (d *Daemon) knows(at [2]string) bool {
	for _, v := range d.roster.Views() {
		if v.Source == at[0] && v.Complete {
			return true
		}
	}
	return slices.ContainsFunc(d.roster.Paths(), func(p discovery.PathState) bool { return p.Source == at[0] && p.Path == at[1] })
}

// eachEntry reads the entries of an answer of /api/v1/roster, one at a time.
func eachEntry(ctx context.Context, from io.Reader, f func(*discovery.Entry)) error {
	r := jsonread.New(ctx, from, maxSeed, 2*maxSeedText)
	none := true
	err := r.Object(func(name string) error {
		if name != "entries" {
			return r.Skip()
		}
		none = false
		return r.Array(2*maxSeeds, func() error {
			var e discovery.Entry
			err := r.Value(&e)
			if err == nil {
				f(&e)
			}
			return err
		})
	})
	if err == nil && none {
		err = errors.New("it has no entries")
	}
	if err != nil {
		return fmt.Errorf("read a peer's roster: %w", err)
	}
	return nil
}
