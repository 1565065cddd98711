package dashboards

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

func TestRegionOf(t *testing.T) {
	for _, tc := range []struct{ region, zone, want string }{
		{"", "us-east-1c", "us-east-1"},
		{"", "ap-southeast-2a", "ap-southeast-2"},
		{"", "us-gov-west-1b", "us-gov-west-1"},
		{"", "us-west-2-lax-1a", "us-west-2"},
		{"", "europe-west1-b", "europe-west1"},
		{"", "eastus-2", "eastus"},
		{"", "eastus2-1", "eastus2"},
		{"eu-central-1", "us-east-1c", "eu-central-1"},
		{"", "us-east-1", "us-east-1"},
		{"", "dc7", "dc7"},
		{"", "rack-3", "rack-3"},
		{"", "rack 12", "rack 12"},
		{"", "", NoRegion},
	} {
		if got := RegionOf(tc.region, tc.zone); got != tc.want {
			t.Errorf("RegionOf(%q, %q) is %q, want %q", tc.region, tc.zone, got, tc.want)
		}
	}
}

// What is seen of a region is a part of the whole: over all regions services and strip add up to what is seen of all, also where one looks late, and where some are gone.
func TestRegionsAddUp(t *testing.T) {
	f := newFleet(t, Options{Percentile: func(d []Dist, p float64) Interval { return Interval{1, 3, 2} }})
	zones := []string{"us-east-1a", "us-east-1b", "eu-west-1a", ""}
	add := func(s float64) {
		for _, service := range []string{"checkout", "search"} {
			for i := range 7 {
				if service == "search" && zones[i%4] != "us-east-1b" {
					continue
				}
				if i == 2 && s > 280 {
					continue // one in eu-west-1 has died
				}
				r := f.record(fmt.Sprintf("10.0.0.%d:80", i), s, counter("requests", 1000+s*float64(1+i)), counter("errors", s*float64(i)/10))
				r.Service, r.Tags = service, []collector.LabelPair{{Name: TagZone, Value: zones[i%4]}}
				f.b.Add(r)
			}
		}
	}
	for s := range 300 {
		add(float64(s))
	}
	f.tick(300)
	whole := f.b.Now("prod")
	if want := []string{"eu-west-1", "us-east-1", NoRegion}; !slices.Equal(whole.Regions, want) {
		t.Fatalf("regions are %q, want %q", whole.Regions, want)
	}
	if n := f.b.NowIn("prod", "us-east-1"); len(n.Rows) != 0 {
		t.Errorf("%d rows of a region before its first tick", len(n.Rows))
	}
	for _, r := range whole.Regions {
		f.b.NowIn("prod", r)
	}
	for s := range 10 {
		add(300 + float64(s))
		f.tick(300.5 + float64(s))
	}
	whole = f.b.Now("prod")
	var strip Strip
	rows := map[string]Row{}
	var rate, answering [sparkPoints]float64
	for _, region := range append(whole.Regions, "nowhere") {
		n := f.b.NowIn("prod", region)
		var sum Strip
		for _, r := range n.Rows {
			sum.Expected, sum.Present, sum.Answering = sum.Expected+r.Expected, sum.Present+r.Present, sum.Answering+r.Answering
			all := rows[r.Service]
			all.Expected, all.Present, all.Answering, all.Rate, all.Errors = all.Expected+r.Expected, all.Present+r.Present, all.Answering+r.Answering, all.Rate+r.Rate, all.Errors+r.Errors
			rows[r.Service] = all
			for k := range r.Spark.Rate {
				if r.Service == "checkout" && r.Spark.Rate[k].Known() {
					rate[k], answering[k] = rate[k]+float64(r.Spark.Rate[k]), answering[k]+float64(r.Spark.Answering[k])
				}
			}
		}
		if n.Strip.Expected != sum.Expected || n.Strip.Present != sum.Present || n.Strip.Answering != sum.Answering {
			t.Errorf("%s: the strip says %+v, its services add up to %+v", region, n.Strip, sum)
		}
		if region == "nowhere" && len(n.Rows) > 0 || region == "eu-west-1" && (len(n.Rows) != 1 || n.Strip.Answering != n.Strip.Expected-1) {
			t.Errorf("%s has %d rows and %+v", region, len(n.Rows), n.Strip)
		}
		strip.Expected, strip.Present, strip.Answering = strip.Expected+sum.Expected, strip.Present+sum.Present, strip.Answering+sum.Answering
	}
	if w := whole.Strip; w.Expected != strip.Expected || w.Present != strip.Present || w.Answering != strip.Answering || w.Expected != 9 {
		t.Errorf("all have %+v, their regions add up to %+v", w, strip)
	}
	for _, w := range whole.Rows {
		if r := rows[w.Service]; w.Expected != r.Expected || w.Answering != r.Answering || !near(w.Rate, float64(r.Rate)) || !near(w.Errors, float64(r.Errors)) {
			t.Errorf("%s is %+v, its regions add up to %+v", w.Service, *w, r)
		}
		if w.Service != "checkout" {
			continue
		}
		for k := range w.Spark.Rate {
			if w.Spark.Rate[k].Known() && (!near(w.Spark.Rate[k], rate[k]) || float64(w.Spark.Answering[k]) != answering[k]) {
				t.Errorf("point %d: %v a second and %v answer, its regions add up to %v and %v", k, w.Spark.Rate[k], w.Spark.Answering[k], rate[k], answering[k])
			}
		}
	}
	f.b.looked = nil
	f.tick(311)
	if len(f.b.find("checkout", "prod").parts) > 0 {
		t.Error("parts are made though nobody looks at them")
	}
}

// A finding of which it is known that it is elsewhere makes no trouble here.
func TestFindingsOfRegion(t *testing.T) {
	f := newFleet(t, Options{Judge: func(now time.Time, b *Board) []Finding {
		return []Finding{{ID: "a", Level: LevelBad, Service: "checkout", Env: "prod", Metric: "errors", Since: now.UnixMilli(), Title: "checkout is failing", Why: "errors", Regions: []string{"eu-west-1"}}}
	}})
	f.b.SetFeed(Feed{State: FeedLive, Since: t0.UnixMilli()})
	for s := range 5 {
		for i, zone := range []string{"us-east-1a", "eu-west-1a"} {
			r := f.record(fmt.Sprintf("10.0.0.%d:80", i), float64(s), counter("requests", float64(s)))
			r.Tags = []collector.LabelPair{{Name: TagZone, Value: zone}}
			f.b.Add(r)
		}
		f.b.NowIn("prod", "us-east-1")
		f.b.NowIn("prod", "eu-west-1")
		f.tick(float64(s) + .5)
	}
	for region, want := range map[string]int{"": 1, "eu-west-1": 1, "us-east-1": 0} {
		n := f.b.NowIn("prod", region)
		if len(n.Findings) != want || len(n.Rows) != 1 || n.Rows[0].Trouble != 2*want {
			t.Errorf("region %q has %d findings, and trouble %d", region, len(n.Findings), n.Rows[0].Trouble)
		}
	}
}

// Names that nobody is at are not followed, so they keep nobody from those where somebody is; and of more regions than are listed these are always the same.
func TestMadeUpRegions(t *testing.T) {
	f := newFleet(t, Options{})
	const many = maxRegions + 50
	add := func(s float64) {
		for i := range many {
			r := f.record(fmt.Sprintf("10.0.%d.%d:80", i/250, i%250), s, counter("requests", s))
			r.Tags = []collector.LabelPair{{Name: TagRegion, Value: fmt.Sprintf("r%03d", i)}}
			f.b.Add(r)
		}
	}
	add(0)
	f.tick(0)
	for i := range 2 * maxRegions {
		f.b.NowIn("prod", fmt.Sprintf("nowhere-%d", i))
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	f.b.Follow(over, "prod", "r007")
	f.b.Follow(t.Context(), "prod", "nowhere") // nothing will come of it: it returns at once
	was := f.b.Now("prod").Regions
	for s := 1.0; s < 5; s++ {
		add(s)
		f.tick(s)
		if is := f.b.Now("prod").Regions; !slices.Equal(is, was) || len(is) != maxRegions {
			t.Fatalf("%d regions, other ones than the second before", len(is))
		}
	}
	if row := f.b.RowIn("checkout", "prod", "r007"); row == nil || row.Expected != 1 {
		t.Errorf("a region that is there is %+v", row)
	}
}
