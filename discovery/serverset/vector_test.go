package serverset

import (
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/discovery"
)

func TestVectors(t *testing.T) {
	shard := 3
	fin := func(member, host string, port uint16, s *int) string {
		m := FinagleMember{ServiceEndpoint: FinagleEndpoint{host, port}, AdditionalEndpoints: map[string]FinagleEndpoint{"http": {host, 8080}}, Shard: s}
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, tc := range []struct {
		name, member, data string
		vectors            []string
		want               string // weight priority filtered
	}{
		{"none", "member_0000000001", fin("", "10.0.0.1", 80, nil), nil, "  "},
		{"by member", "member_0000000001", fin("", "10.0.0.1", 80, nil), []string{`{"vector":[{"select":"member=member_0000000001","weight":1.2,"priority":2}]}`}, "1.2 2 "},
		{"another member", "member_0000000002", fin("", "10.0.0.1", 80, nil), []string{`{"vector":[{"select":"member=member_0000000001","weight":1.2,"priority":2}]}`}, "  "},
		{"by address", "member_0000000001", fin("", "10.0.0.1", 80, nil), []string{`{"vector":[{"select":"inet=10.0.0.1:80","weight":0.5}]}`}, "0.5 1 "},
		{"by the address of another endpoint", "member_0000000001", fin("", "10.0.0.1", 80, nil), []string{`{"vector":[{"select":"inet=10.0.0.1:8080","weight":0.5}]}`}, "0.5 1 "},
		{"by shard", "member_0000000001", fin("", "10.0.0.1", 80, &shard), []string{`{"vector":[{"select":"shard=3","weight":2,"priority":1}]}`}, "2 1 "},
		{"several", "member_0000000001", fin("", "10.0.0.1", 80, &shard), []string{`{"vector":[{"select":"shard=3","weight":2},{"select":"inet=10.0.0.1:80","weight":3,"priority":5}]}`, `{"vector":[{"select":"shard=3","weight":0.5}]}`}, "3 5 "},
		{"filtered out", "member_0000000001", fin("", "10.0.0.1", 80, nil), []string{`{"vector":[{"select":"member=member_0000000001","weight":-1.0,"priority":1}]}`}, "-1 1 true"},
		{"filtered out twice", "member_0000000001", fin("", "10.0.0.1", 80, nil), []string{`{"vector":[{"select":"member=member_0000000001","weight":-1}]}`, `{"vector":[{"select":"inet=10.0.0.1:80","weight":-1}]}`}, "-1 1 true"},
		{"nobody's selector", "member_0000000001", fin("", "10.0.0.1", 80, nil), []string{`{"vector":[{"select":"zone=a","weight":2},{"weight":7},{"select":"shard=x","weight":2},{"select":5}]}`}, "  "},
	} {
		var vs []Vector
		for _, v := range tc.vectors {
			p, err := ParseVector([]byte(v))
			if err != nil {
				t.Fatal(err)
			}
			vs = append(vs, p)
		}
		m := Options{Endpoint: "http"}.Decode(Place{"/p", "s", "e"}, tc.member, []byte(tc.data))
		plain := m.Instance
		got := func(i *discovery.Instance, get func(*discovery.Instance, string) string) string {
			return get(i, "weight") + " " + get(i, "priority") + " " + get(i, "filtered")
		}
		tag := func(i *discovery.Instance, k string) string { return i.Tags.Get("serverset." + k) }
		label := func(i *discovery.Instance, k string) string { return i.Meta.Get("__meta_serverset_" + k) }
		for range 2 { // again is the same
			WeightsOf(vs...).Apply(&m.Instance)
			if a, b := got(&m.Instance, tag), got(&m.Instance, label); a != tc.want || b != tc.want {
				t.Errorf("%s: tags %q, labels %q, want %q", tc.name, a, b, tc.want)
			}
		}
		if (*Weights)(nil).Apply(&m.Instance); m.Instance != plain {
			t.Errorf("%s: without vectors\n got %+v\nwant %+v", tc.name, m.Instance, plain)
		}
	}
	for _, bad := range []string{"", "x", "[]", `{"vector":7}`, strings.Repeat(" ", MaxVector+1)} {
		if _, err := ParseVector([]byte(bad)); err == nil {
			t.Errorf("%.20q was taken", bad)
		}
	}
	kingpin := Options{}.Decode(Place{"/p", "s", "e"}, uuid+"-10.0.0.1:80", nil)
	was := kingpin.Instance
	if WeightsOf(Vector{[]Descriptor{{"inet=10.0.0.1:80", 2, 1}}}).Apply(&kingpin.Instance); kingpin.Instance != was {
		t.Errorf("weights are Finagle's own: %+v", kingpin.Instance)
	}
}

func TestHeld(t *testing.T) {
	for _, tc := range []struct {
		name, member, data string
		owner              int64
		persistent         string
		want               int64
	}{
		{"ephemeral", uuid + "-h:80", "", 0x5a10000002f, "", 0x5a10000002f},
		{"persistent", uuid + "-h:80", "", 0, "true", 0},
		{"a container", uuid + "-h:80", "", containerOwner, "true", 0},
		{"with a time to live", uuid + "-h:80", "", -0xffffffffff_ffff, "true", 0},
		{"of a server with a high number", uuid + "-h:80", "", -0x7f_ffffffffff_ffff, "", -0x7f_ffffffffff_ffff},
		{"Curator's, for ever", "a1", `{"address":"10.0.0.4","port":80,"serviceType":"PERMANENT"}`, 0, "", 0},
		{"Curator's, of a process", "a1", curator, 0, "true", 0},
		{"broken", "member_1", "", 0, "", 0},
	} {
		m := Options{}.Decode(Place{"/p", "s", "e"}, tc.member, []byte(tc.data))
		Held(&m.Instance, tc.owner)
		if a, b := m.Tags.Get(TagPersistent), m.Meta.Get("__meta_serverset_persistent"); a != tc.persistent || b != tc.persistent || m.Owner != tc.want {
			t.Errorf("%s: tag %q, label %q, owner %x", tc.name, a, b, m.Owner)
		}
	}
}

func FuzzParseVector(f *testing.F) {
	f.Add([]byte(`{"vector":[{"select":"member=member_1","weight":1.2,"priority":1},{"select":"inet=h:1","weight":-1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := ParseVector(data)
		if err != nil {
			return
		}
		b, err := v.Encode()
		if err != nil {
			t.Fatal(err) // JSON has no number that JSON cannot write
		}
		if again, err := ParseVector(b); err != nil || len(again.Vector) != len(v.Vector) {
			t.Errorf("%q: %v, %v", data, again, err)
		}
		WeightsOf(v)
	})
}
