package tag

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

func label(name, value string) collector.Sample {
	return collector.Sample{Name: name, Kind: collector.Label, Value: value}
}

func gauge(name, value string, labels ...string) collector.Sample {
	return collector.Sample{Name: name, Kind: collector.Gauge, Value: value, Labels: pairs(labels...)}
}

func TestVersionSources(t *testing.T) {
	for _, tc := range []struct {
		name    string
		own     map[string]string
		info    map[string]string
		samples []collector.Sample
		want    string // version/source track/source
	}{
		{"nobody", nil, nil, []collector.Sample{counter("requests", "1"), label("mode", "warm"), label("java/version", "17")}, "/ /"},
		{"metadata wins", map[string]string{Version: "1"}, map[string]string{"version": "2"}, []collector.Sample{label("version", "3")}, "1/metadata /"},
		{"metadata under a short name", map[string]string{"version": "1", "track": "Canary"}, nil, nil, "1/metadata canary/metadata"},
		{"metadata's track", map[string]string{Track: "Baseline"}, nil, nil, "/ baseline/metadata"},
		{"a track of one's own", map[string]string{Track: "blue"}, nil, nil, "/ blue/metadata"},
		{"Ostrich's labels", nil, map[string]string{"version": "2"}, []collector.Sample{label("mode", "warm"), label("version", "3"), label("git_sha", "abc")}, "3/labels /"},
		{"a revision where there is no version", nil, nil, []collector.Sample{label("boiler", "on"), label("git-sha", "abc")}, "abc/labels /"},
		{"track from a label", nil, nil, []collector.Sample{label("track", "canary")}, "/ canary/labels"},
		{"a word that is no track", nil, nil, []collector.Sample{label("track", "vinyl")}, "/ /"},
		{"/server_info", nil, map[string]string{"name": "checkout", "build": "20261104-1", "version": "1.42.0", "build_revision": "deadbeef"}, nil, "1.42.0/server_info /"},
		{"/server_info before build_info", nil, map[string]string{"version": "1"}, []collector.Sample{gauge("checkout_build_info", "1", "version", "2")}, "1/server_info /"},
		{"build_info", nil, nil, []collector.Sample{gauge("go_build_info", "1", "version", "(devel)"), gauge("build_info", "1", "revision", "abc", "version", "2")}, "2/build_info /"},
		{"the one called like the service", nil, nil, []collector.Sample{gauge("lib_build_info", "1", "version", "9"), gauge("checkout_build_info", "1", "version", "2"), gauge("other_build_info", "1", "version", "8")}, "2/build_info /"},
		{"an agent's is nobody's", nil, nil, []collector.Sample{gauge("jmx_exporter_build_info", "1", "version", "0.20")}, "/ /"},
		{"an exporter's own is better than none", nil, nil, []collector.Sample{gauge("node_exporter_build_info", "1", "version", "1.8")}, "1.8/build_info /"},
		{"Go's comes last", nil, nil, []collector.Sample{gauge("go_build_info", "1", "version", "v1.2.3"), gauge("node_exporter_build_info", "1", "version", "1.8")}, "1.8/build_info /"},
		{"target_info", nil, nil, []collector.Sample{gauge("target_info", "1", "service_version", "5")}, "5/build_info /"},
		{"expvar's texts", nil, nil, []collector.Sample{label("version", "7"), gauge("memstats/Alloc", "1")}, "7/expvar /"},
		{"build_info before expvar's", nil, nil, []collector.Sample{label("version", "7"), gauge("memstats/Alloc", "1"), gauge("x_build_info", "1", "version", "6")}, "6/build_info /"},
		{"/server_info before expvar's", nil, map[string]string{"version": "5"}, []collector.Sample{label("version", "7"), gauge("memstats/Alloc", "1")}, "5/server_info /"},
		{"a nested body", nil, nil, []collector.Sample{label("app/build/version", "4"), label("git/commit/id", "abc")}, "4/expvar /"},
		{"placeholders", nil, nil, []collector.Sample{label("version", "${project.version}"), label("build_version", "unknown"), label("release", " 2.0 ")}, "2.0/labels /"},
		{"too long", nil, nil, []collector.Sample{label("version", strings.Repeat("x", 129))}, "/ /"},
		{"not printable", nil, nil, []collector.Sample{label("version", "1\x002")}, "/ /"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := mustNew(t, Config{NoTracks: true})
			for range 2 {
				s := snapshot(t0, tc.samples...)
				s.Instance.Tags, s.Info = discovery.TagsOf(tc.own), discovery.TagsOf(tc.info)
				s.Tags = s.Instance.Tags
				e.Enrich(s)
				got := s.Tags.Get(Version) + "/" + s.Tags.Get(VersionSource) + " " + s.Tags.Get(Track) + "/" + s.Tags.Get(TrackSource)
				if got != tc.want {
					t.Fatalf("got %s, want %s", got, tc.want)
				}
			}
		})
	}
}

func TestVersionOfOnesOwnName(t *testing.T) {
	e := mustNew(t, Config{Versions: []string{"deploy.tag"}})
	s := snapshot(t0, label("version", "1"), label("deploy/tag", "2"), label("deploy_tag", "3"))
	if e.Enrich(s); s.Tags.Get(Version) != "3" {
		t.Fatalf("got %v", s.Tags.Map())
	}
}

// A version that fails is still told apart, and no text of a body outlives it.
func TestVersionOverFailures(t *testing.T) {
	e := mustNew(t, Config{})
	body := []byte("1.42.0")
	view := string(body)
	e.Enrich(snapshot(t0, label("version", view)))
	s := snapshot(t0.Add(time.Minute))
	s.Outcome = collector.Refused
	if e.Enrich(s); s.Tags.Get(Version) != "1.42.0" || s.Tags.Get(VersionSource) != "labels" {
		t.Fatalf("a failed scrape lost the version: %v", s.Tags.Map())
	}
	s = snapshot(t0.Add(2*time.Minute), label("version", "1.43.0"))
	if e.Enrich(s); s.Tags.Get(Version) != "1.43.0" {
		t.Fatalf("got %v", s.Tags.Map())
	}
	s = snapshot(t0.Add(3*time.Minute), counter("x", "1"))
	if e.Enrich(s); s.Tags.Get(Version) != "" {
		t.Fatalf("the application says nothing of it any more: %v", s.Tags.Map())
	}
	// The registration changes: what it said before is forgotten.
	s = snapshot(t0.Add(4 * time.Minute))
	s.Instance.Tags = discovery.TagsOf(map[string]string{Version: "9"})
	s.Tags = s.Instance.Tags
	e.Enrich(s)
	s = snapshot(t0.Add(5 * time.Minute))
	s.Outcome = collector.Timeout
	if e.Enrich(s); s.Tags.Get(Version) != "" {
		t.Fatalf("got %v", s.Tags.Map())
	}
}

func TestProcessStart(t *testing.T) {
	c, err := compile(Config{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		sample collector.Sample
		want   time.Time
	}{
		{gauge("process_start_time_seconds", "1.7936e9"), time.Unix(1793600000, 0)},
		{gauge("jvm_start_time", "1793600000500"), time.UnixMilli(1793600000500)},
		{gauge("jvm/uptime", "60000"), t0.Add(-time.Minute)},
		{gauge("jvm_uptime", "1.5e3"), t0.Add(-1500 * time.Millisecond)},
		{gauge("process_start_time_seconds", "NaN"), time.Time{}},
		{gauge("process_start_time_seconds", "9e12"), time.Time{}},
		{gauge("process_start_time_seconds", "2.5e9"), time.Time{}}, // in the future
		{gauge("jvm_uptime", "-1"), time.Time{}},
		{gauge("process_start_time", "1"), time.Time{}},
	} {
		tl := teller{c: c}
		tl.samples(snapshot(t0, tc.sample))
		if !tl.started.Equal(tc.want) {
			t.Errorf("%s %s: %v, want %v", tc.sample.Name, tc.sample.Value, tl.started, tc.want)
		}
	}
}
