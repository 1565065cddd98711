package serverset

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/discovery"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	uuid    = "0f9b2c4d5e6f40718293a4b5c6d7e8f9"
	finagle = `{"status":"ALIVE","additionalEndpoints":{"aurora":{"host":"10.0.0.1","port":31863},"http-admin":{"host":"10.0.0.3","port":31990}},"serviceEndpoint":{"host":"10.0.0.3","port":31623},"shard":0,"metadata":{"version":"1.2","k":"v"}}`
	nerve   = `{"host":"172.21.109.224","port":26009,"name":"i-0d57a330549559dd4","labels":{"region":"us-east-1","az":"us-east-1e"},"weight":3}`
	curator = `{"name":"payment","id":"4455f707-3f4d-4d2e-9a4c-1d2e3f4a5b6c","address":"10.0.0.4","port":8004,"sslPort":null,"payload":{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance","id":"application-1","name":"payment","metadata":{"instance_status":"UP","version":"7"}},"registrationTimeUTC":1601380498720,"serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},{"value":"address","variable":true},{"value":":","variable":false},{"value":"port","variable":true}]}}`
)

// decodeCases are members as they stand in the field, and as they should not.
var decodeCases = []struct {
	name   string
	o      Options
	member string
	data   string
}{
	{"kingpin, data as KingPin writes it", Options{}, uuid + "-10.0.0.5:8001", "10.0.0.5:8001"},
	{"kingpin, no data", Options{}, uuid + "-10.0.0.5:8001", ""},
	{"kingpin, our metadata", Options{}, uuid + "-10.0.0.5:8001", `{"v":1,"version":"1.42.0","zone":"us-east-1c","track":"canary","host":"ip-10-0-0-5","owner":"payments","tags":{"rack":"r7"},"stats_port":9990,"stats_path":"/admin/metrics.json","scheme":"https","status":"failing","shard":3}`},
	{"kingpin, DNS name with dashes", Options{}, uuid + "-ip-10-0-0-5.ec2.internal:80", ""},
	{"kingpin, IPv6", Options{}, uuid + "-[2001:db8::5]:80", "x"},
	{"kingpin, data foreign JSON", Options{}, uuid + "-h:80", `{"a":[1,2`},
	{"kingpin, name made by hand", Options{}, "web1-10.0.0.5:80", ""},
	{"kingpin, port out of range", Options{}, uuid + "-10.0.0.5:99999", ""},
	{"kingpin, host no host", Options{Format: KingPin}, uuid + "-evil host/../:80", ""},
	{"kingpin pinned, no dash", Options{Format: KingPin}, "10.0.0.5:80", ""},
	{"kingpin, data over the limit", Options{}, uuid + "-10.0.0.5:80", strings.Repeat("x", MaxData+1)},
	{"kingpin, what the serverset's node says", Options{Defaults: &Metadata{Owner: "core", Tags: map[string]string{"rack": "r1"}, StatsPort: 81, Status: "x", Shard: new(4)}}, uuid + "-10.0.0.5:80", `{"owner":"payments"}`},
	{"kingpin, an expected count", Options{Defaults: &Metadata{Expected: 40}}, uuid + "-10.0.0.5:80", `{"expected":20}`},
	{"kingpin, the set's expected count", Options{Defaults: &Metadata{Expected: 40}}, uuid + "-10.0.0.5:80", ""},
	{"finagle", Options{}, "member_0000000149", finagle},
	{"finagle, told by data", Options{}, "whatever", finagle},
	{"finagle, an additional endpoint", Options{Endpoint: "http-admin"}, "member_0000000149", finagle},
	{"finagle, an additional endpoint elsewhere", Options{Endpoint: "aurora"}, "member_0000000149", finagle},
	{"finagle, no such endpoint", Options{Endpoint: "health"}, "member_0000000149", finagle},
	{"finagle, the first of several endpoints that it has", Options{Endpoint: "admin, http-admin,aurora"}, "member_0000000149", finagle},
	{"finagle, none of several endpoints", Options{Endpoint: "admin,health"}, "member_0000000149", finagle},
	{"finagle, as twitter.common writes it", Options{}, "member_0000000150", `{"status":"ALIVE","serviceEndpoint":{"host":"smf1-a.example","port":31200,"inet":"10.1.2.3","inet6":"2001:db8::3"},"additionalEndpoints":{},"shard":12,"member_id":149}`},
	{"finagle, an endpoint that is long", Options{}, "member_0000000151", `{"serviceEndpoint":{"host":"h","port":1,"inet":"` + strings.Repeat("1", 2*MaxTagValue) + `"}}`},
	{"finagle, least", Options{}, "member_0000000001", `{"serviceEndpoint":{"host":"h","port":1}}`},
	{"finagle, nulls", Options{}, "member_0000000001", `{"serviceEndpoint":{"host":"h","port":1},"additionalEndpoints":null,"shard":null,"metadata":null,"status":null}`},
	{"finagle, inet6 and member_id", Options{}, "member_0000000001", `{"serviceEndpoint":{"host":"h","port":1,"inet6":"::1"},"member_id":7,"metadata":{"n":1,"b":true,"o":{}}}`},
	{"finagle, thrift", Options{}, "member_0000000002", "\x0c\x00\x01\x0b\x00\x01\x00\x00\x00\x01h\x08\x00\x02\x00\x00\x00\x50\x00\x00"},
	{"finagle, broken JSON", Options{}, "member_0000000003", `{"serviceEndpoint":{"host":"h",`},
	{"finagle, no data", Options{}, "member_0000000003", ""},
	{"finagle, no endpoint", Options{}, "member_0000000003", `{"status":"ALIVE"}`},
	{"finagle, port 0", Options{}, "member_0000000003", `{"serviceEndpoint":{"host":"h","port":0}}`},
	{"finagle, port a word", Options{}, "member_0000000003", `{"serviceEndpoint":{"host":"h","port":"x"}}`},
	{"finagle, host a number", Options{}, "member_0000000003", `{"serviceEndpoint":{"host":5,"port":1}}`},
	{"nerve", Options{}, "i-0d57a330549559dd4_0000000012", nerve},
	{"nerve, base64", Options{}, "base64_72_eyJob3N0IjoiMTcyLjIxLjEwOS4yMjQiLCJwb3J0IjoyNjAwOSwibmFtZSI6ImktMGQ1NyJ9_0000000003", ""},
	{"nerve, base64 of a wrong length", Options{}, "base64_99_eyJo_0000000003", ""},
	{"nerve, base64 of rubbish", Options{}, "base64_4_!!!!_0000000003", ""},
	{"nerve pinned, no data", Options{Format: Nerve}, "i-0d_0000000003", ""},
	{"nerve, what HAProxy is to make of it", Options{}, "i-0d_0000000004", `{"host":"10.0.0.7","port":80,"name":"i-0d","weight":10,"haproxy_server_options":"on-marked-down shutdown-sessions"}`},
	{"nerve, port a string", Options{}, "x_0000000003", `{"host":"h","port":"80"}`},
	{"curator", Options{}, "4455f707-3f4d-4d2e-9a4c-1d2e3f4a5b6c", curator},
	{"curator, https, disabled", Options{}, "a1", `{"name":"p","id":"a1","address":"10.0.0.4","port":80,"sslPort":443,"payload":null,"serviceType":"STATIC","enabled":false}`},
	{"curator, uriSpec of https", Options{}, "a1", `{"name":"p","id":"a1","address":"10.0.0.4","port":8443,"payload":"x","serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"https://","variable":false}]}}`},
	{"curator, as Spring writes it with TLS", Options{}, "a2", `{"name":"p","id":"a2","address":"p1.example","port":8080,"sslPort":8443,"payload":{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance","id":"p","name":"p","metadata":{"instance_status":"OUT_OF_SERVICE","zone":"eu-1a"}},"registrationTimeUTC":1,"serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},{"value":"address","variable":true},{"value":":","variable":false},{"value":"ssl-port","variable":true}]}}`},
	{"curator, a uriSpec of its own", Options{}, "a3", `{"name":"p","id":"a3","address":"10.0.0.4","port":null,"sslPort":null,"payload":null,"registrationTimeUTC":17,"serviceType":"PERMANENT","uriSpec":{"parts":[{"value":"HTTPS://","variable":false},{"value":"address","variable":true},{"value":":9443/","variable":false},{"value":"name","variable":true},{"value":"/","variable":false},{"value":"id","variable":true},{"value":"?at=","variable":false},{"value":"registration-time-utc","variable":true},{"value":"nobody-knows","variable":true}]}}`},
	{"curator, a uriSpec that leads elsewhere", Options{}, "a4", `{"name":"p","id":"a4","address":"10.0.0.4","serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"http://169.254.169.254:80/","variable":false}]}}`},
	{"curator, a payload of another kind", Options{}, "a5", `{"name":"p","id":"a5","address":"10.0.0.4","port":80,"payload":{"@class":"x.Y","version":"3","weight":2,"on":true,"deep":{"a":1},"list":[1]},"serviceType":"DYNAMIC"}`},
	{"curator, enabled", Options{}, "a6", `{"name":"p","id":"a6","address":"10.0.0.4","port":80,"serviceType":"DYNAMIC_SEQUENTIAL","enabled":true}`},
	{"curator, no port", Options{}, "a1", `{"address":"10.0.0.4","serviceType":"DYNAMIC"}`},
	{"Kafka's", Options{}, "1", `{"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://k1:9092"],"jmx_port":-1,"features":{},"host":"k1","timestamp":"1764000000123","port":9092,"version":5}`},
	{"nobody's", Options{}, "notes", "call Bob"},
	{"nobody's, JSON", Options{}, "notes", `{"a":1}`},
	{"name over the limit", Options{}, strings.Repeat("n", MaxName+1), ""},
}

func TestDecodeGolden(t *testing.T) {
	var got bytes.Buffer
	e := json.NewEncoder(&got)
	e.SetEscapeHTML(false)
	for _, tc := range decodeCases {
		m := tc.o.Decode(Place{"/s/checkout/prod", "checkout", "prod"}, tc.member, []byte(tc.data))
		line := struct {
			Case   string
			Err    string `json:",omitempty"`
			Member discovery.Instance
		}{Case: tc.name, Member: m.Instance}
		if m.Err != nil {
			line.Err = m.Err.Error()
		}
		if err := e.Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	const file = "testdata/members.golden"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); d != "" {
		t.Error(d)
	}
}

func TestIgnored(t *testing.T) {
	for _, tc := range []struct {
		o    Options
		name string
		want bool
	}{
		{Options{}, "vector_0000000001", true},
		{Options{}, "checkout.lock", true},
		{Options{}, "6f1c__lock__0000000001", true},
		{Options{}, "zookeeper", true},
		{Options{}, "member_0000000001", false},
		{Options{}, uuid + "-h:80", false},
		{Options{}, "notes", false},
		{Options{Format: Finagle}, "notes", true},
	} {
		if got := tc.o.Ignored(tc.name); got != tc.want {
			t.Errorf("%q, format %q: %v", tc.name, tc.o.Format, got)
		}
	}
	if err := (Options{Format: "thrift"}).Validate(); err == nil {
		t.Error("an unknown format was taken")
	}
}

var (
	anyHost = rapid.OneOf(rapid.StringMatching(`10\.[0-9]\.[0-9]{1,2}\.[1-9]`), rapid.StringMatching(`[a-z][a-z0-9-]{0,10}[a-z]\.example`), rapid.StringMatching(`2001:db8::[1-9a-f]{1,4}`))
	anyPort = rapid.Uint16Min(1)
	anyTags = rapid.MapOfN(rapid.StringMatching(`[a-z_.]{1,9}x`), rapid.StringMatching(`[a-zA-Z0-9 <>"ü]{1,9}`), 1, 4) // the x keeps them off the short names
)

func TestKingPinRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host, port, md := anyHost.Draw(t, "host"), anyPort.Draw(t, "port"), anyMetadata(t)
		data, err := md.Encode()
		if err != nil {
			t.Fatal(err)
		}
		m := Options{}.Decode(Place{"/p", "s", "e"}, NewKingPinName(host, port), data)
		want := discovery.Instance{Key: discovery.Key{Service: "s", Env: "e", Host: host, Port: port}, Path: "/p", Member: m.Member, Format: "kingpin", Shard: discovery.NoShard, Meta: m.Meta}
		md.Apply(&want)
		if m.Err != nil || m.Instance != want {
			t.Fatalf("%v\n got %+v\nwant %+v", m.Err, m.Instance, want)
		}
	})
}

func TestFinagleRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := FinagleMember{Status: rapid.SampledFrom([]string{"", "DEAD", "STARTING", "ALIVE"}).Draw(t, "status"), Metadata: anyTags.Draw(t, "metadata"),
			ServiceEndpoint:     FinagleEndpoint{anyHost.Draw(t, "host"), anyPort.Draw(t, "port")},
			AdditionalEndpoints: map[string]FinagleEndpoint{"admin": {"h", 7}}, Shard: new(rapid.IntRange(0, 9).Draw(t, "shard"))}
		data, err := f.Encode()
		if err != nil {
			t.Fatal(err)
		}
		m := Options{}.Decode(Place{"/p", "s", "e"}, FinagleName+"0000000001", data)
		if f.Status == "" {
			f.Status = "ALIVE"
		}
		if m.Err != nil || m.Host != f.ServiceEndpoint.Host || m.Port != f.ServiceEndpoint.Port || m.Status != f.Status || int(m.Shard) != *f.Shard || m.Tags != discovery.TagsOf(f.Metadata) {
			t.Fatalf("%v %+v of %s", m.Err, m.Instance, data)
		}
	})
}

func TestNerveRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := NerveMember{Host: anyHost.Draw(t, "host"), Port: anyPort.Draw(t, "port"), Name: "i-1", Labels: anyTags.Draw(t, "labels")}
		data, err := n.Encode()
		if err != nil {
			t.Fatal(err)
		}
		name, err := n.Base64Name()
		if err != nil {
			t.Fatal(err)
		}
		o := Options{}
		plain, packed := o.Decode(Place{"/p", "s", "e"}, "i-1_0000000004", data), o.Decode(Place{"/p", "s", "e"}, name+"0000000004", nil)
		packed.Member, packed.Meta = plain.Member, plain.Meta // both have the name in them
		if plain.Err != nil || plain.Host != n.Host || plain.Port != n.Port || plain.Tags != discovery.TagsOf(n.Labels) || packed != plain {
			t.Fatalf("%+v\n%+v of %s", plain, packed, data)
		}
	})
}

func TestCuratorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := CuratorMember{Name: "pay", ID: "1", Address: anyHost.Draw(t, "host"), Port: anyPort.Draw(t, "port"), Payload: &CuratorPayload{ID: "a", Name: "pay", Metadata: anyTags.Draw(t, "metadata")}}
		port, scheme := c.Port, ""
		if rapid.Bool().Draw(t, "ssl") {
			c.SSLPort = anyPort.Draw(t, "sslPort")
			port, scheme = c.SSLPort, "https"
		}
		data, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		m := Options{}.Decode(Place{"/p", "s", "e"}, "1", data)
		if m.Err != nil || m.Host != c.Address || m.Port != port || m.Scheme != scheme || m.Tags != discovery.TagsOf(c.Payload.Metadata) {
			t.Fatalf("%v %+v of %s", m.Err, m.Instance, data)
		}
	})
}

func TestEncodeRefuses(t *testing.T) {
	if _, err := (&FinagleMember{}).Encode(); err == nil {
		t.Error("a finagle member without an endpoint was encoded")
	}
	if _, err := (&NerveMember{Host: "h"}).Base64Name(); err == nil {
		t.Error("a nerve member without a port was encoded")
	}
	if _, err := (&CuratorMember{Port: 1}).Encode(); err == nil {
		t.Error("a curator member without an address was encoded")
	}
}

func FuzzDecode(f *testing.F) {
	for _, tc := range decodeCases {
		if len(tc.data) < 1000 && len(tc.member) < 1000 {
			f.Add(tc.member, []byte(tc.data))
		}
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		for _, format := range []Format{"", KingPin, Finagle, Nerve, Curator} {
			o := Options{Format: format}
			m := o.Decode(Place{"/p", "s", "e"}, name, data)
			if m.Err != nil {
				if m.Err.Error() == "" || m.Host != "" || m.Path != "/p" || m.Service != "s" {
					t.Fatalf("unparsable: %+v", m)
				}
				continue
			}
			if m.Host == "" || m.Port == 0 || m.Format == "" || m.Member != name || checkHost(m.Host) != nil || m.Shard < discovery.NoShard || m.Tags.Len() > MaxTags {
				t.Fatalf("%+v", m)
			}
			if h, p, err := discovery.SplitAddr(m.Addr()); err != nil || h != m.Host || p != m.Port {
				t.Fatalf("%q is no address: %v", m.Addr(), err)
			}
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"v":1,"version":"1","tags":{"a":"b"},"shard":3,"stats_port":1,"stats_path":"/x"}`))
	f.Add([]byte(`{"shard":"x","tags":[1]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, ok := DecodeMetadata(data)
		if !ok {
			return
		}
		b, err := m.Encode()
		if err != nil {
			return // over a limit: readers leave such tags out
		}
		again, ok := DecodeMetadata(b)
		if x, y := (discovery.Instance{}), (discovery.Instance{}); ok {
			m.Apply(&x)
			again.Apply(&y)
			if !x.Same(&y) {
				t.Fatalf("%s\n%+v\n%+v", b, x, y)
			}
		} else {
			t.Fatalf("not read again: %s", b)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, tc := range decodeCases {
		switch tc.name {
		case "kingpin, data as KingPin writes it", "kingpin, our metadata", "finagle", "nerve", "nerve, base64", "curator":
		default:
			continue
		}
		b.Run(strings.ReplaceAll(tc.name, ",", ""), func(b *testing.B) {
			data := []byte(tc.data)
			b.SetBytes(int64(len(data) + len(tc.member)))
			b.ReportAllocs()
			for b.Loop() {
				if m := (Options{}).Decode(Place{"/s/checkout/prod", "checkout", "prod"}, tc.member, data); m.Err != nil {
					b.Fatal(m.Err)
				}
			}
		})
	}
}
