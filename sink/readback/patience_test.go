package readback

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/internal/fetch"
)

// busy is a way to a broker that has no time.
type busy struct{ asked int }

func (b *busy) RoundTrip(context.Context, net.Addr, kafka.Request) (kafka.Response, error) {
	b.asked++
	return nil, errors.New("busy")
}

// TestBusyBroker: what is read once is asked for again for ten seconds before it is given up; ctx ends that.
func TestBusyBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		c := &Client{records: &fetch.Client{Transport: b}}
		began := time.Now()
		err := c.Read(t.Context(), Span{Topic: "a", End: 7}, func(Message) error { return nil })
		if took := time.Since(began); err == nil || took != fetchWithin || b.asked < 5 || b.asked > 12 {
			t.Errorf("%v after %v, asked %d times", err, took, b.asked)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if err := c.Read(ctx, Span{Topic: "a", End: 7}, nil); err == nil || time.Since(began) > 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
