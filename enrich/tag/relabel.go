package tag

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// Relabel is one step of Prometheus' relabelling; nil and empty mean Prometheus' defaults.
type Relabel struct {
	SourceLabels []string
	Separator    *string // default ;
	Regex        *string // anchored RE2; default (.*)
	Modulus      uint64
	TargetLabel  string
	Replacement  *string // default $1
	Action       string  // default replace
}

func (r Relabel) compile() (*relabel.Config, error) {
	c := relabel.DefaultRelabelConfig
	for _, l := range r.SourceLabels {
		c.SourceLabels = append(c.SourceLabels, model.LabelName(l))
	}
	if r.Separator != nil {
		c.Separator = *r.Separator
	}
	if r.Replacement != nil {
		c.Replacement = *r.Replacement
	}
	c.Modulus, c.TargetLabel = r.Modulus, r.TargetLabel
	c.Action = relabel.Action(strings.ToLower(cmp.Or(r.Action, string(relabel.Replace))))
	switch c.Action {
	case relabel.Replace, relabel.Keep, relabel.Drop, relabel.KeepEqual, relabel.DropEqual, relabel.HashMod, relabel.LabelMap, relabel.LabelDrop, relabel.LabelKeep, relabel.Lowercase, relabel.Uppercase:
	default:
		return nil, fmt.Errorf("%q is no action; use replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase or uppercase", r.Action)
	}
	if r.Regex != nil {
		re, err := relabel.NewRegexp(*r.Regex)
		if err != nil {
			return nil, fmt.Errorf("regex %q: %w", *r.Regex, err)
		}
		c.Regex = re
	}
	if err := c.Validate(model.UTF8Validation); err != nil {
		return nil, err
	}
	return &c, nil
}

func compileRelabel(rs []Relabel) ([]*relabel.Config, error) {
	var out []*relabel.Config
	var errs []error
	for i, r := range rs {
		c, err := r.compile()
		if err != nil {
			errs = append(errs, fmt.Errorf("[%d]: %w", i, err))
			continue
		}
		out = append(out, c)
	}
	return out, errors.Join(errs...)
}

// Job is what relabelling needs to know of a scrape job.
type Job struct {
	Name        string // Instance.Source, or what stands before a # in it
	Scheme      string // default http
	MetricsPath string // default /stats.json
	Params      map[string][]string
	Interval    time.Duration
	Timeout     time.Duration
	Relabel     []Relabel
}

// Targets rewrites and drops instances by the relabel_configs of their jobs.
type Targets struct{ jobs map[string]*job }

type job struct {
	Job
	rules []*relabel.Config
}

// The labels of a target that have a meaning here.
const (
	addressLabel  = "__address__"
	schemeLabel   = "__scheme__"
	pathLabel     = "__metrics_path__"
	paramPrefix   = "__param_"
	intervalLabel = "__scrape_interval__"
	timeoutLabel  = "__scrape_timeout__"
	jobLabel      = "job"
	envLabel      = "env"
	instanceLabel = "instance"
)

// NewTargets compiles the rules of every job. Instances of other jobs pass as they are.
func NewTargets(jobs []Job) (*Targets, error) {
	t := &Targets{jobs: map[string]*job{}}
	var errs []error
	for _, j := range jobs {
		j.Scheme, j.MetricsPath = cmp.Or(j.Scheme, "http"), cmp.Or(j.MetricsPath, "/stats.json")
		rules, err := compileRelabel(j.Relabel)
		if err != nil {
			errs = append(errs, fmt.Errorf("job %q: relabel_configs%w", j.Name, err))
		}
		for i, r := range j.Relabel {
			switch a := strings.ToLower(r.Action); {
			case a == string(relabel.KeepEqual) || a == string(relabel.DropEqual): // they only read it
			case r.TargetLabel == intervalLabel || r.TargetLabel == timeoutLabel:
				errs = append(errs, fmt.Errorf("job %q: relabel_configs[%d]: %s cannot be set by a rule; give those targets a job of their own", j.Name, i, r.TargetLabel))
			case r.TargetLabel == jobLabel || r.TargetLabel == envLabel: // part of the key by which the roster holds an instance
				errs = append(errs, fmt.Errorf("job %q: relabel_configs[%d]: %s cannot be set by a rule, it names the service; set it where targets come from: `service` and `env` of serverset_sd_configs, or these labels in file_sd, http_sd and static_configs", j.Name, i, r.TargetLabel))
			}
		}
		if t.jobs[j.Name] != nil {
			errs = append(errs, fmt.Errorf("job %q: two have this name", j.Name))
		}
		t.jobs[j.Name] = &job{j, rules}
	}
	return t, errors.Join(errs...)
}

// Filter rewrites an instance by the rules of its job, or says which rule drops it and why. It fits discovery.RosterOptions.Filter and gives the same answer to the
// same instance.
//
// The labels of an instance are its tags by their names, `job` (the service), `env`, `__address__`, `__scheme__`, `__metrics_path__`, `__param_<name>`,
// `__scrape_interval__`, `__scrape_timeout__` and its `__meta_*`. Afterwards `__address__` is where it is pulled from, while its name stays, as do service and environment
// whatever becomes of those labels; `instance` becomes the tag service.instance.id; all other labels that do not begin with __ are its tags.
func (t *Targets) Filter(i *discovery.Instance) (reason string, keep bool) {
	j := ofJob(t.jobs, i.Source)
	if j == nil || len(j.rules) == 0 && !hasParam(i.Meta) {
		return "", true
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for n, v := range i.Tags.All() {
		b.Set(n, v)
	}
	for n, v := range i.MetaLabels() {
		if !strings.HasPrefix(n, paramPrefix) {
			b.Set(n, v)
		}
	}
	path, query, _ := strings.Cut(cmp.Or(i.StatsPath, j.MetricsPath), "?")
	params := j.Params
	if query != "" {
		params, _ = url.ParseQuery(query) // what cannot be read of it is left out
	}
	b.Set(addressLabel, i.ScrapeAddr())
	b.Set(schemeLabel, cmp.Or(i.Scheme, j.Scheme))
	b.Set(pathLabel, path)
	b.Set(intervalLabel, j.Interval.String())
	b.Set(timeoutLabel, j.Timeout.String())
	b.Set(jobLabel, i.Service)
	b.Set(envLabel, i.Env)
	for n, v := range params {
		if len(v) > 0 {
			b.Set(paramPrefix+n, v[0])
		}
	}
	before := b.Labels()
	for n, v := range i.Meta.All() { // a target may bring parameters of its own, as file_sd has them
		if strings.HasPrefix(n, paramPrefix) {
			b.Set(n, v)
		}
	}
	for n, r := range j.rules {
		if !relabel.ProcessBuilder(b, r) {
			return dropReason(j.Name, n, r, b), false
		}
	}
	after := b.Labels()
	if why := j.rewrite(i, before, after, params); why != "" {
		return fmt.Sprintf("relabel_configs of job %q made %s", j.Name, why), false
	}
	return "", true
}

func hasParam(meta discovery.Tags) bool {
	for n := range meta.All() {
		if strings.HasPrefix(n, paramPrefix) {
			return true
		}
	}
	return false
}

// dropReason names the rule and the value that it dropped the target for.
func dropReason(job string, n int, r *relabel.Config, b *labels.Builder) string {
	var vals []string
	for _, l := range r.SourceLabels {
		vals = append(vals, b.Get(string(l)))
	}
	what := fmt.Sprintf("relabel_configs[%d] of job %q: %s", n, job, r.Action)
	switch r.Action {
	case relabel.KeepEqual, relabel.DropEqual:
		return fmt.Sprintf("%s, %v = %q, %s = %q", what, r.SourceLabels, strings.Join(vals, r.Separator), r.TargetLabel, b.Get(r.TargetLabel))
	}
	return fmt.Sprintf("%s %q, %v = %q", what, r.Regex.String(), r.SourceLabels, strings.Join(vals, r.Separator))
}

// rewrite puts what the rules changed into the instance; what they left alone stays as it was, so that the job's own values keep coming from the job. The reason
// is not empty if the result cannot be scraped.
func (j *job) rewrite(i *discovery.Instance, before, after labels.Labels, params map[string][]string) (why string) {
	changed := func(n string) bool { return before.Get(n) != after.Get(n) }
	if changed(addressLabel) {
		host, port, err := discovery.SplitAddr(withPort(after.Get(addressLabel), after.Get(schemeLabel)))
		if err != nil {
			return fmt.Sprintf("%s %q: %v", addressLabel, after.Get(addressLabel), err)
		}
		i.StatsPort = port
		if host != i.Host {
			i.StatsHost = host
		}
	}
	if changed(schemeLabel) {
		if i.Scheme = after.Get(schemeLabel); i.Scheme != "http" && i.Scheme != "https" {
			return fmt.Sprintf("%s %q; it must be http or https", schemeLabel, i.Scheme)
		}
	}
	query := url.Values{}
	rewrites := changed(pathLabel)
	for n, v := range params {
		query[n] = slices.Clone(v)
	}
	tags := map[string]string{}
	after.Range(func(l labels.Label) {
		if n, ok := strings.CutPrefix(l.Name, paramPrefix); ok {
			if changed(l.Name) {
				query.Set(n, l.Value)
				rewrites = true
			}
			return
		}
		switch {
		case strings.HasPrefix(l.Name, "__") || l.Name == jobLabel || l.Name == envLabel:
		case l.Name == instanceLabel:
			tags[InstanceID] = l.Value
		default:
			tags[l.Name] = l.Value
		}
	})
	before.Range(func(l labels.Label) {
		if n, ok := strings.CutPrefix(l.Name, paramPrefix); ok && after.Get(l.Name) == "" {
			query.Del(n)
			rewrites = true
		}
	})
	if query.Has("namespace") {
		return "the parameter namespace: Ostrich resets the counters of whoever asks with it"
	}
	if rewrites {
		path := after.Get(pathLabel)
		if !strings.HasPrefix(path, "/") {
			return fmt.Sprintf("%s %q; it must begin with /", pathLabel, path)
		}
		if i.StatsPath = path; len(query) > 0 {
			i.StatsPath += "?" + query.Encode()
		}
	}
	i.Tags = discovery.TagsOf(tags)
	return ""
}

// withPort is an address with the scheme's port where it has none, as Prometheus has it.
func withPort(addr, scheme string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	port := 80
	if scheme == "https" {
		port = 443
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), strconv.Itoa(port))
}
