package expose

import (
	"cmp"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The labels of a ClientCounter, by their names in OpenTelemetry's and ECS' conventions. Prometheus 3 takes dots in names and asks for them
// (escaping=allow-utf-8); an older scraper is given underscores by promhttp: client_as_number.
const (
	labelASN     = "client.as.number"
	labelOrg     = "client.as.organization.name"
	labelCountry = "client.geo.country.iso_code"
)

// Lookup says where an address is: the number and name of its autonomous system and its country in two letters; ok is false if nothing is known of it.
// Parts that are not known are 0 or "". It is called from many goroutines.
type Lookup func(netip.Addr) (asn uint32, org, country string, ok bool)

// ClientOptions shape a ClientCounter. Name and Lookup are needed, the rest has defaults.
type ClientOptions struct {
	Name   string // of the counter, such as http_requests_by_client_total
	Help   string
	Lookup Lookup
	// Max is how many pairs of system and country are kept, 500 if 0. When all are taken, one that was not counted for Idle is forgotten; if there
	// is none, whatever is new counts as "other".
	Max  int
	Idle time.Duration // one hour if 0
	// Organization adds the label client.as.organization.name.
	Organization bool
}

// ClientCounter counts by autonomous system and country of the client, inside the application that sees the client's address. It is a
// prometheus.Collector: register it. It is bounded: addresses that the lookup does not know (private ones, say) are "unknown" in both labels, and those
// over Max are "other". Safe for concurrent use; counting takes no lock unless a pair is new.
type ClientCounter struct {
	o       ClientOptions
	desc    *prometheus.Desc
	unknown clientSeries
	other   clientSeries
	series  atomic.Pointer[map[clientKey]*clientSeries] // copied on write: pairs are few and seldom new

	mu      sync.Mutex // held by writers of series
	refused time.Time  // when the last search for an idle pair found none
}

// clientKey is the system's number and the country's two letters.
type clientKey struct {
	asn     uint32
	country [2]byte
}

type clientSeries struct {
	org   string
	count atomic.Uint64
	used  atomic.Int64 // Unix seconds
}

// ByClient makes a counter by client.
func ByClient(o ClientOptions) *ClientCounter {
	o.Max = cmp.Or(o.Max, 500)
	o.Idle = cmp.Or(o.Idle, time.Hour)
	labels := []string{labelASN, labelCountry}
	if o.Organization {
		labels = append(labels, labelOrg)
	}
	c := &ClientCounter{o: o, desc: prometheus.NewDesc(o.Name, o.Help, labels, nil)}
	c.series.Store(&map[clientKey]*clientSeries{})
	return c
}

// Inc counts one for the client at addr.
func (c *ClientCounter) Inc(addr netip.Addr) { c.Add(addr, 1) }

// Add counts n for the client at addr.
func (c *ClientCounter) Add(addr netip.Addr, n uint64) {
	asn, org, country, ok := c.o.Lookup(addr.Unmap())
	k := clientKey{asn: asn, country: countryCode(country)}
	if !ok || k == (clientKey{}) {
		c.unknown.count.Add(n)
		return
	}
	now := time.Now().Unix()
	s := (*c.series.Load())[k]
	if s == nil {
		if s = c.join(k, org, now); s == nil {
			c.other.count.Add(n)
			return
		}
	}
	if s.used.Load() != now {
		s.used.Store(now)
	}
	s.count.Add(n)
}

// countryCode is the two letters in upper case, or zero if country is no such code.
func countryCode(country string) (code [2]byte) {
	if len(country) != 2 {
		return code
	}
	for i := range code {
		c := country[i] &^ 0x20
		if c < 'A' || c > 'Z' {
			return [2]byte{}
		}
		code[i] = c
	}
	return code
}

// join makes the series of k, or returns nil if there is no room.
func (c *ClientCounter) join(k clientKey, org string, now int64) *clientSeries {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := *c.series.Load()
	if s := old[k]; s != nil {
		return s
	}
	next := old
	if len(old) >= c.o.Max {
		// A search costs as much as there are pairs, so under a flood of new ones it is made once a second at most.
		if time.Since(c.refused) < time.Second {
			return nil
		}
		next = maps.Clone(old)
		oldest := now - int64(c.o.Idle.Seconds())
		maps.DeleteFunc(next, func(_ clientKey, s *clientSeries) bool { return s.used.Load() <= oldest })
		if len(next) >= c.o.Max {
			c.refused = time.Now()
			return nil
		}
	} else {
		next = maps.Clone(old)
	}
	s := &clientSeries{org: strings.ToValidUTF8(org, "\ufffd")}
	s.used.Store(now)
	next[k] = s
	c.series.Store(&next)
	return s
}

// Describe implements prometheus.Collector.
func (c *ClientCounter) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *ClientCounter) Collect(ch chan<- prometheus.Metric) {
	for k, s := range *c.series.Load() {
		asn, country := "unknown", "unknown"
		if k.asn != 0 {
			asn = strconv.FormatUint(uint64(k.asn), 10)
		}
		if k.country != [2]byte{} {
			country = string(k.country[:])
		}
		c.send(ch, s, asn, country, s.org)
	}
	for name, s := range map[string]*clientSeries{"unknown": &c.unknown, "other": &c.other} {
		if s.count.Load() > 0 {
			c.send(ch, s, name, name, name)
		}
	}
}

func (c *ClientCounter) send(ch chan<- prometheus.Metric, s *clientSeries, asn, country, org string) {
	values := []string{asn, country}
	if c.o.Organization {
		values = append(values, org)
	}
	m, err := prometheus.NewConstMetric(c.desc, prometheus.CounterValue, float64(s.count.Load()), values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(c.desc, err)
	}
	ch <- m
}
