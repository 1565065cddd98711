// Package sim is a made-up fleet that answers as a collector's records would: for the tests of what reads a Board.
//
// Traffic has a daily shape, noise and clients; faults are put in by hand. The same seed gives the same fleet.
package sim

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// Service shapes one service; the zero value of a field is filled in.
type Service struct {
	Name, Env, Owner string
	PerZone          int     // instances in each of three zones, default 4
	Canaries         int     // of the first zone run the next version, default 1
	RPS              float64 // requests a second of one instance, default 60
	Errors           float64 // share that fails, default 0.002
	Millis           float64 // median latency, default 40
	Window           collector.Window
	Lost             float64  // share of scrapes that time out in calm times
	Classes          []string // of exceptions that its failures throw, default two
}

// Zones of every service.
var Zones = []string{"us-east-1a", "us-east-1b", "us-east-1c"}

// Client is a network that requests come from.
type Client struct {
	AS, Country string
	Share       float64
}

// Clients of every service.
var Clients = []Client{{"15169", "US", .3}, {"7922", "US", .25}, {"3320", "DE", .2}, {"2856", "GB", .15}, {"4134", "CN", .07}, {"55836", "IN", .03}}

// Instance is one endpoint of the fleet.
type Instance struct {
	Service             *Service
	Addr, Zone, Version string
	Track, Host         string
	Rack                string        // "": nobody says
	Gone                bool          // left the roster and answers no more
	Every               time.Duration // it is looked at closely, so often; 0: as the fleet
	Tags                []collector.LabelPair

	start    time.Time
	last     time.Time // scrape
	requests float64
	errors   float64
	latCount float64
	latSum   float64
	byClient []float64
	errorsBy []float64
	thrown   map[string]float64
	entry    discovery.Entry
	boot     float64
}

// Effect is what a fault does to those whom it hits.
type Effect struct {
	Errors  float64                     // added share of failing requests
	Slower  float64                     // latency times this, 0: unchanged
	Rate    float64                     // rate times this, 0: unchanged
	Outcome collector.Outcome           // other than OK: scrapes end so
	Client  string                      // only requests from this AS
	Class   string                      // of the exceptions that these errors throw; empty: as usual
	Throws  float64                     // share of requests that throw Class and do not fail
	Use     float64                     // added share of the pool that is busy
	Hits    func(*Instance) bool        // nil: all
	Until   time.Time                   // zero: for good
	Shape   func(time.Duration) float64 // strength 0..1 over time, nil: 1 at once
	From    time.Time
}

// Fleet is the made-up fleet.
type Fleet struct {
	Instances []*Instance
	Interval  time.Duration
	Day       time.Duration // how long a day takes, default 24 h
	Effects   []Effect

	services []*Service
	rng      *rand.Rand
	seq      map[int32]uint64
	start    time.Time
	latency  time.Duration
}

// New makes a fleet that starts at start.
func New(seed uint64, start time.Time, interval time.Duration, services ...Service) *Fleet {
	f := &Fleet{Interval: interval, Day: 24 * time.Hour, rng: rand.New(rand.NewPCG(seed, 7)), seq: map[int32]uint64{}, start: start, latency: 150 * time.Millisecond}
	for n := range services {
		s := &services[n]
		def := func(p *float64, v float64) {
			if *p == 0 {
				*p = v
			}
		}
		def(&s.RPS, 60)
		def(&s.Errors, 0.002)
		def(&s.Millis, 40)
		if s.Classes == nil {
			s.Classes = []string{"TimeoutException", "ConnectionReset"}
		}
		if s.Env == "" {
			s.Env = "prod"
		}
		if s.PerZone == 0 {
			s.PerZone = 4
		}
		if s.Canaries == 0 {
			s.Canaries = 1
		}
		f.services = append(f.services, s)
		for z, zone := range Zones {
			for i := range s.PerZone {
				version, track := "1.41.3", "production"
				if z == 2 && i < s.Canaries {
					version, track = "1.42.0", "canary"
				}
				f.join(s, zone, version, track, fmt.Sprintf("10.%d.%d.%d", n, z, i+1), start)
			}
		}
	}
	return f
}

// Demo is eight services of about ninety instances.
func Demo(seed uint64, start time.Time, interval time.Duration) *Fleet {
	return New(seed, start, interval,
		Service{Name: "checkout", Owner: "payments", PerZone: 5, Canaries: 2, RPS: 58, Window: collector.Interval},
		Service{Name: "search", Owner: "discovery", PerZone: 5, RPS: 120, Millis: 22, Errors: 0.0005, Window: collector.Interval},
		Service{Name: "payments", Owner: "payments", PerZone: 4, RPS: 20, Millis: 90, Window: collector.Interval},
		Service{Name: "feed", Owner: "home", PerZone: 5, RPS: 200, Millis: 15, Errors: 0.0003, Window: collector.Interval},
		Service{Name: "images", Owner: "home", PerZone: 4, RPS: 90, Millis: 8, Errors: 0.0002, Window: collector.Lifetime},
		Service{Name: "users", Owner: "core", PerZone: 3, RPS: 70, Millis: 6, Window: collector.Lifetime},
		Service{Name: "mail", Owner: "core", PerZone: 2, RPS: 4, Millis: 120, Window: collector.Interval},
		Service{Name: "notify", Owner: "core", Env: "staging", PerZone: 2, RPS: 10, Millis: 60, Window: collector.Interval})
}

func (f *Fleet) join(s *Service, zone, version, track, ip string, at time.Time) *Instance {
	in := &Instance{Service: s, Addr: ip + ":8001", Zone: zone, Version: version, Track: track, Host: "ip-" + dashes(ip), start: at,
		byClient: make([]float64, len(Clients)), errorsBy: make([]float64, len(Clients)), thrown: map[string]float64{}, boot: f.rng.Float64() * 3600}
	in.retag()
	host, port, _ := discovery.SplitAddr(in.Addr)
	in.entry = discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: s.Name, Env: s.Env, Host: host, Port: port}, Source: "apps",
		Path: "/discovery/" + s.Name + "/" + s.Env, Member: fmt.Sprintf("%08x-%s", f.rng.Uint32(), in.Addr), Format: "kingpin", Shard: discovery.NoShard, Tags: in.tags()},
		State: discovery.Present, Since: at, Joined: at, Verified: at}
	f.Instances = append(f.Instances, in)
	return in
}

func (in *Instance) retag() {
	in.Tags = []collector.LabelPair{{Name: dashboards.TagZone, Value: in.Zone}, {Name: dashboards.TagHost, Value: in.Host}, {Name: dashboards.TagTrack, Value: in.Track},
		{Name: dashboards.TagVersion, Value: in.Version}, {Name: "team", Value: in.Service.Owner}}
	if in.Rack != "" {
		in.Tags = append(in.Tags, collector.LabelPair{Name: "rack", Value: in.Rack})
	}
}

// Entry is the instance on the roster, as it was last told.
func (in *Instance) Entry() discovery.Entry { return in.entry }

func (in *Instance) tags() discovery.Tags {
	m := map[string]string{}
	for _, l := range in.Tags {
		m[l.Name] = l.Value
	}
	return discovery.TagsOf(m)
}

func dashes(ip string) string {
	b := []byte(ip)
	for i := range b {
		if b[i] == '.' {
			b[i] = '-'
		}
	}
	return string(b)
}

// Deploy brings a new version to the instances that match, as if each had been restarted with it.
func (f *Fleet) Deploy(b *dashboards.Board, version string, at time.Time, match func(*Instance) bool) {
	for _, in := range f.Instances {
		if in.Gone || !match(in) {
			continue
		}
		in.Version = version
		in.retag()
		in.requests, in.errors, in.latCount, in.latSum, in.boot = 0, 0, 0, 0, 0
		clear(in.byClient)
		clear(in.errorsBy)
		clear(in.thrown)
		in.entry.Tags = in.tags()
		b.RosterChange(discovery.Change{Entry: in.entry, Was: in.entry.State, At: at})
	}
}

// Move puts the instances that match on one host.
func (f *Fleet) Move(host string, match func(*Instance) bool) {
	for _, in := range f.Instances {
		if match(in) {
			in.Host = host
			in.retag()
			in.entry.Tags = in.tags()
		}
	}
}

// Racks says in which rack each instance is.
func (f *Fleet) Racks(rack func(*Instance) string) {
	for _, in := range f.Instances {
		in.Rack = rack(in)
		in.retag()
		in.entry.Tags = in.tags()
	}
}

// Leave takes the instances that match off the roster.
func (f *Fleet) Leave(b *dashboards.Board, at time.Time, match func(*Instance) bool) (n int) {
	for _, in := range f.Instances {
		if in.Gone || !match(in) {
			continue
		}
		in.Gone = true
		was := in.entry.State
		in.entry.State, in.entry.Since, in.entry.Reason = discovery.Departed, at, "left "+in.entry.Path
		b.RosterChange(discovery.Change{Entry: in.entry, Was: was, At: at})
		n++
	}
	return n
}

// Return brings those back who left.
func (f *Fleet) Return(b *dashboards.Board, at time.Time) {
	for _, in := range f.Instances {
		if in.Gone {
			in.Gone = false
			in.entry.State, in.entry.Since, in.entry.Joined, in.entry.Reason = discovery.Present, at, at, ""
			b.RosterChange(discovery.Change{Entry: in.entry, Was: discovery.Departed, At: at})
		}
	}
}

// Register puts everybody on the roster.
func (f *Fleet) Register(b *dashboards.Board) {
	for _, in := range f.Instances {
		b.RosterChange(discovery.Change{Entry: in.entry, At: f.start})
	}
}

// Scrape feeds the Board with one scrape of every instance whose turn is in [from, to), in the order of their times.
func (f *Fleet) Scrape(b *dashboards.Board, from, to time.Time) {
	for i, in := range f.Instances {
		if in.Gone {
			continue
		}
		every := cmp.Or(in.Every, f.Interval)
		offset := time.Duration(uint64(i)*0x9e3779b97f4a7c15%1000) * f.Interval / 1000 % every
		k := (from.Sub(f.start) - offset + every - 1) / every
		for at := f.start.Add(k*every + offset); at.Before(to); at = at.Add(every) {
			if !at.Before(from) && !at.Before(in.start) {
				b.Add(f.record(in, at))
			}
		}
	}
}

// Noise of the machinery around a normal variable.
func (f *Fleet) poisson(mean float64) float64 {
	if mean <= 0 {
		return 0
	}
	if mean < 30 {
		l, k, p := math.Exp(-mean), 0.0, 1.0
		for {
			if p *= f.rng.Float64(); p <= l {
				return k
			}
			k++
		}
	}
	return max(0, math.Round(mean+math.Sqrt(mean)*f.rng.NormFloat64()))
}

func (f *Fleet) record(in *Instance, at time.Time) *dashboards.Record {
	s := in.Service
	slower, rate, use, outcome := 1.0, 1.0, 0.0, collector.OK
	throws := map[string]float64{} // beside what fails
	own, ownShare := "", 0.0       // the class that some of the failures throw
	failing := make([]float64, len(Clients))
	for i := range failing {
		failing[i] = s.Errors
	}
	for _, e := range f.Effects {
		if at.Before(e.From) || !e.Until.IsZero() && !at.Before(e.Until) || e.Hits != nil && !e.Hits(in) {
			continue
		}
		strength := 1.0
		if e.Shape != nil {
			strength = e.Shape(at.Sub(e.From))
		}
		if e.Slower > 0 {
			slower *= 1 + (e.Slower-1)*strength
		}
		if e.Rate > 0 {
			rate *= 1 + (e.Rate-1)*strength
		}
		if e.Outcome != collector.OK {
			outcome = e.Outcome
		}
		use += e.Use * strength
		if e.Throws > 0 {
			throws[e.Class] += e.Throws * strength
		} else if e.Class != "" {
			own, ownShare = e.Class, e.Errors*strength/(e.Errors*strength+s.Errors)
		}
		for i, c := range Clients {
			if e.Client == "" || e.Client == c.AS {
				failing[i] = min(1, failing[i]+e.Errors*strength)
			}
		}
	}
	if s.Lost > 0 && f.rng.Float64() < s.Lost {
		outcome = collector.Timeout
	}
	part := int32(0)
	for _, b := range []byte(s.Name) {
		part = (part*31 + int32(b)) % 12
	}
	f.seq[part]++
	// Traffic swings by 40 % over the day, and every service breathes a little of its own.
	phase := 2 * math.Pi * float64(at.Sub(f.start)) / float64(f.Day)
	shape := 1 + 0.4*math.Sin(phase) + 0.04*math.Sin(float64(at.UnixMilli())/7e3+float64(part))
	dt := f.Interval.Seconds()
	if gap := at.Sub(in.last); in.Every > 0 || gap < f.Interval { // a closer look, or its end
		dt = gap.Seconds()
	}
	in.last = at
	n := f.poisson(s.RPS * shape * rate * dt)
	var failed float64
	for i, c := range Clients {
		k := f.poisson(n * c.Share)
		bad := min(f.poisson(k*failing[i]), k)
		in.byClient[i] += k
		in.errorsBy[i] += bad
		in.requests += k
		failed += bad
		in.latCount += k
	}
	in.errors += failed
	mine := min(f.poisson(failed*ownShare), failed)
	if own != "" {
		in.thrown[own] += mine
	}
	for i, class := range s.Classes {
		if i == len(s.Classes)-1 {
			in.thrown[class] += failed - mine
			break
		}
		k := min(f.poisson((failed-mine)*.7), failed-mine)
		in.thrown[class] += k
		mine += k
	}
	for _, class := range slices.Sorted(maps.Keys(throws)) {
		in.thrown[class] += f.poisson(n * throws[class])
	}
	mid := s.Millis * slower * (1 + 0.05*shape)
	const sigma = 0.5
	noise := func(p float64) float64 {
		z := map[float64]float64{.5: 0, .9: 1.2816, .95: 1.6449, .99: 2.3263, .999: 3.0902}[p]
		wobble := f.rng.NormFloat64() * sigma / math.Sqrt(max(1, n*(1-p)*4))
		return math.Round(mid*math.Exp(sigma*z+wobble)*10) / 10
	}
	in.latSum += n * mid * math.Exp(sigma*sigma/2) * (1 + 0.02*f.rng.NormFloat64())
	in.boot += dt
	r := &dashboards.Record{ID: dashboards.RecordID{Collector: 0x9f3c2a7be01d44c1, Start: 1, Partition: part, Sequence: f.seq[part]}, Seen: at.Add(f.latency),
		Service: s.Name, Env: s.Env, Instance: in.Addr, Time: at, Interval: f.Interval, Took: time.Duration(1+f.rng.ExpFloat64()) * time.Millisecond, Outcome: outcome, Tags: in.Tags}
	if in.Every > 0 {
		r.Interval, r.Usual = in.Every, f.Interval
	}
	if outcome != collector.OK {
		r.Reason = "made up for the test"
		return r
	}
	r.Samples = make([]collector.Sample, 0, 32)
	count, sum := in.latCount, in.latSum
	if s.Window == collector.Interval || s.Window == collector.Latched {
		count, sum = n, n*mid*1.13
	}
	num := func(name string, kind collector.Kind, v float64, labels ...collector.LabelPair) {
		r.Samples = append(r.Samples, collector.Sample{Name: name, Kind: kind, Value: strconv.FormatFloat(v, 'f', -1, 64), Labels: labels})
	}
	num("requests", collector.Counter, in.requests)
	num("errors", collector.Counter, in.errors)
	num("heap_mb", collector.Gauge, math.Round(400+80*shape+10*f.rng.NormFloat64()))
	num("cpu_percent", collector.Gauge, math.Round(10*(12+20*shape*rate+2*f.rng.NormFloat64()))/10)
	num("threads", collector.Gauge, 48)
	num("pool_size", collector.Gauge, 64)
	num("pool_busy", collector.Gauge, math.Round(min(64, 64*max(0, .1+.2*shape*rate*min(slower, 2)+use+.02*f.rng.NormFloat64()))))
	num("uptime_s", collector.Gauge, math.Round(in.boot))
	num("cache/hits", collector.Untyped, math.Round(in.requests*.8))
	for i, c := range Clients {
		l := []collector.LabelPair{{Name: "client.as.number", Value: c.AS}, {Name: "client.geo.country.iso_code", Value: c.Country}}
		num("requests_by_client", collector.Counter, in.byClient[i], l...)
		num("errors_by_client", collector.Counter, in.errorsBy[i], l...)
	}
	for _, class := range slices.Sorted(maps.Keys(in.thrown)) {
		if in.thrown[class] > 0 {
			num("exceptions", collector.Counter, in.thrown[class], collector.LabelPair{Name: "class", Value: class})
		}
	}
	d := collector.Sample{Name: "latency_ms", Kind: collector.Distribution, Window: s.Window, Fields: []collector.Field{{Name: "count", Value: strconv.FormatFloat(count, 'f', -1, 64)},
		{Name: "sum", Value: strconv.FormatFloat(sum, 'f', 1, 64)}}}
	if n > 0 {
		for _, q := range []struct {
			name string
			p    float64
		}{{"p50", .5}, {"p90", .9}, {"p95", .95}, {"p99", .99}, {"p999", .999}} {
			d.Fields = append(d.Fields, collector.Field{Name: q.name, Value: strconv.FormatFloat(noise(q.p), 'f', -1, 64)})
		}
	}
	r.Samples = append(r.Samples, d, collector.Sample{Name: "mode", Kind: collector.Label, Value: "warm"})
	return r
}
