package config

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Dashboards shapes what `serve` shows.
type Dashboards struct {
	Window   Duration `yaml:"window"`    // how far back charts go; default 1h
	MaxBytes Size     `yaml:"max_bytes"` // memory for the windows; default 256MB, at least 1MB
	Golden   Golden   `yaml:"golden"`
	// Collectors are asked, by the roster page, what only they know: guards, paths, why. Without them, and without a collector in the same process, that is not known.
	Collectors []URL `yaml:"collectors"`
	// Peers are all replicas of serve, this one too, by the URLs at which they reach each other: they divide the services among them. Without them there is one.
	Peers []URL `yaml:"peers"`
	// ServiceFiles say of services who looks after them, what means what and what they promise: patterns such as services.d/*.yml, followed while running.
	ServiceFiles []string `yaml:"service_files"`
	Pinned       []string `yaml:"pinned"`        // metrics that are kept by dimension beside the golden signals, with * for any text
	HistoryBytes Size     `yaml:"history_bytes"` // memory for the last day by dimension; default 256MB, at least 1MB
	PromQL       PromQL   `yaml:"promql"`
	MaxAlerts    int      `yaml:"max_alerts"` // of all rules together; default 50000
}

// PromQL bounds what queries in Prometheus' language may take.
type PromQL struct {
	MaxSamples int      `yaml:"max_samples"`     // values that one query holds at once; default 5000000
	MaxSeries  int      `yaml:"max_series"`      // series that one selector finds; default 200000
	Timeout    Duration `yaml:"timeout"`         // default 20s
	Concurrent int      `yaml:"max_concurrency"` // queries at once; default 4
}

// Golden names metrics that mean rate, errors and latency, beside those known by name.
type Golden struct {
	Rate    []string `yaml:"rate"`
	Errors  []string `yaml:"errors"`
	Latency []string `yaml:"latency"`
}

func (d *Dashboards) validate(k checker) {
	if w := d.Window.Std(DefaultWindow); w < time.Minute || w > 24*time.Hour {
		k.in(".window").fail("%s is not within 1m..24h", d.Window)
	}
	if m := d.MaxBytes; m != 0 && m < 1<<20 {
		k.in(".max_bytes").fail("%d bytes hold no fleet; give 1MB or more", int64(m))
	}
	for _, l := range []struct {
		name string
		list []URL
		port int
	}{{"collectors", d.Collectors, 7140}, {"peers", d.Peers, 7150}} {
		for i, u := range l.list {
			if !u.leads() {
				k.in(".%s[%d]", l.name, i).fail("%q is not an http or https URL, such as http://127.0.0.1:%d", u, l.port)
			}
		}
	}
	for i, p := range d.Peers {
		if slices.Contains(d.Peers[:i], p) {
			k.in(".peers[%d]", i).fail("%q stands there twice", p)
		}
	}
	if m := d.HistoryBytes; m != 0 && m < 1<<20 {
		k.in(".history_bytes").fail("%d bytes hold no day; give 1MB or more", int64(m))
	}
	if p := d.PromQL; p.MaxSamples < 0 || p.MaxSeries < 0 || p.Concurrent < 0 || p.Timeout < 0 {
		k.in(".promql").fail("a bound is negative; leave it out for the default")
	}
	if n := d.MaxAlerts; n < 0 {
		k.in(".max_alerts").fail("%d is negative; leave it out for the default", n)
	}
	for i, p := range d.ServiceFiles {
		if strings.ContainsAny(filepath.Dir(p), "*?[") || p == "" {
			k.in(".service_files[%d]", i).fail("%q: name files such as services.d/*.yml, with wildcards in the file's name only", p)
		}
	}
	if slices.Contains(d.Pinned, "") {
		k.in(".pinned").fail("an empty name matches nothing; remove it")
	}
	for _, g := range []struct {
		name string
		list []string
	}{{"rate", d.Golden.Rate}, {"errors", d.Golden.Errors}, {"latency", d.Golden.Latency}} {
		if slices.Contains(g.list, "") {
			k.in(".golden.%s", g.name).fail("an empty name matches nothing; remove it")
		}
	}
}
