package discovery

import (
	"fmt"
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
