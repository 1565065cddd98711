package kafka

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestClientID(t *testing.T) {
	for _, tc := range []struct{ id, want string }{{"", "rollcall-0000000000000007"}, {"payments", "payments"}} {
		addr, ids := testenv.ClientID(t)
		s, _ := startN(t, addr, t.TempDir(), 1, func(c *Config) { c.ClientID, c.Drain = tc.id, time.Millisecond })
		end := s.Go(t)
		if got := <-ids; got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
		end()
	}
}
