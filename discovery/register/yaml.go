package register

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// File is an agent's configuration file.
type File struct {
	ZooKeeper    ZooKeeper
	Root         string // of serversets; empty: /discovery
	Verify       time.Duration
	Flap         Flap
	Defaults     Defaults // as given to ParseFile, with the file's own over them
	Services     []Service
	ServiceFiles []string // patterns of files with more services, as written
}

// ZooKeeper is the ensemble to register with.
type ZooKeeper struct {
	Servers        []string
	SessionTimeout time.Duration
	DigestFile     string // holds user:password
	Protect        bool   // nobody but that user changes what the agent makes: see OwnACL
	TLS            *TLS
}

// TLS names files in PEM.
type TLS struct {
	CAFile             string `yaml:"ca_file"`
	CertFile           string `yaml:"cert_file"`
	KeyFile            string `yaml:"key_file"`
	ServerName         string `yaml:"server_name"`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify"`
}

// Defaults is what every service of an agent has unless it says otherwise.
type Defaults struct {
	Host     string // the endpoint's
	Env      string
	HostName string // tag host.name
	Zone     string
	Region   string
	Owner    string
	Tags     map[string]string
}

// The documents as they are written. Text that needs a check of ours is decoded as text, so that the error has its line.
type (
	fileYAML struct {
		ZooKeeper struct {
			Servers        []string `yaml:"servers"`
			SessionTimeout string   `yaml:"session_timeout"`
			DigestFile     string   `yaml:"digest_file"`
			Protect        bool     `yaml:"protect"`
			TLS            *TLS     `yaml:"tls_config"`
		} `yaml:"zookeeper"`
		Root           string `yaml:"root"`
		VerifyInterval string `yaml:"verify_interval"`
		Flap           struct {
			HalfLife string `yaml:"half_life"`
		} `yaml:"flap"`
		Defaults     defaultsYAML  `yaml:"defaults"`
		Services     []serviceYAML `yaml:"services"`
		ServiceFiles []string      `yaml:"service_files"`
	}
	defaultsYAML struct {
		Host     string            `yaml:"host"`
		Env      string            `yaml:"env"`
		HostName string            `yaml:"host_name"`
		Zone     string            `yaml:"zone"`
		Region   string            `yaml:"region"`
		Owner    string            `yaml:"owner"`
		Tags     map[string]string `yaml:"tags"`
	}
	serviceYAML struct {
		Service   string            `yaml:"service"`
		Env       string            `yaml:"env"`
		Host      string            `yaml:"host"`
		Port      int               `yaml:"port"`
		Checks    []checkYAML       `yaml:"checks"`
		Version   string            `yaml:"version"`
		Zone      string            `yaml:"zone"`
		Region    string            `yaml:"region"`
		Track     string            `yaml:"track"`
		HostName  string            `yaml:"host_name"`
		Owner     string            `yaml:"owner"`
		Tags      map[string]string `yaml:"tags"`
		StatsPort int               `yaml:"stats_port"`
		StatsPath string            `yaml:"stats_path"`
		Scheme    string            `yaml:"scheme"`
		Shard     *int              `yaml:"shard"`
		Expected  int               `yaml:"expected"`
	}
	checkYAML struct {
		text               string // written as on the command line
		HTTP               string `yaml:"http"`
		HTTPS              string `yaml:"https"`
		TCP                string `yaml:"tcp"`
		Interval           string `yaml:"interval"`
		Timeout            string `yaml:"timeout"`
		Rise               int    `yaml:"rise"`
		Fall               int    `yaml:"fall"`
		Status             string `yaml:"status"`
		InsecureSkipVerify bool   `yaml:"insecure_skip_verify"`
	}
)

// UnmarshalYAML takes http:/health as well as {http: /health, interval: 1s}.
func (c *checkYAML) UnmarshalYAML(n ast.Node) error {
	if s, ok := n.(*ast.StringNode); ok {
		c.text = s.Value
		return nil
	}
	type plain checkYAML
	return yaml.NodeToValue(n, (*plain)(c), yaml.Strict())
}

// ParseFile reads an agent's configuration. ${NAME} in a text is taken from env. The error lists every fault, each with its line and the remedy.
func ParseFile(text []byte, base Defaults, env func(string) (string, bool)) (*File, error) {
	f := &File{Defaults: base}
	n := 0
	err := documents(text, env, func(body ast.Node) error {
		if n++; n > 1 {
			return fmt.Errorf("line %d: a second YAML document; keep one", body.GetToken().Position.Line)
		}
		var y fileYAML
		if err := decode(body, &y); err != nil {
			return err
		}
		c := &converter{body: body}
		f.fill(&y, c)
		return c.err()
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) fill(y *fileYAML, c *converter) {
	f.ZooKeeper = ZooKeeper{Servers: y.ZooKeeper.Servers, DigestFile: y.ZooKeeper.DigestFile, Protect: y.ZooKeeper.Protect, TLS: y.ZooKeeper.TLS}
	f.ZooKeeper.SessionTimeout = c.duration("zookeeper.session_timeout", y.ZooKeeper.SessionTimeout)
	if d := f.ZooKeeper.SessionTimeout; d != 0 && (d < time.Second || d > 10*time.Minute) {
		c.fail("zookeeper.session_timeout", "%v is not within 1s..10m", d)
	}
	f.Root, f.ServiceFiles = y.Root, y.ServiceFiles
	f.Verify = c.duration("verify_interval", y.VerifyInterval)
	f.Flap.HalfLife = c.duration("flap.half_life", y.Flap.HalfLife)
	probe := Config{Root: f.Root, Verify: f.Verify, Flap: f.Flap}.withDefaults()
	if err := probe.Flap.validate(); err != nil {
		c.fail("flap.half_life", "%v", err)
	}
	probe.Flap = Flap{}.withDefaults()
	if err := probe.validate(); err != nil {
		field := "root"
		if strings.HasPrefix(err.Error(), "verify") {
			field = "verify_interval"
		}
		c.fail(field, "%v", err)
	}
	for i, p := range f.ServiceFiles {
		if why := badPattern(p); why != "" {
			c.fail(fmt.Sprintf("service_files[%d]", i), "%q %s", p, why)
		}
	}
	f.Defaults = f.Defaults.with(&y.Defaults)
	for i := range y.Services {
		c.prefix = fmt.Sprintf("services[%d].", i)
		f.Services = append(f.Services, c.service(&y.Services[i], f.Defaults))
	}
	c.prefix = ""
}

func (d Defaults) with(y *defaultsYAML) Defaults {
	for _, f := range [...]struct {
		to   *string
		from string
	}{{&d.Host, y.Host}, {&d.Env, y.Env}, {&d.HostName, y.HostName}, {&d.Zone, y.Zone}, {&d.Region, y.Region}, {&d.Owner, y.Owner}} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	d.Tags = merged(d.Tags, y.Tags)
	return d
}

func merged(base, over map[string]string) map[string]string {
	if len(over) == 0 {
		return base
	}
	out := maps.Clone(over)
	for n, v := range base {
		if _, has := out[n]; !has {
			out[n] = v
		}
	}
	return out
}

// ParseServices reads a file of services: one YAML document each, parted by ---. An empty file is an error, because an editor may just be about to
// fill it.
func ParseServices(text []byte, d Defaults, env func(string) (string, bool)) ([]Service, error) {
	var out []Service
	err := documents(text, env, func(body ast.Node) error {
		var y serviceYAML
		if err := decode(body, &y); err != nil {
			return err
		}
		c := &converter{body: body}
		out = append(out, c.service(&y, d))
		return c.err()
	})
	if err == nil && len(out) == 0 {
		err = errors.New("line 1: no service in it; write one, or delete the file")
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// converter makes nouns of documents, and collects faults with their lines.
type converter struct {
	body   ast.Node
	prefix string
	errs   []error
}

func (c *converter) fail(field, format string, args ...any) {
	field = c.prefix + field
	c.errs = append(c.errs, fmt.Errorf("line %d: %s: %s", lineOf(c.body, field), field, fmt.Sprintf(format, args...)))
}

func (c *converter) err() error { return errors.Join(c.errs...) }

// lineOf finds the line of a field, or of what it would be in.
func lineOf(body ast.Node, field string) int {
	for path := "$." + field; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		if p, err := yaml.PathString(path); err == nil {
			if n, err := p.FilterNode(body); err == nil && n != nil {
				return n.GetToken().Position.Line
			}
		}
	}
	return body.GetToken().Position.Line
}

func (c *converter) duration(field, s string) time.Duration {
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		c.fail(field, "%.40q is not a time; write it as 500ms, 15s or 1m30s", s)
	}
	return d
}

func (c *converter) port(field string, n int) uint16 {
	if n < 0 || n > 65535 {
		c.fail(field, "%d is not within 1..65535", n)
		return 1
	}
	return uint16(n)
}

func (c *converter) service(y *serviceYAML, d Defaults) Service {
	before := len(c.errs)
	s := Service{Name: y.Service, Env: cmp.Or(y.Env, d.Env), Host: cmp.Or(y.Host, d.Host), Port: c.port("port", y.Port)}
	s.Metadata = serverset.Metadata{Version: y.Version, Zone: cmp.Or(y.Zone, d.Zone), Region: cmp.Or(y.Region, d.Region), Track: y.Track, Host: cmp.Or(y.HostName, d.HostName),
		Owner: cmp.Or(y.Owner, d.Owner), Tags: merged(d.Tags, y.Tags), StatsPort: c.port("stats_port", y.StatsPort), StatsPath: y.StatsPath, Scheme: y.Scheme, Shard: y.Shard, Expected: y.Expected}
	for i := range y.Checks {
		s.Checks = append(s.Checks, c.check(fmt.Sprintf("checks[%d]", i), &y.Checks[i]))
	}
	s = s.withDefaults()
	if len(c.errs) == before {
		for _, f := range s.faults() {
			c.fail(f.field, "%s", f.text)
		}
	}
	return s
}

func (c *converter) check(field string, y *checkYAML) (out Check) {
	kinds := 0
	target := y.text
	for _, k := range [...]struct{ kind, target string }{{"http", y.HTTP}, {"https", y.HTTPS}, {"tcp", y.TCP}} {
		if k.target != "" {
			kinds++
			target = k.kind + ":" + k.target
		}
	}
	if kinds != 1 && (kinds > 0 || y.text == "") {
		c.fail(field, "give it one of http, https and tcp, such as {http: /health}")
		return out
	}
	out, err := ParseCheck(target)
	if err != nil {
		c.fail(field, "%v", err)
	}
	out.Interval = c.duration(field+".interval", y.Interval)
	out.Timeout = c.duration(field+".timeout", y.Timeout)
	out.Rise, out.Fall, out.SkipVerify = y.Rise, y.Fall, y.InsecureSkipVerify
	if y.Status != "" {
		from, to, isRange := strings.Cut(y.Status, "-")
		if !isRange {
			to = from
		}
		var err1, err2 error
		out.ExpectFrom, err1 = strconv.Atoi(strings.TrimSpace(from))
		out.ExpectTo, err2 = strconv.Atoi(strings.TrimSpace(to))
		if err1 != nil || err2 != nil {
			c.fail(field+".status", "%.40q is not a status or a range; write it as 200 or 200-399", y.Status)
		}
	}
	return out
}
