package zk

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// BenchmarkSourceChurn makes 500 changes of members' data a second in 2,000 serversets for ten seconds, and says how long each takes from the server's word that it
// is written to the set in the letter box.
func BenchmarkSourceChurn(b *testing.B) {
	const sets, members, rate, seconds = 2000, 30_000, 500, 10
	srv := testenv.ZooKeeper(b, testenv.TickTime(2*time.Second))
	many(b, srv.Addr, "/discovery", sets, members)
	for b.Loop() {
		_, box, stop := runBox(b, srv.Addr, "/discovery/{service}/{env}")
		known := map[string]*discovery.Member{} // one of each set
		for whole := 0; whole < sets; {
			<-box.Ready()
			got, _ := box.Take()
			for _, s := range got {
				if !s.Partial && known[s.Path] == nil {
					known[s.Path] = s.Members[0]
					whole++
				}
			}
		}
		var paths []string
		for p := range known {
			paths = append(paths, p)
		}
		slices.Sort(paths)
		var mu sync.Mutex
		written := map[string]time.Time{}
		var seen []time.Duration
		done := make(chan struct{})
		go func() { // the reader
			defer close(done)
			for late := time.After(60 * time.Second); ; {
				select {
				case <-box.Ready():
				case <-late:
					return
				}
				got, _ := box.Take()
				now := time.Now()
				mu.Lock()
				for _, s := range got {
					for _, m := range s.Members {
						if v := m.Tags.Get(serverset.TagVersion); v != "1.42.0" {
							if at, ok := written[v]; ok {
								seen = append(seen, now.Sub(at))
								delete(written, v)
							}
						}
					}
				}
				all := len(seen) == rate*seconds
				mu.Unlock()
				if all {
					return
				}
			}
		}()
		var wg sync.WaitGroup
		const writers = 10
		for k := range writers {
			w := newWriter(b, srv.Addr)
			wg.Go(func() {
				tick := time.NewTicker(time.Second * writers / rate)
				defer tick.Stop()
				for i := range rate * seconds / writers {
					<-tick.C
					p := paths[(i*writers+k)%len(paths)]
					v := fmt.Sprintf("2.%d.%d", k, i)
					mu.Lock()
					written[v] = time.Now()
					mu.Unlock()
					w.set(join(p, known[p].Member), `{"v":1,"version":"`+v+`"}`)
				}
			})
		}
		wg.Wait()
		<-done
		stop()
		mu.Lock()
		slices.Sort(seen)
		lost := len(written)
		mu.Unlock()
		if len(seen) == 0 {
			b.Fatal("nothing was seen")
		}
		b.ReportMetric(float64(seen[len(seen)/2].Milliseconds()), "ms-p50")
		b.ReportMetric(float64(seen[len(seen)*99/100].Milliseconds()), "ms-p99")
		b.ReportMetric(float64(lost), "lost")
	}
}
