package feed

import (
	"context"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestClientID(t *testing.T) {
	for _, tc := range []struct{ id, want string }{{"", "rollcall-serve"}, {"payments", "payments"}} {
		addr, ids := testenv.ClientID(t)
		r := &rig{t: t, addr: addr}
		r.newBoard()
		f, err := New(Config{Board: r.board, Brokers: []string{addr}, ClientID: tc.id})
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewPublisher(PublisherConfig{Brokers: []string{addr}, ClientID: tc.id})
		if err != nil {
			t.Fatal(err)
		}
		p.Put("rollcall.findings", "k", "", []byte("{}"), time.Now())
		for name, run := range map[string]func(context.Context) error{"feed": f.Run, "publisher": p.Run} {
			ctx, end := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- run(ctx) }()
			if got := <-ids; got != tc.want {
				t.Errorf("%s: %q, want %q", name, got, tc.want)
			}
			end()
			if err := <-done; err != nil {
				t.Error(err)
			}
			for len(ids) > 0 { // of connections that it tried since
				<-ids
			}
		}
	}
}
