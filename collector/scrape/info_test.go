package scrape

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// app is one application with a server_info.
type app struct {
	mu      sync.Mutex        // of the test while it looks, of the application while time goes on
	info    map[string]string // by path
	uptime  float64
	down    bool
	hang    bool // at server_info
	asked   []string
	uptimes string // name of the number
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.URL.Path == "/stats.json" {
		fmt.Fprintf(w, `{"gauges":{"a":1,"%s":%g}}`, a.uptimes, a.uptime)
		return
	}
	a.asked = append(a.asked, r.URL.Path)
	if a.hang {
		a.mu.Unlock()
		<-r.Context().Done()
		a.mu.Lock()
		return
	}
	if body, ok := a.info[r.URL.Path]; ok {
		fmt.Fprint(w, body)
		return
	}
	http.NotFound(w, r)
}

func TestServerInfo(t *testing.T) {
	const one, two = "/server_info", "/admin/server_info"
	next := func(a *app, p *Pool, got *catch) collector.Snapshot {
		a.uptime += 1000
		a.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		a.mu.Lock()
		all := got.take()
		return all[len(all)-1]
	}
	for _, tc := range []struct {
		name string
		app  *app
		job  Job
		tags map[string]string
		run  func(t *testing.T, a *app, next func() collector.Snapshot)
	}{
		{"ostrich", &app{info: map[string]string{one: `{"name":"kestrel","version":"2.4.1","uptime":5}`}}, Job{}, nil, func(t *testing.T, a *app, next func() collector.Snapshot) {
			for range 5 {
				if s := next(); s.Info.Get("version") != "2.4.1" || s.Info.Get("name") != "kestrel" || s.Info.Len() != 2 {
					t.Errorf("info %v", s.Info.Map())
				}
			}
			if !slices.Equal(a.asked, []string{one}) {
				t.Errorf("asked %v", a.asked)
			}
			// The process starts again as another version: the first snapshot after it does not name the old one, and the second knows.
			a.uptime, a.info[one] = -900, `{"version":"2.5.0"}`
			if s := next(); s.Info.Len() != 0 {
				t.Errorf("the first snapshot of a new process has %v", s.Info.Map())
			}
			if s := next(); s.Info.Get("version") != "2.5.0" || len(a.asked) != 2 {
				t.Errorf("after the restart: %v, asked %v", s.Info.Map(), a.asked)
			}
		}},
		{"twitter-server", &app{info: map[string]string{two: `{"build_revision":"abc"}`}}, Job{}, nil, func(t *testing.T, a *app, next func() collector.Snapshot) {
			for range 3 {
				if s := next(); s.Info.Get("build_revision") != "abc" {
					t.Errorf("info %v", s.Info.Map())
				}
			}
			if !slices.Equal(a.asked, []string{one, two}) {
				t.Errorf("asked %v", a.asked)
			}
		}},
		{"none", &app{}, Job{}, nil, func(t *testing.T, a *app, next func() collector.Snapshot) {
			for range 3 {
				next()
			}
			if !slices.Equal(a.asked, []string{one, two}) {
				t.Errorf("asked %v", a.asked)
			}
			// It is refused once, and comes back as something that has one.
			a.down = true
			if s := next(); s.Outcome != collector.Refused {
				t.Errorf("%s %s", s.Outcome, s.Reason)
			}
			a.down, a.info = false, map[string]string{one: `{"version":"3"}`}
			next()
			if s := next(); s.Info.Get("version") != "3" {
				t.Errorf("info %v, asked %v", s.Info.Map(), a.asked)
			}
		}},
		{"a page that is none", &app{info: map[string]string{one: `<html>`, two: `{"a":`}}, Job{}, nil, func(t *testing.T, a *app, next func() collector.Snapshot) {
			next()
			if s := next(); len(a.asked) != 2 || s.Info.Len() != 0 || s.Outcome != collector.OK {
				t.Errorf("asked %v, %v", a.asked, s.Info.Map())
			}
		}},
		{"hangs", &app{hang: true}, Job{}, nil, func(t *testing.T, a *app, next func() collector.Snapshot) {
			for range 12 {
				if s := next(); s.Outcome != collector.OK || len(s.Samples) != 2 { // no slot is skipped for it
					t.Errorf("%s %s", s.Outcome, s.Reason)
				}
			}
			if len(a.asked) != 3 {
				t.Errorf("asked %v", a.asked)
			}
		}},
		{"the version is known", &app{}, Job{}, map[string]string{"service.version": "1"}, func(t *testing.T, a *app, next func() collector.Snapshot) {
			next()
			if next(); len(a.asked) != 0 {
				t.Errorf("asked %v", a.asked)
			}
		}},
		{"turned off", &app{}, Job{NoServerInfo: true}, nil, func(t *testing.T, a *app, next func() collector.Snapshot) {
			next()
			if next(); len(a.asked) != 0 {
				t.Errorf("asked %v", a.asked)
			}
		}},
		{"by net/http", &app{info: map[string]string{two: `{"version":"2.4.1"}`}}, Job{FollowRedirects: true}, nil, func(t *testing.T, a *app, next func() collector.Snapshot) {
			next()
			if s := next(); s.Info.Get("version") != "2.4.1" || len(a.asked) != 2 {
				t.Errorf("asked %v, %v", a.asked, s.Info.Map())
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				a := tc.app
				a.uptimes = "jvm_uptime"
				f.handler("10.0.0.1:8001", a.ServeHTTP)
				serve := f.serve["10.0.0.1:8001"]
				f.serve["10.0.0.1:8001"] = func(c net.Conn) {
					a.mu.Lock()
					down := a.down
					a.mu.Unlock()
					if !down {
						serve(c)
					}
				}
				p, got, stop := f.running(t, Config{})
				j := tc.job
				j.Name, j.Interval = "apps", time.Second
				ts := targets(&j, "10.0.0.1:8001")
				ts[0].Tags = discovery.TagsOf(tc.tags)
				set(t, p, ts)
				time.Sleep(time.Second)
				synctest.Wait()
				a.mu.Lock()
				tc.run(t, a, func() collector.Snapshot {
					if a.down { // the process is gone: so are its connections
						p.mu.Lock()
						for _, x := range p.targets {
							x.drop()
						}
						p.mu.Unlock()
					}
					return next(a, p, got)
				})
				a.mu.Unlock()
				stop()
			})
		})
	}
}

func TestUptimes(t *testing.T) {
	samples := func(name, value string) []collector.Sample {
		return []collector.Sample{{Name: "a", Value: "1"}, {Name: name, Value: value}}
	}
	for _, tc := range []struct {
		name, first, then string
		again             bool
	}{
		{"jvm_uptime", "5", "6", false},
		{"jvm_uptime", "5", "4", true},
		{"jvm/uptime", "60123.0", "1.5E3", true},
		{"process_start_time_seconds", "100.5", "100.51", false},
		{"process_start_time_seconds", "100.5", "200", true},
		{"requests", "5", "4", false},
		{"uptime", "x", "4", false},
	} {
		var i infoState
		i.watch(samples(tc.name, tc.first))
		i.asked = true
		i.watch(append(samples("new", "0"), samples(tc.name, tc.then)...)) // the number has another place by now
		if i.asked == tc.again {
			t.Errorf("%s from %s to %s: asked again %v", tc.name, tc.first, tc.then, !i.asked)
		}
	}
}
