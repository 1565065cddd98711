package collect

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/ensemble"
	"github.com/rollcall-metrics/rollcall/discovery/file"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// source is one that was built, and the configuration it was built from: the same configuration keeps the same source over a reload.
type source struct {
	discovery.Source
	key string
	set *metrics.Set
}

// readOnce are the keys of files that a source or a job reads when it is made, or that its connections keep: at a reload, another content makes it anew. Passwords
// and tokens are read at each use.
var readOnce = []string{"ca_file", "cert_file", "key_file", "digest_file"}

func (d *Daemon) sourceNames() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for n := range d.sources {
		names = append(names, n)
	}
	return names
}

// buildSources makes the sources of a configuration, reusing those whose part of it did not change.
func (d *Daemon) buildSources(c *config.Config) ([]discovery.Source, error) {
	next := map[string]source{}
	var out []discovery.Source
	var errs []error
	jobs := d.allJobs(c)
	var servers *ensemble.Source
	for i := range jobs {
		s := &jobs[i]
		n := 0
		add := func(part any, make func(name string, set *metrics.Set) (discovery.Source, error)) {
			n++
			name := s.JobName
			if n > 1 {
				name = fmt.Sprintf("%s#%d", s.JobName, n)
			}
			key := config.Fingerprint([]any{part, c.ZooKeeper}, readOnce...)
			if old, ok := d.sources[name]; ok && old.key == key {
				next[name] = old
				out = append(out, old.Source)
				return
			}
			set := d.o.Metrics.NewSet()
			src, err := make(name, set)
			if err != nil {
				d.o.Metrics.Drop(set)
				errs = append(errs, fmt.Errorf("job %q: %w", s.JobName, err))
				return
			}
			next[name] = source{src, key, set}
			out = append(out, src)
		}
		if i >= len(c.Scrape) {
			add("ensemble", func(name string, _ *metrics.Set) (discovery.Source, error) { return d.ensembleSource(c, name) })
			servers, _ = next[s.JobName].Source.(*ensemble.Source)
		}
		for _, sd := range s.Serverset {
			add(sd, func(name string, set *metrics.Set) (discovery.Source, error) { return d.zkSource(c, sd, name, set) })
		}
		for _, sd := range s.Nerve {
			sd.Format = cmp.Or(sd.Format, "nerve")
			add(sd, func(name string, set *metrics.Set) (discovery.Source, error) { return d.zkSource(c, sd, name, set) })
		}
		for _, sd := range s.ServersetFiles {
			add([]any{"serverset", sd}, func(name string, set *metrics.Set) (discovery.Source, error) {
				return file.NewServersets(file.Config{Name: name, Files: sd.Files, Every: sd.Refresh.Std(0), Log: d.log, Metrics: set})
			})
		}
		for _, sd := range s.Files {
			add([]any{"file_sd", sd}, func(name string, set *metrics.Set) (discovery.Source, error) {
				return file.NewTargets(file.Config{Name: name, Files: sd.Files, Every: sd.Refresh.Std(0), Log: d.log, Metrics: set})
			})
		}
		for _, sd := range s.HTTP {
			add(sd, func(name string, set *metrics.Set) (discovery.Source, error) {
				src, err := file.NewHTTP(file.HTTPConfig{Name: name, URL: sd.URL.Reveal(), Every: sd.Refresh.Std(0), Log: d.log, Metrics: set})
				if err != nil {
					return nil, err
				}
				return newListed(src, sd.Refresh.Std(listEvery), d.sharing.lists), nil
			})
		}
		if len(s.Static) > 0 {
			add(s.Static, func(name string, set *metrics.Set) (discovery.Source, error) {
				var groups []file.Group
				for _, g := range s.Static {
					groups = append(groups, file.Group{Targets: g.Targets, Labels: g.Labels})
				}
				return file.NewStatic(name, groups)
			})
		}
	}
	if err := errors.Join(errs...); err != nil {
		for name, s := range next { // those just made
			if d.sources[name].set != s.set {
				d.o.Metrics.Drop(s.set)
			}
		}
		return nil, err
	}
	for name, s := range d.sources {
		if next[name].set != s.set {
			d.o.Metrics.Drop(s.set)
		}
	}
	d.sources = next
	d.ensemble.Store(servers)
	d.sessions.Store(sessionsOf(next))
	d.static.Store(staticOf(next))
	d.lists.Store(listsOf(next))
	return out, nil
}

// listEvery is how often http_sd asks unless told otherwise.
const listEvery = time.Minute

// listsOf are the http_sd sources by job, in order.
func listsOf(sources map[string]source) *map[string][]*listed {
	out := map[string][]*listed{}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if l, ok := sources[name].Source.(*listed); ok {
			out[discovery.JobOf(name)] = append(out[discovery.JobOf(name)], l)
		}
	}
	return &out
}

// ZooKeeperConfig makes the client's configuration of an ensemble; servers, if any, take the place of the configuration's.
func ZooKeeperConfig(z config.ZooKeeper, servers []string, timeout config.Duration) (zk.Config, error) {
	out := zk.Config{
		Servers:        z.Servers,
		SessionTimeout: cmp.Or(timeout, z.SessionTimeout).Std(config.DefaultSessionTimeout),
		ReadOnly:       z.ReadOnly == nil || *z.ReadOnly,
	}
	if len(servers) > 0 {
		out.Servers = servers
	} else {
		out.Prefer, out.Dynamic, out.PreferObservers = z.Prefer, z.FollowConfig || z.PreferObservers, z.PreferObservers
	}
	if len(out.Servers) == 0 {
		return out, errors.New("no ZooKeeper servers; name them under zookeeper.servers, or run `rollcall up`, which brings its own")
	}
	digest, err := secret(z.Digest, z.DigestFile)
	if err != nil {
		return out, err
	}
	out.Digest = digest
	out.TLS, err = TLS(z.TLS)
	return out, err
}

// zkSource is one source and its session, which it may share with others.
type zkSource struct {
	*zk.Source
	session *zk.Session
	ours    bool // of the configured ensemble, not of one that a job names
}

func (d *Daemon) zkSource(c *config.Config, sd config.ServersetSD, name string, set *metrics.Set) (discovery.Source, error) {
	conn, err := ZooKeeperConfig(c.ZooKeeper, sd.Servers, sd.Timeout)
	if err != nil {
		return nil, err
	}
	conn.Name = cmp.Or(strings.Join(sd.Servers, ","), "zookeeper")
	conn.Log, conn.Metrics = d.log.With("part", "discovery"), d.zkMetrics()
	session, err := d.zk.Session(conn, config.Fingerprint(c.ZooKeeper.TLS, readOnce...))
	if err != nil {
		return nil, err
	}
	var rules []zk.Rule
	for _, p := range sd.Paths {
		pattern, err := serverset.ParsePattern(p, sd.Service, sd.Env)
		if err != nil {
			return nil, err
		}
		rules = append(rules, zk.Rule{Pattern: pattern, Options: serverset.Options{Format: serverset.Format(sd.Format), Endpoint: sd.Endpoint}})
	}
	src, err := zk.NewSource(zk.SourceConfig{Name: name, Rules: rules, Log: d.log.With("source", name), Metrics: set}, session)
	if err != nil {
		return nil, err
	}
	return &zkSource{src, session, len(sd.Servers) == 0}, nil
}

// secret is a value, or what its file holds less the white space at its end.
func secret(value config.Secret, file string) (string, error) {
	if file == "" {
		return value.Reveal(), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n\t "), nil
}

// TLS makes a client's configuration of files; nil of nil. The CA is that of now; certificate and key are read at each handshake.
func TLS(t *config.TLS) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.Insecure}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read ca_file %q: it holds no certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		// Read at each handshake: certificates are replaced while we run.
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			return nil, fmt.Errorf("read cert_file and key_file: %w", err)
		}
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			return &pair, err
		}
	}
	return out, nil
}

// atStart is what a daemon reads at its start only, by the names that the reader of an error knows, each as a fingerprint.
func atStart(c *config.Config, o Options) [][2]string {
	out := [][2]string{
		{"kafka", config.Fingerprint(c.Kafka, "ca_file")}, // certificate and key are read at each handshake
		{"spool", config.Fingerprint(c.Spool)},
		{"live_max_age", config.Fingerprint(c.LiveMaxAge)},
		{"guard", config.Fingerprint(c.Guard)},
		{"expected", config.Fingerprint(c.Expected)},
	}
	if o.Geo == nil {
		out = append(out, [2]string{"enrich.geo.city", config.Fingerprint(c.Enrich.Geo.City)}, [2]string{"enrich.geo.asn", config.Fingerprint(c.Enrich.Geo.ASN)})
	}
	return out
}

// appliable refuses what a reload can not change.
func (d *Daemon) appliable(next *config.Config) error {
	var changed []string
	for i, part := range atStart(next, d.o) {
		if part != d.atStart[i] {
			changed = append(changed, "`"+part[0]+"`")
		}
	}
	return OnlyAtStart(changed)
}

// OnlyAtStart is the error of a reload that would have to change these parts; nil of none.
func OnlyAtStart(parts []string) error {
	if len(parts) == 0 {
		return nil
	}
	return fmt.Errorf("reload: %s changed, in the configuration or in a file that it names, and is read at the start only; restart to change it. "+
		"The configuration before stays in force, whole", strings.Join(parts, ", "))
}

// interval is the global scrape interval.
func interval(c *config.Config) time.Duration {
	return c.Global.ScrapeInterval.Std(config.DefaultInterval)
}
