package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// checker collects faults below a path.
type checker struct {
	path   string
	faults *[]fault
}

func (k checker) in(format string, args ...any) checker {
	return checker{k.path + fmt.Sprintf(format, args...), k.faults}
}

func (k checker) fail(format string, args ...any) {
	*k.faults = append(*k.faults, fault{path: k.path, text: fmt.Sprintf(format, args...)})
}

var groupName = regexp.MustCompile(`^[0-9A-Za-z_-][0-9A-Za-z_.-]{0,99}$`)

func (c *Config) validate() []fault {
	var faults []fault
	k := checker{"$", &faults}
	interval := c.Global.ScrapeInterval.Std(DefaultInterval)
	checkTiming(k.in(".global"), interval, c.Global.ScrapeTimeout)
	c.ZooKeeper.validate(k.in(".zookeeper"))
	names := map[string]int{}
	for i := range c.Scrape {
		s, ks := &c.Scrape[i], k.in(".scrape_configs[%d]", i)
		if s.JobName == "" {
			ks.fail("job_name is missing; give each job a name of its own")
		} else if first, twice := names[s.JobName]; twice {
			ks.in(".job_name").fail("%q is also the name of job %d; give each job a name of its own", s.JobName, first)
		} else if strings.Contains(s.JobName, "#") {
			ks.in(".job_name").fail("%q has a #, which parts a job's name from the number of its source; use another sign", s.JobName)
		}
		names[s.JobName] = i
		s.validate(ks, interval)
	}
	c.Guard.validate(k.in(".guard"))
	c.Expected.validate(k.in(".expected"))
	if b := c.Burst.Budget(); !(b >= 0 && b <= maxBurstScrapes) {
		k.in(".burst.max_scrapes_per_second").fail("%v is not within 0..%d; 0 lets nobody be pulled more often than its job says", b, maxBurstScrapes)
	}
	c.Enrich.validate(k.in(".enrich"))
	c.Kafka.validate(k.in(".kafka"))
	c.Spool.validate(k.in(".spool"))
	c.validateExports(k.in(".exports"))
	c.Alerting.validate(k.in(".alerting"))
	c.validateRules(k)
	c.Web.validate(k.in(".web"))
	c.Dashboards.validate(k.in(".dashboards"))
	return faults
}

func (z *ZooKeeper) validate(k checker) {
	checkServers(k.in(".servers"), z.Servers)
	checkServers(k.in(".prefer"), z.Prefer)
	if d := z.SessionTimeout.Std(DefaultSessionTimeout); d < time.Second || d > 10*time.Minute {
		k.in(".session_timeout").fail("%s is not within 1s..10m", z.SessionTimeout)
	}
	if g := z.Group; g != "" && !groupName.MatchString(g) {
		k.in(".group").fail("%q: use letters, digits, _ . or -, or - alone for none", g)
	}
	if a := z.Advertise; a != "" {
		checkServers(k.in(".advertise_address"), []string{strings.TrimPrefix(strings.TrimPrefix(a, "https://"), "http://")})
	}
	secretOnce(k, "digest", z.Digest, z.DigestFile)
	if p := z.AdminPort; p < 0 || p > 65535 {
		k.in(".admin_port").fail("%d is not within 1..65535", p)
	}
}

func (s *Spool) validate(k checker) {
	if b := s.MaxBytes; b != 0 && b < MinSpoolBytes {
		k.in(".max_bytes").fail("less than 16MB is no spool; give more, or `off: true`")
	}
	if f := s.Fsync; f != "" && f != "never" && f != "interval" && f != "each" {
		k.in(".fsync").fail("%q: use never, interval or each", f)
	}
}

// validateRules is about how rules are evaluated; what stands in their files is looked at where it is read.
func (c *Config) validateRules(k checker) {
	if d := c.Global.EvaluationInterval.Std(time.Minute); d < time.Second || d > 24*time.Hour {
		k.in(".global.evaluation_interval").fail("%s is not within 1s..24h", c.Global.EvaluationInterval)
	}
	if d := c.Global.RuleQueryOffset.Std(0); d < 0 || d > 24*time.Hour {
		k.in(".global.rule_query_offset").fail("%s is not within 0..24h", c.Global.RuleQueryOffset)
	}
	for i, p := range c.RuleFiles {
		if _, err := filepath.Match(p, ""); err != nil || p == "" {
			k.in(".rule_files[%d]", i).fail("%q is no pattern of files, such as rules/*.yml", p)
		}
	}
}

func (g *Guard) validate(k checker) {
	if g.Shrink < 0 || g.Shrink >= 1 {
		k.in(".shrink").fail("%v is not a share within 0..1; 0.5 means that a set may lose half of its members at once", g.Shrink)
	}
	if g.MinimumSize < 0 {
		k.in(".minimum_size").fail("%d is negative", g.MinimumSize)
	}
	if w := g.Window.Std(time.Minute); w < 10*time.Second || w > 24*time.Hour {
		k.in(".window").fail("%s is not within 10s..24h", g.Window)
	}
	if h := g.HoldFor.Std(time.Minute); h < 10*time.Second || h > 7*24*time.Hour {
		k.in(".hold_for").fail("%s is not within 10s..7d", g.HoldFor)
	}
	f := g.Flap
	if f.Penalty < 0 || f.Quarantine < 0 || f.Release < 0 {
		k.in(".flap").fail("penalties are not negative; 0 means the default")
	}
	if f.Quarantine > 0 && f.Release >= f.Quarantine {
		k.in(".flap.release").fail("%v is not below quarantine, %v: who is quarantined would be released at once", f.Release, f.Quarantine)
	}
	if d := f.HalfLife.Std(time.Minute); d < time.Second || d > 24*time.Hour {
		k.in(".flap.half_life").fail("%s is not within 1s..24h", f.HalfLife)
	}
}

func (e *Expected) validate(k checker) {
	if e.File != "" && e.URL != "" {
		k.fail("both file and url are given; keep one")
	}
	if e.URL != "" && !e.URL.leads() {
		k.in(".url").fail("%q is not an http or https URL", e.URL)
	}
	if d := e.Refresh.Std(DefaultExpectedEvery); d < time.Second {
		k.in(".refresh_interval").fail("%s is below 1s", e.Refresh)
	}
}

func checkTiming(k checker, interval time.Duration, timeout Duration) {
	if interval < 100*time.Millisecond || interval > time.Hour {
		k.in(".scrape_interval").fail("%s is not within 100ms..1h", Duration(interval))
	}
	if timeout != 0 && time.Duration(timeout) > interval {
		k.in(".scrape_timeout").fail("%s is longer than the interval %s; make it shorter", timeout, Duration(interval))
	}
}

func checkServers(k checker, servers []string) {
	for i, s := range servers {
		host, port, ok := strings.Cut(s, ":")
		if j := strings.LastIndexByte(s, ':'); j >= 0 {
			host, port = s[:j], s[j+1:]
		}
		if n, err := strconv.Atoi(port); !ok || host == "" || err != nil || n < 1 || n > 65535 {
			k.in("[%d]", i).fail("%q is not HOST:PORT", s)
		}
	}
}

func secretOnce(k checker, name string, value Secret, file string) {
	if value != "" && file != "" {
		k.in(".%s", name).fail("both %s and %s_file are given; keep one", name, name)
	}
}

var authType = regexp.MustCompile(`^[0-9A-Za-z!#$%&'*+.^_|~-]*$`)

func (a *Authorization) validate(k checker) {
	if strings.EqualFold(a.Type, "basic") {
		k.in(".type").fail("%q: for a user and a password use basic_auth", a.Type)
	} else if !authType.MatchString(a.Type) {
		k.in(".type").fail("%q is no single word, such as Bearer", a.Type)
	}
	if a.Credentials == "" && a.CredentialsFile == "" {
		k.fail("no credentials; give credentials or credentials_file")
	}
	secretOnce(k, "credentials", a.Credentials, a.CredentialsFile)
}

func (t *TLS) validate(k checker) {
	if t != nil && (t.CertFile == "") != (t.KeyFile == "") {
		k.fail("cert_file and key_file belong together; give both")
	}
}

var methods = []string{"serverset_sd_configs", "nerve_sd_configs", "serverset_file_configs", "file_sd_configs", "http_sd_configs", "static_configs"}

func (s *Scrape) validate(k checker, interval time.Duration) {
	checkTiming(k, s.Interval.Std(interval), s.Timeout)
	if s.MetricsPath != "" && !strings.HasPrefix(s.MetricsPath, "/") {
		k.in(".metrics_path").fail("%q does not begin with /", s.MetricsPath)
	}
	if s.Scheme != "" && s.Scheme != "http" && s.Scheme != "https" {
		k.in(".scheme").fail("%q: use http or https", s.Scheme)
	}
	if _, ok := s.Params["namespace"]; ok {
		k.in(".params.namespace").fail("Ostrich resets its counters for whoever reads with ?namespace=, so every other reader would lose them; remove it")
	}
	if s.SampleLimit < 0 || s.LabelLimit < 0 || s.LabelNameLimit < 0 || s.LabelValueLimit < 0 {
		k.fail("limits are not negative; 0 means the default")
	}
	for name, n := range map[string]*int{"series_limit": s.SeriesLimit, "service_series_limit": s.ServiceSeries} {
		if n != nil && *n < 0 {
			k.in(".%s", name).fail("%d is negative; 0 lets any number of series through", *n)
		}
	}
	if !slices.Contains([]string{"", "lifetime", "latched", "decaying", "interval"}, s.Distributions) {
		k.in(".distributions").fail("%q: use lifetime, latched, decaying or interval", s.Distributions)
	}
	for i, a := range s.FlattenArrays {
		if _, err := regexp.Compile("^(?:" + a + ")$"); err != nil {
			k.in(".flatten_arrays[%d]", i).fail("%v", err)
		}
	}
	if p := s.OstrichPeriod.Std(0); p%time.Second != 0 || p < 0 || p > time.Hour {
		k.in(".ostrich_period").fail("%s is not a number of whole seconds up to 1h", Duration(p))
	}
	if _, ok := s.Params["period"]; ok && s.OstrichPeriod.Std(0) > 0 {
		k.in(".params.period").fail("every answer has a period already, which ostrich_period would ask for a second time; keep one of the two")
	}
	s.Proxy.validate(k)
	s.Headers.validate(k.in(".http_headers"))
	if s.BasicAuth != nil && s.Authorization != nil {
		k.in(".authorization").fail("basic_auth and authorization exclude each other; keep one")
	}
	if o := s.OAuth2; o != nil {
		if s.BasicAuth != nil || s.Authorization != nil {
			k.in(".oauth2").fail("basic_auth, authorization and oauth2 exclude each other; keep one")
		}
		o.validate(k.in(".oauth2"))
	}
	if b := s.BasicAuth; b != nil {
		secretOnce(k.in(".basic_auth"), "password", b.Password, b.PasswordFile)
	}
	if a := s.Authorization; a != nil {
		a.validate(k.in(".authorization"))
	}
	s.TLS.validate(k.in(".tls_config"))
	for i, n := range s.Allow.Networks {
		if _, err := netip.ParsePrefix(n); err != nil {
			k.in(".allow.networks[%d]", i).fail("%q is not a network such as 10.0.0.0/8", n)
		}
	}
	for i, p := range s.Allow.Ports {
		if _, _, err := ParsePorts(p); err != nil {
			k.in(".allow.ports[%d]", i).fail("%v", err)
		}
	}
	if len(s.Serverset)+len(s.Nerve)+len(s.ServersetFiles)+len(s.Files)+len(s.HTTP)+len(s.Static) == 0 {
		k.fail("the job has no targets; add one of %s", strings.Join(methods, ", "))
	}
	for name, list := range map[string][]ServersetSD{"serverset_sd_configs": s.Serverset, "nerve_sd_configs": s.Nerve} {
		for i, d := range list {
			d.validate(k.in(".%s[%d]", name, i))
		}
	}
	for name, list := range map[string][]FileSD{"serverset_file_configs": s.ServersetFiles, "file_sd_configs": s.Files} {
		for i, d := range list {
			if len(d.Files) == 0 {
				k.in(".%s[%d]", name, i).fail("files is empty; name files or patterns such as targets/*.json")
			}
		}
	}
	for i, d := range s.HTTP {
		if !d.URL.leads() {
			k.in(".http_sd_configs[%d].url", i).fail("%q is not an http or https URL", d.URL)
		}
	}
	for i, d := range s.Static {
		for j, t := range d.Targets {
			checkServers(k.in(".static_configs[%d].targets[%d]", i, j), []string{t})
		}
	}
	for name, list := range map[string][]Relabel{"relabel_configs": s.Relabel, "metric_relabel_configs": s.MetricRelabel} {
		for i := range list {
			list[i].validate(k.in(".%s[%d]", name, i))
		}
	}
}

var formats = []string{"", "kingpin", "finagle", "nerve", "curator"}

func (d *ServersetSD) validate(k checker) {
	checkServers(k.in(".servers"), d.Servers)
	if len(d.Paths) == 0 {
		k.fail("paths is empty; name patterns such as /discovery/{service}/{env}")
	}
	for i, p := range d.Paths {
		if _, err := serverset.ParsePattern(p, d.Service, d.Env); err != nil {
			k.in(".paths[%d]", i).fail("%v", err)
		}
	}
	if !slices.Contains(formats, d.Format) {
		k.in(".format").fail("%q: use kingpin, finagle, nerve or curator, or leave it out: it is told per member", d.Format)
	}
}

// ParsePorts reads 8080 or 1024-65535.
func ParsePorts(s string) (lo, hi uint16, err error) {
	a, b, isRange := strings.Cut(s, "-")
	if !isRange {
		b = a
	}
	x, err1 := strconv.ParseUint(a, 10, 16)
	y, err2 := strconv.ParseUint(b, 10, 16)
	if err1 != nil || err2 != nil || x == 0 || x > y {
		return 0, 0, fmt.Errorf("%q is not a port or a range such as 1024-65535", s)
	}
	return uint16(x), uint16(y), nil
}

var actions = []string{"", "replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase"}

func (r *Relabel) validate(k checker) {
	if !slices.Contains(actions, strings.ToLower(r.Action)) {
		k.in(".action").fail("%q is no action of relabelling; use %s", r.Action, strings.Join(actions[1:], ", "))
	}
	if r.Regex != nil {
		if _, err := regexp.Compile("^(?:" + *r.Regex + ")$"); err != nil {
			k.in(".regex").fail("%v", err)
		}
	}
	switch strings.ToLower(r.Action) {
	case "", "replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal":
		if r.TargetLabel == "" {
			k.fail("target_label is missing; this action writes to one")
		}
	}
	if strings.EqualFold(r.Action, "hashmod") && r.Modulus == 0 {
		k.fail("modulus is missing; hashmod divides by it")
	}
}

// CheckRules tells of everything that is wrong with rules that stand elsewhere than in a configuration, as Load would; path is where, such as $.rules[0].drop[1].
func CheckRules(rules []Rule, relabel, metricRelabel []Relabel, tell func(path, text string)) {
	var faults []fault
	k := checker{"$", &faults}
	(&Enrich{Rules: rules}).validate(k)
	for i := range relabel {
		relabel[i].validate(k.in(".relabel_configs[%d]", i))
	}
	for i := range metricRelabel {
		metricRelabel[i].validate(k.in(".metric_relabel_configs[%d]", i))
	}
	for _, f := range faults {
		tell(f.path, f.text)
	}
}

// attributes are what lookup.add may name.
var attributes = []string{"as.number", "as.organization.name", "geo.country.iso_code", "geo.continent.code", "geo.region.iso_code", "geo.locality.name"}

func (e *Enrich) validate(k checker) {
	if b := e.StateBytes; b != 0 && b < 1<<20 {
		k.in(".state_bytes").fail("%d bytes hold no fleet's series; give 1MB or more", int64(b))
	}
	for i, r := range e.Rules {
		kr := k.in(".rules[%d]", i)
		if (r.Name == "") == (r.Label == "") {
			kr.fail("give name (a pattern with named groups) or label, one of them")
			continue
		}
		groups := []string{r.Label}
		if r.Name != "" {
			re, err := regexp.Compile("^(?:" + r.Name + ")$")
			if err != nil {
				kr.in(".name").fail("%v", err)
				continue
			}
			groups = re.SubexpNames()
		}
		for j, d := range r.Drop {
			if !slices.Contains(groups, d) {
				kr.in(".drop[%d]", j).fail("%q is no group of the name's pattern", d)
			}
		}
		if l := r.Lookup; l != nil {
			if r.Name != "" && !slices.Contains(groups, l.From) {
				kr.in(".lookup.from").fail("%q is no group of the name's pattern", l.From)
			}
			for j, a := range l.Add {
				if !slices.Contains(attributes, a) {
					kr.in(".lookup.add[%d]", j).fail("%q is no attribute of a place; use %s", a, strings.Join(attributes, ", "))
				}
			}
			if l.As == "" {
				kr.in(".lookup").fail("as is missing; say whose address it is, such as client")
			}
		}
	}
}

func (q *Kafka) validate(k checker) {
	checkServers(k.in(".brokers"), q.Brokers)
	if strings.ContainsFunc(q.ClientID, func(r rune) bool { return r <= ' ' || r > '~' }) || len(q.ClientID) > 200 {
		k.in(".client_id").fail("%q: up to 200 printable ASCII characters, no spaces", q.ClientID)
	}
	if strings.ContainsFunc(q.Rack, func(r rune) bool { return r < ' ' || r > '~' }) || len(q.Rack) > 200 {
		k.in(".rack").fail("%q: up to 200 printable ASCII characters", q.Rack)
	}
	if s := q.SASL; s != nil {
		if !slices.Contains([]string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}, s.Mechanism) {
			k.in(".sasl").fail("mechanism %q: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
		}
		secretOnce(k.in(".sasl"), "password", s.Password, s.PasswordFile)
	}
	q.TLS.validate(k.in(".tls_config"))
	if q.QueueBytes != 0 && q.QueueBytes < 4<<20 {
		k.in(".queue_bytes").fail("less than 4MB holds no batch")
	}
}
