package config

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Export brings the snapshots to those who want them in another form. `up` and `export` run them.
type Export struct {
	Name     string   `yaml:"name"`     // in the log and the metrics; default: To
	To       string   `yaml:"to"`       // flat, remote-write, ndjson or avro
	Services []string `yaml:"services"` // names, or service/env, with * and ?; default: all
	Metrics  []string `yaml:"metrics"`  // anchored regular expressions over names of samples; default: all
	Group    string   `yaml:"group"`    // consumer group: exports of one group share the work; default rollcall-export-<name>
	From     string   `yaml:"from"`     // where a new group begins: now, the default, all, or how far back, such as 1h

	Topic      string `yaml:"topic"`      // flat: default rollcall.samples; avro: rollcall.snapshots.avro
	Partitions int    `yaml:"partitions"` // of that topic, where we make it; default 12
	MaxSeries  int    `yaml:"max_series"` // flat: of how many series the last value is remembered; default 2,000,000

	URL           URL               `yaml:"url"` // remote-write: the receiver; avro: the schema registry
	BasicAuth     *BasicAuth        `yaml:"basic_auth"`
	Authorization *Authorization    `yaml:"authorization"`
	TLS           *TLS              `yaml:"tls_config"`
	Headers       map[string]Secret `yaml:"headers"` // remote-write: sent with each request, such as X-Scope-OrgID
	Tags          []string          `yaml:"tags"`    // remote-write: which tags become labels; default: all
	Late          bool              `yaml:"late"`    // remote-write: send samples older than what was sent

	Path        string   `yaml:"path"`         // ndjson: a folder, or - for standard output
	Flat        bool     `yaml:"flat"`         // ndjson: a line a sample, not a record
	Compression string   `yaml:"compression"`  // ndjson: gzip, zstd or none, the default
	RotateBytes Size     `yaml:"rotate_bytes"` // ndjson: a file is done at this size; default 128MB
	RotateEvery Duration `yaml:"rotate_every"` // ndjson: or at this age; default 1h
}

// Begin is From: all is true for everything there is, else it is how far back.
func (e *Export) Begin() (back time.Duration, all bool, err error) {
	switch e.From {
	case "", "now":
		return 0, false, nil
	case "all":
		return 0, true, nil
	}
	back, err = ParseDuration(e.From)
	return back, false, err
}

// Forms are what exports can be to.
var Forms = []string{"flat", "remote-write", "ndjson", "avro"}

var exportName = regexp.MustCompile(`^[0-9A-Za-z_-][0-9A-Za-z_.-]{0,99}$`)

func (e *Export) validate(k checker) {
	if !slices.Contains(Forms, e.To) {
		k.in(".to").fail("%q: use flat, remote-write, ndjson or avro", e.To)
		return
	}
	if e.Name != "" && !exportName.MatchString(e.Name) {
		k.in(".name").fail("%q: use letters, digits, _ . or -", e.Name)
	}
	for i, s := range e.Services {
		if _, err := path.Match(s, "x"); err != nil || s == "" {
			k.in(".services[%d]", i).fail("%q: write a name, or service/env, with * and ? for any", s)
		}
	}
	for i, m := range e.Metrics {
		if _, err := regexp.Compile("^(?:" + m + ")$"); err != nil {
			k.in(".metrics[%d]", i).fail("%v", err)
		}
	}
	if _, _, err := e.Begin(); err != nil {
		k.in(".from").fail("%q: use now, all, or how far back, such as 1h", e.From)
	}
	if e.Partitions < 0 || e.MaxSeries < 0 {
		k.fail("partitions and max_series are not negative; 0 means the default")
	}
	wantsURL := e.To == "remote-write" || e.To == "avro"
	if wantsURL && !e.URL.leads() {
		k.in(".url").fail("%q is not an http or https URL, such as http://prometheus:9090/api/v1/write or http://registry:8081", e.URL)
	}
	only := func(set bool, key string, forms ...string) {
		if set && !slices.Contains(forms, e.To) {
			k.in(".%s", key).fail("an export to %s has no %s; remove it", e.To, key)
		}
	}
	only(e.URL != "", "url", "remote-write", "avro")
	only(e.BasicAuth != nil, "basic_auth", "remote-write", "avro")
	only(e.Authorization != nil, "authorization", "remote-write", "avro")
	only(e.TLS != nil, "tls_config", "remote-write", "avro")
	only(len(e.Headers) > 0, "headers", "remote-write")
	only(e.Tags != nil, "tags", "remote-write")
	only(e.Late, "late", "remote-write")
	only(e.Topic != "", "topic", "flat", "avro")
	only(e.Partitions != 0, "partitions", "flat", "avro")
	only(e.Path != "", "path", "ndjson")
	only(e.Flat, "flat", "ndjson")
	only(e.Compression != "", "compression", "ndjson")
	only(e.RotateBytes != 0, "rotate_bytes", "ndjson")
	only(e.RotateEvery != 0, "rotate_every", "ndjson")
	if e.BasicAuth != nil && e.Authorization != nil {
		k.in(".authorization").fail("basic_auth and authorization exclude each other; keep one")
	}
	if b := e.BasicAuth; b != nil {
		secretOnce(k.in(".basic_auth"), "password", b.Password, b.PasswordFile)
	}
	if a := e.Authorization; a != nil {
		a.validate(k.in(".authorization"))
	}
	e.TLS.validate(k.in(".tls_config"))
	if e.To != "ndjson" {
		return
	}
	if e.Path == "" {
		k.fail("path is missing; name a folder, or - for standard output")
	}
	if !slices.Contains([]string{"", "none", "gzip", "zstd"}, e.Compression) {
		k.in(".compression").fail("%q: use gzip, zstd or none", e.Compression)
	}
	if len(e.Metrics) > 0 && !e.Flat {
		k.in(".metrics").fail("records are written whole; give flat: true to choose among their samples")
	}
	if e.RotateBytes != 0 && e.RotateBytes < 1<<10 || e.RotateEvery != 0 && time.Duration(e.RotateEvery) < time.Second {
		k.fail("rotate_bytes is at least 1KB, rotate_every at least 1s")
	}
}

// Validate says what is wrong with an export that stands in no file.
func (e *Export) Validate() error {
	var faults []fault
	e.validate(checker{"$", &faults})
	var errs []error
	for _, f := range faults {
		errs = append(errs, errors.New(strings.TrimPrefix(strings.TrimPrefix(f.path, "$"), ".")+": "+f.text))
	}
	return errors.Join(errs...)
}

// validateExports checks that names are one's own, too.
func (c *Config) validateExports(k checker) {
	names := map[string]int{}
	for i := range c.Exports {
		e, ke := &c.Exports[i], k.in("[%d]", i)
		e.validate(ke)
		name := e.Name
		if name == "" {
			name = e.To
		}
		if first, twice := names[name]; twice {
			ke.fail("%q is also the name of export %d; give each a name of its own", name, first)
		}
		names[name] = i
	}
}
