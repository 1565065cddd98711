package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink"
)

func genChange(t *rapid.T, service, env string) discovery.Change {
	when := func(label string) time.Time {
		if ms := rapid.Int64Range(0, 1<<42).Draw(t, label); ms > 1000 {
			return time.UnixMilli(ms)
		}
		return time.Time{}
	}
	states := rapid.SampledFrom([]discovery.State{discovery.Present, discovery.Unconfirmed, discovery.Departed, discovery.Unparsable, discovery.Filtered})
	c := discovery.Change{Entry: discovery.Entry{Instance: genInstance(t), State: states.Draw(t, "state"), Reason: genText.Draw(t, "reason"),
		Since: when("since"), Joined: when("joined"), Verified: when("verified")}, At: when("at")}
	if rapid.Bool().Draw(t, "known") {
		c.Was = states.Draw(t, "was")
	}
	if c.State == discovery.Departed {
		c.Cause = rapid.SampledFrom([]discovery.Cause{"", discovery.Deregistered, discovery.Expired, discovery.Moved, discovery.Dead}).Draw(t, "cause")
		c.Excuse = genText.Draw(t, "excuse")
	}
	c.Flaps, c.Seen = rapid.IntRange(0, 1000).Draw(t, "flaps"), rapid.Int64().Draw(t, "seen")
	if rapid.Bool().Draw(t, "changed") {
		c.OldTags = genInstance(t).Tags
	}
	c.Service, c.Env = service, env
	c.Path, c.Member, c.Format, c.Status = genText.Draw(t, "path"), genText.Draw(t, "member"), "kingpin", genText.Draw(t, "status")
	c.Scheme, c.StatsPath, c.StatsPort = "https", genText.Draw(t, "stats path"), rapid.Uint16().Draw(t, "stats port")
	c.StatsHost = genText.Draw(t, "stats host")
	if c.State == discovery.Unparsable {
		c.Host, c.Port = "", 0
	}
	return c
}

func genRoster(t *rapid.T) RosterRecord {
	r := RosterRecord{Collector: rapid.Uint64().Draw(t, "collector"), Start: rapid.Uint64Min(1).Draw(t, "start"), TS: rapid.Int64Range(1, 1<<42).Draw(t, "ts"),
		Service: genName.Draw(t, "service"), Env: genText.Draw(t, "env"), Full: rapid.Bool().Draw(t, "full"), Version: uint64(rapid.Int64Min(0).Draw(t, "version")),
		Term: rapid.Uint64().Draw(t, "term")}
	for range rapid.IntRange(0, 20).Draw(t, "changes") {
		r.Changes = append(r.Changes, genChange(t, r.Service, r.Env))
	}
	return r
}

var sameRoster = cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b discovery.Tags) bool { return a == b })}

func TestRosterBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRoster(t)
		b := r.Append(nil)
		if !json.Valid(b) {
			t.Fatalf("not JSON: %s", b)
		}
		var got RosterRecord
		if err := DecodeRoster(b, &got); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if d := cmp.Diff(r, got, sameRoster); d != "" {
			t.Fatalf("%s\n%s", d, b)
		}
	})
}

func TestSplitRoster(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRoster(t)
		limit := rapid.IntRange(1500, 4000).Draw(t, "limit")
		var all []discovery.Change
		n, parts := 0, 0
		SplitRoster(r, limit, func(b []byte) {
			var got RosterRecord
			if err := DecodeRoster(b, &got); err != nil || len(b) > limit {
				t.Fatalf("%d bytes: %v", len(b), err)
			}
			n, parts = n+1, got.Parts
			if got.Parts > 0 && got.Part != n {
				t.Fatalf("part %d came as number %d", got.Part, n)
			}
			all = append(all, got.Changes...)
		})
		if parts > 0 && n != parts {
			t.Fatalf("%d parts of %d", n, parts)
		}
		if d := cmp.Diff(r.Changes, all, sameRoster); d != "" {
			t.Fatal(d)
		}
	})
}

func TestSplitRosterHugeEntry(t *testing.T) {
	c := discovery.Change{Entry: discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: "s", Env: "e"}, Path: "/s", Member: strings.Repeat("m", 5000)}, State: discovery.Unparsable}}
	n := 0
	SplitRoster(RosterRecord{Start: 1, TS: 1, Service: "s", Env: "e", Changes: []discovery.Change{c, c}}, 1000, func(b []byte) {
		n++
		var got RosterRecord
		if err := DecodeRoster(b, &got); err != nil || len(b) > 1000 || len(got.Changes) == 0 {
			t.Errorf("%d bytes, %d changes: %v", len(b), len(got.Changes), err)
		}
	})
	if n == 0 {
		t.Error("nothing emitted")
	}
}

func TestGroupRoster(t *testing.T) {
	var changes []discovery.Change
	for _, s := range []string{"a", "b", "a", "c", "b"} {
		changes = append(changes, discovery.Change{Entry: discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: s, Env: "e"}}}})
	}
	var got []string
	GroupRoster(RosterRecord{Start: 4}, changes, func(r RosterRecord) {
		got = append(got, r.Key()+strings.Repeat("+", len(r.Changes)))
		if r.Start != 4 {
			t.Error("base is lost")
		}
	})
	if g := strings.Join(got, " "); g != "a/e++ b/e++ c/e+" {
		t.Error(g)
	}
}

func TestRosterGolden(t *testing.T) {
	at := time.UnixMilli(1764000000123)
	c := discovery.Change{Entry: discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: "10.0.0.5", Port: 8001},
		Source: "main", Path: "/discovery/checkout/prod", Member: "uuid-10.0.0.5:8001", Format: "kingpin", Shard: 3, Zxid: 0x5a1,
		Tags: discovery.TagsOf(map[string]string{"service.version": "1.42.0"})}, State: discovery.Departed, Reason: "left /discovery/checkout/prod",
		Since: at, Joined: at.Add(-time.Hour), Verified: at, Cause: discovery.Moved, Excuse: "replaced by 10.0.0.6:8001", Flaps: 2},
		Was: discovery.Present, At: at, Seen: 0x5b7, OldTags: discovery.TagsOf(map[string]string{"service.version": "1.41.0"})}
	bad := discovery.Change{Entry: discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod"}, Source: "main", Path: "/discovery/checkout/prod",
		Member: "junk", Shard: discovery.NoShard}, State: discovery.Unparsable, Reason: `want host:port, got "junk"`, Since: at}, At: at}
	r := RosterRecord{Collector: 0x9f3c2a7be01d44c1, Start: 12, TS: at.UnixMilli(), Service: "checkout", Env: "prod", Version: 42, Term: 0x5a10000002f, Changes: []discovery.Change{c, bad}}
	golden(t, "roster", r.Append(nil))
}

// A collector's word about itself comes back as it was sent.
func TestOwnBothWays(t *testing.T) {
	at := time.Date(2026, 11, 22, 4, 0, 0, 5000, time.UTC)
	r := RosterRecord{Collector: 0x9f3c2a7be01d44c1, Start: 12, TS: at.UnixMilli(), Own: &Own{
		Sources: []discovery.View{{Source: "apps", Connected: true, Live: true, Server: "zk-1:2181", LastHeard: at, Err: "x"}},
		Guards:  []discovery.Guard{{Scope: "/a", Source: "apps", Since: at, Peak: 47, Held: 40, Answering: 39, Silent: 1, Verdict: "ZooKeeper, not you"}},
		Roster:  map[discovery.State]int{discovery.Present: 7}, Outcomes: map[string]int{"ok": 7}, Delivery: sink.Sums{Scraped: 9, Dropped: 2, Reasons: map[string]uint64{"budget": 2}}, Kafka: "away", ConfigOK: true}}
	b := r.Append(nil)
	var got RosterRecord
	if err := DecodeRoster(b, &got); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if d := cmp.Diff(r, got, sameRoster); d != "" || got.Key() != "9f3c2a7be01d44c1" {
		t.Errorf("%s\n%s", got.Key(), d)
	}
}

// An order's word comes back as it was sent, and a burst's has the key of its service.
func TestOrderBothWays(t *testing.T) {
	at := time.Date(2026, 11, 22, 4, 0, 0, 5000, time.UTC)
	freeze := discovery.Order{ID: "a", Kind: discovery.FreezeOrder, Path: "/discovery", By: "kim", Why: "it moves", At: at, Until: at.Add(time.Hour)}
	burst := discovery.Order{ID: "b", Kind: discovery.BurstOrder, Path: "/", By: "kim", At: at, Until: at.Add(time.Hour),
		Burst: discovery.Burst{Service: "checkout", Env: "prod", Tags: discovery.TagsOf(map[string]string{"a": "b"}), EveryMS: 1000}}
	for key, w := range map[string]OrderWord{
		"9f3c2a7be01d44c1": {Event: OrderEnded, Order: freeze, Scope: "group", By: "lee"},
		"checkout/prod":    {Event: OrderBegun, Order: burst, Scope: "collector", Taken: 312, Of: 1840},
	} {
		r := RosterRecord{Collector: 0x9f3c2a7be01d44c1, Start: 12, TS: at.UnixMilli(), Order: &w}
		b := r.Append(nil)
		var got RosterRecord
		if err := DecodeRoster(b, &got); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		if d := cmp.Diff(r, got, sameRoster); d != "" || got.Key() != key {
			t.Errorf("%s, want %s\n%s", got.Key(), key, d)
		}
	}
}

func TestDecodeRosterRefuses(t *testing.T) {
	const ok = `{"v":1,"from":"9f3c2a7be01d44c1/12","ts":1,"service":"s","env":"e","full":true,"version":1,"entries":[{"state":"present","instance":"h:1","new":{}},7],"new":[1]}`
	var r RosterRecord
	if err := DecodeRoster([]byte(ok), &r); err != nil || len(r.Changes) != 1 || r.Changes[0].Host != "h" || !r.Full {
		t.Errorf("%+v: %v", r, err)
	}
	for _, tc := range []struct{ rec, want string }{
		{``, "ends early"}, {strings.Replace(ok, `"v":1`, `"v":3`, 1), `"v"`}, {strings.Replace(ok, "c1/12", "c1", 1), "parse from"},
		{`{"v":1,"from":"9f3c2a7be01d44c1/12","ts":1,"collector":null}`, "missing"}, {`{"v":1,"from":"9f3c2a7be01d44c1/12","ts":1,"collector":{"sources":7}}`, "read collector"},
		{strings.Replace(ok, `"ts":1`, `"ts":"x"`, 1), "missing"}, {ok[:50], "ends early"},
	} {
		if err := DecodeRoster([]byte(tc.rec), &r); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("DecodeRoster(%s) = %v, want %q", tc.rec, err, tc.want)
		}
	}
}

func FuzzDecodeRoster(f *testing.F) {
	f.Add([]byte(`{"v":1,"from":"9f3c2a7be01d44c1/12","ts":1,"service":"s","env":"e","full":true,"version":1,"entries":[{"state":"present","instance":"[::1]:1","zxid":"0x5","tags":{"a":"b"},"at":5},7]}`))
	f.Add([]byte(`{"v":1,"from":"9f3c2a7be01d44c1/12","ts":1,"service":"s","env":"e","entries":[{"state":"departed","cause":"moved","excuse":"x","flaps":3,"seen":"0xffffffffffffffff","old_tags":{"a":"b"}}]}`))
	f.Add([]byte(`{"v":1,"from":"9f3c2a7be01d44c1/12","ts":1,"collector":{"sources":[{"source":"a","connected":true,"last_heard":"2026-11-22T04:00:00Z"}],"guards":[{"scope":"/a","held":4}],"roster":{"present":3},"delivery":{"dropped":7},"config_ok":true}}`))
	f.Add([]byte(`{"v":1,"from":"9f3c2a7be01d44c1/12","ts":1,"order":{"event":"begun","order":{"id":"a","kind":"burst","path":"/","by":"kim","burst":{"service":"s","env":"e","tags":{"a":"b"},"every_ms":1000}},"taken":3,"of":4}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again RosterRecord
		if DecodeRoster(b, &r) != nil {
			return
		}
		if err := DecodeRoster(r.Append(nil), &again); err != nil {
			t.Fatalf("what we read we cannot write and read again: %v: %q", err, b)
		}
	})
}
