// Package config is the one YAML file of `up`, `collect` and `serve`: its shape, its defaults, and errors that name the line and the remedy. It
// knows no stage; cmd/internal/collect and cmd/internal/serve make the stages' own configurations from it.
package config

import "time"

// Config is the whole file. The zero value is what an empty file means.
type Config struct {
	Global     Global     `yaml:"global"`
	ZooKeeper  ZooKeeper  `yaml:"zookeeper"`
	Scrape     []Scrape   `yaml:"scrape_configs"`
	Guard      Guard      `yaml:"guard"`
	Expected   Expected   `yaml:"expected"`
	Burst      Burst      `yaml:"burst"`
	Enrich     Enrich     `yaml:"enrich"`
	Kafka      Kafka      `yaml:"kafka"`
	Spool      Spool      `yaml:"spool"`
	LiveMaxAge Duration   `yaml:"live_max_age"` // older than this at its first send: the backfill lane; default 2 x the global interval
	Exports    []Export   `yaml:"exports"`      // other forms for others
	Dashboards Dashboards `yaml:"dashboards"`
	Alerting   Alerting   `yaml:"alerting"`
	RuleFiles  []string   `yaml:"rule_files"` // alerting and recording rules in Prometheus' format: patterns such as rules/*.yml
	Web        Web        `yaml:"web"`
}

// Global holds what every scrape job takes unless it says otherwise.
type Global struct {
	ScrapeInterval     Duration          `yaml:"scrape_interval"`     // default 10s
	ScrapeTimeout      Duration          `yaml:"scrape_timeout"`      // default 5s, never above the interval
	ExternalLabels     map[string]string `yaml:"external_labels"`     // tags on every record
	EvaluationInterval Duration          `yaml:"evaluation_interval"` // of groups of rules that do not say otherwise; default 1m
	RuleQueryOffset    Duration          `yaml:"rule_query_offset"`   // how far back their questions are, likewise; default 0
}

// ZooKeeper is the ensemble for discovery. Without servers `up` and `demo` run the embedded one.
type ZooKeeper struct {
	Servers         []string `yaml:"servers"`
	Prefer          []string `yaml:"prefer"`           // tried before the others, such as the observers of the own zone
	FollowConfig    bool     `yaml:"follow_config"`    // learn servers from the ensemble's own configuration, too
	PreferObservers bool     `yaml:"prefer_observers"` // of those, observers are tried first
	SessionTimeout  Duration `yaml:"session_timeout"`  // default 16s
	ReadOnly        *bool    `yaml:"read_only"`        // read on from a server that lost its quorum; default true
	Digest          Secret   `yaml:"digest"`           // user:password
	DigestFile      string   `yaml:"digest_file"`
	TLS             *TLS     `yaml:"tls_config"`
	Group           string   `yaml:"group"`             // the collectors of a group share the scraping; default "default"; -: this one scrapes all it sees
	Advertise       string   `yaml:"advertise_address"` // where the others reach its API; default: its listen address
	Monitor         *bool    `yaml:"monitor"`           // scrape the servers themselves, as the service zookeeper; default true
	AdminPort       int      `yaml:"admin_port"`        // of AdminServer, for servers that do not answer mntr; default 8080
}

// Guard says when a roster does not believe that so many left at once, and when one that comes and goes is kept out of alarms.
type Guard struct {
	Off         bool     `yaml:"off"`          // believe everything at once
	Shrink      float64  `yaml:"shrink"`       // a set that falls below this share of its size is not believed; default 0.5
	MinimumSize int      `yaml:"minimum_size"` // smaller ones are only guarded against falling to nobody; default 5
	Window      Duration `yaml:"window"`       // how far back the largest size counts; default 10m
	HoldFor     Duration `yaml:"hold_for"`     // those who answer are held at most this long; default 1h
	Flap        Flap     `yaml:"flap"`
}

// Flap damps members that join and leave fast.
type Flap struct {
	Penalty    float64  `yaml:"penalty"`    // of one leave and return; default 1000
	HalfLife   Duration `yaml:"half_life"`  // default 5m
	Quarantine float64  `yaml:"quarantine"` // above it a member is quarantined; default 3000
	Release    float64  `yaml:"release"`    // below it it is released; default 1000
}

// Expected is how many instances a service should have, from elsewhere than the roster: a JSON object of "service/env": count.
type Expected struct {
	File    string   `yaml:"file"`
	URL     URL      `yaml:"url"`
	Refresh Duration `yaml:"refresh_interval"` // default 30s
}

// Burst bounds what is pulled more often than its job says because somebody asked for it.
type Burst struct {
	MaxScrapes *float64 `yaml:"max_scrapes_per_second"` // that all bursts together may add on this collector; default 500, 0: there are no bursts
}

// Budget is how many scrapes a second bursts may add.
func (b *Burst) Budget() float64 {
	if b.MaxScrapes == nil {
		return DefaultBurstScrapes
	}
	return *b.MaxScrapes
}

// TLS names files. Certificates and keys are read at each handshake; a CA is read when what uses it is made: at the start, and at a reload after
// its content changed. The files of jobs are looked at while running, too.
type TLS struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
	Insecure   bool   `yaml:"insecure_skip_verify"`
}

// Scrape is one job: where its targets come from and how they are pulled.
type Scrape struct {
	JobName         string   `yaml:"job_name"`
	Interval        Duration `yaml:"scrape_interval"`
	Timeout         Duration `yaml:"scrape_timeout"`
	MetricsPath     string   `yaml:"metrics_path"` // default /stats.json
	Scheme          string   `yaml:"scheme"`       // default http
	Params          Params   `yaml:"params"`
	BodySizeLimit   Size     `yaml:"body_size_limit"`      // decoded bytes; default 8MB
	SampleLimit     int      `yaml:"sample_limit"`         // default 20000
	LabelLimit      int      `yaml:"label_limit"`          // default 64
	SeriesLimit     *int     `yaml:"series_limit"`         // different series of a target in a day; 0: any number; default 50000
	ServiceSeries   *int     `yaml:"service_series_limit"` // of a service, over all its targets; default 1000000
	LabelNameLimit  int      `yaml:"label_name_length_limit"`
	LabelValueLimit int      `yaml:"label_value_length_limit"`
	Compression     *bool    `yaml:"enable_compression"` // default true
	FollowRedirects bool     `yaml:"follow_redirects"`   // default false: a znode must not send the collector anywhere
	EnableHTTP2     bool     `yaml:"enable_http2"`
	Proxy           `yaml:",inline"`
	BasicAuth       *BasicAuth     `yaml:"basic_auth"`
	Authorization   *Authorization `yaml:"authorization"`
	OAuth2          *OAuth2        `yaml:"oauth2"`
	Headers         Headers        `yaml:"http_headers"` // sent with each request
	TLS             *TLS           `yaml:"tls_config"`
	Allow           Allow          `yaml:"allow"`
	ServerInfo      *bool          `yaml:"server_info"`   // ask /server_info for version and build once a process start; default true
	Distributions   string         `yaml:"distributions"` // what percentiles speak of: lifetime, latched, decaying, interval; default: found out by format and behaviour
	// OstrichPeriod asks Ostrich a second time in the same scrape, for the distributions of the last period of that length.
	OstrichPeriod    Duration `yaml:"ostrich_period"`
	NativeHistograms bool     `yaml:"scrape_native_histograms"` // ask for protobuf first
	FlattenArrays    []string `yaml:"flatten_arrays"`           // anchored RE2 over the names of arrays in JSON whose elements are read, too
	HonorTimestamps  *bool    `yaml:"honor_timestamps"`         // leave out samples whose own time is more than five minutes from now; default true

	Serverset      []ServersetSD  `yaml:"serverset_sd_configs"`
	Nerve          []ServersetSD  `yaml:"nerve_sd_configs"`
	ServersetFiles []FileSD       `yaml:"serverset_file_configs"`
	Files          []FileSD       `yaml:"file_sd_configs"`
	HTTP           []HTTPSD       `yaml:"http_sd_configs"`
	Static         []StaticConfig `yaml:"static_configs"`

	Relabel       []Relabel `yaml:"relabel_configs"`
	MetricRelabel []Relabel `yaml:"metric_relabel_configs"`
}

// Allow is where the job may dial, on the resolved address. Default: private networks and loopback, any port; link-local never unless listed.
type Allow struct {
	Networks []string `yaml:"networks"`
	Ports    []string `yaml:"ports"` // 8080 or 1024-65535
	// ProxyNames lets names that do not resolve here go to the proxy, which then needs an allow-list of its own.
	ProxyNames bool `yaml:"proxy_names"`
}

// BasicAuth is a user and a password, or the file that holds it.
type BasicAuth struct {
	Username     string `yaml:"username"`
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

// Authorization is a token, or the file that holds it.
type Authorization struct {
	Type            string `yaml:"type"` // the word before the token; default Bearer
	Credentials     Secret `yaml:"credentials"`
	CredentialsFile string `yaml:"credentials_file"`
}

// ServersetSD watches serversets in ZooKeeper, Prometheus' keys and ours.
type ServersetSD struct {
	Servers  []string `yaml:"servers"`  // default: the ensemble of `zookeeper`
	Paths    []string `yaml:"paths"`    // patterns such as /discovery/{service}/{env}
	Timeout  Duration `yaml:"timeout"`  // session timeout
	Service  string   `yaml:"service"`  // template over the pattern's names; default {service}
	Env      string   `yaml:"env"`      // template; default {env}, else `default`
	Endpoint string   `yaml:"endpoint"` // which additional endpoint to scrape
	Format   string   `yaml:"format"`   // pins the members' format; default: told per member
}

// FileSD reads files by glob pattern.
type FileSD struct {
	Files   []string `yaml:"files"`
	Refresh Duration `yaml:"refresh_interval"` // default 5s
}

// HTTPSD asks a URL for targets, Prometheus' contract.
type HTTPSD struct {
	URL     URL      `yaml:"url"`
	Refresh Duration `yaml:"refresh_interval"` // default 60s
}

// StaticConfig lists targets in place. Labels `service` and `env` name the service; default: the job's name and `default`.
type StaticConfig struct {
	Targets []string          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels"`
}

// Relabel is one step of Prometheus' relabelling.
type Relabel struct {
	SourceLabels []string `yaml:"source_labels"`
	Separator    *string  `yaml:"separator"`
	Regex        *string  `yaml:"regex"`
	Modulus      uint64   `yaml:"modulus"`
	TargetLabel  string   `yaml:"target_label"`
	Replacement  *string  `yaml:"replacement"`
	Action       string   `yaml:"action"`
}

// Enrich says what is added to each snapshot.
type Enrich struct {
	Geo      Geo      `yaml:"geo"`
	Networks Networks `yaml:"networks"`
	Tags     Tags     `yaml:"tags"`
	Rules    []Rule   `yaml:"rules"`

	StateBytes Size `yaml:"state_bytes"` // memory for what is remembered of series; default 256MB, at least 1MB
}

// Geo names the MaxMind databases; each is read again when its file is replaced.
type Geo struct {
	City string `yaml:"city"`
	ASN  string `yaml:"asn"`
	Host bool   `yaml:"host"` // also look up the host's own address: server.geo.*, server.as.*
}

// Networks is a file of cidr,tag,… rows: the longest prefix that holds a host gives it the tags.
type Networks struct {
	File string `yaml:"file"`
}

// Tags drops and renames service tags.
type Tags struct {
	Drop   []string          `yaml:"drop"`
	Rename map[string]string `yaml:"rename"`
}

// Rule takes labels out of metric names, looks addresses up, and sums over what it drops.
type Rule struct {
	Name    string      `yaml:"name"`    // anchored RE2 with named groups
	Label   string      `yaml:"label"`   // or: the label of a sample that holds the address
	Lookup  *RuleLookup `yaml:"lookup"`  // which group or label is an address, and whose
	Drop    []string    `yaml:"drop"`    // labels that are left out; counters are summed over them
	Counter bool        `yaml:"counter"` // untyped numbers that match are counters
}

// RuleLookup turns an address into <as>.as.number, <as>.geo.country.iso_code, ….
type RuleLookup struct {
	From string   `yaml:"from"`
	As   string   `yaml:"as"`
	Add  []string `yaml:"add"` // which attributes; default as.number and geo.country.iso_code
}

// Kafka is where the stream goes. Without brokers `up` and `demo` run the embedded broker.
type Kafka struct {
	Brokers    []string `yaml:"brokers"`
	Topics     Topics   `yaml:"topics"`
	QueueBytes Size     `yaml:"queue_bytes"` // how much waits in memory while Kafka is away; default 256MB
	ClientID   string   `yaml:"client_id"`   // as the brokers' logs and quotas name whoever of us talks to them; default: a name for each
	Rack       string   `yaml:"rack"`        // where we are, as broker.rack says it of brokers: who reads topics reads the nearest replica
	SASL       *SASL    `yaml:"sasl"`
	TLS        *TLS     `yaml:"tls_config"`
}

// Spool is where what waits for Kafka is kept on disk, so that neither an outage nor a killed collector loses it.
type Spool struct {
	Off      bool   `yaml:"off"`       // keep it in memory only
	Path     string `yaml:"path"`      // default: spool, in the storage folder
	MaxBytes Size   `yaml:"max_bytes"` // default 10GB, or half of what the disk has free at the start where that is less
	Fsync    string `yaml:"fsync"`     // never, interval (once a second, the default) or each: what a power loss may take
}

// Topics names the topics; the defaults are in sink.DefaultTopics.
type Topics struct {
	Snapshots string `yaml:"snapshots"`
	Backfill  string `yaml:"backfill"`
	Roster    string `yaml:"roster"`
	Rollups   string `yaml:"rollups"`
	Findings  string `yaml:"findings"`
}

// SASL is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
type SASL struct {
	Mechanism    string `yaml:"mechanism"`
	Username     string `yaml:"username"`
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

// Alerting says whom `serve` tells of findings.
type Alerting struct {
	Alertmanagers []Receiver `yaml:"alertmanagers"` // told by their v2 API
	Webhooks      []Receiver `yaml:"webhooks"`      // told of each finding as it opens, changes its level and ends
	ExternalURL   URL        `yaml:"external_url"`  // of the page, for those who are told
	ResendDelay   Duration   `yaml:"resend_delay"`  // how often an Alertmanager hears of what goes on; default 1m
}

// Receiver is one who is told of findings.
type Receiver struct {
	URL           URL            `yaml:"url"`
	BasicAuth     *BasicAuth     `yaml:"basic_auth"`
	Authorization *Authorization `yaml:"authorization"`
	TLS           *TLS           `yaml:"tls_config"`
	Timeout       Duration       `yaml:"timeout"` // of one request; default 10s
}

// Defaults that stand in the documentation.
const (
	DefaultInterval       = 10 * time.Second
	DefaultTimeout        = 5 * time.Second
	DefaultSessionTimeout = 16 * time.Second
	DefaultGroup          = "default"
	DefaultMetricsPath    = "/stats.json"
	DefaultBodyLimit      = 8 << 20
	DefaultSampleLimit    = 20_000
	DefaultLabelLimit     = 64
	DefaultSeriesLimit    = 50_000
	DefaultServiceSeries  = 1_000_000
	DefaultSpoolBytes     = 10 << 30
	MinSpoolBytes         = 16 << 20
	DefaultQueueBytes     = 256 << 20
	DefaultWindow         = time.Hour
	DefaultExpectedEvery  = 30 * time.Second
	DefaultBurstScrapes   = 500.0
	maxBurstScrapes       = 100_000
)
