package zk

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// many registers members of a fleet from several clients: sets of one size but for the first, which is as large as a real one.
func many(t testing.TB, addr, root string, sets, members int) {
	t.Helper()
	var wg sync.WaitGroup
	const clients = 4
	big := min(bigSet, members/2)
	each := (members - big) / (sets - 1)
	for c := range clients {
		w := newWriter(t, addr)
		wg.Go(func() {
			for i := c; i < sets; i += clients {
				n := each
				switch {
				case i == 0:
					n = big
				case i == 1:
					n += members - big - each*(sets-1)
				}
				set := fmt.Sprintf("%s/s%d/prod", root, i)
				must(t, w.s.MakePath(deadline(t), set))
				var ops []Op
				for k := range n {
					name := serverset.NewKingPinName(fmt.Sprintf("10.%d.%d.%d", i/250, i%250, k%250+1), uint16(8000+k/250))
					ops = append(ops, CreateOp(set+"/"+name, fmt.Appendf(nil, `{"v":1,"version":"1.42.0","zone":"us-east-1%c","track":"production","host":"ip-10-%d-%d"}`, 'a'+k%4, i, k), Ephemeral))
					if len(ops) == 2000 || k == n-1 {
						_, err := w.s.Multi(deadline(t), ops...)
						must(t, err)
						ops = nil
					}
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkSourceFleet is the first sight of a fleet of 150,000 members in 2,000 serversets, one of them with 10,822: until every endpoint is known by its name,
// until every tag is, and what a member weighs in memory, the letter box's copy included.
func BenchmarkSourceFleet(b *testing.B) {
	const sets, members = 2000, 150_000
	b.Setenv("_JAVA_OPTIONS", "-Xmx768m") // wins over the command line, which has what a small tree needs
	srv := testenv.ZooKeeper(b, testenv.TickTime(2*time.Second), testenv.Property("jute.maxbuffer", "4194304"))
	root := "/discovery"
	many(b, srv.Addr, root, sets, members)
	b.ReportAllocs()
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, box, stop := runBox(b, srv.Addr, root+"/{service}/{env}")
		named, read := map[string]int{}, map[string]int{}
		kept := map[string][]*discovery.Member{} // as a roster would
		var names, tags time.Duration
		var knownNames, knownTags int
		for late := time.After(5 * time.Minute); knownTags < members; {
			select {
			case <-box.Ready():
			case <-late:
				b.Fatalf("%d names and %d tags after 5 min", knownNames, knownTags)
			}
			got, _ := box.Take()
			for _, s := range got {
				knownNames += len(s.Members) - named[s.Path]
				named[s.Path] = len(s.Members)
				kept[s.Path] = s.Members
				if !s.Partial {
					knownTags += len(s.Members) - read[s.Path]
					read[s.Path] = len(s.Members)
				}
			}
			if knownNames == members && names == 0 {
				names = time.Since(start)
			}
		}
		tags = time.Since(start)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(names.Seconds(), "s-names/op")
		b.ReportMetric(tags.Seconds(), "s-tags/op")
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/members, "heapB/member")
		for _, l := range strings.Split(srv.FourLetter("mntr"), "\n") {
			if n, ok := strings.CutPrefix(l, "zk_watch_count\t"); ok {
				var watches float64
				fmt.Sscan(n, &watches)
				b.ReportMetric(watches, "watches")
			}
		}
		runtime.KeepAlive(kept)
		stop()
	}
}
