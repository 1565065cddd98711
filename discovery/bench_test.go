package discovery

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// fleet is n members in sets, as a source that shares their strings publishes them.
func fleet(n, sets int) [][]*Member {
	out := make([][]*Member, sets)
	for i := range n {
		s := i % sets
		service := strconv.Itoa(s)
		host := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
		out[s] = append(out[s], &Member{Instance: Instance{Key: Key{"service-" + service, "prod", host, 8001}, Source: "main", Path: "/discovery/service-" + service + "/prod",
			Member: fmt.Sprintf("%032x-%s:8001", i, host), Format: "kingpin", Shard: NoShard, Zxid: int64(i), Owner: int64(i),
			Tags: TagsOf(map[string]string{tagVersion: "1.42.0", tagZone: string(rune('a' + i%3))})}})
	}
	return out
}

func full(ms []*Member) Set {
	return Set{Source: "main", Path: ms[0].Path, Members: ms, Verified: t0}
}

// BenchmarkApplyOne is one change of a member in a set of 10,822.
func BenchmarkApplyOne(b *testing.B) {
	for _, order := range []string{"same order", "any order"} {
		b.Run(order, func(b *testing.B) {
			r := NewRoster(RosterOptions{Filter: func(*Instance) (string, bool) { return "", true }})
			was := fleet(10_822, 1)[0]
			r.Apply(full(was), t0)
			b.ReportAllocs()
			b.SetBytes(8 * int64(len(was))) // the pointers
			i := 0
			for b.Loop() {
				b.StopTimer()
				is := slices.Clone(was)
				if order == "any order" {
					rand.Shuffle(len(is), func(i, j int) { is[i], is[j] = is[j], is[i] })
				}
				m := *is[i%len(is)]
				m.Tags = TagsOf(map[string]string{tagVersion: strconv.Itoa(i % 7)})
				is[i%len(is)] = &m
				i++
				b.StartTimer()
				r.Apply(full(is), t0)
				was = is
			}
		})
	}
}

// BenchmarkChurn is one of many changes, a leave or a join, over 150,000 members in 2,000 sets: 500 of these a second leave the rest of the second to others.
func BenchmarkChurn(b *testing.B) {
	r := NewRoster(RosterOptions{Filter: func(*Instance) (string, bool) { return "", true }})
	sets := fleet(150_000, 2000)
	for _, ms := range sets {
		r.Apply(full(ms), t0)
	}
	r.mu.Lock()
	r.dirty = map[*record]struct{}{}
	r.mu.Unlock()
	now := t0.Add(time.Hour)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		ms := sets[i%2000]
		at := (i * 7) % len(ms)
		if i/2000%2 == 0 {
			ms = slices.Delete(slices.Clone(ms), at, at+1)
		}
		now = now.Add(2 * time.Millisecond)
		r.Apply(full(ms), now)
		if i++; i%500 == 0 {
			r.Tick(now)
			r.clean()
		}
	}
	b.ReportMetric(100*500*b.Elapsed().Seconds()/float64(b.N), "%core@500/s")
}

// BenchmarkMemory is what a member costs in memory: the roster alone, and with what the source publishes of it.
func BenchmarkMemory(b *testing.B) {
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	const n = 150_000
	for b.Loop() {
		none := heap()
		sets := fleet(n, 2000)
		source := heap()
		r := NewRoster(RosterOptions{Filter: func(*Instance) (string, bool) { return "", true }})
		for _, ms := range sets {
			r.Apply(full(ms), t0)
		}
		all := heap()
		b.ReportMetric((all-source)/n, "B/member")
		b.ReportMetric((all-none)/n, "B/member+source")
		runtime.KeepAlive(r)
	}
}

// BenchmarkMassExpiry is 10,000 of 20,000 that leave at once, and come back.
func BenchmarkMassExpiry(b *testing.B) {
	ms := fleet(20_000, 1)[0]
	b.ReportAllocs()
	for b.Loop() {
		r := NewRoster(RosterOptions{})
		r.Apply(full(ms), t0)
		r.Apply(full(ms[:9_000]), t0.Add(time.Minute))
		if n := len(r.Guards()); n != 1 {
			b.Fatal(n)
		}
		r.Apply(full(ms), t0.Add(2*time.Minute))
	}
}

// BenchmarkOf is the full state of one service of 75 among 2,000.
func BenchmarkOf(b *testing.B) {
	r := NewRoster(RosterOptions{})
	for _, ms := range fleet(150_000, 2000) {
		r.Apply(full(ms), t0)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Of("service-7", "prod")
	}
}

func BenchmarkHeard(b *testing.B) {
	r := NewRoster(RosterOptions{})
	k := Key{"a", "b", "c", 1}
	for b.Loop() {
		r.Heard(k, true, t0)
	}
}
