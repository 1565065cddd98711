package expose

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// lookup knows 10.a.0.0/16 as system a in a country made of it.
func lookup(a netip.Addr) (uint32, string, string, bool) {
	if !a.Is4() {
		return 0, "", "", false
	}
	b := a.As4()
	switch b[0] {
	case 10:
		return uint32(b[1]), fmt.Sprintf("Net %d", b[1]), []string{"US", "de", "", "xyz"}[b[2]%4], true
	case 11:
		return 7, "bad \xff name", "FR", true
	}
	return 0, "", "", false
}

func clientSeriesOf(t *testing.T, c *ClientCounter) map[string]int64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	return decode(t, get(t, Handler(reg, Options{}), "/stats.json")).Counters
}

func TestByClient(t *testing.T) {
	c := ByClient(ClientOptions{Name: "hits", Lookup: lookup})
	for _, a := range []string{"10.5.0.1", "10.5.0.2", "::ffff:10.5.0.3", "10.5.1.1", "10.5.2.1", "10.5.3.1", "10.0.2.9", "192.168.0.1", "fe80::1"} {
		c.Inc(netip.MustParseAddr(a))
	}
	c.Add(netip.Addr{}, 2)
	got := clientSeriesOf(t, c)
	for name, want := range map[string]int64{
		"hits/client.as.number/5/client.geo.country.iso_code/US":            3, // IPv4 in IPv6 is IPv4
		"hits/client.as.number/5/client.geo.country.iso_code/DE":            1, // in upper case
		"hits/client.as.number/5/client.geo.country.iso_code/unknown":       2, // "" and what is no country
		"hits/client.as.number/unknown/client.geo.country.iso_code/unknown": 5,
	} {
		if got[name] != want {
			t.Errorf("%s is %d, want %d", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("there is more: %v", got)
	}
}

func TestByClientOrganization(t *testing.T) {
	c := ByClient(ClientOptions{Name: "hits", Lookup: lookup, Organization: true})
	c.Inc(netip.MustParseAddr("10.5.0.1"))
	c.Inc(netip.MustParseAddr("11.0.0.1"))
	got := clientSeriesOf(t, c)
	if got["hits/client.as.number/5/client.as.organization.name/Net 5/client.geo.country.iso_code/US"] != 1 ||
		got["hits/client.as.number/7/client.as.organization.name/bad \ufffd name/client.geo.country.iso_code/FR"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestByClientNamesOnMetrics(t *testing.T) {
	c := ByClient(ClientOptions{Name: "hits", Lookup: lookup})
	c.Inc(netip.MustParseAddr("10.5.0.1"))
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	h := Handler(reg, Options{})
	for accept, want := range map[string]string{
		"text/plain; version=1.0.0; escaping=allow-utf-8": `hits{"client.as.number"="5","client.geo.country.iso_code"="US"} 1`,
		"text/plain; version=0.0.4":                       `hits{client_as_number="5",client_geo_country_iso_code="US"} 1`,
	} {
		if got := get(t, h, "/metrics", "Accept", accept).Body.String(); !strings.Contains(got, want) {
			t.Errorf("Accept %s: no %s in\n%s", accept, want, got)
		}
	}
}

func TestByClientIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ByClient(ClientOptions{Name: "hits", Lookup: lookup, Max: 3, Idle: time.Hour})
		at := func(b byte) netip.Addr { return netip.AddrFrom4([4]byte{10, b, 0, 1}) }
		for b := range byte(10) {
			c.Inc(at(b + 1))
		}
		got := clientSeriesOf(t, c)
		const other = "hits/client.as.number/other/client.geo.country.iso_code/other"
		if len(got) != 4 || got[other] != 7 {
			t.Fatalf("%v", got)
		}
		time.Sleep(30 * time.Minute)
		c.Inc(at(1))
		time.Sleep(31 * time.Minute) // 2 and 3 have been idle for an hour, 1 has not
		c.Inc(at(9))
		got = clientSeriesOf(t, c)
		if len(got) != 3 || got[other] != 7 || got["hits/client.as.number/1/client.geo.country.iso_code/US"] != 2 || got["hits/client.as.number/9/client.geo.country.iso_code/US"] != 1 {
			t.Fatalf("after an hour: %v", got)
		}
	})
}

func TestByClientConcurrently(t *testing.T) {
	c := ByClient(ClientOptions{Name: "hits", Lookup: lookup, Max: 20})
	var wg sync.WaitGroup
	const each = 5000
	for i := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range each {
				c.Inc(netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), 1}))
			}
		})
	}
	wg.Wait()
	var sum int64
	got := clientSeriesOf(t, c)
	for _, n := range got {
		sum += n
	}
	if sum != 4*each || len(got) > 22 {
		t.Errorf("%d counted in %d series, want %d in at most 22", sum, len(got), 4*each)
	}
}
