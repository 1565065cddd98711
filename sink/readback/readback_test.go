package readback

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
)

func TestClientID(t *testing.T) {
	for _, tc := range []struct{ id, want string }{{"", "rollcall-readback"}, {"payments", "payments"}} {
		addr, ids := testenv.ClientID(t)
		c, err := New(Config{Brokers: []string{addr}, ClientID: tc.id})
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = c.Brokers(ctx)
		}()
		if got := <-ids; got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
		end()
		<-done
		c.Close()
	}
}

// What stands in a topic comes back byte for byte, whichever version wrote it: read once, followed, and some of it.
func TestBytesComeBack(t *testing.T) {
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	wg.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	<-b.Ready()
	addr := b.Addr()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	k := &kafka.Client{Addr: kafka.TCP(addr), Timeout: 10 * time.Second, Transport: transport}
	const topic = "readback"
	if _, err := k.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}}); err != nil {
		t.Fatal(err)
	}
	var in [][]byte
	golden := sinktest.Golden(t)
	for _, name := range slices.Sorted(maps.Keys(golden)) {
		in = append(in, golden[name])
	}
	in = append(in, []byte{}, nil)
	send := func() {
		t.Helper()
		var rs []kafka.Record
		for _, b := range in {
			rs = append(rs, kafka.Record{Key: kafka.NewBytes([]byte("k")), Value: kafka.NewBytes(b), Headers: []kafka.Header{{Key: "h", Value: []byte("v")}}})
		}
		res, err := k.Produce(t.Context(), &kafka.ProduceRequest{Topic: topic, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(rs...), Compression: kafka.Zstd})
		if err = refused(err, res); err != nil {
			t.Fatal(err)
		}
	}
	send()
	send()
	c, err := New(Config{Brokers: []string{addr}, Rack: "where no broker says to be"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n := len(in)
	check := func(how string, got []Message, from int) {
		t.Helper()
		for i, m := range got {
			if want := in[(from+i)%n]; m.Offset != int64(from+i) || !bytes.Equal(m.Value, want) || (m.Value == nil) != (want == nil) || string(m.Key) != "k" || len(m.Headers) != 1 {
				t.Errorf("%s: %+v, want %q", how, m, want)
			}
		}
	}
	spans, err := c.Spans(t.Context(), time.Time{}, topic)
	if err != nil || len(spans) != 1 || spans[0].Len() != int64(2*n) {
		t.Fatal(spans, err)
	}
	var all []Message
	s := spans[0]
	s.From, s.End = 1, s.End-1 // both within a batch
	if err := c.Read(t.Context(), s, func(m Message) error { all = append(all, m); return nil }); err != nil || len(all) != 2*n-2 {
		t.Error(len(all), err)
	}
	check("read", all, 1)
	enough := errors.New("enough")
	all = nil
	if err := c.Follow(t.Context(), topic, 0, 2, func(ms []Message, end int64) error {
		if all = append(all, ms...); end != int64(2*n) {
			t.Errorf("it ends at %d", end)
		}
		if len(all) == 2*n-2 {
			return enough
		}
		return nil
	}, func(err error) { t.Error(err) }); !errors.Is(err, enough) {
		t.Error(err)
	}
	check("followed", all, 2)
	some, err := c.Some(t.Context(), topic, 0, int64(n+1))
	if err != nil || len(some) != n-1 {
		t.Error(len(some), err)
	}
	check("some", some, n+1)
	if _, err := c.Some(t.Context(), topic, 0, int64(5*n)); !errors.Is(err, kafka.OffsetOutOfRange) {
		t.Error(err)
	}
}

func refused(err error, res *kafka.ProduceResponse) error {
	if err == nil {
		err = res.Error
	}
	return err
}
