package discovery

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestBurstHolds(t *testing.T) {
	k := Key{Service: "checkout", Env: "prod", Host: "10.0.0.5", Port: 8001}
	tags := TagsOf(map[string]string{"service.version": "1.42.0", "cloud.availability_zone": "a", "host.name": "ip-5"})
	of := func(pairs ...string) Burst {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return Burst{Service: "checkout", Env: "prod", Tags: TagsOf(m), EveryMS: 1000}
	}
	for name, tc := range map[string]struct {
		b    Burst
		want bool
	}{
		"everybody":              {of(), true},
		"a zone":                 {of("cloud.availability_zone", "a"), true},
		"another zone":           {of("cloud.availability_zone", "b"), false},
		"a zone and a version":   {of("cloud.availability_zone", "a", "service.version", "1.42.0"), true},
		"one of two":             {of("cloud.availability_zone", "a", "service.version", "1"), false},
		"a tag that it has not":  {of("team", "x"), false},
		"a host by its name":     {of("host.name", "ip-5"), true},
		"a host by its address":  {of("host.name", "10.0.0.5"), true},
		"an instance":            {of("host.name", "10.0.0.5:8001"), true},
		"another instance there": {of("host.name", "10.0.0.5:8002"), false},
		"another env":            {Burst{Service: "checkout", Env: "staging"}, false},
		"another service":        {Burst{Service: "search", Env: "prod"}, false},
	} {
		if got := tc.b.Holds(k, tags); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestBurstValidate(t *testing.T) {
	good := Burst{Service: "checkout", Env: "prod", EveryMS: 1000}
	for name, tc := range map[string]struct {
		change func(*Burst)
		want   string
	}{
		"as it is":           {func(*Burst) {}, ""},
		"no env":             {func(b *Burst) { b.Env = "" }, "must be given"},
		"too often":          {func(b *Burst) { b.EveryMS = 99 }, "within 100ms"},
		"as often as can be": {func(b *Burst) { b.EveryMS = 100 }, ""},
		"an overflow":        {func(b *Burst) { b.EveryMS = 1 << 62 }, "within 100ms"},
		"fewer than nobody":  {func(b *Burst) { b.Instances = -1 }, "instances"},
		"a long tag":         {func(b *Burst) { b.Tags = TagsOf(map[string]string{"a": strings.Repeat("x", 501)}) }, "longer than"},
	} {
		b := good
		tc.change(&b)
		if err := b.Validate(); (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// An order without a burst is written as it always was, one with it comes back the same, and a roster lets it be.
func TestBurstOrder(t *testing.T) {
	at := time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)
	freeze := Order{ID: "a", Kind: FreezeOrder, Path: "/a", By: "kim", At: at, Until: at.Add(time.Hour)}
	if b, err := json.Marshal(freeze); err != nil || strings.Contains(string(b), "burst") {
		t.Errorf("%s, %v", b, err)
	}
	o := Order{ID: "b", Kind: BurstOrder, Path: "/", By: "kim", At: at, Until: at.Add(5 * time.Minute),
		Burst: Burst{Service: "checkout", Env: "prod", Tags: TagsOf(map[string]string{"cloud.availability_zone": "us-east-1c", "team": "x", "service.version": "1.42.0"}), Instances: 5, EveryMS: 1000}}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var got Order
	if err := json.Unmarshal(b, &got); err != nil || got != o {
		t.Errorf("%+v, %v", got, err)
	}
	if want := "checkout/prod, version 1.42.0, zone us-east-1c, team x, at most 5"; o.Burst.Slice() != want {
		t.Errorf("%q, want %q", o.Burst.Slice(), want)
	}
	r := NewRoster(RosterOptions{})
	if changes := r.Obey([]Order{o}, at); len(changes) > 0 || r.order("/a", at) != nil {
		t.Errorf("a roster obeys a burst: %v", changes)
	}
}

// A tag that says nothing makes no slice wider: it is an error, wherever it comes from.
func TestEmptyTagsOfSlice(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"service":"s","env":"e","every_ms":1000}`:                               true,
		`{"service":"s","env":"e","every_ms":1000,"tags":{"a":"b"}}`:              true,
		`{"service":"s","env":"e","every_ms":1000,"tags":null}`:                   true,
		`{"service":"s","env":"e","every_ms":1000,"tags":{"a":""}}`:               false,
		`{"service":"s","env":"e","every_ms":1000,"tags":{"":"b"}}`:               false,
		`{"service":"s","env":"e","every_ms":1000,"tags":{"a":"b","c":"\u0000"}}`: false,
		`{"service":"s","env":"e","every_ms":1000,"tags":["a"]}`:                  false,
	} {
		var o Order
		err := json.Unmarshal([]byte(`{"id":"x","burst":`+text+`}`), &o)
		if (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
		if err == nil && (o.Burst.Service != "s" || o.Burst.EveryMS != 1000) {
			t.Errorf("%s: %+v", text, o)
		}
		back, err := json.Marshal(o)
		var again Order
		if err != nil || json.Unmarshal(back, &again) != nil || again != o {
			t.Errorf("%s: written and read it is %+v, %v", back, again, err)
		}
	}
}
