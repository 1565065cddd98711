package collect

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/scrape"
	"github.com/rollcall-metrics/rollcall/collector/stats"
	"github.com/rollcall-metrics/rollcall/enrich/geo"
	"github.com/rollcall-metrics/rollcall/enrich/tag"
	"github.com/rollcall-metrics/rollcall/internal/login"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/kafka"
)

// job is one that was built, and the configuration it was built from: the same configuration keeps the same job over a reload, and with it the schedule and
// the connections of its targets.
type job struct {
	*scrape.Job
	key string
}

// setJobs makes the pool's jobs and the relabelling of targets.
func (d *Daemon) setJobs(c *config.Config) error {
	jobs := map[string]job{}
	var rel []tag.Job
	var errs []error
	all := d.allJobs(c)
	for i := range all {
		s := &all[i]
		key := jobKey(c, s)
		j := job{nil, key}
		if old := d.jobs.Load(); old != nil && (*old)[s.JobName].key == key {
			j = (*old)[s.JobName]
		} else if made, err := scrapeJob(c, s); err != nil {
			errs = append(errs, fmt.Errorf("job %q: %w", s.JobName, err))
			continue
		} else {
			if j.Job = made; i >= len(c.Scrape) {
				j.Dial = d.askServer
			}
		}
		jobs[s.JobName] = j
		rel = append(rel, RelabelJob(j.Job, s))
	}
	targets, err := tag.NewTargets(rel)
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	d.targets.Store(targets)
	d.jobs.Store(&jobs)
	return nil
}

var windows = map[string]collector.Window{"lifetime": collector.Lifetime, "latched": collector.Latched, "decaying": collector.Decaying, "interval": collector.Interval}

// BareJob is a job but for what is in files of its own and for how its targets are reached: what a body is read by, and when.
func BareJob(c *config.Config, s *config.Scrape) (*scrape.Job, error) {
	every := s.Interval.Std(interval(c))
	timeout := s.Timeout.Std(c.Global.ScrapeTimeout.Std(config.DefaultTimeout))
	j := &scrape.Job{
		Name: s.JobName, Interval: every, Timeout: min(timeout, every),
		MetricsPath: cmp.Or(s.MetricsPath, config.DefaultMetricsPath), Scheme: cmp.Or(s.Scheme, "http"), Params: url.Values(s.Params),
		BodyLimit: s.BodySizeLimit.Or(config.DefaultBodyLimit),
		Limits: stats.Options{Samples: cmp.Or(s.SampleLimit, config.DefaultSampleLimit), Labels: cmp.Or(s.LabelLimit, config.DefaultLabelLimit),
			LabelName: s.LabelNameLimit, LabelValue: s.LabelValueLimit, Window: windows[s.Distributions]},
		FollowRedirects: s.FollowRedirects, EnableHTTP2: s.EnableHTTP2,
		DisableCompression: s.Compression != nil && !*s.Compression,
		OstrichPeriod:      s.OstrichPeriod.Std(0), NativeHistograms: s.NativeHistograms,
		IgnoreTimestamps: s.HonorTimestamps != nil && !*s.HonorTimestamps,
		NoServerInfo:     s.ServerInfo != nil && !*s.ServerInfo,
	}
	if len(s.FlattenArrays) > 0 {
		var err error
		if j.Limits.Arrays, err = regexp.Compile("^(?:" + strings.Join(s.FlattenArrays, "|") + ")$"); err != nil {
			return nil, err
		}
	}
	return j, nil
}

func scrapeJob(c *config.Config, s *config.Scrape) (*scrape.Job, error) {
	j, err := BareJob(c, s)
	if err != nil {
		return nil, err
	}
	if j.TLS, err = TLS(s.TLS); err != nil {
		return nil, err
	}
	if j.Proxy, err = proxy(&s.Proxy); err != nil {
		return nil, err
	}
	if j.OAuth2, err = oauth2(s.OAuth2); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		h := s.Headers[name]
		made := scrape.Header{Name: name, Values: slices.Clone(h.Values), Files: h.Files}
		for _, v := range h.Secrets {
			made.Values = append(made.Values, v.Reveal())
		}
		j.Headers = append(j.Headers, made)
	}
	j.Allow.ProxyNames = s.Allow.ProxyNames
	for _, n := range s.Allow.Networks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return nil, err
		}
		j.Allow.Networks = append(j.Allow.Networks, p)
	}
	for _, p := range s.Allow.Ports {
		lo, hi, err := config.ParsePorts(p)
		if err != nil {
			return nil, err
		}
		j.Allow.Ports = append(j.Allow.Ports, scrape.PortRange{From: lo, To: hi})
	}
	if b := s.BasicAuth; b != nil {
		j.BasicAuth = &scrape.BasicAuth{Username: b.Username, Password: b.Password.Reveal(), PasswordFile: b.PasswordFile}
	}
	if a := s.Authorization; a != nil {
		j.Bearer, j.BearerFile, j.AuthType = a.Credentials.Reveal(), a.CredentialsFile, a.Type
	}
	return j, j.Validate()
}

// proxy is how a request gets where it is for.
func proxy(p *config.Proxy) (out scrape.Proxy, err error) {
	out = scrape.Proxy{Without: p.NoProxy, Environment: p.ProxyFromEnvironment}
	if p.ProxyURL != "" {
		if out.URL, err = url.Parse(p.ProxyURL.Reveal()); err != nil {
			return out, fmt.Errorf("proxy_url is %q, which is no URL", p.ProxyURL)
		}
	}
	for name, values := range p.ProxyConnectHeader {
		if out.ConnectHeader == nil {
			out.ConnectHeader = http.Header{}
		}
		for _, v := range values {
			out.ConnectHeader.Add(name, v.Reveal())
		}
	}
	return out, nil
}

// oauth2 is how a job's token is fetched.
func oauth2(o *config.OAuth2) (*scrape.OAuth2, error) {
	if o == nil {
		return nil, nil
	}
	out := &scrape.OAuth2{ClientID: o.ClientID, Secret: o.ClientSecret.Reveal(), SecretFile: o.ClientSecretFile, Scopes: o.Scopes, Params: url.Values{}}
	for name, v := range o.EndpointParams {
		out.Params.Set(name, v.Reveal())
	}
	var err error
	if out.TokenURL, err = url.Parse(o.TokenURL.Reveal()); err != nil {
		return nil, fmt.Errorf("token_url is %q, which is no URL", o.TokenURL)
	}
	if out.TLS, err = TLS(o.TLS); err != nil {
		return nil, err
	}
	out.Proxy, err = proxy(&o.Proxy)
	return out, err
}

// RelabelJob is a job as the relabelling of its targets knows it.
func RelabelJob(j *scrape.Job, s *config.Scrape) tag.Job {
	return tag.Job{Name: j.Name, Scheme: j.Scheme, MetricsPath: j.MetricsPath, Params: s.Params, Interval: j.Interval, Timeout: j.Timeout, Relabel: relabels(s.Relabel)}
}

// relabels are relabelling steps as enrich/tag takes them.
func relabels(in []config.Relabel) []tag.Relabel {
	out := make([]tag.Relabel, len(in))
	for i, r := range in {
		out[i] = tag.Relabel(r)
	}
	return out
}

func geoConfig(c *config.Config, o Options) geo.Config {
	g := c.Enrich.Geo
	if o.Geo != nil {
		g = *o.Geo
	}
	out := geo.Config{Log: o.Log.With("part", "geo"), Metrics: o.Metrics.NewSet()}
	if g.City != "" {
		out.City = []string{g.City}
	}
	if g.ASN != "" {
		out.ASN = []string{g.ASN}
	}
	return out
}

func (d *Daemon) tagConfig(c *config.Config) tag.Config {
	out := TagConfig(c)
	out.Geo, out.Log, out.Metrics = d.geo, d.log.With("part", "tags"), d.tagMetrics()
	return out
}

// TagConfig is what a configuration has snapshots enriched with, databases of places aside.
func TagConfig(c *config.Config) tag.Config {
	out := tag.Config{
		Host: c.Enrich.Geo.Host, Drop: c.Enrich.Tags.Drop, Rename: c.Enrich.Tags.Rename, External: c.Global.ExternalLabels, StateBytes: int64(c.Enrich.StateBytes), Rules: rules(c),
		MetricRelabel: map[string][]tag.Relabel{}, JobLimits: map[string]tag.Limits{}, Limits: seriesLimits(&config.Scrape{}),
	}
	if f := c.Enrich.Networks.File; f != "" {
		out.Networks = []string{f}
	}
	for i := range c.Scrape {
		s := &c.Scrape[i]
		out.JobLimits[s.JobName] = seriesLimits(s)
		if len(s.MetricRelabel) > 0 {
			out.MetricRelabel[s.JobName] = relabels(s.MetricRelabel)
		}
	}
	return out
}

// rules are the rules of a configuration, as enrich/tag takes them.
func rules(c *config.Config) (out []tag.Rule) {
	for _, r := range c.Enrich.Rules {
		t := tag.Rule{Name: r.Name, Label: r.Label, Drop: r.Drop, Counter: r.Counter}
		if r.Lookup != nil {
			t.Lookup = &tag.Lookup{From: r.Lookup.From, As: r.Lookup.As, Add: r.Lookup.Add}
		}
		out = append(out, t)
	}
	return out
}

// seriesLimits are a job's limits of unique series a day.
func seriesLimits(s *config.Scrape) tag.Limits {
	l := tag.Limits{Target: config.DefaultSeriesLimit, Service: config.DefaultServiceSeries}
	if s.SeriesLimit != nil {
		l.Target = *s.SeriesLimit
	}
	if s.ServiceSeries != nil {
		l.Service = *s.ServiceSeries
	}
	return l
}

// Topics are the topics of a configuration.
func Topics(k config.Kafka) sink.Topics {
	d := sink.DefaultTopics()
	return sink.Topics{
		Snapshots: cmp.Or(k.Topics.Snapshots, d.Snapshots), Backfill: cmp.Or(k.Topics.Backfill, d.Backfill), Roster: cmp.Or(k.Topics.Roster, d.Roster),
		Rollups: cmp.Or(k.Topics.Rollups, d.Rollups), Findings: cmp.Or(k.Topics.Findings, d.Findings),
	}
}

// TopicsAt tells those who want to read what is delivered where it is.
type TopicsAt struct {
	Brokers   []string `json:"brokers"`
	Snapshots string   `json:"snapshots"` // topics
	Backfill  string   `json:"backfill"`
	Secured   bool     `json:"secured,omitempty"` // by TLS or a login, which only a configuration file has
}

// Place is where the topics of a configuration are.
func Place(k config.Kafka) TopicsAt {
	t := Topics(k)
	return TopicsAt{k.Brokers, t.Snapshots, t.Backfill, k.TLS != nil || k.SASL != nil}
}

func kafkaConfig(c *config.Config, o Options, ledger *sink.Ledger) (kafka.Config, error) {
	out := kafka.Config{
		Brokers: c.Kafka.Brokers, ClientID: c.Kafka.ClientID, Topics: Topics(c.Kafka), Ledger: ledger, StoragePath: o.Storage, Drain: o.Drain,
		LiveMaxAge: c.LiveMaxAge.Std(max(2*interval(c), 2*time.Second)), MemoryBytes: c.Kafka.QueueBytes.Or(config.DefaultQueueBytes),
		Logger: o.Log.With("part", "kafka"), Metrics: o.Metrics.NewSet(), Spool: spoolConfig(c.Spool, o.Storage),
	}
	var err error
	out.SASL, out.TLS, err = Access(c.Kafka)
	return out, err
}

// Access is how to log in at the brokers, and how to speak to them in secret; nil: in the open.
func Access(k config.Kafka) (as login.SASL, secure *tls.Config, err error) {
	if s := k.SASL; s != nil {
		as = login.SASL{Mechanism: s.Mechanism, Username: s.Username, Password: s.Password.Reveal(), PasswordFile: s.PasswordFile}
	}
	secure, err = TLS(k.TLS)
	return as, secure, err
}
