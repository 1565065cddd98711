package geo

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type rows map[string]mmdbtype.DataType

func asnRec(n uint32, org string) mmdbtype.DataType {
	return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(n), "autonomous_system_organization": mmdbtype.String(org)}
}

func cityRec(continent, country, region, city string) mmdbtype.DataType {
	m := mmdbtype.Map{
		"continent": mmdbtype.Map{"code": mmdbtype.String(continent), "names": mmdbtype.Map{"en": mmdbtype.String("x")}},
		"country":   mmdbtype.Map{"iso_code": mmdbtype.String(country), "geoname_id": mmdbtype.Uint32(7), "names": mmdbtype.Map{"en": mmdbtype.String("x")}},
		"location":  mmdbtype.Map{"latitude": mmdbtype.Float64(1.5), "time_zone": mmdbtype.String("Europe/Berlin")},
	}
	if city != "" {
		m["city"] = mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(city), "de": mmdbtype.String(city + "-de")}}
	}
	if region != "" {
		m["subdivisions"] = mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(region)}, mmdbtype.Map{"iso_code": mmdbtype.String("inner")}}
	}
	return m
}

func flat(kv ...string) mmdbtype.DataType {
	m := mmdbtype.Map{}
	for i := 0; i < len(kv); i += 2 {
		m[mmdbtype.String(kv[i])] = mmdbtype.String(kv[i+1])
	}
	return m
}

var built = time.Date(2026, 11, 4, 12, 0, 0, 0, time.UTC)

// write makes a database file in one rename, as the documentation asks for, and with a modification time that lies back.
func write(t testing.TB, file, typ string, version int, build time.Time, r rows) string {
	t.Helper()
	b := encode(t, typ, version, build, r)
	replace(t, file, b)
	return file
}

func replace(t testing.TB, file string, b []byte) {
	t.Helper()
	tmp := file + ".new"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(tmp, old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, file); err != nil {
		t.Fatal(err)
	}
}

func encode(t testing.TB, typ string, version int, build time.Time, r rows) []byte {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: typ, IPVersion: version, BuildEpoch: build.Unix(), Languages: []string{"en", "de"}, RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	for cidr, v := range r {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Insert(network, v); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLookup(t *testing.T) {
	dir := t.TempDir()
	asn := write(t, filepath.Join(dir, "asn.mmdb"), "GeoLite2-ASN", 6, built, rows{"8.8.8.0/24": asnRec(15169, "GOOGLE"), "2001:4860::/32": asnRec(15169, "GOOGLE"), "9.9.9.0/24": asnRec(19281, "QUAD9")})
	city := write(t, filepath.Join(dir, "city.mmdb"), "GeoLite2-City", 6, built, rows{
		"8.8.8.0/25": cityRec("NA", "US", "CA", "Mountain View"), "8.8.8.128/25": cityRec("NA", "US", "", ""), "81.2.69.0/24": cityRec("EU", "GB", "ENG", "London"),
		"7.0.0.0/24": mmdbtype.Map{"registered_country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}, "continent": mmdbtype.Map{"code": mmdbtype.String("EU")}}})
	country := write(t, filepath.Join(dir, "country.mmdb"), "GeoLite2-Country", 6, built, rows{"8.8.8.0/24": cityRec("NA", "US", "", ""), "9.9.9.0/24": cityRec("NA", "US", "", "")})
	flatCity4 := write(t, filepath.Join(dir, "city-ipv4.mmdb"), "city ipv4", 4, built, rows{"8.8.8.0/24": flat("country_code", "us", "city", "Mountain View", "state1", "California", "postcode", "94043")})
	flatCity6 := write(t, filepath.Join(dir, "city-ipv6.mmdb"), "city ipv6", 6, built, rows{"2001:4860::/32": flat("country_code", "US")})
	flatASN := write(t, filepath.Join(dir, "flatasn.mmdb"), "asn ipvAll", 6, built, rows{"8.8.8.0/24": flat("autonomous_system_number", "15169", "autonomous_system_organization", "Google LLC"), "1.1.1.0/24": flat("autonomous_system_number", "AS13335")})
	plain := write(t, filepath.Join(dir, "plain.mmdb"), "plain", 6, built, rows{"8.8.8.0/24": flat("country", "US", "continent", "North America", "city", "X"), "1.1.1.0/24": flat("country", "Australia")})
	isp := write(t, filepath.Join(dir, "isp.mmdb"), "DBIP-ISP (compat=Enterprise)", 6, built, rows{"8.8.8.0/24": mmdbtype.Map{"traits": asnRec(15169, "Google")}})
	own := write(t, filepath.Join(dir, "own.mmdb"), "own", 6, built, rows{"77.18.5.0/24": flat("country_code", "DE")})
	for _, tc := range []struct {
		name string
		cfg  Config
		addr string
		want Place
		ok   bool
	}{
		{"all of it", Config{ASN: []string{asn}, City: []string{city}}, "8.8.8.8", Place{15169, "GOOGLE", "US", "NA", "US-CA", "Mountain View"}, true},
		{"city in a language", Config{City: []string{city}, Language: "de"}, "8.8.8.8", Place{0, "", "US", "NA", "US-CA", "Mountain View-de"}, true},
		{"a language the city has not", Config{City: []string{city}, Language: "fr"}, "8.8.8.8", Place{0, "", "US", "NA", "US-CA", "Mountain View"}, true},
		{"country alone", Config{City: []string{city}}, "8.8.8.200", Place{0, "", "US", "NA", "", ""}, true},
		{"a mapped address is its IPv4", Config{ASN: []string{asn}}, "::ffff:8.8.8.8", Place{15169, "GOOGLE", "", "", "", ""}, true},
		{"IPv6", Config{ASN: []string{asn}}, "2001:4860::1", Place{15169, "GOOGLE", "", "", "", ""}, true},
		{"a zone does not matter", Config{ASN: []string{asn}}, "2001:4860::1%eth0", Place{15169, "GOOGLE", "", "", "", ""}, true},
		{"the next file is asked", Config{City: []string{city, country}}, "9.9.9.9", Place{0, "", "US", "NA", "", ""}, true},
		{"the first file wins", Config{City: []string{city, country}}, "8.8.8.8", Place{0, "", "US", "NA", "US-CA", "Mountain View"}, true},
		{"registered country where no other is known", Config{City: []string{city}}, "7.0.0.1", Place{0, "", "DE", "EU", "", ""}, true},
		{"private is no error", Config{ASN: []string{asn}, City: []string{city}}, "10.0.0.1", Place{}, false},
		{"unknown", Config{ASN: []string{asn}, City: []string{city}}, "5.5.5.5", Place{}, false},
		{"flat, IPv4 half", Config{City: []string{flatCity4, flatCity6}}, "8.8.8.8", Place{0, "", "US", "", "", "Mountain View"}, true},
		{"flat, IPv6 half", Config{City: []string{flatCity4, flatCity6}}, "2001:4860::8888", Place{0, "", "US", "", "", ""}, true},
		{"flat ASN", Config{ASN: []string{flatASN}}, "8.8.8.8", Place{15169, "Google LLC", "", "", "", ""}, true},
		{"AS before the number", Config{ASN: []string{flatASN}}, "1.1.1.1", Place{13335, "", "", "", "", ""}, true},
		{"texts under MaxMind's keys", Config{City: []string{plain}}, "8.8.8.8", Place{0, "", "US", "", "", "X"}, true},
		{"a country's name is no code", Config{City: []string{plain}}, "1.1.1.1", Place{}, true},
		{"AS in traits", Config{ASN: []string{isp}}, "8.8.8.8", Place{15169, "Google", "", "", "", ""}, true},
		{"a database of one's own", Config{City: []string{own}}, "77.18.5.1", Place{0, "", "DE", "", "", ""}, true},
		{"no database", Config{}, "8.8.8.8", Place{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := New(tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Load(); err != nil {
				t.Fatal(err)
			}
			for range 2 { // decoded, then cached
				if p, ok := d.Lookup(netip.MustParseAddr(tc.addr)); p != tc.want || ok != tc.ok {
					t.Fatalf("got %+v %v, want %+v %v", p, ok, tc.want, tc.ok)
				}
			}
		})
	}
	var none *DB
	if _, ok := none.Lookup(netip.MustParseAddr("8.8.8.8")); ok || none.Build() != "" || none.Status() != nil || none.Load() != nil || none.Generation() != 0 {
		t.Fatal("a nil DB knows something")
	}
}

func TestConfigFaults(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{City: []string{""}}, "empty file name"},
		{Config{ASN: []string{"a", "a"}}, `"a" is named twice`},
		{Config{Language: "tlh"}, `language "tlh"`},
		{Config{CheckEvery: -1}, "negative"},
	} {
		if _, err := New(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.cfg, err, tc.want)
		}
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	good := encode(t, "GeoLite2-ASN", 6, built, rows{"8.8.8.0/24": asnRec(15169, "GOOGLE")})
	for _, tc := range []struct {
		name string
		body []byte
		cfg  func(f string) Config
		want string
	}{
		{"missing", nil, func(f string) Config { return Config{ASN: []string{f}} }, "no such file"},
		{"empty", []byte{}, func(f string) Config { return Config{ASN: []string{f}} }, "file is empty"},
		{"not a database", []byte("hello"), func(f string) Config { return Config{ASN: []string{f}} }, "invalid MaxMind DB"},
		{"cut short", good[:len(good)/3], func(f string) Config { return Config{ASN: []string{f}} }, "invalid MaxMind DB"},
		{"ASN named as city", good, func(f string) Config { return Config{City: []string{f}} }, "has no countries; name it as asn"},
		{"city named as ASN", encode(t, "X", 6, built, rows{"8.8.8.0/24": cityRec("NA", "US", "", "")}), func(f string) Config { return Config{ASN: []string{f}} }, "has no autonomous systems; name it as city"},
		{"no network", encode(t, "X", 6, built, nil), func(f string) Config { return Config{ASN: []string{f}} }, "no network in it"},
		{"a record of another shape", encode(t, "X", 6, built, rows{"8.8.8.0/24": mmdbtype.Map{"autonomous_system_number": mmdbtype.Float64(1)}}), func(f string) Config { return Config{ASN: []string{f}} }, "record of 8.8.8.0/24"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(dir, strings.ReplaceAll(tc.name, " ", "-"))
			if tc.body != nil {
				replace(t, file, tc.body)
			}
			d, err := New(tc.cfg(file))
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Load(); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), file) {
				t.Fatalf("got %v, want %q and the file", err, tc.want)
			}
			if st := d.Status()[0]; !strings.Contains(st.Error, tc.want) || st.Type != "" {
				t.Fatalf("status %+v", st)
			}
		})
	}
}

func TestSwap(t *testing.T) {
	file := filepath.Join(t.TempDir(), "asn.mmdb")
	write(t, file, "GeoLite2-ASN", 6, built, rows{"8.8.8.0/24": asnRec(1, "one")})
	broken := []byte("not a database")
	second := encode(t, "GeoLite2-ASN", 6, built.AddDate(0, 0, 7), rows{"8.8.8.0/24": asnRec(2, "two")})
	addr := netip.MustParseAddr("8.8.8.8")
	synctest.Test(t, func(t *testing.T) {
		set := metrics.NewSet()
		d, err := New(Config{ASN: []string{file}, Metrics: set})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { d.Run(ctx) })
		is := func(step string, asn uint32, build, trouble string, ok string) {
			t.Helper()
			time.Sleep(11 * time.Second) // in the bubble: a look later
			synctest.Wait()
			p, _ := d.Lookup(addr)
			st := d.Status()[0]
			if p.ASN != asn || d.Build() != build || !strings.Contains(st.Error, trouble) || (trouble == "") != (st.Error == "") {
				t.Fatalf("%s: AS %d build %s error %q, want %d %s %q", step, p.ASN, d.Build(), st.Error, asn, build, trouble)
			}
			var b bytes.Buffer
			set.WritePrometheus(&b)
			if want := "rollcall_geo_database_ok{kind=\"asn\",file=\"" + file + "\"} " + ok; !strings.Contains(b.String(), want) {
				t.Fatalf("%s: want %s in\n%s", step, want, b.String())
			}
		}
		is("first", 1, "2026-11-04", "", "1")
		replace(t, file, broken)
		is("broken keeps the old", 1, "2026-11-04", "invalid MaxMind DB", "0")
		is("and stays so", 1, "2026-11-04", "invalid MaxMind DB", "0")
		os.Remove(file)
		is("gone keeps the old", 1, "2026-11-04", "no such file", "0")
		replace(t, file, second)
		is("mended", 2, "2026-11-11", "", "1")
		if g := d.Generation(); g != 2 {
			t.Fatalf("generation %d, want 2", g)
		}
		cancel()
		wg.Wait()
	})
}

// Lookups never see a database that is closed under them, and the old file is unmapped once nobody reads it.
func TestSwapUnderLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "asn.mmdb")
	write(t, file, "GeoLite2-ASN", 6, built, rows{"8.8.8.0/24": asnRec(1, "one")})
	d, err := New(Config{ASN: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Load(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for a := netip.MustParseAddr("8.8.8.8"); ctx.Err() == nil; {
				if p, ok := d.Lookup(a); !ok || p.ASN == 0 {
					t.Errorf("lost the place during a swap: %+v", p)
					return
				}
			}
		})
	}
	for i := range uint32(20) {
		write(t, file, "GeoLite2-ASN", 6, built, rows{"8.8.8.0/24": asnRec(i+2, strings.Repeat("x", int(i)))})
		if err := d.Load(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
	if p, _ := d.Lookup(netip.MustParseAddr("8.8.8.8")); p.ASN != 21 {
		t.Fatalf("AS %d, want 21", p.ASN)
	}
	if runtime.GOOS != "linux" {
		return
	}
	maps := 0
	for range 200 {
		runtime.GC()
		b, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		if maps = strings.Count(string(b), dir); maps == 1 {
			break
		}
	}
	runtime.KeepAlive(d)
	if maps == 1 {
		return
	}
	t.Fatalf("%d mappings of replaced files are left, want the one in use", maps)
}

// A file that is cut short in place while mapped costs its answers, not the process.
func TestTruncatedInPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "asn.mmdb")
	many := rows{}
	for i := range 4000 {
		many[netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0}), 24).String()] = asnRec(uint32(i+1), strings.Repeat("o", 20))
	}
	b := encode(t, "GeoLite2-ASN", 6, built, many)
	replace(t, file, b)
	for _, size := range []int{0, 10, 5000, len(b) / 2, len(b) - 8192} {
		replace(t, file, b)
		d, err := New(Config{ASN: []string{file}})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Load(); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, int64(size)); err != nil {
			t.Fatal(err)
		}
		for i := range 4000 {
			d.Lookup(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 1}))
		}
		if st := d.Status()[0]; !strings.Contains(st.Error, "by rename") {
			t.Fatalf("cut to %d of %d bytes: status %+v", size, len(b), st)
		}
		replace(t, file, b)
		if err := d.Load(); err != nil {
			t.Fatal(err)
		}
		if p, _ := d.Lookup(netip.MustParseAddr("20.0.5.1")); p.ASN != 6 {
			t.Fatalf("after the file was mended: %+v", p)
		}
	}
}

// The cache gives what the file gives, also where records push each other out of it.
func TestCacheAgrees(t *testing.T) {
	many := rows{}
	const n = 40_000
	for i := range n {
		many[netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(i>>16), byte(i >> 8), byte(i), 0}), 24).String()] = mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(i + 1)}
	}
	d, err := New(Config{ASN: []string{write(t, filepath.Join(t.TempDir(), "a"), "A", 4, built, many)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Load(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for i := range n {
			if p, _ := d.Lookup(netip.AddrFrom4([4]byte{20 + byte(i>>16), byte(i >> 8), byte(i), 9})); p.ASN != uint32(i+1) {
				t.Fatalf("network %d has AS %d", i, p.ASN)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	good := encode(f, "GeoLite2-ASN", 4, built, rows{"8.8.8.0/24": asnRec(15169, "GOOGLE")})
	f.Add(good)
	f.Add(encode(f, "city", 6, built, rows{"8.8.8.0/24": cityRec("NA", "US", "CA", "X"), "2001::/16": flat("country", "US", "city", "X")}))
	f.Add(good[:len(good)-20])
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(dir, "db")
		replace(t, file, b)
		for _, cfg := range []Config{{City: []string{file}}, {ASN: []string{file}}} {
			d, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if d.Load() != nil {
				continue
			}
			for _, a := range []string{"8.8.8.8", "2001::1", "0.0.0.0", "255.255.255.255"} {
				d.Lookup(netip.MustParseAddr(a))
			}
			if st := d.Status()[0]; st.Error != "" {
				t.Fatalf("verified, then: %s", st.Error)
			}
		}
	})
}

func benchDB(b *testing.B) *DB {
	asn, city := rows{}, rows{}
	for i := range 5000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0}), 24).String()
		asn[p], city[p] = asnRec(uint32(i%700+1), "ORG"), cityRec("EU", "DE", "BE", "Berlin")
	}
	dir := b.TempDir()
	d, err := New(Config{ASN: []string{write(b, filepath.Join(dir, "a"), "GeoLite2-ASN", 6, built, asn)}, City: []string{write(b, filepath.Join(dir, "c"), "GeoLite2-City", 6, built, city)}})
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Load(); err != nil {
		b.Fatal(err)
	}
	return d
}

func BenchmarkLookup(b *testing.B) {
	d := benchDB(b)
	addrs := make([]netip.Addr, 1024)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{20, byte(i >> 6), byte(i * 7), 1})
	}
	b.Run("hit", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			d.Lookup(addrs[i%len(addrs)])
		}
	})
	b.Run("decode", func(b *testing.B) { // what the cache saves
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			for _, db := range d.use.Load().databases {
				var r record
				if err := db.reader.Lookup(addrs[i%len(addrs)]).Decode(&r); err != nil {
					b.Fatal(err)
				}
				r.place("en")
			}
		}
	})
	b.Run("private", func(b *testing.B) {
		b.ReportAllocs()
		a := netip.MustParseAddr("10.1.2.3")
		for b.Loop() {
			d.Lookup(a)
		}
	})
}
