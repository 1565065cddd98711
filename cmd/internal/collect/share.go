package collect

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// shareRoot is below which collectors share, in ZooKeeper.
const shareRoot = "/rollcall"

// NoGroup is the zookeeper.group of a collector that scrapes all it sees.
const NoGroup = "-"

// sharing is the collector's place in its group. The Membership is another one after a reload that changed the ensemble or the group.
type sharing struct {
	id      string
	started time.Time
	now     atomic.Pointer[share.Membership]
	again   chan struct{} // has a value when the configuration is another
	key     string        // of the configuration that now was made of
	set     *metrics.Set
	shared  atomic.Bool // there were others in the last division
	ended   atomic.Bool // the collector stops: it begins no more pulls
}

// newSharing makes the first Membership, so that a configuration that cannot be is refused at once.
func (d *Daemon) newSharing(c *config.Config, id string) error {
	d.sharing.id, d.sharing.started, d.sharing.again = id, time.Now(), make(chan struct{}, 1)
	return d.renewShare(c)
}

// shareKey is what a Membership is made of.
func shareKey(c *config.Config) string { return config.Fingerprint(c.ZooKeeper, readOnce...) }

// renewShare makes a Membership of a configuration and has it take the place of the one before; nothing happens where nothing changed but the jobs.
func (d *Daemon) renewShare(c *config.Config) error {
	s := &d.sharing
	if key := shareKey(c); key != s.key {
		m, set, err := d.membership(c)
		if err != nil {
			return err
		}
		if s.set != nil {
			d.o.Metrics.Drop(s.set)
		}
		s.key, s.set = key, set
		s.now.Store(m)
		select {
		case s.again <- struct{}{}:
		default:
		}
		return nil
	}
	s.now.Load().Announce(d.digests(c))
	return nil
}

func (d *Daemon) membership(c *config.Config) (*share.Membership, *metrics.Set, error) {
	set := d.o.Metrics.NewSet()
	log := d.log.With("part", "share")
	conf := share.Config{Root: shareRoot, Group: cmp.Or(c.ZooKeeper.Group, config.DefaultGroup), Dir: d.o.Storage, Log: log, Metrics: set,
		Self:     share.Collector{ID: d.sharing.id, Jobs: d.digests(c), Version: ops.ThisBuild().Version, Started: d.sharing.started},
		Ready:    func() bool { return d.Ready() == nil },
		Ask:      share.NewAsker(d.peers),
		OnChange: d.divided,
		OnOrders: d.ordered,
		Load:     newBusy().load,
	}
	conf.Self.Addr, conf.Self.Scheme = d.advertised(c)
	fail := func(err error) (*share.Membership, *metrics.Set, error) {
		d.o.Metrics.Drop(set)
		return nil, nil, fmt.Errorf("zookeeper.group: %w", err)
	}
	if len(c.ZooKeeper.Servers) > 0 && c.ZooKeeper.Group != NoGroup {
		z, err := ZooKeeperConfig(c.ZooKeeper, nil, 0)
		if err != nil {
			return fail(err)
		}
		z.Name, z.ReadOnly, z.Log, z.Metrics = "share", false, log, set
		if conf.Session, err = zk.NewSession(z); err != nil {
			return fail(err)
		}
		conf.Timeout = z.SessionTimeout
	} else {
		conf.Group = config.DefaultGroup
	}
	m, err := share.New(conf)
	if err != nil {
		return fail(err)
	}
	return m, set, nil
}

// advertised is where the others of the group reach this collector's API: what the configuration says, else where it listens. An address that only means
// something here is not told: a peer would ask itself.
func (d *Daemon) advertised(c *config.Config) (addr, scheme string) {
	if a := c.ZooKeeper.Advertise; a != "" {
		if rest, ok := strings.CutPrefix(a, "https://"); ok {
			return rest, "https"
		}
		return strings.TrimPrefix(a, "http://"), ""
	}
	host, port, err := net.SplitHostPort(d.o.Listen)
	if err != nil || port == "0" {
		return "", ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return "", ""
		}
	}
	return net.JoinHostPort(host, port), d.o.Scheme
}

// runShare holds the place in the group until ctx ends.
func (d *Daemon) runShare(ctx context.Context) error {
	for {
		select {
		case <-d.sharing.again: // told before it ran
		default:
		}
		one, end := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan error, 1)
		go func(m *share.Membership) { done <- m.Run(one) }(d.sharing.now.Load())
		digest := time.NewTicker(digestEvery)
		var err error
		for running := true; running; {
			select {
			case err = <-done:
				running = false
			case <-ctx.Done():
				end()
				err = <-done
				running = false
				// Until the others have seen it, the slots that begin are still ours: what is pulled twice counts once, what nobody pulls is lost.
				time.Sleep(overlap)
				d.sharing.ended.Store(true)
			case <-digest.C: // of files, whose content may have changed
				d.sharing.now.Load().Announce(d.digests(d.Config()))
			case <-d.sharing.again:
				end()
				err = <-done
				running = false
			}
		}
		digest.Stop()
		end()
		if ctx.Err() != nil || err != nil {
			return err
		}
	}
}

// overlap is how long a collector that leaves goes on pulling what is the others' already.
const overlap = 100 * time.Millisecond

// digestEvery is how often the files that targets come from are looked at again. Files that are brought to several hosts change within some seconds of each other,
// and a difference between collectors costs pulls made twice; so it is slow.
const digestEvery = 20 * time.Second

// digests says of each job what must be alike for two collectors to share its targets: who they are, and when they are pulled. Secrets, certificates and the
// servers of the ensemble, which differ by zone, do not count.
func (d *Daemon) digests(c *config.Config) map[string]string {
	out := map[string]string{}
	all := d.allJobs(c)
	for i := range all {
		s := all[i]
		s.BasicAuth, s.Authorization, s.TLS, s.ProxyURL = nil, nil, nil, ""
		parts := []any{s, interval(c).Milliseconds()}
		for _, sd := range s.Files {
			parts = append(parts, contentOf(sd.Files))
		}
		out[s.JobName] = config.Fingerprint(parts)[:16]
	}
	return out
}

// contentOf is what the files of patterns hold, in a form that Fingerprint takes.
func contentOf(patterns []string) (out []string) {
	for _, p := range patterns {
		files, _ := filepath.Glob(p) // a bad pattern is told by the source
		slices.Sort(files)
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil {
				out = append(out, filepath.Base(f), string(b))
			}
		}
	}
	return out
}

// divided acts on a division. When it returns, the pool has the targets of the new one.
func (d *Daemon) divided(div *share.Division) {
	// What others may have had until now begins with its next slot: whoever it was pulls it in this one.
	d.moved.divided(len(div.Members) > 1 || d.sharing.shared.Swap(len(div.Members) > 1))
	d.applyTargets()
	d.published.handover()
}

// ordered hands the orders in force to the roster.
func (d *Daemon) ordered(orders []discovery.Order) {
	d.onChange(d.roster.Obey(orders, time.Now()))
}

// mine reports whether an instance is this collector's to scrape.
func (d *Daemon) mine(job string, k discovery.Key) bool { return d.sharing.now.Load().Mine(job, k) }

// fresh and term are the pool's.
func (d *Daemon) fresh(now time.Time) bool {
	return !d.sharing.ended.Load() && d.sharing.now.Load().Fresh(now)
}

func (d *Daemon) term() uint64 { return d.sharing.now.Load().Term() }

// publishes reports whether this collector publishes the roster of a service whose instances come from a job.
func (d *Daemon) publishes(job, service, env string) bool {
	return d.sharing.now.Load().Publishes(job, service, env)
}
