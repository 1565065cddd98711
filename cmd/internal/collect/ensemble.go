package collect

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery/ensemble"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// ensembleJob is the job that scrapes ZooKeeper itself.
const ensembleJob = "zookeeper"

// allJobs are the jobs of a configuration, and behind them the one that it implies: ZooKeeper itself, unless it is turned off or the operator has a job of that
// name.
func (d *Daemon) allJobs(c *config.Config) []config.Scrape {
	off := c.ZooKeeper.Monitor != nil && !*c.ZooKeeper.Monitor
	if !d.monitors || off || len(c.ZooKeeper.Servers) == 0 || slices.ContainsFunc(c.Scrape, func(s config.Scrape) bool { return s.JobName == ensembleJob }) {
		return c.Scrape
	}
	return append(slices.Clip(c.Scrape), config.Scrape{JobName: ensembleJob, MetricsPath: ensemble.StatsPath, ServerInfo: new(false), Distributions: "lifetime"})
}

// ensembleSource shows the servers of the configured ensemble as instances.
func (d *Daemon) ensembleSource(c *config.Config, name string) (*ensemble.Source, error) {
	conn, err := ZooKeeperConfig(c.ZooKeeper, nil, 0)
	if err != nil {
		return nil, err
	}
	conf := ensemble.Config{Name: name, Servers: conn.Servers, AdminPort: c.ZooKeeper.AdminPort, Configuration: d.ensembleConfiguration, Log: d.log.With("source", name)}
	if conn.TLS != nil {
		dialer := &tls.Dialer{Config: conn.TLS} // the name in the certificate is the server's, unless the configuration has another
		conf.Secure = true
		conf.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) }
	}
	return ensemble.New(conf)
}

// askServer is how the pool reaches ZooKeeper's servers: they speak no HTTP that could be scraped.
func (d *Daemon) askServer(ctx context.Context, network, addr string) (net.Conn, error) {
	s := d.ensemble.Load()
	if s == nil {
		return nil, errors.New("ask zookeeper: the configuration has no ensemble any more")
	}
	return s.Dial(ctx, network, addr)
}

// ensembleConfiguration reads the ensemble's own configuration over a session that discovery has anyway; nothing where there is none.
func (d *Daemon) ensembleConfiguration(ctx context.Context) ([]byte, error) {
	var open *zk.Session
	for _, s := range *d.sessions.Load() { // not under d.mu: a reload holds it while it waits for the sources that it ends
		if s.Status().Connected {
			open = s
			break
		}
	}
	if open == nil {
		return nil, nil
	}
	text, _, err := open.Get(ctx, "/zookeeper/config")
	if errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNoAuth) {
		return nil, nil // before 3.5, or closed: the servers of our configuration are all there is to know
	}
	return text, err
}

// sessionsOf are the sessions that sources have with the configured ensemble.
func sessionsOf(sources map[string]source) *[]*zk.Session {
	var out []*zk.Session
	for _, s := range sources {
		if z, ok := s.Source.(*zkSource); ok && z.ours {
			out = append(out, z.session)
		}
	}
	return &out
}
