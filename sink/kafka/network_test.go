package kafka

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
)

// What networks do to connections, one after the other, while snapshots come all the time: cut, silent one way and both, gone, slow. Each is in the
// topics once.
func TestNetworkFaults(t *testing.T) {
	addr, _ := embedded(t, broker.Config{DataDir: t.TempDir()})
	proxy := testenv.NewProxy(t, addr)
	s, k := startN(t, addr, t.TempDir(), 1, func(c *Config) {
		c.Timeout, c.Linger, c.Drain = 400*time.Millisecond, 5*time.Millisecond, 30*time.Second
		c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) { // whatever the broker says of itself
			return new(net.Dialer).DialContext(ctx, network, proxy.Addr)
		}
	})
	end := s.Go(t)
	quit := make(chan struct{})
	var put sync.WaitGroup
	n := 0
	put.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", n%11), n))
				n++
			case <-quit:
				return
			}
		}
	})
	acked := func() uint64 { return s.Ledger.Report(time.Now()).Total.Acknowledged }
	some := func(more uint64) {
		t.Helper()
		from := acked()
		until(t, "acknowledgements", func() bool { return acked() > from+more })
	}
	attempts := func(more int) { // requests that get no answer
		t.Helper()
		from := k.metrics.timeouts()
		until(t, "requests that time out", func() bool { return k.metrics.timeouts() >= from+uint64(more) })
	}
	some(50)
	for range 5 {
		proxy.Cut()
		some(20)
	}
	proxy.Mute()
	attempts(3)
	proxy.Heal()
	proxy.Cut()
	some(50)
	proxy.Blackhole()
	attempts(3)
	proxy.Heal()
	proxy.Cut()
	some(50)
	proxy.Down()
	waits := s.Ledger.Report(time.Now()).Total.Waiting()
	until(t, "snapshots to wait", func() bool { return s.Ledger.Report(time.Now()).Total.Waiting() > waits+100 })
	proxy.Up()
	proxy.Latency(100 * time.Millisecond)
	some(200)
	close(quit)
	put.Wait()
	end()
	r := s.Ledger.Report(time.Now())
	if seen := once(t, both(t, s), 12); len(seen) != n || r.Total.Acknowledged != uint64(n) || !r.Total.Balanced() {
		t.Errorf("%d put, %d in the topics, ledger %+v", n, len(seen), r.Total)
	}
	t.Logf("%d snapshots, %d batches sent again, %d may be double", n, k.metrics.resent.Get(), k.metrics.maybeDouble.Get())
}

// timeouts counts the requests of the live lane that were given up.
func (m *meters) timeouts() uint64 {
	return m.set.GetOrCreateCounter(`rollcall_sink_produce_requests_total{lane="live",result="timeout"}`).Get()
}
