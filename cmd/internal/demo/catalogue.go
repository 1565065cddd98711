// Package demo is a fleet in motion on this one machine: applications that register through the agent's own code, serve /stats.json over real HTTP, and break now
// and then. It knows how a fleet behaves, and nothing of how it is watched.
package demo

import (
	"fmt"
	"math"
	"net/netip"
)

// service is one row of the catalogue.
type service struct {
	name, owner string
	port        uint16
	perZone     int
	rate        float64 // requests a second of one instance, by day's mean
	errors      float64 // share of requests that fail when all is well
	median      float64 // milliseconds
	tail        float64 // sigma of the lognormal
	old, new    string  // versions
	endpoints   []string
	exceptions  []string
}

// canaries is how many instances of a service in a zone run its new version, each on a host of its own.
const canaries = 2

// zones of the one region. A host of a zone runs an instance of most services.
var zones = []string{"us-east-1a", "us-east-1b", "us-east-1c"}

const hostsPerZone = 6

var catalogue = []service{
	{"checkout", "payments", 8101, 6, 16, .002, 42, .45, "1.41.3", "1.42.0", []string{"cart", "pay", "confirm"}, []string{"TimeoutException", "CardDeclined"}},
	{"payments", "payments", 8102, 6, 11, .001, 85, .40, "7.2.1", "7.3.0", []string{"authorize", "capture", "refund"}, []string{"GatewayTimeout"}},
	{"search", "discovery", 8103, 6, 40, .0005, 30, .55, "2026.46", "2026.47", []string{"query", "suggest"}, []string{"ShardUnavailable"}},
	{"timeline", "home", 8104, 6, 53, .0006, 18, .50, "311", "312", []string{"home", "following", "topic"}, []string{"RankerTimeout", "CacheMiss"}},
	{"ads", "revenue", 8105, 6, 32, .0008, 24, .60, "4.9.0", "4.10.0", []string{"select", "click"}, []string{"NoBid"}},
	{"images", "media", 8106, 6, 46, .0004, 9, .65, "88", "89", []string{"get", "resize"}, []string{"DecodeError"}},
	{"users", "core", 8107, 6, 24, .0003, 6, .45, "3.0.17", "3.1.0", []string{"get", "batch"}, []string{"StaleRead"}},
	{"notify", "core", 8108, 6, 10, .0015, 110, .50, "0.9.8", "0.10.0", []string{"push", "mail"}, []string{"ProviderError"}},
}

// network is where clients come from: real numbers and names of autonomous systems, with one documentation-free block each.
type network struct {
	prefix  netip.Prefix
	asn     uint32
	org     string
	country string
	region  string
	city    string
	weight  float64
}

var networks = []network{
	{netip.MustParsePrefix("73.0.0.0/16"), 7922, "COMCAST-7922", "US", "PA", "Philadelphia", 20},
	{netip.MustParsePrefix("98.32.0.0/16"), 7018, "ATT-INTERNET4", "US", "TX", "Dallas", 13},
	{netip.MustParsePrefix("174.192.0.0/16"), 6167, "CELLCO-PART", "US", "NJ", "Newark", 12},
	{netip.MustParsePrefix("172.56.0.0/16"), 21928, "T-MOBILE-AS21928", "US", "WA", "Seattle", 11},
	{netip.MustParsePrefix("87.128.0.0/16"), 3320, "Deutsche Telekom AG", "DE", "BE", "Berlin", 8},
	{netip.MustParsePrefix("90.0.0.0/16"), 3215, "Orange", "FR", "IDF", "Paris", 6},
	{netip.MustParsePrefix("81.128.0.0/16"), 2856, "British Telecommunications PLC", "GB", "ENG", "London", 7},
	{netip.MustParsePrefix("126.0.0.0/16"), 17676, "SoftBank Corp.", "JP", "13", "Tokyo", 6},
	{netip.MustParsePrefix("49.36.0.0/16"), 55836, "Reliance Jio Infocomm Limited", "IN", "MH", "Mumbai", 9},
	{netip.MustParsePrefix("177.32.0.0/16"), 28573, "Claro NXT Telecomunicacoes Ltda", "BR", "SP", "Sao Paulo", 8},
}

// clientsPerNetwork addresses of each network talk to each service.
const clientsPerNetwork = 2

// client is the i-th address of a network, spread over its prefix.
func (n *network) client(i int) netip.Addr {
	a := n.prefix.Addr().As4()
	a[2], a[3] = byte(17+i*53), byte(5+i*31)
	return netip.AddrFrom4(a)
}

// daily is the day's shape: a slow wave that is 1 on average, lowest before dawn. hour is 0..24.
func daily(hour float64) float64 {
	return 1 + .35*math.Sin((hour-9)/24*2*math.Pi) + .08*math.Sin((hour-2)/12*2*math.Pi)
}

// hostName is what the fleet calls a host.
func hostName(zone, host int) string {
	return fmt.Sprintf("%s-h%02d", zones[zone][len("us-"):], host+1)
}

// Size is how many applications the fleet has.
func Size() int {
	n := 0
	for _, s := range catalogue {
		n += s.perZone * len(zones)
	}
	return n
}
