package serverset

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/discovery"
)

func TestMetadataEncode(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    Metadata
		want string // JSON, or a part of the error after a !
	}{
		{"empty", Metadata{}, `{"v":1}`},
		{"whole", Metadata{Version: "1.42.0", Zone: "us-east-1c", Region: "us-east-1", Track: "canary", Host: "ip-10-0-0-5", Owner: "payments",
			Tags: map[string]string{"rack": "r7", "cell": "<a&b>"}, StatsPort: 9990, StatsPath: "/admin/metrics.json", Scheme: "https", Status: "failing", Shard: new(0), Expected: 40},
			`{"v":1,"version":"1.42.0","zone":"us-east-1c","region":"us-east-1","track":"canary","host":"ip-10-0-0-5","owner":"payments","tags":{"cell":"<a&b>","rack":"r7"},"stats_port":9990,"stats_path":"/admin/metrics.json","scheme":"https","status":"failing","shard":0,"expected":40}`},
		{"scheme", Metadata{Scheme: "ftp"}, `!neither http nor https`},
		{"path", Metadata{StatsPath: "stats"}, `!does not begin with one /`},
		{"host in path", Metadata{StatsPath: "//evil/x"}, `!does not begin with one /`},
		{"line in path", Metadata{StatsPath: "/a b"}, `!control character`},
		{"shard", Metadata{Shard: new(-1)}, `!is not within 0`},
		{"expected", Metadata{Expected: -1}, `!expected -1 is not within`},
		{"long tag", Metadata{Tags: map[string]string{"a": strings.Repeat("x", MaxTagValue+1)}}, `!is longer than`},
	} {
		got, err := tc.m.Encode()
		if part, bad := strings.CutPrefix(tc.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %v, want one with %q", tc.name, err, part)
			}
		} else if err != nil || string(got) != tc.want {
			t.Errorf("%s:\n got %s %v\nwant %s", tc.name, got, err, tc.want)
		}
	}
}

func TestMetadataDecode(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		ok         bool
		want       Metadata
	}{
		{"empty", "", false, Metadata{}},
		{"what KingPin writes", "10.0.0.5:8001", false, Metadata{}},
		{"text", "hello", false, Metadata{}},
		{"array", "[1]", false, Metadata{}},
		{"broken", `{"version":"1`, false, Metadata{}},
		{"ours", `{"v":1,"version":"1","shard":0}`, true, Metadata{Version: "1", Shard: new(0)}},
		{"by hand", ` {"version":"1"} `, true, Metadata{Version: "1"}},
		{"a later meaning", `{"v":2,"version":"1"}`, false, Metadata{}},
		{"unknown fields", `{"v":1,"weight":3,"zone":"a"}`, true, Metadata{Zone: "a"}},
		{"a wrong type costs its field", `{"version":1.5,"zone":"a","shard":"x","stats_port":70000,"owner":"b"}`, true, Metadata{Zone: "a", Owner: "b"}},
		{"scheme", `{"scheme":"gopher"}`, true, Metadata{}},
		{"path", `{"stats_path":"http://evil/"}`, true, Metadata{}},
		{"negative shard", `{"shard":-4}`, true, Metadata{}},
		{"expected", `{"expected":40}`, true, Metadata{Expected: 40}},
		{"more than anybody has", `{"expected":99999999999}`, true, Metadata{}},
	} {
		m, ok := DecodeMetadata([]byte(tc.data))
		if d := cmp.Diff(tc.want, m); d != "" || ok != tc.ok {
			t.Errorf("%s: ok %v, want %v; %s", tc.name, ok, tc.ok, d)
		}
	}
}

func TestMetadataApply(t *testing.T) {
	i := discovery.Instance{Shard: discovery.NoShard, Tags: discovery.TagsOf(map[string]string{"team": "core", "rack": "r1"}), Status: "up"}
	m := Metadata{Version: "2", Tags: map[string]string{"version": "1", "az": "a", "cloud.availability_zone": "b", "x": ""}, StatsPort: 81, Shard: new(3)}
	m.Apply(&i)
	want := discovery.Instance{Shard: 3, StatsPort: 81, Status: "up",
		Tags: discovery.TagsOf(map[string]string{"team": "core", "rack": "r1", "service.version": "2", "cloud.availability_zone": "b"})}
	if i.Tags != want.Tags || i.Shard != want.Shard || i.StatsPort != want.StatsPort || i.Status != want.Status {
		t.Errorf("got %+v %v", i, i.Tags.Map())
	}
}

func TestTagLimits(t *testing.T) {
	m := Metadata{Tags: map[string]string{}}
	for i := range MaxTags + 5 {
		m.Tags[strings.Repeat("a", i+1)] = "v"
	}
	m.Tags["long"] = strings.Repeat("x", MaxTagValue+1)
	tags, left := m.TagMap()
	if len(tags) != MaxTags || left != 6 {
		t.Errorf("%d tags, %d left out; want %d and 6", len(tags), left, MaxTags)
	}
}

// anyMetadata draws metadata that Encode takes.
func anyMetadata(t *rapid.T) Metadata {
	word := rapid.StringMatching(`[a-zA-Z0-9 .<>&"ü-]{0,12}`)
	m := Metadata{
		Version: word.Draw(t, "version"), Zone: word.Draw(t, "zone"), Region: word.Draw(t, "region"), Track: word.Draw(t, "track"),
		Host: word.Draw(t, "host"), Owner: word.Draw(t, "owner"), Status: word.Draw(t, "status"),
		StatsPort: rapid.Uint16().Draw(t, "port"), StatsPath: rapid.StringMatching(`(/[a-z.]{1,8}){0,3}`).Draw(t, "path"),
		Scheme: rapid.SampledFrom([]string{"", "http", "https"}).Draw(t, "scheme"),
	}
	if tags := rapid.MapOfN(rapid.StringMatching(`[a-z.]{1,10}`), word, 0, 5).Draw(t, "tags"); len(tags) > 0 {
		m.Tags = tags
	}
	if n := rapid.IntRange(-1, 100).Draw(t, "shard"); n >= 0 {
		m.Shard = &n
	}
	return m
}

func TestMetadataRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMetadata(t)
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, ok := DecodeMetadata(b)
		if d := cmp.Diff(m, got); d != "" || !ok {
			t.Fatalf("%v %s", ok, d)
		}
	})
}
