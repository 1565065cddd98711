package scrape

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

func changed(t *testing.T, p *Pool, put []Target, drop ...TargetKey) {
	t.Helper()
	if err := p.Change(put, drop); err != nil {
		t.Fatal(err)
	}
}

// A change joins, moves and ends exactly whom it names.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(5)
		for _, a := range hosts {
			f.handler(a, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/broken" {
					http.Error(w, "no", http.StatusTeapot)
					return
				}
				fmt.Fprint(w, someStats)
			})
		}
		p, got, stop := f.running(t, Config{})
		j := &Job{Name: "apps", NoServerInfo: true}
		ts := targets(j, hosts...)
		outcomes := func(want map[string]int) {
			t.Helper()
			if got := p.Outcomes(); !maps.Equal(got, want) {
				t.Errorf("outcomes %v, want %v", got, want)
			}
		}
		pulls := func(want ...int) {
			t.Helper()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			n := map[string]int{}
			for _, s := range got.take() {
				n[s.Instance.Addr()]++
			}
			for i, w := range want {
				if n[hosts[i]] != w {
					t.Errorf("%d pulls of %s, want %d", n[hosts[i]], hosts[i], w)
				}
			}
		}
		set(t, p, ts[:3])
		changed(t, p, ts[3:4], ts[0].TargetKey()) // before the set was applied: after it
		synctest.Wait()
		if _, ok := p.Find(ts[0].TargetKey()); ok || len(p.Status()) != 3 {
			t.Errorf("%d targets", len(p.Status()))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		got.take()
		pulls(0, 1, 1, 1, 0)
		outcomes(map[string]int{"ok": 3})
		// New ones at once; others as they were, though what they say of themselves changed.
		tagged := ts[1]
		tagged.Tags = discovery.TagsOf(map[string]string{"team": "t"})
		changed(t, p, []Target{ts[4], tagged}, TargetKey{discovery.Key{Host: "nobody"}, "apps"})
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if all := got.take(); len(all) == 0 || all[0].Instance.Addr() != hosts[4] {
			t.Errorf("pulled at once: %v", all)
		}
		pulls(0, 1, 1, 1, 1)
		if last, ok := p.Last(ts[1].TargetKey()); !ok || last.Outcome != collector.OK || last.Reason != "" || last.Took < 0 {
			t.Errorf("its last pull: %+v, %v", last, ok)
		}
		if last, ok := p.Last(ts[0].TargetKey()); ok {
			t.Errorf("the last pull of who is gone: %+v", last)
		}
		if st, ok := p.Find(ts[1].TargetKey()); !ok || st.Instance.Tags.Get("team") != "t" || st.Health != "up" || f.dialled(hosts[1]) != 1 {
			t.Errorf("%+v, dialled %d times", st, f.dialled(hosts[1]))
		}
		// A job of the same name takes targets over one by one; the old one ends with its last.
		broken := targets(&Job{Name: "apps", NoServerInfo: true, MetricsPath: "/broken"}, hosts...)
		changed(t, p, broken[1:3])
		pulls(0, 1, 1, 1, 1)
		outcomes(map[string]int{"ok": 2, "status": 2})
		if len(p.jobs) != 2 {
			t.Errorf("%d jobs", len(p.jobs))
		}
		changed(t, p, broken[3:])
		pulls(0, 1, 1, 1, 1)
		outcomes(map[string]int{"status": 4})
		if len(p.jobs) != 1 || p.m.job("apps").targets.Load() != 4 {
			t.Errorf("%d jobs, %d targets", len(p.jobs), p.m.job("apps").targets.Load())
		}
		// Put and dropped: the order of calls decides; in one call put does.
		changed(t, p, ts[:1])
		changed(t, p, nil, ts[0].TargetKey())
		changed(t, p, broken[1:2], broken[1].TargetKey(), broken[2].TargetKey())
		synctest.Wait()
		if _, ok := p.Find(ts[2].TargetKey()); ok || len(p.Status()) != 3 {
			t.Errorf("%d targets", len(p.Status()))
		}
		got.take()
		pulls(0, 1, 0, 1, 1)
		if err := p.Change([]Target{{Instance: instance(hosts[0])}}, nil); err == nil {
			t.Error("a target without a job was taken")
		}
		if err := p.Change([]Target{{Instance: instance(hosts[0]), Job: &Job{}}}, []TargetKey{ts[1].TargetKey()}); err == nil || len(p.changes) != 0 {
			t.Error("a job without a name was taken")
		}
		set(t, p, nil)
		synctest.Wait()
		outcomes(map[string]int{})
		if n := p.m.job("apps").targets.Load(); n != 0 || len(p.jobs) != 0 {
			t.Errorf("%d targets, %d jobs", n, len(p.jobs))
		}
		stop()
		changed(t, p, ts)
		if len(p.changes) != 0 {
			t.Error("a pool that has stopped keeps changes")
		}
	})
}

// However many changes there are: the same targets as a full set would give, and the same counts.
func TestChangesLikeSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet() // nobody answers
		p, _, stop := f.running(t, Config{})
		rng := rand.New(rand.NewPCG(3, 4))
		jobs := []*Job{{Name: "a"}, {Name: "b"}, {Name: "a", MetricsPath: "/x"}}
		hosts := addrs(300)
		want := map[TargetKey]Target{}
		for range 3000 {
			one := Target{Instance: instance(hosts[rng.IntN(len(hosts))]), Job: jobs[rng.IntN(len(jobs))]}
			switch rng.IntN(10) {
			case 0, 1, 2, 3:
				delete(want, one.TargetKey())
				changed(t, p, nil, one.TargetKey())
			case 4:
				time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
			default:
				one.Shard = rng.Int32N(3)
				want[one.TargetKey()] = one
				changed(t, p, []Target{one})
			}
		}
		synctest.Wait()
		perJob := map[*Job]int{}
		for key, w := range want {
			st, ok := p.Find(key)
			if !ok || st.Job != w.Job || st.Instance.Shard != w.Shard {
				t.Fatalf("%s %v: %+v", key, ok, st)
			}
			perJob[w.Job]++
		}
		outcomes := map[string]int{}
		for _, st := range p.Status() {
			word := NotPulled
			if !st.LastScrape.IsZero() {
				word = st.Outcome.String()
			}
			outcomes[word]++
		}
		if !maps.Equal(outcomes, p.Outcomes()) {
			t.Errorf("outcomes %v, counted %v", p.Outcomes(), outcomes)
		}
		p.mu.Lock()
		if len(p.targets) != len(want) || p.heap.len() != len(want) || len(p.left) > 1024 {
			t.Errorf("%d targets, %d in the heap, want %d; %d lately left", len(p.targets), p.heap.len(), len(want), len(p.left))
		}
		for j, r := range p.jobs {
			if r.targets != perJob[j] || r.targets == 0 {
				t.Errorf("%s: counts %d of %d", j.Name, r.targets, perJob[j])
			}
		}
		p.mu.Unlock()
		stop()
	})
}

// Members that join one by one get what is in the bucket at once, the rest of them its own place each.
func TestChangesShareTheBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		hosts := addrs(1000)
		for _, a := range hosts {
			f.stats(a, someStats)
		}
		p, got, stop := f.running(t, Config{})
		ts := targets(&Job{Name: "apps", NoServerInfo: true, Interval: time.Minute}, hosts...)
		set(t, p, nil)
		synctest.Wait()
		for i := range ts {
			changed(t, p, ts[i:i+1])
			synctest.Wait()
		}
		if n := len(got.take()); n != 100 {
			t.Errorf("%d of 1000 that joined at once were pulled at once", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(got.take()); n < 900 || n > 1000 { // those that were begin in their places half a minute later or more
			t.Errorf("%d in the minute after", n)
		}
		stop()
	})
}

const benchMany = 150_000

// manyTargets is 150,000 targets in 2,000 services.
func manyTargets(j *Job) []Target {
	out := make([]Target, benchMany)
	for i := range out {
		out[i] = Target{Instance: discovery.Instance{Key: discovery.Key{Service: "s" + strconv.Itoa(i%2000), Env: "prod", Host: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Port: 8001}}, Job: j}
	}
	return out
}

// BenchmarkChange is one target that changes among 150,000: told as a change, and as a full set. Only what the scheduler stands still for is timed.
func BenchmarkChange(b *testing.B) {
	for _, way := range []string{"change", "set"} {
		b.Run(way, func(b *testing.B) {
			p, err := New(Config{Handle: func(s *collector.Snapshot) { s.Release() }})
			if err != nil {
				b.Fatal(err)
			}
			now := time.Unix(1764000000, 0)
			ts := manyTargets(&Job{Name: "apps", Interval: time.Hour})
			_ = p.Set(ts)
			p.turn(now)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				one := &ts[i%len(ts)]
				one.Shard++
				if way == "change" {
					err = p.Change(ts[i%len(ts):i%len(ts)+1], nil)
				} else {
					err = p.Set(ts)
				}
				if err != nil {
					b.Fatal(err)
				}
				p.turn(now)
			}
			if len(p.targets) != benchMany {
				b.Fatalf("%d targets", len(p.targets))
			}
		})
	}
}

// BenchmarkJoin is 150,000 targets that join, in the chunks between which the scheduler looks at who is due.
func BenchmarkJoin(b *testing.B) {
	now := time.Unix(1764000000, 0)
	ts := manyTargets(&Job{Name: "apps", Interval: time.Hour})
	var longest time.Duration
	b.ReportAllocs()
	for b.Loop() {
		p, err := New(Config{Handle: func(s *collector.Snapshot) { s.Release() }})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Change(ts, nil); err != nil {
			b.Fatal(err)
		}
		for len(p.changes) > 0 {
			start := time.Now()
			p.turn(now)
			longest = max(longest, time.Since(start))
		}
	}
	b.ReportMetric(float64(longest.Microseconds()), "µs-longest-turn")
}

// BenchmarkOutcomes counts 150,000 targets, with Status for comparison.
func BenchmarkOutcomes(b *testing.B) {
	p, err := New(Config{Handle: func(s *collector.Snapshot) { s.Release() }})
	if err != nil {
		b.Fatal(err)
	}
	_ = p.Set(manyTargets(&Job{Name: "apps", Interval: time.Hour}))
	p.turn(time.Unix(1764000000, 0))
	b.Run("outcomes", func(b *testing.B) {
		for b.Loop() {
			p.Outcomes()
		}
	})
	b.Run("status", func(b *testing.B) {
		for b.Loop() {
			p.Status()
		}
	})
}
