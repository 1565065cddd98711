package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/discovery/register"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// details is the answer of /admin/details.
type details struct {
	Version   string                   `json:"version"`
	Started   time.Time                `json:"started"`
	Health    string                   `json:"health"` // ok, starting, broken
	Reason    string                   `json:"reason,omitempty"`
	ZooKeeper zookeeperDetails         `json:"zookeeper"`
	Services  []register.ServiceStatus `json:"services"`
	Files     []register.FileStatus    `json:"files"`
}

type zookeeperDetails struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"` // connected, or not
	Server    string    `json:"server"`
	Session   string    `json:"session"` // as zkCli shows it
	Timeout   string    `json:"session_timeout"`
	LastHeard time.Time `json:"last_heard,omitzero"`
	Error     string    `json:"error,omitempty"`
}

// Health in KingPin's three words, which are the statuses 200, 204 and 500.
const (
	healthOK       = "ok"
	healthStarting = "starting"
	healthBroken   = "broken"
)

// health is broken when the registrations can no longer be in force: without ZooKeeper for longer than the session lives.
func (d *daemon) health(st *zk.Status, now time.Time) (word, reason string) {
	timeout := st.Timeout
	if timeout == 0 {
		timeout = d.settings.Load().file.ZooKeeper.SessionTimeout
	}
	since := st.Since
	if since.IsZero() {
		since = d.started
	}
	if away := now.Sub(since); !st.Connected && away > timeout {
		return healthBroken, fmt.Sprintf("no ZooKeeper server answers for %v, longer than the session lives: %s", away.Round(time.Second), st.Err)
	}
	if !d.settled.Load() {
		ok, why := d.agent.Settled()
		if !ok {
			return healthStarting, why
		}
		if !st.Connected {
			return healthStarting, "no ZooKeeper server has answered yet"
		}
		d.settled.Store(true)
	}
	return healthOK, ""
}

func (d *daemon) details() details {
	st := d.agent.Status()
	z := &st.ZooKeeper
	out := details{Version: d.env.build.Version, Started: d.started, Services: st.Services, Files: d.files.Status(),
		ZooKeeper: zookeeperDetails{Connected: z.Connected, Since: z.Since, Server: z.Server, Timeout: z.Timeout.String(), LastHeard: z.LastHeard, Error: z.Err}}
	if z.SessionID != 0 {
		out.ZooKeeper.Session = fmt.Sprintf("0x%x", uint64(z.SessionID))
	}
	if out.Files == nil {
		out.Files = []register.FileStatus{}
	}
	out.Health, out.Reason = d.health(z, time.Now())
	return out
}

func (d *daemon) ready() error {
	st := d.session.Status()
	if word, why := d.health(&st, time.Now()); word != healthOK {
		return errors.New(why)
	}
	return nil
}

func (d *daemon) routes() http.Handler {
	mux := http.NewServeMux()
	d.metrics.Routes(mux, d.ready)
	mux.HandleFunc("GET /admin/ping", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "pong\n") })
	mux.HandleFunc("GET /admin/details", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		e.Encode(d.details()) // a broken connection is the reader's loss
	})
	mux.HandleFunc("GET /admin/healthcheck", func(w http.ResponseWriter, _ *http.Request) {
		st := d.session.Status()
		switch word, why := d.health(&st, time.Now()); word {
		case healthOK:
			io.WriteString(w, "ok\n")
		case healthStarting:
			w.WriteHeader(http.StatusNoContent)
		default:
			http.Error(w, why, http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /-/reload", func(w http.ResponseWriter, _ *http.Request) {
		if !d.cmd.WebLifecycle {
			http.Error(w, "reloading over HTTP is off; start with --web.enable-lifecycle, or send SIGHUP", http.StatusForbidden)
			return
		}
		if err := d.reload(); err != nil {
			http.Error(w, "not taken, the old configuration stays: "+err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /{$}", d.page)
	return mux
}

// page is the status for people, as text.
func (d *daemon) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	s := d.details()
	ago := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return time.Since(t).Round(time.Second).String() + " ago"
	}
	fmt.Fprintf(w, "rollcall-agent %s, begun %s: %s %s\n", s.Version, ago(s.Started), s.Health, s.Reason)
	if z := s.ZooKeeper; z.Connected {
		fmt.Fprintf(w, "ZooKeeper %s, session %s of %s, since %s, heard %s\n\n", z.Server, z.Session, z.Timeout, ago(z.Since), ago(z.LastHeard))
	} else {
		fmt.Fprintf(w, "ZooKeeper does not answer, since %s: %s\n\n", ago(z.Since), z.Error)
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tENV\tENDPOINT\tSTATE\tSINCE\tPROVEN\tREASON")
	for _, x := range s.Services {
		reason := x.Reason
		if x.Trouble != "" {
			reason += " (" + x.Trouble + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.Service, x.Env, x.Endpoint, x.State, ago(x.Since), ago(x.Verified), reason)
	}
	t.Flush()
	for _, f := range s.Files {
		fmt.Fprintf(w, "\n%s: %d services", f.File, f.Services)
		if f.Error != "" {
			fmt.Fprintf(w, ", NOT TAKEN AS IT IS NOW:\n%s", f.Error)
		}
	}
	fmt.Fprintln(w)
}

// reloaded shows how the last reading of the configuration went.
func (d *daemon) reloaded(set *metrics.Set) {
	d.reloadOK.Store(true)
	d.reloadTime.Store(d.started.Unix())
	set.NewGauge("rollcall_config_last_reload_successful", func() float64 {
		if d.reloadOK.Load() {
			return 1
		}
		return 0
	})
	set.NewGauge("rollcall_config_last_reload_success_timestamp_seconds", func() float64 { return float64(d.reloadTime.Load()) })
	set.NewGauge("rollcall_register_files_with_errors", func() (n float64) {
		for _, f := range d.files.Status() {
			if f.Error != "" {
				n++
			}
		}
		return n
	})
}
