package scrape

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
)

// Job is how the instances of one scrape job are pulled. The zero value of each field but Name is the documented default. A Job must not be changed once it was
// given to a Pool: a reload makes a new one.
type Job struct {
	Name     string
	Interval time.Duration // 0 means 10 s
	Timeout  time.Duration // of a whole pull: connecting, the answer and its body; 0 means 5 s or nine tenths of the interval, whichever is less

	MetricsPath string     // "" means /stats.json; an instance's own path wins
	Scheme      string     // http or https; "" means http; an instance's own scheme wins, but only a rule may lower https to http
	Params      url.Values // of the query

	Limits    stats.Options // of samples, names, labels and depth
	BodyLimit int64         // bytes of a body, decoded; 0 means 16 MiB

	// OstrichPeriod has an Ostrich application asked a second time within the same scrape, for the distributions of the last closed period of that length; they
	// take the place of those since its start. Whole seconds; 0 means that it is asked once. Ostrich refuses what is below its statsListenerMinPeriod, a minute
	// unless the application says otherwise: then it is asked for a minute.
	OstrichPeriod time.Duration
	// NativeHistograms asks for protobuf first, the only form in which applications serve native histograms. It costs several times what text costs.
	NativeHistograms bool

	// IgnoreTimestamps takes every number as one of the moment of the pull. Otherwise those whose own time stamp, by the target's clock, is more than stats.MaxAge
	// away from it are left out and counted.
	IgnoreTimestamps bool

	DisableCompression bool // do not ask for zstd and gzip
	FollowRedirects    bool // at most 10, each to an allowed address; unlike Prometheus' the default is not to: a member must not send the collector anywhere
	EnableHTTP2        bool
	Proxy              Proxy
	TLS                *tls.Config // of https; nil means the system's roots and the target's host as the name

	BasicAuth  *BasicAuth
	Bearer     string
	BearerFile string // read again when it changes; wins over Bearer
	AuthType   string // that the token is sent with; "" means Bearer
	OAuth2     *OAuth2
	Headers    []Header // beside all these

	NoServerInfo bool // never ask /server_info
	Allow        Allow
	// Dial, if not nil, makes the connections to this job's targets, whose host:port it is given unresolved: for targets that speak something else and are
	// answered for within the process. Allow is then not asked; Dial itself has to know where it may go.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// BasicAuth is a user and a password.
type BasicAuth struct {
	Username     string
	Password     string
	PasswordFile string // read again when it changes; wins over Password
}

const (
	minInterval      = 100 * time.Millisecond
	defaultInterval  = 10 * time.Second
	defaultTimeout   = 5 * time.Second
	defaultPath      = "/stats.json"
	defaultBodyLimit = 16 << 20
	maxBodyLimit     = 1 << 30
)

func (j *Job) interval() time.Duration { return cmp.Or(j.Interval, defaultInterval) }

func (j *Job) timeout() time.Duration {
	return cmp.Or(j.Timeout, min(defaultTimeout, j.interval()*9/10))
}

func (j *Job) bodyLimit() int { return int(cmp.Or(j.BodyLimit, defaultBodyLimit)) }

// netHTTP reports that the job needs what only net/http has.
func (j *Job) netHTTP() bool { return j.Proxy.any() || j.FollowRedirects || j.EnableHTTP2 }

// Validate joins everything that is wrong with the job.
func (j *Job) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("scrape job %q: "+format, append([]any{j.Name}, args...)...))
	}
	if j.Name == "" {
		bad("a job needs a name")
	}
	if j.Interval < 0 || j.Interval > 0 && j.Interval < minInterval {
		bad("interval %s is below %s", j.Interval, minInterval)
	}
	if j.Timeout < 0 || j.Interval >= 0 && j.Timeout > j.interval() {
		bad("timeout %s is not within the interval of %s: no target is pulled twice at once", j.Timeout, j.interval())
	}
	if j.Scheme != "" && j.Scheme != "http" && j.Scheme != "https" {
		bad("scheme %q is neither http nor https", j.Scheme)
	}
	if j.MetricsPath != "" {
		if err := checkPath(j.MetricsPath); err != nil {
			bad("metrics path %q: %w", j.MetricsPath, err)
		}
	}
	if _, has := j.Params["namespace"]; has {
		bad("params has namespace: %w", errNamespace)
	}
	if j.OstrichPeriod < 0 || j.OstrichPeriod%time.Second != 0 || j.OstrichPeriod > time.Hour {
		bad("ostrich period %s is not a number of whole seconds, up to an hour", j.OstrichPeriod)
	}
	if j.OstrichPeriod > 0 && j.Params.Has("period") {
		bad("params has period, and so has every answer; an ostrich period besides would ask for the same twice")
	}
	if j.BodyLimit < 0 || j.BodyLimit > maxBodyLimit {
		bad("body limit of %d bytes is not within 0 and %d", j.BodyLimit, maxBodyLimit)
	}
	l := j.Limits
	if l.Samples < 0 || l.Name < 0 || l.Labels < 0 || l.LabelName < 0 || l.LabelValue < 0 || l.Depth < 0 || l.Depth > 1024 {
		bad("a limit is below 0, or depth above 1024: %+v", l)
	}
	if err := j.Proxy.validate(); err != nil {
		bad("%w", err)
	}
	if j.OAuth2 != nil {
		if err := j.OAuth2.validate(); err != nil {
			bad("%w", err)
		}
		if j.BasicAuth != nil || j.Bearer != "" || j.BearerFile != "" {
			bad("has oauth2 and other credentials; a request carries one")
		}
	}
	for i := range j.Headers {
		if err := j.Headers[i].validate(); err != nil {
			bad("%w", err)
		}
	}
	if j.BasicAuth != nil && (j.Bearer != "" || j.BearerFile != "") {
		bad("has basic and bearer credentials; a request carries one")
	}
	if j.BasicAuth != nil && strings.Contains(j.BasicAuth.Username, ":") {
		bad("a user name of basic credentials cannot hold a colon")
	}
	if !isAuthType(j.AuthType) {
		bad("the type %q of authorization is no single word; for a user and a password use basic credentials", j.AuthType)
	}
	if strings.ContainsFunc(j.Bearer, func(r rune) bool { return r < ' ' || r == ' ' && j.AuthType == "" || r > '~' }) {
		bad("the bearer token has a character that cannot stand in a header")
	}
	if j.Dial != nil && j.netHTTP() {
		bad("its own way to connect goes with neither proxy, redirects nor HTTP/2")
	}
	if err := j.Allow.validate(); err != nil {
		bad("%w", err)
	}
	return errors.Join(errs...)
}

var errNamespace = errors.New("?namespace= makes Ostrich reset its counters at each read, for everybody who asks under that name; remove it")

// checkPath accepts a path with or without a query, as it would stand in a request line.
func checkPath(p string) error {
	if !strings.HasPrefix(p, "/") {
		return errors.New("it must begin with /")
	}
	u, err := url.ParseRequestURI(p)
	if err != nil {
		return errors.New("it is no path")
	}
	if namesReader(u.RawQuery) {
		return errNamespace
	}
	return nil
}

// namesReader reports a namespace parameter in a query, whichever of the two separators the server goes by, and however it is escaped.
func namesReader(query string) bool {
	for param := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(param, "=")
		if plain, err := url.QueryUnescape(name); err != nil || plain == "namespace" {
			return true // what cannot be read might be it
		}
	}
	return false
}

// What is asked for: JSON first, as an application that serves both says more there. Text before OpenMetrics and protobuf, as it is read at four times their
// speed; exemplars are only in those two.
const (
	acceptText     = "application/json,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.8,text/plain;version=0.0.4;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.1"
	acceptProtobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8,application/json;q=0.9,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.8,text/plain;version=0.0.4;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.1"
)

func (j *Job) accept() string {
	if j.NativeHistograms {
		return acceptProtobuf
	}
	return acceptText
}

// ReadBy is how a body of the job is read, of a target by whose clock it is now.
func (j *Job) ReadBy(now time.Time) stats.Options {
	o := j.limits()
	if !j.IgnoreTimestamps {
		o.Now = now
	}
	return o
}

// limits are what the parser is asked to hold to.
func (j *Job) limits() stats.Options {
	o := j.Limits
	if o.Window == collector.WindowUnknown && j.Params.Has("period") {
		o.Window = collector.Latched
	}
	return o
}

// authorization is the value of the header, or "".
func (j *Job) authorization(s *secrets) (string, error) {
	switch {
	case j.BasicAuth != nil:
		pass, err := s.read(j.BasicAuth.PasswordFile, j.BasicAuth.Password)
		if err != nil {
			return "", fail(collector.Forbidden, "%v", err)
		}
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(j.BasicAuth.Username, pass)
		return r.Header.Get("Authorization"), nil
	case j.Bearer != "" || j.BearerFile != "":
		token, err := s.read(j.BearerFile, j.Bearer)
		if err == nil && token == "" {
			err = fmt.Errorf("read credentials %q: the file is empty", j.BearerFile)
		}
		if err != nil {
			return "", fail(collector.Forbidden, "%v", err)
		}
		return cmp.Or(j.AuthType, "Bearer") + " " + token, nil
	}
	return "", nil
}

// isAuthType accepts what may stand before a token: one word, and not that of a user and a password.
func isAuthType(s string) bool {
	return !strings.EqualFold(s, "basic") && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r) })
}

// unauthorized is what to do about a status 401 or 403.
func (j *Job) unauthorized() string {
	if j.BasicAuth == nil && j.Bearer == "" && j.BearerFile == "" && j.OAuth2 == nil {
		return "it wants to know who asks: set basic_auth or authorization"
	}
	return "it does not take the job's credentials"
}
