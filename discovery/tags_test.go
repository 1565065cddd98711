package discovery

import (
	"fmt"
	"maps"
	"testing"
	"unsafe"
)

// Lists that recur share their memory, and none is ever taken for another.
func TestTagsShare(t *testing.T) {
	of := func(i int) Tags {
		return TagsOf(map[string]string{"service.version": fmt.Sprint("1.", i%7), "team": fmt.Sprint(i % 5)})
	}
	shared := 0
	for i := range 10_000 {
		own := TagsOf(map[string]string{"host.name": fmt.Sprint("h", i), "team": fmt.Sprint(i % 5)})
		if own.Get("host.name") != fmt.Sprint("h", i) || own.Get("team") != fmt.Sprint(i%5) || own.Len() != 2 {
			t.Fatalf("%d: %v", i, own.Map())
		}
		a, b := of(i), of(i+35)
		if a != b || a.Get("service.version") != fmt.Sprint("1.", i%7) {
			t.Fatalf("%d: %v and %v", i, a.Map(), b.Map())
		}
		if unsafe.StringData(a.s) == unsafe.StringData(b.s) {
			shared++
		}
	}
	if shared < 9900 {
		t.Errorf("%d of 10000 equal lists share their memory", shared)
	}
}

// Whatever a name is, also one that looks as short names are kept: it comes back, in order, and only under itself.
func TestTagNames(t *testing.T) {
	m := map[string]string{"\x1f": "a", "\x1f\x01": "b", "\x01": "c", "\x01x": "d", "z": "e", "service.version": "1", "service.versions": "2", "team": "t", "__meta_serverset_path": "/p", "tea": "x"}
	tags := TagsOf(m)
	last, n := "", 0
	for name, v := range tags.All() {
		if m[name] != v || name <= last && n > 0 {
			t.Errorf("%q is %q, after %q", name, v, last)
		}
		last = name
		n++
	}
	for name, v := range m {
		if tags.Get(name) != v {
			t.Errorf("%q is %q, want %q", name, tags.Get(name), v)
		}
	}
	if n != len(m) || tags.Len() != n || !maps.Equal(tags.Map(), m) {
		t.Errorf("%d tags of %d", n, len(m))
	}
	for _, name := range []string{"", "x", "\x02", "\x1f\x1f", "host.name", "service.versio", "e"} {
		if v := tags.Get(name); v != "" {
			t.Errorf("%q is %q", name, v)
		}
	}
	for i, name := range shortNames[1:] {
		if name == "" || int(shortOf[name]) != i+1 || i+1 >= longName {
			t.Errorf("short name %d is %q", i+1, name)
		}
	}
}

// BenchmarkTagsOf is what a member's tags cost: those that all members of a service have, and those with a name of their own.
func BenchmarkTagsOf(b *testing.B) {
	m := map[string]string{"service.version": "1.42.0", "cloud.availability_zone": "us-east-1c", "cloud.region": "us-east-1", "rollcall.track": "production", "host.name": "ip-10-0-0-5", "team": "payments"}
	b.Run("recurring", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			TagsOf(m)
		}
	})
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		names := make([]string, 1<<15)
		for i := range names {
			names[i] = fmt.Sprint("ip-", i)
		}
		for i := 0; b.Loop(); i++ {
			m["host.name"] = names[i%len(names)]
			TagsOf(m)
		}
	})
}
