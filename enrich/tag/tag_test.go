package tag

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/enrich"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ enrich.Enricher = (*Enricher)(nil)

func TestTagsAreComposed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "n.csv")
	if err := os.WriteFile(file, []byte("cidr,cloud.availability_zone,cloud.region\n8.8.8.0/24,us-east-1c,net-region\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	db := places(t, world)
	for _, tc := range []struct {
		name string
		cfg  Config
		host string
		own  map[string]string
		want string
	}{
		{"nothing to add", Config{}, "8.8.8.8", map[string]string{"team": "pay"}, "map[team:pay]"},
		{"the host's place", Config{Geo: db, Host: true}, "8.8.8.8", nil, "map[server.as.number:15169 server.as.organization.name:Org US server.geo.country.iso_code:US]"},
		{"a private host has none", Config{Geo: db, Host: true}, "10.0.0.1", nil, "map[]"},
		{"nor has a name", Config{Geo: db, Host: true}, "db.example", nil, "map[]"},
		{"only when asked", Config{Geo: db}, "8.8.8.8", nil, "map[]"},
		{"the network", Config{Networks: []string{file}}, "8.8.8.8", nil, "map[cloud.availability_zone:us-east-1c cloud.region:net-region]"},
		{"metadata over the network", Config{Networks: []string{file}}, "8.8.8.8", map[string]string{"cloud.availability_zone": "mine"}, "map[cloud.availability_zone:mine cloud.region:net-region]"},
		{"the network over external labels", Config{Networks: []string{file}, External: map[string]string{"cloud.region": "ext", "dc": "1"}}, "8.8.8.8", nil, "map[cloud.availability_zone:us-east-1c cloud.region:net-region dc:1]"},
		{"external labels where nobody says better", Config{External: map[string]string{"cloud.region": "ext"}}, "8.8.8.8", nil, "map[cloud.region:ext]"},
		{"metadata over external labels", Config{External: map[string]string{"cloud.region": "ext"}}, "8.8.8.8", map[string]string{"cloud.region": "mine"}, "map[cloud.region:mine]"},
		{"metadata that says the same", Config{Networks: []string{file}, External: map[string]string{"cloud.region": "ext"}}, "8.8.8.8", map[string]string{"cloud.region": "ext"}, "map[cloud.availability_zone:us-east-1c cloud.region:ext]"},
		{"drop", Config{Drop: []string{"member_id", VersionSource}}, "8.8.8.8", map[string]string{"member_id": "7", Version: "1"}, "map[service.version:1]"},
		{"rename", Config{Rename: map[string]string{"az": "cloud.availability_zone"}}, "8.8.8.8", map[string]string{"az": "b"}, "map[cloud.availability_zone:b]"},
		{"rename to one that is there", Config{Rename: map[string]string{"az": "cloud.availability_zone"}}, "8.8.8.8", map[string]string{"az": "b", "cloud.availability_zone": "a"}, "map[cloud.availability_zone:a]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := mustNew(t, tc.cfg)
			if err := e.Load(); err != nil {
				t.Fatal(err)
			}
			for _, outcome := range []collector.Outcome{collector.OK, collector.OK, collector.Timeout} {
				for _, begun := range []bool{false, true} { // external labels may be there already
					s := snapshot(t0)
					s.Outcome, s.Instance.Host, s.Instance.Tags = outcome, tc.host, discovery.TagsOf(tc.own)
					s.Tags = s.Instance.Tags
					if begun {
						s.Tags = discovery.TagsOf(tc.cfg.External).With(tc.own)
					}
					e.Enrich(s)
					if got := fmt.Sprint(s.Tags.Map()); got != tc.want {
						t.Fatalf("%v %v: got %s, want %s", outcome, begun, got, tc.want)
					}
					if s.RulesHash != "" || (s.GeoBuild != "") != tc.cfg.Host {
						t.Fatalf("rules %q geo %q", s.RulesHash, s.GeoBuild)
					}
				}
			}
		})
	}
}

func TestTrackIsInferred(t *testing.T) {
	e := mustNew(t, Config{})
	run := func(at time.Duration, version func(port uint16) string) map[uint16]discovery.Tags {
		out := map[uint16]discovery.Tags{}
		for round := range 4 {
			for p := range uint16(10) {
				s := snapshot(t0.Add(at+time.Duration(round)*10*time.Second), label("version", version(p+1)))
				s.Instance.Port = p + 1
				e.Enrich(s)
				out[p+1] = s.Tags
			}
		}
		return out
	}
	run(0, func(uint16) string { return "1" })
	got := run(time.Hour, func(p uint16) string {
		if p == 3 {
			return "2"
		}
		return "1"
	})
	for p, want := range map[uint16]string{1: "production", 3: "canary"} {
		if tr, src := got[p].Get(Track), got[p].Get(TrackSource); tr != want || src != "inferred" {
			t.Errorf("port %d: %s from %s, want %s", p, tr, src, want)
		}
	}
	file := filepath.Join(t.TempDir(), "tracks.json")
	if err := errors.Join(e.SaveTracks(file), e.LoadTracks(file)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), `"version":"2"`) {
		t.Fatalf("saved %s %v", b, err)
	}
	e = mustNew(t, Config{})
	run(0, func(uint16) string { return "1" })
	run(time.Hour, func(p uint16) string { return map[bool]string{true: "2", false: "1"}[p == 3] })
	s := snapshot(t0.Add(time.Hour + time.Minute))
	s.Outcome, s.Instance.Port = collector.Timeout, 3
	if e.Enrich(s); s.Tags.Get(Track) != "canary" {
		t.Errorf("a failing canary is one still: %v", s.Tags.Map())
	}
}

func TestConfigFaults(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{Drop: []string{""}}, "empty name"},
		{Config{Rename: map[string]string{"a": ""}}, "give both names"},
		{Config{Idle: -1}, "negative"},
		{Config{Host: true}, "there is no database"},
		{Config{Rules: []Rule{{Label: "ip"}, {}}}, "rules[1]: neither name nor label"},
	} {
		if _, err := New(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.cfg, err, tc.want)
		}
	}
}

func TestUpdate(t *testing.T) {
	e := mustNew(t, Config{Rules: []Rule{hits}, External: map[string]string{"dc": "1"}})
	h := e.RulesHash()
	e.Enrich(snapshot(t0, counter("hits/8.8.8.8", "10")))
	if err := e.Update(Config{Rules: []Rule{{}}}); err == nil {
		t.Fatal("a faulty configuration was taken")
	}
	if err := e.Update(Config{Rules: []Rule{hits}, External: map[string]string{"dc": "2"}}); err != nil {
		t.Fatal(err)
	}
	s := snapshot(t0.Add(10*time.Second), counter("hits/8.8.8.8", "12"))
	if e.Enrich(s); show(s) != "hits:delta:2/10s" || s.Tags.Get("dc") != "2" || s.RulesHash != h {
		t.Fatalf("the same rules keep their sums: %s %v", show(s), s.Tags.Map())
	}
	other := hits
	other.Drop = []string{"client_ip", "x"}
	if err := e.Update(Config{Rules: []Rule{other}}); err != nil {
		t.Fatal(err)
	}
	s = snapshot(t0.Add(20*time.Second), counter("hits/8.8.8.8", "15"))
	if e.Enrich(s); show(s) != "" || s.RulesHash == h {
		t.Fatalf("under other rules the next scrape is the first: %s", show(s))
	}
}

// A broken file of networks is no reason to refuse a configuration, nor one to take half of it.
func TestUpdateWithBrokenNetworks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "networks.csv")
	if err := os.WriteFile(file, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := mustNew(t, Config{External: map[string]string{"dc": "1"}})
	dc := func(at time.Time) string {
		s := snapshot(at)
		e.Enrich(s)
		return s.Tags.Get("dc")
	}
	if err := e.Update(Config{Networks: []string{file}, External: map[string]string{"dc": "2"}}); err != nil {
		t.Fatalf("a file's fault is the configuration's: %v", err)
	}
	if got := dc(t0); got != "2" || !strings.Contains(e.Status().Error, file) {
		t.Fatalf("dc is %q, and the status says %q", got, e.Status().Error)
	}
	if err := e.Update(Config{Drop: []string{""}, External: map[string]string{"dc": "3"}}); err == nil || dc(t0.Add(time.Second)) != "2" {
		t.Fatalf("a faulty configuration was taken: %v", err)
	}
}

// Many instances at once, with forgetting and sweeping between: for the race detector, and no byte of state may be lost in the books.
func TestConcurrent(t *testing.T) {
	e := mustNew(t, Config{Rules: []Rule{hits}, MetricRelabel: map[string][]Relabel{"apps": {{SourceLabels: []string{"__name__"}, Regex: ptr("go_.*"), Action: "drop"}}}})
	var wg sync.WaitGroup
	for g := range uint16(4) {
		wg.Go(func() {
			for i := range 500 {
				s := snapshot(t0.Add(time.Duration(i)*time.Second), counter(fmt.Sprint("hits/9.9.9.", i%7), "1"), gauge("go_x", "1"), label("version", "1"))
				s.Instance.Port = g + 1
				e.Enrich(s)
				if i%50 == 0 {
					e.Forget(s.Instance.Key)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 200 {
			e.states.sweep(t0.Add(time.Duration(i)*time.Minute), time.Minute)
			e.Status()
			e.Update(Config{Rules: []Rule{hits}})
		}
	})
	wg.Wait()
	for g := range uint16(4) {
		k := checkout.Key
		k.Port = g + 1
		e.Forget(k)
	}
	if st := e.Status(); st.StateBytes != 0 || st.Instances != 0 {
		t.Fatalf("left: %+v", st)
	}
}
