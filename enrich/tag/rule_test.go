package tag

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/enrich/geo"
)

// places writes a database in which an address has an AS and a country, "" for none, and opens it.
func places(t testing.TB, at map[string]struct {
	asn     uint32
	country string
}) *geo.DB {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "test", BuildEpoch: time.Date(2026, 11, 4, 0, 0, 0, 0, time.UTC).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	for cidr, p := range at {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		m := mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(p.asn), "autonomous_system_organization": mmdbtype.String("Org " + p.country), "country_code": mmdbtype.String(p.country)}
		if err := w.Insert(network, m); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "geo.mmdb")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := w.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	db, err := geo.New(geo.Config{ASN: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Load(); err != nil {
		t.Fatal(err)
	}
	return db
}

var world = map[string]struct {
	asn     uint32
	country string
}{"8.8.8.0/24": {15169, "US"}, "8.8.4.0/24": {15169, "US"}, "1.1.1.0/24": {13335, "AU"}, "81.2.69.0/24": {20712, "GB"}, "2001:4860::/32": {15169, "US"}}

func pairs(kv ...string) (out []collector.LabelPair) {
	for i := 0; i < len(kv); i += 2 {
		out = append(out, collector.LabelPair{Name: kv[i], Value: kv[i+1]})
	}
	return out
}

func text(name string, ls []collector.LabelPair) string {
	var b strings.Builder
	b.WriteString(name)
	for _, l := range ls {
		b.WriteString(" " + l.Name + "=" + l.Value)
	}
	return b.String()
}

func TestRuleApply(t *testing.T) {
	db := places(t, world)
	client := &Lookup{From: "client_ip", As: "client"}
	byName := Rule{Name: `^http/(?P<client_ip>[0-9a-f.:]+)/(?P<name>.+)$`, Lookup: client, Drop: []string{"client_ip"}}
	for _, tc := range []struct {
		name   string
		rule   Rule
		sample collector.Sample
		want   string // "" where the rule must not fit
	}{
		{"address in a name", byName, collector.Sample{Name: "http/8.8.8.8/errors"}, "errors client.as.number=15169 client.geo.country.iso_code=US"},
		{"IPv6", byName, collector.Sample{Name: "http/2001:4860::1/errors"}, "errors client.as.number=15169 client.geo.country.iso_code=US"},
		{"another name", byName, collector.Sample{Name: "http/errors"}, ""},
		{"anchored", Rule{Name: `x(?P<a>.)`}, collector.Sample{Name: "xyz"}, ""},
		{"a private address has no place", byName, collector.Sample{Name: "http/10.0.0.1/errors"}, "errors"},
		{"no address at all", byName, collector.Sample{Name: "http/abcdef/errors"}, "errors"},
		{"kept without drop", Rule{Name: byName.Name, Lookup: client}, collector.Sample{Name: "http/8.8.8.8/errors"}, "errors client.as.number=15169 client.geo.country.iso_code=US client_ip=8.8.8.8"},
		{"labels are cut out of the name", Rule{Name: `http/(?P<client_ip>[^/]+)/errors`}, collector.Sample{Name: "http/8.8.8.8/errors"}, "http/errors client_ip=8.8.8.8"},
		{"at its end", Rule{Name: `errors\.(?P<host>.+)`}, collector.Sample{Name: "errors.db1"}, "errors host=db1"},
		{"at its beginning", Rule{Name: `(?P<host>[^.]+)\.errors`}, collector.Sample{Name: "db1.errors"}, "errors host=db1"},
		{"two of them", Rule{Name: `a/(?P<x>[^/]+)/(?P<y>[^/]+)/b`}, collector.Sample{Name: "a/1/2/b"}, "a/b x=1 y=2"},
		{"all of it stays", Rule{Name: `(?P<x>.+)`}, collector.Sample{Name: "abc"}, "abc x=abc"},
		{"an empty group says nothing", Rule{Name: `a(/(?P<x>[^/]+))?`}, collector.Sample{Name: "a"}, "a"},
		{"a clash is exported", Rule{Name: `a/(?P<x>.+)`}, collector.Sample{Name: "a/1", Labels: pairs("x", "0")}, "a exported_x=0 x=1"},
		{"address in a label", Rule{Label: "client_ip", Lookup: &Lookup{As: "client"}, Drop: []string{"client_ip"}}, collector.Sample{Name: "hits", Labels: pairs("client_ip", "1.1.1.1", "code", "200")}, "hits client.as.number=13335 client.geo.country.iso_code=AU code=200"},
		{"without the label", Rule{Label: "client_ip", Lookup: &Lookup{As: "client"}}, collector.Sample{Name: "hits", Labels: pairs("code", "200")}, ""},
		{"name and label", Rule{Name: "hits", Label: "ip", Lookup: &Lookup{}, Drop: []string{"ip"}}, collector.Sample{Name: "hits", Labels: pairs("ip", "1.1.1.1")}, "hits client.as.number=13335 client.geo.country.iso_code=AU"},
		{"name matches, label is missing", Rule{Name: "hits", Label: "ip", Lookup: &Lookup{}, Drop: []string{"ip"}}, collector.Sample{Name: "hits"}, ""},
		{"the label's name, another metric", Rule{Name: "hits", Label: "ip"}, collector.Sample{Name: "miss", Labels: pairs("ip", "1.1.1.1")}, ""},
		{"all attributes", Rule{Label: "ip", Lookup: &Lookup{As: "source", Add: []string{"as.organization.name", "geo.country.iso_code", "geo.locality.name"}}}, collector.Sample{Name: "x", Labels: pairs("ip", "81.2.69.1")}, "x ip=81.2.69.1 source.as.organization.name=Org GB source.geo.country.iso_code=GB"},
		{"the application knows better", Rule{Label: "ip", Lookup: &Lookup{}, Drop: []string{"ip"}}, collector.Sample{Name: "x", Labels: pairs("client.as.number", "1", "ip", "8.8.8.8")}, "x client.as.number=1 client.geo.country.iso_code=US"},
		{"with a port", Rule{Label: "ip", Lookup: &Lookup{}, Drop: []string{"ip"}}, collector.Sample{Name: "x", Labels: pairs("ip", "8.8.8.8:443")}, "x client.as.number=15169 client.geo.country.iso_code=US"},
		{"dots turned to underscores", Rule{Name: `h\.(?P<ip>[0-9_]+)\.n`, Lookup: &Lookup{From: "ip"}, Drop: []string{"ip"}}, collector.Sample{Name: "h.8_8_8_8.n"}, "h.n client.as.number=15169 client.geo.country.iso_code=US"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := tc.rule.compile()
			if err != nil {
				t.Fatal(err)
			}
			name, ls, ok := r.apply(&tc.sample, db)
			if got := text(name, ls); ok != (tc.want != "") || ok && got != tc.want {
				t.Fatalf("got %q %v, want %q", got, ok, tc.want)
			}
			if ok && !r.may(&tc.sample) {
				t.Fatal("may says that it cannot fit")
			}
		})
	}
}

func TestRuleFaults(t *testing.T) {
	for _, tc := range []struct {
		rule Rule
		want string
	}{
		{Rule{}, "neither name nor label"},
		{Rule{Name: "("}, "missing closing"},
		{Rule{Name: "a(?P<ip>.+)", Lookup: &Lookup{From: "pi"}}, `"pi" is no group of name; it has ip`},
		{Rule{Name: "a(?P<ip>.+)", Lookup: &Lookup{}}, "lookup.from is missing"},
		{Rule{Label: "ip", Lookup: &Lookup{Add: []string{"geo.town"}}}, `"geo.town" is no attribute`},
		{Rule{Label: "ip", Counter: true}, "counter without drop"},
		{Rule{Label: "ip", Drop: []string{""}}, "empty name"},
	} {
		if _, err := tc.rule.compile(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.rule, err, tc.want)
		}
	}
}

func TestLiteralPrefix(t *testing.T) {
	for _, tc := range []struct{ expr, want string }{
		{`^http/(?P<ip>.+)/x$`, "http/"}, {`http/.*`, "http/"}, {`abc`, "abc"}, {`(abc)d.`, "abcd"}, {`(?i)abc`, ""}, {`a|b`, ""}, {`ab*`, "a"}, {`.*x`, ""}, {`(`, ""}, {`a?b`, ""},
		{`^(?P<svc>web|api)/x`, ""}, {`http_(?:get|put)`, "http_"},
	} {
		if got := literalPrefix(tc.expr); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.expr, got, tc.want)
		}
	}
}

func TestParseAddr(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"1.2.3.4", "1.2.3.4"}, {"1.2.3.4:80", "1.2.3.4"}, {"2001:db8::1", "2001:db8::1"}, {"[2001:db8::1]", "2001:db8::1"}, {"[2001:db8::1]:80", "2001:db8::1"},
		{"1_2_3_4", "1.2.3.4"}, {"1-2-3-4", "1.2.3.4"}, {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
		{"", ""}, {"1.2.3", ""}, {"1.2.3.400", ""}, {"host", ""}, {"a_b_c_d", ""}, {"[1.2.3.4", ""}, {"01.2.3.4", ""}, {strings.Repeat("1", 100), ""},
	} {
		a, ok := ParseAddr(tc.in)
		if ok != (tc.want != "") || ok && a != netip.MustParseAddr(tc.want) {
			t.Errorf("%q: %v %v, want %q", tc.in, a, ok, tc.want)
		}
	}
}

func FuzzRuleApply(f *testing.F) {
	f.Add(`^http/(?P<client_ip>[0-9a-f.:]+)/(?P<name>.+)$`, "http/8.8.8.8/errors", "v")
	f.Add(`a/(?P<x>[^/]*)/(?P<y>.*)`, "a/1/2", "")
	f.Add(`(?P<x>(?P<y>a)b)c`, "abc", "\xff")
	f.Fuzz(func(t *testing.T, expr, name, value string) {
		r, err := Rule{Name: expr, Drop: []string{"x"}}.compile()
		if err != nil {
			return
		}
		s := collector.Sample{Name: name, Labels: pairs("l", value)}
		n, ls, ok := r.apply(&s, nil)
		if !ok {
			if r.re.MatchString(name) {
				t.Fatalf("%q fits %q, but may says no: prefix %q", name, expr, r.prefix)
			}
			return
		}
		if n == "" && name != "" && r.rename < 0 {
			t.Fatal("the name is gone")
		}
		for i := range ls {
			if ls[i].Value == "" || ls[i].Name == "x" || i > 0 && ls[i-1].Name >= ls[i].Name {
				t.Fatalf("labels %v", ls)
			}
		}
	})
}
