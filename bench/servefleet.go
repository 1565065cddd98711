package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// networks are those that the fleet's clients come from, with their shares of the requests.
var networks = []struct {
	as    string
	share float64
}{{"7018", .34}, {"7922", .27}, {"20115", .17}, {"21928", .11}, {"701", .07}, {"6167", .04}}

const (
	perScrape = 200   // requests of an instance from one scrape to the next
	usualFail = 0.002 // of them fail
	faultFail = 0.4   // of those of a version that is broken
	canaryTag = "1.42.0"
	stableTag = "1.41.3"
)

// motion is what a number does from one scrape to the next.
type motion uint8

const (
	still   motion = iota
	counts         // grows by up to 99
	wavers         // a gauge: its last two digits change
	meant          // whoever knows what it means sets it
	decimal        // what stands behind a gauge's point: it may begin with zeros
)

// slot is where a number stands in a body. It keeps its width.
type slot struct {
	at, width int
	motion    motion
}

// served is one service of the fleet whose records `serve` reads: one body of 200 numbers, which takes on the digits of one instance after the other. Half of its
// counters and gauges move, the others stand still; requests and failures, by client network too, and the latencies are as of a service that nothing is wrong with.
type served struct {
	name     string
	body     []byte
	slots    []slot
	requests []int // which slots: all of them, then by network
	failures []int
	latency  map[string]int // by field
	samples  []collector.Sample
	broken   bool // its newest version
}

// served makes a service up.
func newServed(n int) (*served, error) {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	s := &served{name: fmt.Sprintf("service-%03d", n), latency: map[string]int{}}
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	open := true
	name := func(format string, args ...any) {
		if !open {
			s.body = append(s.body, ',')
		}
		open = false
		s.body = append(append(append(s.body, '"'), fmt.Sprintf(format, args...)...), `":`...)
	}
	section := func(text string) { s.body, open = append(s.body, text...), true }
	put := func(width int, m motion) int {
		s.slots = append(s.slots, slot{len(s.body), width, m})
		for range width {
			s.body = append(s.body, '1')
		}
		return len(s.slots) - 1
	}
	half := func(i int, m motion) motion {
		if i%2 == 0 {
			return m
		}
		return still
	}
	section(`{"counters":{`)
	for _, total := range []struct {
		name string
		into *[]int
	}{{"requests", &s.requests}, {"failures", &s.failures}} {
		name("%s", total.name)
		*total.into = append(*total.into, put(10, meant))
		for _, n := range networks {
			name("%s/client.as.number/%s", total.name, n.as)
			*total.into = append(*total.into, put(10, meant))
		}
	}
	for _, class := range []string{"java.net.SocketTimeoutException", "com.twitter.finagle.ChannelClosedException"} {
		name("exceptions/%s", class)
		put(6, still)
	}
	for i := range 84 {
		name("%s/%s_%02d/%s", pick("http", "thrift", "mysql", "memcache"), pick("user_timeline", "board_detail", "pin_details", "home_feed", "search_query"), i, pick("success", "retries", "timeouts", "status_200", "hits", "bytes"))
		put(6+rng.IntN(4), half(i, counts))
	}
	section(`},"gauges":{`)
	for i := range 56 {
		name("%s/%s_%02d_%s", pick("jvm", "executor", "queue", "connections"), pick("eden_space", "worker_threads", "client_sessions", "direct_buffers"), i, pick("used", "size", "max", "depth"))
		put(3+rng.IntN(4), half(i, wavers))
		if i%4 == 0 { // not all are whole
			s.body = append(s.body, '.')
			put(2, half(i, decimal))
		}
	}
	section(`},"labels":{},"metrics":{`)
	for i, metric := range []string{"latency_ms", "request_size_bytes", "db/query_us", "cache/get_us"} {
		name("%s", metric)
		section("{")
		for _, f := range []string{"average", "count", "maximum", "minimum", "p50", "p90", "p95", "p99", "p999", "p9999", "sum"} {
			width := map[string]int{"average": 2, "minimum": 1, "p50": 2, "p90": 2, "p95": 2, "count": 4, "sum": 5}[f]
			if width == 0 {
				width = 3
			}
			name("%s", f)
			if k := put(width, meant); i == 0 {
				s.latency[f] = k
			} else {
				s.slots[k].motion = wavers
			}
		}
		s.body = append(s.body, '}')
	}
	s.body = append(s.body, "}}"...)
	var p stats.Parser
	snap := collector.Snapshot{}
	if err := p.Parse(&snap, s.body, "application/json", stats.Options{Window: collector.Latched}); err != nil {
		return nil, fmt.Errorf("make up a service: %w", err)
	}
	s.samples = snap.Samples // views into the body: whatever its digits say
	return s, nil
}

// numbers is how many a snapshot of the service has.
func (s *served) numbers() (n int) {
	for i := range s.samples {
		n += max(1, len(s.samples[i].Fields))
	}
	return n
}

// member is one instance of a served service.
type member struct {
	of     *served
	key    discovery.Key
	addr   string
	tags   discovery.Tags
	canary bool
	phase  time.Duration // in the interval
	vals   []uint64
	seed   uint64
}

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

// fleetOf makes n instances of so many services: a tenth of each runs a new version, in one zone of three.
func fleetOf(n, services int, interval time.Duration) ([]*served, []*member, error) {
	var all []*served
	for i := range services {
		s, err := newServed(i)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, s)
	}
	members := make([]*member, n)
	for i := range n {
		s, k := all[i%services], i/services
		zone, version, track := "us-east-1"+string(rune('a'+k%3)), stableTag, "stable"
		m := &member{of: s, key: discovery.Key{Service: s.name, Env: fleetEnv, Host: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Port: 8001}, phase: time.Duration(i) * interval / time.Duration(n), seed: uint64(i)*0x9e3779b97f4a7c15 + 1,
			canary: k%30 == 2 || k%30 == 5 || k%30 == 8}
		if m.canary {
			version, track = canaryTag, "canary"
		}
		m.addr = m.key.Host + ":" + strconv.Itoa(int(m.key.Port))
		m.tags = discovery.TagsOf(map[string]string{dashboards.TagZone: zone, dashboards.TagVersion: version, dashboards.TagTrack: track, dashboards.TagHost: fmt.Sprintf("ip-10-%d-%d-%d", i>>16, i>>8&255, i&255), "service.owner": "team-" + strconv.Itoa(i%services%8)})
		for _, sl := range s.slots {
			v := pow10(sl.width-1) + m.random()%(8*pow10(sl.width-1))
			if sl.motion == decimal {
				v = m.random() % pow10(sl.width)
			}
			m.vals = append(m.vals, v)
		}
		members[i] = m
	}
	return all, members, nil
}

func (m *member) random() uint64 {
	x := m.seed
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	m.seed = x
	return x * 0x2545f4914f6cdd1d >> 16
}

// poisson draws how often something happens that happens so often on average.
func (m *member) poisson(mean float64) uint64 {
	unit := func() float64 { return float64(m.random()%(1<<32)) / (1 << 32) }
	if mean > 30 {
		var sum float64
		for range 4 {
			sum += unit()
		}
		return uint64(max(0, math.Round(mean+(sum-2)*math.Sqrt(3*mean))))
	}
	n, p, limit := uint64(0), unit(), math.Exp(-mean)
	for ; p > limit; n++ {
		p *= unit()
	}
	return n
}

// step moves the instance on by one scrape and writes its digits into its service's body.
func (m *member) step() {
	s := m.of
	fail := usualFail
	if s.broken && m.canary {
		fail = faultFail
	}
	var requests, failures uint64
	for i, n := range networks {
		r := m.poisson(perScrape * n.share)
		f := min(r, m.poisson(float64(r)*fail))
		m.vals[s.requests[i+1]] += r
		m.vals[s.failures[i+1]] += f
		requests, failures = requests+r, failures+f
	}
	m.vals[s.requests[0]] += requests
	m.vals[s.failures[0]] += failures
	few := m.random() % 5
	for f, v := range map[string]uint64{"average": 25 + few, "minimum": 2, "p50": 20 + m.random()%5, "p90": 45 + m.random()%6, "p95": 62 + m.random()%8, "p99": 110 + m.random()%20, "p999": 210 + m.random()%40, "p9999": 330 + m.random()%30, "maximum": 410 + m.random()%90,
		"count": 1000 + requests, "sum": (25 + few) * (1000 + requests)} {
		m.vals[s.latency[f]] = v
	}
	for i, sl := range s.slots {
		switch v := &m.vals[i]; sl.motion {
		case counts:
			*v += m.random() % 100
		case wavers:
			*v += m.random()%100 - *v%100
			*v = max(*v, pow10(sl.width-1))
		case decimal:
			*v = m.random() % 100
		}
		v := m.vals[i]
		for k := sl.at + sl.width - 1; k >= sl.at; k-- {
			s.body[k] = byte('0' + v%10)
			v /= 10
		}
	}
}

// snapshot is what a collector would have pulled from the instance at a time. It is valid until the next one of its service.
func (m *member) snapshot(at time.Time, interval time.Duration) collector.Snapshot {
	m.step()
	return collector.Snapshot{Instance: discovery.Instance{Key: m.key, Source: "bench", Shard: discovery.NoShard}, Time: at, Took: 1800 * time.Microsecond, Interval: interval, Slot: at.Truncate(interval), Samples: m.of.samples, JSON: m.of.body, Tags: m.tags, BodyBytes: len(m.of.body)}
}
