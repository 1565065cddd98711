package scrape

import (
	"context"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// A job that connects by itself is given the target's own name, and neither the resolver nor the allow-list is asked; its errors are those of any connection.
func TestAJobThatConnectsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.stats("inside", someStats)
		p, got, stop := f.running(t, Config{})
		j := &Job{Name: "zookeeper", NoServerInfo: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			switch addr {
			case "zk-1.example:2181":
				return f.Dial(ctx, network, "inside")
			case "zk-2.example:2181":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}}
		set(t, p, targets(j, "zk-1.example:2181", "zk-2.example:2181", "203.0.113.9:2181"))
		time.Sleep(25 * time.Second)
		synctest.Wait()
		want := map[string]collector.Outcome{"zk-1.example": collector.OK, "zk-2.example": collector.Timeout, "203.0.113.9": collector.Refused}
		seen := map[string]int{}
		for _, s := range got.take() {
			seen[s.Instance.Host]++
			if s.Outcome != want[s.Instance.Host] {
				t.Errorf("%s: %s %q, want %s", s.Instance.Host, s.Outcome, s.Reason, want[s.Instance.Host])
			}
		}
		if len(seen) != 3 {
			t.Errorf("pulled %v", seen)
		}
		stop()
	})
	if err := (&Job{Name: "a", FollowRedirects: true, Dial: (&net.Dialer{}).DialContext}).Validate(); err == nil {
		t.Error("redirects would leave the job's own way")
	}
}
