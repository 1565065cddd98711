package export

import (
	"context"
	"testing"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// none is an output that nothing reaches.
type none struct{ Output }

func TestClientID(t *testing.T) {
	for _, tc := range []struct{ id, want string }{{"", "rollcall-export-x"}, {"payments", "payments"}} {
		addr, ids := testenv.ClientID(t)
		x, err := New(Config{Name: "x", Group: "g", Brokers: []string{addr}, ClientID: tc.id, Output: none{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- x.Run(ctx) }()
		if got := <-ids; got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
