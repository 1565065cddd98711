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
	lists   chan struct{}  // has a value when a list of http_sd is there for the first time
	again   chan struct{}  // has a value when the configuration is another
	key     string         // of the configuration that now was made of
	sets    []*metrics.Set // of now, and before it of those whose place it takes
	local   atomic.Bool    // it was said that the others cannot reach us
	shared  atomic.Bool    // there were others in the last division
	ended   atomic.Bool    // the collector stops: it begins no more pulls
}

// newSharing makes the first Membership, so that a configuration that cannot be is refused at once.
func (d *Daemon) newSharing(c *config.Config, id string) error {
	d.sharing.id, d.sharing.started, d.sharing.again = id, time.Now(), make(chan struct{}, 1)
	put, _, err := d.nextShare(c)
	if err == nil {
		put()
	}
	return err
}

// shareKey is what a Membership is made of: the session, the group and our address. What else stands below zookeeper concerns the sources.
func shareKey(c *config.Config) string {
	z := c.ZooKeeper
	z.Monitor, z.AdminPort, z.ReadOnly = nil, 0, nil
	return config.Fingerprint(z, readOnce...)
}

// nextShare makes a Membership of a configuration. put has it take the place of the one before, which goes on until the new one has joined; drop lets it go unused.
// Nothing is made where nothing changed but the jobs.
func (d *Daemon) nextShare(c *config.Config) (put, drop func(), err error) {
	s := &d.sharing
	key := shareKey(c)
	if key == s.key {
		return func() { s.now.Load().Announce(d.digests(c)) }, func() {}, nil
	}
	// Of two of one name the later one has the place: the one before does not take it back.
	s.started = time.Now()
	m, set, err := d.membership(c)
	if err != nil {
		return nil, nil, err
	}
	return func() {
		s.key, s.sets = key, append(s.sets, set)
		s.now.Store(m)
		select {
		case s.again <- struct{}{}:
		default:
		}
	}, func() { d.o.Metrics.Drop(set) }, nil
}

func (d *Daemon) membership(c *config.Config) (*share.Membership, *metrics.Set, error) {
	set := d.o.Metrics.NewSet()
	log := d.log.With("part", "share")
	var m *share.Membership
	conf := share.Config{Root: shareRoot, Group: cmp.Or(c.ZooKeeper.Group, config.DefaultGroup), Dir: d.o.Storage, Log: log, Metrics: set, Begin: d.sharing.now.Load(),
		Self:     share.Collector{ID: d.sharing.id, Jobs: d.digests(c), Version: ops.ThisBuild().Version, Started: d.sharing.started},
		Ready:    func() bool { return d.Ready() == nil },
		Ask:      share.NewAsker(d.peers),
		OnChange: d.divided,
		OnOrders: func(o []discovery.Order) {
			if d.sharing.now.Load() == m { // else another took its place
				d.ordered(o)
			}
		},
		Load: newBusy().load,
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
	var err error
	if m, err = share.New(conf); err != nil {
		return fail(err)
	}
	return m, set, nil
}

// advertised is where the others of the group reach this collector's API: what the configuration says, else where it listens. For an address that stands for all of
// the host's the host's name is told. A loopback address is told as it is, for the others may be on this host; whoever asks there looks who answers, and divided
// warns where others are elsewhere.
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
	select {
	case <-d.sharing.again: // told before it ran
	default:
	}
	digest := time.NewTicker(digestEvery)
	defer digest.Stop()
	now := d.beginShare(ctx)
	defer func() { now.end() }()
	for {
		select {
		case <-now.done:
			return now.end()
		case <-ctx.Done():
			err := now.end()
			// Until the others have seen it, the slots that begin are still ours: what is pulled twice counts once, what nobody pulls is lost.
			time.Sleep(overlap)
			d.sharing.ended.Store(true)
			return err
		case <-d.sharing.lists:
			d.sharing.now.Load().Announce(d.digests(d.Config()))
		case <-digest.C: // of files and lists, whose content may have changed
			d.sharing.now.Load().Announce(d.digests(d.Config()))
		case <-d.sharing.again:
			next := d.beginShare(ctx)
			d.handOver(ctx, next)
			if err := now.end(); err != nil {
				d.log.Warn("the place in the group before was not given up in order", "err", err)
			}
			now = next
			d.dropShares()
		}
	}
}

// holding is a Membership at work.
type holding struct {
	*share.Membership
	done chan struct{} // closed when it has ended
	end  func() error  // ends it and waits, and says why it ended
}

func (d *Daemon) beginShare(ctx context.Context) holding {
	one, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := holding{Membership: d.sharing.now.Load(), done: make(chan struct{})}
	var err error
	go func() {
		defer close(h.done)
		err = h.Run(one)
	}()
	h.end = func() error {
		cancel()
		<-h.done
		return err
	}
	return h
}

// joinFor bounds how long one Membership goes on beside the one that takes its place.
const joinFor = 5 * time.Second

// handOver waits until the next Membership has its place, so that nobody else is given what is ours meanwhile.
func (d *Daemon) handOver(ctx context.Context, next holding) {
	late := time.NewTimer(joinFor)
	defer late.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !next.Joined() {
		select {
		case <-ctx.Done():
			return
		case <-late.C:
			return
		case <-look.C:
		}
	}
}

// dropShares takes the metrics of those away that another took the place of.
func (d *Daemon) dropShares() {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.sharing
	for len(s.sets) > 1 {
		d.o.Metrics.Drop(s.sets[0])
		s.sets = s.sets[1:]
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
	lists, now := d.lists.Load(), time.Now()
	for i := range all {
		s := all[i]
		s.BasicAuth, s.Authorization, s.OAuth2, s.Headers, s.TLS, s.Proxy = nil, nil, nil, nil, nil, config.Proxy{}
		parts := []any{s, interval(c).Milliseconds()}
		for _, sd := range s.Files {
			parts = append(parts, contentOf(sd.Files))
		}
		for _, sd := range s.ServersetFiles {
			parts = append(parts, contentOf(sd.Files))
		}
		if lists != nil && len(s.HTTP) > 0 {
			for _, l := range (*lists)[s.JobName] {
				parts = append(parts, l.digest(now))
			}
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
	d.reachable(div)
}

// reachable says, once, that others of the group are on other hosts and cannot reach this collector.
func (d *Daemon) reachable(div *share.Division) {
	me, ok := div.Member(d.id())
	if !ok || !isLoopback(me.Addr) {
		return
	}
	for _, p := range div.Peers() {
		if p.Addr != "" && !isLoopback(p.Addr) && !d.sharing.local.Swap(true) {
			d.log.Warn("the others of the group cannot reach this collector: its address means something on this host only; set --web.listen-address, or zookeeper.advertise_address",
				"address", me.Addr, "peer", p.ID, "at", p.Addr)
		}
	}
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// ordered hands the orders in force to those whom they concern.
func (d *Daemon) ordered(orders []discovery.Order) {
	d.bursts.look()
	ofRoster := slices.DeleteFunc(slices.Clone(orders), func(o discovery.Order) bool { return o.Kind == discovery.BurstOrder })
	d.onChange(d.roster.Obey(ofRoster, time.Now()))
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
