package detect

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

// made is a service of 18 instances in three zones, two of each zone on the new version; after is what each does.
func made(f func(version, zone, host string) (before, after dashboards.Sums)) (out []dashboards.Leaf) {
	for z, zone := range []string{"a", "b", "c"} {
		for h := range 6 {
			version, host := "1", fmt.Sprintf("%s%d", zone, h)
			if h < 2 {
				version = "2"
			}
			b, a := f(version, zone, host)
			out = append(out, dashboards.Leaf{Instance: fmt.Sprintf("10.0.%d.%d:80", z, h), Before: b, After: a,
				Tags: map[string]string{dashboards.TagVersion: version, dashboards.TagTrack: map[string]string{"1": "production", "2": "canary"}[version], dashboards.TagZone: zone, dashboards.TagHost: host, "team": "x"}})
		}
	}
	return out
}

func sums(seconds, rate, ratio, latency float64) dashboards.Sums {
	return dashboards.Sums{Seconds: seconds, Requests: rate * seconds, Errors: math.Round(rate * seconds * ratio), Latency: latency}
}

// byNetwork splits leaves over four networks, of which one has its own ratio after.
func byNetwork(ls []dashboards.Leaf, bad string, ratio float64) (out []dashboards.Leaf) {
	for _, l := range ls {
		for _, as := range []string{"1", "2", "3", "4"} {
			k := l
			k.Labels = []collector.LabelPair{{Name: "client.as.number", Value: as}, {Name: "client.geo.country.iso_code", Value: map[string]string{"1": "DE", "2": "US", "3": "US", "4": "US"}[as]}}
			split := func(s dashboards.Sums, r float64) dashboards.Sums {
				s.Requests /= 4
				if s.Errors /= 4; r >= 0 {
					s.Errors = s.Requests * r
				}
				return s
			}
			r := -1.0
			if as == bad {
				r = ratio
			}
			k.Before, k.After = split(l.Before, -1), split(l.After, r)
			out = append(out, k)
		}
	}
	return out
}

func TestLocate(t *testing.T) {
	calm := sums(120, 50, .002, 40)
	errorsWhere := func(bad func(version, zone, host string) bool) []dashboards.Leaf {
		return made(func(v, z, h string) (b, a dashboards.Sums) {
			if bad(v, z, h) {
				return calm, sums(5, 50, .3, 40)
			}
			return calm, sums(5, 50, .002, 40)
		})
	}
	slowWhere := func(bad func(version, zone, host string) bool) []dashboards.Leaf {
		return made(func(v, z, h string) (b, a dashboards.Sums) {
			if bad(v, z, h) {
				return calm, sums(5, 50, 0, 200)
			}
			return calm, sums(5, 50, 0, 41)
		})
	}
	lessWhere := func(bad func(version, zone, host string) bool) []dashboards.Leaf {
		return made(func(v, z, h string) (b, a dashboards.Sums) {
			if bad(v, z, h) {
				return calm, sums(5, 5, 0, 40)
			}
			return calm, sums(5, 50, 0, 40)
		})
	}
	// A version in a zone, and of its clients those of one network.
	corner := byNetwork(errorsWhere(func(v, z, h string) bool { return false }), "3", .5)
	for i := range corner {
		if l := &corner[i]; l.Tags[dashboards.TagVersion] != "2" || l.Tags[dashboards.TagZone] != "b" {
			l.After.Errors = l.After.Requests * .002
		}
	}
	third := errorsWhere(func(v, z, h string) bool { return false })
	for i := range third {
		if l := &third[i]; l.Tags[dashboards.TagVersion] == "2" && l.Tags[dashboards.TagZone] == "b" {
			l.After.Errors = l.After.Requests * .127
		}
	}
	quiet := errorsWhere(func(string, string, string) bool { return false })
	eighth := made(func(v, z, h string) (b, a dashboards.Sums) { return calm, sums(5, 50, .127, 40) })
	for _, tc := range []struct {
		name    string
		metric  string
		leaves  []dashboards.Leaf
		labels  []dashboards.Leaf
		place   string
		cleared string
	}{
		{"a version", "errors", errorsWhere(func(v, z, h string) bool { return v == "2" }), nil, "2", "1 0 %|every zone alike"},
		{"a zone", "errors", errorsWhere(func(v, z, h string) bool { return z == "b" }), nil, "b", "other zones 0 %|every version alike"},
		{"a version in a zone", "errors", errorsWhere(func(v, z, h string) bool { return v == "2" && z == "b" }), nil, "2 in b", "2 elsewhere 0 %|b on 1 0 %"},
		{"two zones", "errors", errorsWhere(func(v, z, h string) bool { return z != "c" }), nil, "a and b", "c 0 %|every version alike"},
		{"a version in a zone for a network", "errors", third, corner, "2 in b for clients of AS 3 (US)", "2 in b without clients of AS 3 (US) 0 %|2 for clients of AS 3 (US) elsewhere 0 %|b for clients of AS 3 (US) on 1 0 %"},
		{"a host", "errors", errorsWhere(func(v, z, h string) bool { return h == "a3" }), nil, "host a3", "other hosts 0 %"},
		{"two hosts with nothing in common", "errors", errorsWhere(func(v, z, h string) bool { return h == "a3" || h == "c0" }), nil, "10.0.0.3:80,10.0.2.0:80", ""},
		{"six hosts with nothing in common", "errors", errorsWhere(func(v, z, h string) bool { return strings.Contains("a0 a3 b1 b4 c2 c5", h) }), nil, "6 of 18", ""},
		{"all", "errors", errorsWhere(func(v, z, h string) bool { return true }), nil, "", "every version alike|every zone alike"},
		{"nothing", "errors", quiet, nil, "", "every version alike|every zone alike"},
		{"a network", "errors", eighth, byNetwork(errorsWhere(func(v, z, h string) bool { return false }), "3", .5), "clients of AS 3 (US)", "other client networks 0 %|every version alike|every zone alike"},
		{"a network that is its country", "errors", eighth, byNetwork(errorsWhere(func(v, z, h string) bool { return false }), "1", .5), "clients of AS 1 (DE)", "other client networks 0 %|every version alike|every zone alike"},
		{"a version, with networks to look at", "errors", errorsWhere(func(v, z, h string) bool { return v == "2" }), byNetwork(errorsWhere(func(v, z, h string) bool { return v == "2" }), "", 0), "2", "1 0 %|every client network alike|every zone alike"},
		{"slow zone", "latency", slowWhere(func(v, z, h string) bool { return z == "c" }), nil, "c", "other zones 41 ms|every version alike"},
		{"slow version in a zone", "latency", slowWhere(func(v, z, h string) bool { return z == "c" && v == "2" }), nil, "2 in c", "2 elsewhere 41 ms|c on 1 41 ms"},
		{"slow everywhere", "latency", slowWhere(func(v, z, h string) bool { return true }), nil, "", "every version alike|every zone alike"},
		{"requests of a zone", "rate", lessWhere(func(v, z, h string) bool { return z == "a" }), nil, "a", "other zones|every version alike"},
		{"requests of all", "rate", lessWhere(func(v, z, h string) bool { return true }), nil, "", "every version alike|every zone alike"},
		{"nobody", "errors", nil, nil, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := Locate(tc.metric, tc.leaves, tc.labels)
			got := p.Known.place(p.Conds)
			for _, also := range p.Also {
				got += " and " + p.Known.place(also)
			}
			if p.Scattered > 0 {
				got = fmt.Sprintf("%d of %d", p.Scattered, p.Of)
			}
			if len(p.Instances) > 0 {
				got = strings.Join(p.Instances, ",")
			}
			if got != tc.place {
				t.Errorf("place is %q, want %q: %+v", got, tc.place, p)
			}
			if c := strings.Join(append(p.Cleared, p.Alike...), "|"); strings.ReplaceAll(strings.ReplaceAll(c, " 0.2 %", " 0 %"), "0.4 %", "0 %") != tc.cleared {
				t.Errorf("cleared is %q, want %q", c, tc.cleared)
			}
			if p.Share < 0 || p.Share > 1 || p.N > p.Of {
				t.Errorf("a share cannot be: %+v", p)
			}
		})
	}
}

func TestWords(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{percent(0), "0 %"}, {percent(.00003), "< 0.01 %"}, {percent(.0005), "0.05 %"}, {percent(.002), "0.2 %"}, {percent(.031), "3.1 %"}, {percent(.0996), "10 %"}, {percent(.654), "65 %"},
		{millis(1.25), "1.2 ms"}, {millis(212.4), "212 ms"}, {millis(1234), "1,234 ms"}, {millis(12345), "12.3 s"},
		{count(4.83), "4.8"}, {count(48.2), "48"}, {count(570.1), "570"}, {count(18432), "18,400"}, {count(1234567), "1,230,000"},
		{span(0), "a second"}, {span(4e9), "4 s"}, {span(300e9), "5 min"},
		{known(nil).place([]Cond{{dashboards.TagVersion, "1.42.0"}, {dashboards.TagZone, "us-east-1c"}}), "1.42.0 in us-east-1c"},
		{known(nil).place([]Cond{{dashboards.TagVersion, "1.42.0"}, {"client.as.number", "3320"}}), "1.42.0 for clients of AS 3320"},
		{known(nil).place([]Cond{{"rack", "r17"}}), "rack=r17"},
		{only(&Verdict{Metric: "errors"}, &Place{Conds: []Cond{{dashboards.TagVersion, "2"}}, Ratio: .65, Share: .99, N: 14, Of: 312}), "Only 2: 65 % of its requests fail, 14 of 312 instances."},
		{only(&Verdict{Metric: "errors"}, &Place{Conds: []Cond{{dashboards.TagVersion, "2"}}, Ratio: .65, Share: .7, N: 14, Of: 312}), "Mostly 2: 65 % of its requests fail, 70 % of the excess, 14 of 312 instances."},
		{only(&Verdict{Metric: "latency"}, &Place{Conds: []Cond{{dashboards.TagZone, "c"}}, Ratio: 640, Elsewhere: 88, Share: 1, N: 1, Of: 3}), "Only c: 640 ms there, 88 ms elsewhere, 1 of 3 instances."},
		{only(&Verdict{Metric: "errors"}, &Place{Conds: []Cond{{dashboards.TagZone, "a"}}, Also: [][]Cond{{{dashboards.TagZone, "b"}}}, Ratio: .65, Share: .99}), "Only a and b: 65 % of its requests fail."},
		{only(&Verdict{Metric: "errors"}, &Place{Scattered: 6, Of: 18, Sure: 1}), "Not by version, zone, host or any other tag: 6 of 18 instances have it, and nothing in common that the others have not."},
		{only(&Verdict{Metric: "errors"}, &Place{}), ""},
	} {
		if tc.got != tc.want {
			t.Errorf("%q, want %q", tc.got, tc.want)
		}
	}
}

// The most that is looked at together: 20,000 label sets of a large service, with a dozen tags.
func BenchmarkLocateWide(b *testing.B) {
	var ls []dashboards.Leaf
	for k := range 280 {
		part := made(func(v, z, h string) (dashboards.Sums, dashboards.Sums) {
			return sums(120, 50, .002, 40), sums(5, 50, .002, 40)
		})
		for i := range part {
			part[i].Instance = fmt.Sprintf("%s-%d", part[i].Instance, k)
			part[i].Tags[dashboards.TagHost] = part[i].Instance
			for d, n := range []int{3, 7, 20, 90, 2, 5, 11} {
				part[i].Tags[fmt.Sprint("tag", d)] = fmt.Sprint((k*18 + i) * 7919 % (n * 31) / 31)
			}
		}
		ls = append(ls, byNetwork(part, "3", .3)...)
	}
	b.ReportMetric(float64(len(ls)), "leaves")
	b.ReportAllocs()
	for b.Loop() {
		if p := newTable("errors", ls).scan(); p.Known.place(p.Conds) != "clients of AS 3 (US)" {
			b.Fatalf("%+v", p)
		}
	}
}

func BenchmarkLocate(b *testing.B) {
	var ls []dashboards.Leaf
	for range 20 { // 360 instances
		ls = append(ls, made(func(v, z, h string) (dashboards.Sums, dashboards.Sums) {
			if v == "2" && z == "b" {
				return sums(120, 50, .002, 40), sums(5, 50, .3, 40)
			}
			return sums(120, 50, .002, 40), sums(5, 50, .002, 40)
		})...)
	}
	b.ReportAllocs()
	for b.Loop() {
		Locate("errors", ls, nil)
	}
}
