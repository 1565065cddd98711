package demo

import (
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oschwald/geoip2-golang/v2"

	"github.com/rollcall-metrics/rollcall/collector/expose"
)

type body struct {
	Counters, Gauges map[string]float64
	Labels           map[string]string
	Metrics          map[string]map[string]float64
}

func stats(t *testing.T, a *app) body {
	t.Helper()
	rec := httptest.NewRecorder()
	expose.Handler(a.registry(), expose.Options{}).ServeHTTP(rec, httptest.NewRequest("GET", "/stats.json", nil))
	var b body
	if err := json.Unmarshal(rec.Body.Bytes(), &b); err != nil {
		t.Fatalf("%v in %s", err, rec.Body)
	}
	return b
}

// live lets an application live for a minute and returns what it says then.
func live(t *testing.T, e effect) (body, *app) {
	a := newApp(&catalogue[0], 1, 2, 3, "127.0.0.1:1", "1.41.3", "production", 42)
	at := time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)
	for range 300 {
		at = at.Add(tickEvery)
		a.tick(at, tickEvery, e)
	}
	return stats(t, a), a
}

func TestTraffic(t *testing.T) {
	calm, a := live(t, effect{})
	want := a.svc.rate * daily(15) * 60
	if got := calm.Counters["requests"]; math.Abs(got-want)/want > .3 {
		t.Errorf("%v requests in a minute, want about %v", got, want)
	}
	if share := calm.Counters["errors"] / calm.Counters["requests"]; share > .01 {
		t.Errorf("calm, and %v fail", share)
	}
	if p := calm.Metrics["latency_ms"]; p["p99"] <= p["p50"] || p["p50"] < 20 || p["p50"] > 80 {
		t.Errorf("latency %v", p)
	}
	for name, e := range map[string]effect{"errors": {errors: .5}, "one network": {errors: 1, asn: networks[0].asn}} {
		sick, _ := live(t, e)
		if share := sick.Counters["errors"] / sick.Counters["requests"]; share < .1 {
			t.Errorf("%s: only %v fail", name, share)
		}
		if name == "one network" {
			for k, v := range sick.Counters {
				ip, ok := strings.CutPrefix(k, "client_errors/client_ip/")
				if ok && v > 20 && !networks[0].prefix.Contains(netip.MustParseAddr(ip)) {
					t.Errorf("client %s of another network has %v errors", ip, v)
				}
			}
		}
	}
	slow, _ := live(t, effect{slower: 5})
	if slow.Metrics["latency_ms"]["p50"] < 3*calm.Metrics["latency_ms"]["p50"] {
		t.Errorf("five times slower, and p50 is %v after %v", slow.Metrics["latency_ms"]["p50"], calm.Metrics["latency_ms"]["p50"])
	}
	a.upgrade("1.42.0", "canary")
	if n := stats(t, a).Counters["requests"]; n != 0 {
		t.Errorf("a new process has counted %v requests", n)
	}
}

func TestDaily(t *testing.T) {
	var sum float64
	for h := 0.0; h < 24; h += .1 {
		v := daily(h)
		if v < .4 || v > 1.6 {
			t.Errorf("at %v the day is at %v", h, v)
		}
		sum += v
	}
	if mean := sum / 240; math.Abs(mean-1) > .01 {
		t.Errorf("the day's mean is %v", mean)
	}
}

func TestFaults(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	for _, kind := range Kinds {
		f, err := newFault(kind, now, rng)
		if err != nil {
			t.Fatal(err)
		}
		var hit, miss int
		for i := range catalogue {
			s := &catalogue[i]
			for z := range zones {
				for h := range hostsPerZone {
					for _, v := range []string{s.old, s.new} {
						if f.on(&app{svc: s, zone: z, host: h}, v) != (effect{}) {
							hit++
						} else {
							miss++
						}
					}
				}
			}
		}
		if f.effect != (effect{}) && (hit == 0 || miss == 0) || f.effect == (effect{}) && kind != "expiry" || f.Text == "" || coming[kind] == "" || !f.End.After(f.Start) {
			t.Errorf("%s: %d hit, %d missed: %s", kind, hit, miss, f.Text)
		}
	}
	if _, err := newFault("meteor", now, rng); err == nil || !strings.Contains(err.Error(), "canary, host") {
		t.Errorf("an unknown kind: %v", err)
	}
	if nextKind("") != Kinds[0] || nextKind(Kinds[len(Kinds)-1]) != Kinds[0] {
		t.Error("the kinds do not go round")
	}
}

// What breaks next is told when something has healed by itself, and not when something else took its place.
func TestNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Fault
		f := NewFleet(Config{Seed: 1, Announce: func(x Fault) { told = append(told, x) }})
		if what, in, lasts := f.First(); what != coming["canary"] || in != 20*time.Second || lasts != faultLasts {
			t.Errorf("%s in %s for %s", what, in, lasts)
		}
		for _, kind := range []string{"canary", "", ""} {
			if _, err := f.Break(kind); err != nil {
				t.Fatal(err)
			}
			if kind != "" {
				time.Sleep(faultLasts)
				f.heal(time.Now())
			}
		}
		if len(told) != 5 || told[1].Next != coming["host"] || told[1].NextAt.Sub(told[1].End) != 45*time.Second || told[3].Next != "" {
			t.Errorf("%+v", told)
		}
	})
}

func TestGeo(t *testing.T) {
	city, asn, err := WriteGeo(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cb, _ := os.ReadFile(city)
	ab, _ := os.ReadFile(asn)
	c, err := geoip2.OpenBytes(cb)
	if err != nil {
		t.Fatal(err)
	}
	a, err := geoip2.OpenBytes(ab)
	if err != nil {
		t.Fatal(err)
	}
	for i := range networks {
		n := &networks[i]
		for i := range clientsPerNetwork {
			ip := n.client(i)
			where, err1 := c.City(ip)
			who, err2 := a.ASN(ip)
			if err1 != nil || err2 != nil || where.Country.ISOCode != n.country || uint32(who.AutonomousSystemNumber) != n.asn {
				t.Errorf("%s: %v %v %+v", ip, err1, err2, who)
			}
		}
	}
}

func TestLocal(t *testing.T) {
	for host, want := range map[string]bool{"localhost:7150": true, "127.0.0.1": true, "[::1]:7150": true, "10.0.0.1:80": true, "evil.example:7150": false, "localhost.evil.example": false, "": false} {
		if local(host) != want {
			t.Errorf("local(%q) is %v", host, !want)
		}
	}
}

func TestHandler(t *testing.T) {
	f := NewFleet(Config{Seed: 1})
	for _, tc := range []struct {
		method, body, site string
		code               int
		want               string
	}{
		{"GET", "", "", 405, "POST it"},
		{"POST", "kind=meteor", "", 400, "use one of"},
		{"POST", "kind=host", "cross-site", 403, "only this page"},
		{"POST", "kind=host", "same-origin", 200, `"fault":"host"`},
		{"POST", "kind=meteor", "", 400, "use one of"},
		{"POST", "", "", 200, `"fault":"as"`},
	} {
		req := httptest.NewRequest(tc.method, "/demo/fault", strings.NewReader(tc.body))
		req.Host = "127.0.0.1:7150"
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if tc.site != "" {
			req.Header.Set("Sec-Fetch-Site", tc.site)
		}
		rec, before := httptest.NewRecorder(), f.fault
		f.Handler().ServeHTTP(rec, req)
		if tc.code != 200 && f.fault != before {
			t.Errorf("%s %s was refused, and healed what was broken", tc.method, tc.body)
		}
		b, _ := io.ReadAll(rec.Body)
		if rec.Code != tc.code || !strings.Contains(string(b), tc.want) {
			t.Errorf("%s %s from %q: %d %s", tc.method, tc.body, tc.site, rec.Code, b)
		}
	}
}
