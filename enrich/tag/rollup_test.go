package tag

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/enrich/geo"
)

var t0 = time.Date(2026, 11, 4, 12, 0, 0, 0, time.UTC)

var checkout = discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: "10.0.0.5", Port: 8001}, Source: "apps"}

func snapshot(at time.Time, samples ...collector.Sample) *collector.Snapshot {
	return &collector.Snapshot{Instance: checkout, Time: at, Interval: 10 * time.Second, Samples: samples, Tags: checkout.Tags}
}

func counter(name, value string, labels ...string) collector.Sample {
	return collector.Sample{Name: name, Kind: collector.Counter, Value: value, Labels: pairs(labels...)}
}

// show is a snapshot's samples as text, in order of name and labels.
func show(s *collector.Snapshot) string {
	var out []string
	for _, x := range s.Samples {
		t := text(x.Name, x.Labels) + ":" + x.Kind.String()
		if x.Value != "" {
			t += ":" + x.Value
		}
		if x.Kind == collector.Delta {
			t += "/" + x.Since.String()
		}
		out = append(out, t)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func mustNew(t testing.TB, cfg Config) *Enricher {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var hits = Rule{Name: `hits/(?P<client_ip>[^/]+)`, Lookup: &Lookup{From: "client_ip"}, Drop: []string{"client_ip"}}

func TestRollUp(t *testing.T) {
	db := places(t, world)
	g := func(c string) string {
		return map[string]string{"US": "hits client.as.number=15169 client.geo.country.iso_code=US", "AU": "hits client.as.number=13335 client.geo.country.iso_code=AU"}[c] + ":delta:"
	}
	type scrape struct {
		samples []collector.Sample
		outcome collector.Outcome
		want    string
	}
	for _, tc := range []struct {
		name string
		rule Rule
		run  []scrape
	}{
		{"increases are summed", hits, []scrape{
			{[]collector.Sample{counter("hits/8.8.8.8", "10"), counter("hits/8.8.4.4", "5"), counter("hits/1.1.1.1", "1"), counter("other", "3")}, collector.OK, "other:counter:3"},
			{[]collector.Sample{counter("hits/8.8.8.8", "13"), counter("hits/8.8.4.4", "9"), counter("hits/1.1.1.1", "1"), counter("other", "4")}, collector.OK, g("AU") + "0/10s\n" + g("US") + "7/10s\nother:counter:4"},
		}},
		{"a new series counts whole", hits, []scrape{
			{[]collector.Sample{counter("hits/8.8.8.8", "10")}, collector.OK, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "10"), counter("hits/8.8.4.4", "5")}, collector.OK, g("US") + "5/10s"},
		}},
		{"one that fell counts its new value", hits, []scrape{
			{[]collector.Sample{counter("hits/8.8.8.8", "10"), counter("hits/8.8.4.4", "5")}, collector.OK, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "2"), counter("hits/8.8.4.4", "6")}, collector.OK, g("US") + "3/10s"},
		}},
		{"one that vanished is new when it comes back", hits, []scrape{
			{[]collector.Sample{counter("hits/8.8.8.8", "10"), counter("hits/1.1.1.1", "4")}, collector.OK, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "11")}, collector.OK, g("US") + "1/10s"},
			{[]collector.Sample{counter("hits/8.8.8.8", "11"), counter("hits/1.1.1.1", "6")}, collector.OK, g("AU") + "6/10s\n" + g("US") + "0/10s"},
		}},
		{"failed scrapes lie between", hits, []scrape{
			{[]collector.Sample{counter("hits/8.8.8.8", "10")}, collector.OK, ""},
			{nil, collector.Timeout, ""}, {nil, collector.Refused, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "14")}, collector.OK, g("US") + "4/30s"},
		}},
		{"a failed scrape before the first", hits, []scrape{
			{nil, collector.Timeout, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "10")}, collector.OK, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "11")}, collector.OK, g("US") + "1/10s"},
		}},
		{"an empty good scrape is a good one", hits, []scrape{
			{nil, collector.OK, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "10")}, collector.OK, g("US") + "10/10s"},
		}},
		{"gauges, distributions and untyped are left out", hits, []scrape{
			{[]collector.Sample{{Name: "hits/8.8.8.8", Kind: collector.Gauge, Value: "1"}, {Name: "hits/1.1.1.1", Kind: collector.Distribution}, {Name: "hits/81.2.69.1", Kind: collector.Untyped, Value: "1"}, {Name: "up", Kind: collector.Gauge, Value: "1"}}, collector.OK, "up:gauge:1"},
			{[]collector.Sample{{Name: "hits/8.8.8.8", Kind: collector.Gauge, Value: "2"}, {Name: "hits/81.2.69.1", Kind: collector.Untyped, Value: "2"}}, collector.OK, ""},
		}},
		{"untyped where the rule says so", Rule{Name: hits.Name, Lookup: hits.Lookup, Drop: hits.Drop, Counter: true}, []scrape{
			{[]collector.Sample{{Name: "hits/8.8.8.8", Kind: collector.Untyped, Value: "1"}}, collector.OK, ""},
			{[]collector.Sample{{Name: "hits/8.8.8.8", Kind: collector.Untyped, Value: "3"}}, collector.OK, g("US") + "2/10s"},
		}},
		{"untyped that turns out a counter is not new", hits, []scrape{
			{[]collector.Sample{{Name: "hits/8.8.8.8", Kind: collector.Untyped, Value: "100"}}, collector.OK, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "103")}, collector.OK, g("US") + "3/10s"},
		}},
		{"twice in one body: the first counts", hits, []scrape{
			{[]collector.Sample{counter("hits/8.8.8.8", "10")}, collector.OK, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "11"), counter("hits/8.8.8.8", "90")}, collector.OK, g("US") + "1/10s"},
			{[]collector.Sample{counter("hits/8.8.8.8", "12")}, collector.OK, g("US") + "1/10s"},
		}},
		{"no number", hits, []scrape{
			{[]collector.Sample{counter("hits/8.8.8.8", "10")}, collector.OK, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "NaN")}, collector.OK, ""},
			{[]collector.Sample{counter("hits/8.8.8.8", "12")}, collector.OK, g("US") + "2/10s"},
		}},
		{"an address in a label", Rule{Label: "ip", Lookup: &Lookup{}, Drop: []string{"ip"}}, []scrape{
			{[]collector.Sample{counter("hits", "1", "code", "200", "ip", "8.8.8.8"), counter("hits", "1", "code", "500", "ip", "8.8.8.8"), counter("hits", "1", "code", "500", "ip", "8.8.4.4")}, collector.OK, ""},
			{[]collector.Sample{counter("hits", "2", "code", "200", "ip", "8.8.8.8"), counter("hits", "3", "code", "500", "ip", "8.8.8.8"), counter("hits", "4", "code", "500", "ip", "8.8.4.4")}, collector.OK,
				"hits client.as.number=15169 client.geo.country.iso_code=US code=200:delta:1/10s\nhits client.as.number=15169 client.geo.country.iso_code=US code=500:delta:5/10s"},
		}},
		{"without drop nothing is summed", Rule{Name: hits.Name, Lookup: hits.Lookup}, []scrape{
			{[]collector.Sample{counter("hits/8.8.8.8", "10"), {Name: "hits/1.1.1.1", Kind: collector.Gauge, Value: "1.50"}}, collector.OK,
				"hits client.as.number=13335 client.geo.country.iso_code=AU client_ip=1.1.1.1:gauge:1.50\nhits client.as.number=15169 client.geo.country.iso_code=US client_ip=8.8.8.8:counter:10"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := mustNew(t, Config{Rules: []Rule{tc.rule}, Geo: db})
			for i, sc := range tc.run {
				s := snapshot(t0.Add(time.Duration(i)*10*time.Second), sc.samples...)
				s.Outcome = sc.outcome
				touched := len(sc.samples) > 0
				e.Enrich(s)
				if got := show(s); got != sc.want {
					t.Fatalf("scrape %d:\n got %s\nwant %s", i, got, sc.want)
				}
				if (s.RulesHash != "") != touched || s.GeoBuild != "2026-11-04" {
					t.Fatalf("scrape %d: rules %q geo %q", i, s.RulesHash, s.GeoBuild)
				}
			}
		})
	}
}

func TestForgetMakesTheNextScrapeTheFirst(t *testing.T) {
	e := mustNew(t, Config{Rules: []Rule{hits}})
	e.Enrich(snapshot(t0, counter("hits/8.8.8.8", "10")))
	e.Forget(checkout.Key)
	if b := e.Status(); b.StateBytes != 0 || b.Instances != 0 {
		t.Fatalf("something is left: %+v", b)
	}
	s := snapshot(t0.Add(10*time.Second), counter("hits/8.8.8.8", "30"))
	if e.Enrich(s); show(s) != "" {
		t.Fatalf("after a hand-over: %s", show(s))
	}
	e.states.sweep(t0.Add(time.Hour), 10*time.Minute)
	if b := e.Status(); b.StateBytes != 0 || b.Instances != 0 {
		t.Fatalf("an idle instance is left: %+v", b)
	}
}

func TestStateLimit(t *testing.T) {
	e := mustNew(t, Config{Rules: []Rule{hits, {Name: `keep/(?P<x>.+)`}}, StateBytes: 2000})
	var samples []collector.Sample
	for i := range 100 {
		samples = append(samples, counter("hits/9.9.9."+strconv.Itoa(i), "5"), counter("keep/"+strconv.Itoa(i), "5"))
	}
	for i := range 3 {
		s := snapshot(t0.Add(time.Duration(i)*10*time.Second), slices.Clone(samples)...)
		e.Enrich(s)
		n := 0
		for _, x := range s.Samples {
			if x.Name == "keep" && len(x.Labels) == 1 {
				n++
			}
		}
		if n != 100 {
			t.Fatalf("scrape %d: %d series that need no sums, want all 100", i, n)
		}
	}
	if b := e.Status().StateBytes; b > 3000 {
		t.Fatalf("%d bytes of state", b)
	}
	if e.noRoom.Get() == 0 {
		t.Fatal("what was left out for want of room is not counted")
	}
}

// The sums equal those of a model that keeps the whole last good scrape, over resets, new and vanished series, failed scrapes, hand-overs and swaps of the database.
func TestRollUpAgreesWithModel(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "geo.mmdb")
	countries := [][]string{{"US", "US", "AU", ""}, {"US", "GB", "AU", "AU"}}
	var images [][]byte
	for _, cs := range countries {
		w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "test"})
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range cs {
			if c == "" {
				continue
			}
			_, n, _ := net.ParseCIDR(fmt.Sprintf("20.0.%d.0/24", i))
			if err := w.Insert(n, mmdbtype.Map{"country_code": mmdbtype.String(c), "autonomous_system_number": mmdbtype.Uint32(7)}); err != nil {
				t.Fatal(err)
			}
		}
		var b strings.Builder
		if _, err := w.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		images = append(images, []byte(b.String()))
	}
	puts := 0
	put := func(n int) {
		puts++
		old := time.Now().Add(time.Duration(puts)*time.Millisecond - time.Hour)
		if err := os.WriteFile(file+".new", images[n], 0o644); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(file+".new", old, old)
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	put(0)
	db, err := geo.New(geo.Config{City: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Load(); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		e, err := New(Config{Rules: []Rule{
			{Name: `h/(?P<ip>[0-9.]+)/(?P<name>.+)`, Lookup: &Lookup{From: "ip"}, Drop: []string{"ip"}},
			{Name: `u/(?P<ip>[0-9.]+)/(?P<name>.+)`, Lookup: &Lookup{From: "ip"}, Drop: []string{"ip"}, Counter: true},
		}, Geo: db})
		if err != nil {
			t.Fatal(err)
		}
		put(0)
		if err := db.Load(); err != nil {
			t.Fatal(err)
		}
		at := t0
		var last map[string]uint64 // name → value in the last good scrape; nil: none
		var lastAt time.Time
		current := 0
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
			switch rapid.IntRange(0, 11).Draw(t, "what") {
			case 0:
				s := snapshot(at)
				s.Outcome = collector.Timeout
				e.Enrich(s)
				continue
			case 1:
				e.Forget(checkout.Key)
				last = nil
				continue
			case 2:
				current = 1 - current
				put(current)
				if err := db.Load(); err != nil {
					t.Fatal(err)
				}
				continue
			}
			now := map[string]uint64{}
			want := map[string]uint64{}
			var samples []collector.Sample
			for range rapid.IntRange(0, 12).Draw(t, "series") {
				net, host := rapid.IntRange(0, 3).Draw(t, "net"), rapid.IntRange(1, 3).Draw(t, "host")
				kind, metric := rapid.SampledFrom([]string{"h", "u"}).Draw(t, "kind"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "metric")
				name := fmt.Sprintf("%s/20.0.%d.%d/%s", kind, net, host, metric)
				if _, twice := now[name]; twice {
					continue
				}
				v := rapid.Uint64Range(0, 50).Draw(t, "value")
				if rapid.IntRange(0, 9).Draw(t, "big") == 0 {
					v += 1 << 63
				}
				now[name] = v
				k := collector.Counter
				if kind == "u" {
					k = collector.Untyped
				}
				samples = append(samples, collector.Sample{Name: name, Kind: k, Value: strconv.FormatUint(v, 10)})
				inc := v
				if before, ok := last[name]; ok && v >= before {
					inc = v - before
				}
				key := metric
				if c := countries[current][net]; c != "" {
					key += " client.as.number=7 client.geo.country.iso_code=" + c
				}
				want[key] += inc // at most 24 values of little more than 2^63: checked modulo 2^64 below
			}
			s := snapshot(at, samples...)
			e.Enrich(s)
			got := map[string]uint64{}
			for _, x := range s.Samples {
				if x.Kind != collector.Delta || x.Since != at.Sub(lastAt) {
					t.Fatalf("%+v, want a delta since %v", x, at.Sub(lastAt))
				}
				key := text(x.Name, x.Labels)
				if _, twice := got[key]; twice {
					t.Fatalf("%s twice", key)
				}
				got[key] = modulo(x.Value)
			}
			if last == nil {
				want = map[string]uint64{}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("got  %v\nwant %v", got, want)
			}
			last, lastAt = now, at
		}
		e.Forget(checkout.Key)
		if b := e.Status().StateBytes; b != 0 {
			t.Fatalf("%d bytes are still accounted for", b)
		}
	})
}

// modulo is a decimal number modulo 2^64.
func modulo(s string) (v uint64) {
	for _, c := range s {
		v = v*10 + uint64(c-'0')
	}
	return v
}

// Who has left is pulled once more, and what it has counted until then counts. When it comes back another collector may have counted it in between.
func TestLeft(t *testing.T) {
	e := mustNew(t, Config{Rules: []Rule{hits}})
	for _, tc := range []struct {
		at   time.Duration
		n    string
		left bool
		want string
	}{
		{0, "10", false, ""},
		{10 * time.Second, "12", false, "hits:delta:2/10s"},
		{11 * time.Second, "13", true, "hits:delta:1/1s"}, // the last pull
		{31 * time.Second, "40", true, ""},
		{41 * time.Second, "41", false, "hits:delta:1/10s"},
	} {
		if tc.left {
			e.Left(checkout.Key)
		}
		s := snapshot(t0.Add(tc.at), counter("hits/8.8.8.8", tc.n))
		if e.Enrich(s); show(s) != tc.want {
			t.Fatalf("at %s: %q, want %q", tc.at, show(s), tc.want)
		}
	}
}
