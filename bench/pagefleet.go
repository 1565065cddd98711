package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// pageFleet is services whose every instance says something new at each pull, put into a Board as the feed puts them.
type pageFleet struct {
	board     *dashboards.Board
	instances []pageInstance
	rng       *rand.Rand
	seq       [pagePartitions]uint64
	faulty    int // the first so many services fail, in one zone
	fail      atomic.Bool
}

const pagePartitions = 12

type pageInstance struct {
	service, addr string
	zone          int
	rps, millis   float64
	tags          []collector.LabelPair
	samples       []collector.Sample
	number        int // of its service
	partition     int32
	requests      float64
	errors        float64
}

var pageZones = []string{"us-east-1a", "us-east-1b", "us-east-1c"}

// newPageFleet makes a fleet and puts it on the board's roster.
func newPageFleet(board *dashboards.Board, services, each int, at time.Time) *pageFleet {
	f := &pageFleet{board: board, rng: rand.New(rand.NewPCG(1, 2)), faulty: 3}
	for s := range services {
		name := fmt.Sprintf("%s-%04d", []string{"checkout", "search", "payments", "feed", "images", "users", "mail", "ads"}[s%8], s)
		for i := range each {
			ip := fmt.Sprintf("10.%d.%d.%d", s/200, s%200, i+1)
			version, track := "1.41.3", "production"
			if i == each-1 {
				version, track = "1.42.0", "canary"
			}
			in := pageInstance{service: name, addr: ip + ":8001", zone: i % len(pageZones), rps: 20 + float64(s%17)*9, millis: 5 + float64(s%29)*4, number: s, partition: int32(s % pagePartitions)}
			tags := map[string]string{dashboards.TagZone: pageZones[in.zone], dashboards.TagHost: "ip-" + strconv.Itoa(s) + "-" + strconv.Itoa(i), dashboards.TagTrack: track,
				dashboards.TagVersion: version, "team": fmt.Sprintf("team-%02d", s%40)}
			for _, name := range []string{dashboards.TagZone, dashboards.TagHost, dashboards.TagTrack, dashboards.TagVersion, "team"} { // as they are sorted
				in.tags = append(in.tags, collector.LabelPair{Name: name, Value: tags[name]})
			}
			in.samples = []collector.Sample{{Name: "requests", Kind: collector.Counter}, {Name: "errors", Kind: collector.Counter}, {Name: "heap_mb", Kind: collector.Gauge},
				{Name: "latency_ms", Kind: collector.Distribution, Window: collector.Interval, Fields: []collector.Field{{Name: "count"}, {Name: "sum"}, {Name: "p50"}, {Name: "p99"}}}}
			f.instances = append(f.instances, in)
			host, port, _ := discovery.SplitAddr(in.addr)
			board.RosterChange(discovery.Change{Entry: discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: name, Env: "prod", Host: host, Port: port}, Source: "apps",
				Path: "/discovery/" + name + "/prod", Member: fmt.Sprintf("member_%010d", i), Format: "kingpin", Shard: discovery.NoShard, Tags: discovery.TagsOf(tags)},
				State: discovery.Present, Since: at, Joined: at, Verified: at}, At: at})
		}
	}
	return f
}

// pull puts one snapshot of an instance into the board, that many seconds after the one before.
func (f *pageFleet) pull(in *pageInstance, at time.Time, seconds float64) {
	n := in.rps * seconds * (0.9 + 0.2*f.rng.Float64())
	bad, millis := 0.001, in.millis*(0.95+0.1*f.rng.Float64())
	if f.fail.Load() && in.number < f.faulty && in.zone == 2 {
		bad, millis = 0.4, millis*3
	}
	in.requests += float64(int(n))
	in.errors += float64(int(n * bad * 2 * f.rng.Float64()))
	text := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	s := in.samples
	s[0].Value, s[1].Value, s[2].Value = text(in.requests), text(in.errors), text(300+100*f.rng.Float64())
	d := s[3].Fields
	d[0].Value, d[1].Value, d[2].Value, d[3].Value = text(n), text(n*millis*1.1), text(millis), text(millis*3)
	f.seq[in.partition]++
	f.board.Add(&dashboards.Record{ID: dashboards.RecordID{Collector: 0x9f3c2a7be01d44c1, Start: 1, Partition: in.partition, Sequence: f.seq[in.partition]}, Seen: time.Now(),
		Service: in.service, Env: "prod", Instance: in.addr, Time: at, Interval: time.Second, Took: 2 * time.Millisecond, Tags: in.tags, Samples: s})
}

// past gives the board a past, a pull each step, so that every chart is full from the start.
func (f *pageFleet) past(from, to time.Time, step time.Duration) {
	for at := from; at.Before(to); at = at.Add(step) {
		for i := range f.instances {
			f.pull(&f.instances[i], at, step.Seconds())
		}
		f.board.Tick(at.Add(time.Second / 4))
	}
}

// slices is how many turns a second has, in which a part of the fleet is pulled.
const pageSlices = 100

// live pulls every instance once a second, spread over it, until stop is closed.
func (f *pageFleet) live(stop <-chan struct{}) {
	tick := time.NewTicker(time.Second / pageSlices)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		for i := turn % pageSlices; i < len(f.instances); i += pageSlices {
			f.pull(&f.instances[i], now, 1)
		}
	}
}
