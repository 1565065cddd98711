package collect

import (
	"context"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
)

// jobKey tells one job's configuration from another, with what the files of its tls_config hold.
func jobKey(c *config.Config, s *config.Scrape) string {
	return config.Fingerprint([]any{c.Global, s}, readOnce...)
}

// followFiles looks at the files of the jobs' tls_config, as Prometheus does: who replaces a certificate reloads nobody.
func (d *Daemon) followFiles(ctx context.Context) {
	tick := time.NewTicker(d.filesEvery)
	defer tick.Stop()
	trouble := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := ""
		if err := d.takeFiles(); err != nil {
			now = err.Error()
		}
		if now != "" && now != trouble {
			d.log.Warn("the files of a job's tls_config changed and cannot be used; what they held before stays in force", "err", now)
		}
		trouble = now
	}
}

// takeFiles makes the jobs anew whose files have changed, and with them the connections of their targets.
func (d *Daemon) takeFiles() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	jobs, changed := *d.jobs.Load(), []string(nil)
	for i := range d.conf.Scrape {
		if s := &d.conf.Scrape[i]; (s.TLS != nil || s.OAuth2 != nil && s.OAuth2.TLS != nil) && jobs[s.JobName].key != jobKey(d.conf, s) {
			changed = append(changed, s.JobName)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := d.setJobs(d.conf); err != nil {
		return err
	}
	d.log.Info("files of tls_config changed; connections are made anew", "jobs", changed)
	d.onChange(d.roster.Refilter(d.filter, time.Now()))
	d.moved.everybody()
	return nil
}
