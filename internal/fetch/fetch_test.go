package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// The library writes our request as it writes its own, in every version of it.
func TestWrittenAsTheLibrarys(t *testing.T) {
	r := newRequest(place{"rollcall.snapshots", 3}, 345, 1<<20, time.Second)
	r.RackID = "us-east-1c"
	r.to = 7
	own := &fetch.Request{ReplicaID: r.ReplicaID, MaxWaitTime: r.MaxWaitTime, MinBytes: r.MinBytes, MaxBytes: r.MaxBytes, SessionID: r.SessionID, SessionEpoch: r.SessionEpoch,
		Topics: r.Topics, RackID: r.RackID}
	for v := int16(0); v <= nearestSince; v++ {
		var want, got bytes.Buffer
		if err := errors.Join(protocol.WriteRequest(&want, v, 1, "x", own), protocol.WriteRequest(&got, v, 1, "x", r)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) || bytes.Contains(got.Bytes(), []byte(r.RackID)) != (v == nearestSince) {
			t.Errorf("version %d: %x, want %x", v, got.Bytes(), want.Bytes())
		}
	}
}

// cluster answers as brokers would: 1 leads, 2 is in rack b.
type cluster struct {
	version int16
	behind  bool // 2 has nothing yet
	away    bool // 2 does not answer
	lost    bool // 1 has not noticed that 2 is either
	moved   bool // the leader is somewhere else
	asked   strings.Builder
}

func (c *cluster) RoundTrip(ctx context.Context, _ net.Addr, m kafka.Request) (kafka.Response, error) {
	r := m.(*request)
	b, err := r.Broker(protocol.Cluster{Brokers: map[int32]protocol.Broker{1: {ID: 1}, 2: {ID: 2}}, Topics: map[string]protocol.Topic{"t": {Partitions: map[int32]protocol.Partition{0: {Leader: 1}}}}})
	if err != nil {
		return nil, err
	}
	r.Prepare(c.version)
	fmt.Fprint(&c.asked, b.ID)
	near := (!c.behind && !c.away || c.lost) && r.RackID == "b"
	p := fetch.ResponsePartition{HighWatermark: 10, PreferredReadReplica: -1}
	switch {
	case c.moved:
		p.ErrorCode = int16(kafka.NotLeaderForPartition)
	case b.ID == 1 && near && c.version >= nearestSince:
		p.PreferredReadReplica = 2
	case b.ID == 2 && c.away:
		<-ctx.Done() // nobody says that it is gone
		return nil, ctx.Err()
	case b.ID == 2 && c.behind:
		p.ErrorCode = int16(kafka.OffsetOutOfRange)
	default:
		if c.version < nearestSince {
			p.PreferredReadReplica = 0 // which is no broker's number there, but not said at all
		}
		p.RecordSet.Records = protocol.NewRecordReader(protocol.Record{Offset: 4}, protocol.Record{Offset: 5, Value: protocol.NewBytes([]byte("v"))})
	}
	return &fetch.Response{Topics: []fetch.ResponseTopic{{Partitions: []fetch.ResponsePartition{p}}}}, nil
}

func TestNearest(t *testing.T) {
	for _, tc := range []struct {
		name   string
		c      cluster
		rack   string
		asked  string // of three fetches
		later  string // of one after a while
		change func(*cluster)
		then   string // after the change
	}{
		{name: "no rack", c: cluster{version: 11}, asked: "111", later: "1", then: "1"},
		{name: "nobody in our rack", c: cluster{version: 11}, rack: "c", asked: "111", later: "1", then: "1"},
		{name: "an older broker", c: cluster{version: 10}, rack: "b", asked: "111", later: "1", then: "1"},
		{name: "one is nearer", c: cluster{version: 11}, rack: "b", asked: "1222", later: "12", then: "2"},
		{name: "it falls behind", c: cluster{version: 11}, rack: "b", asked: "1222", later: "12", change: func(c *cluster) { c.behind = true }, then: "21"},
		{name: "it dies, and nobody notices", c: cluster{version: 11}, rack: "b", asked: "1222", later: "12", change: func(c *cluster) { c.away, c.lost = true, true }, then: "21"},
		{name: "it is dead at first", c: cluster{version: 11, away: true, lost: true}, rack: "b", asked: "12111", later: "121", change: func(c *cluster) { c.away = false }, then: "1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &Client{Addr: kafka.TCP("127.0.0.1:1"), Transport: &tc.c, Rack: tc.rack}
				get := func() {
					t.Helper()
					a, err := f.Fetch(t.Context(), "t", 0, 5)
					if err != nil || a.End != 10 {
						t.Fatal(a, err)
					}
					r, err := a.Next()
					if err != nil || r.Offset != 5 {
						t.Fatalf("%+v, %v", r, err)
					}
					if b, err := Bytes(nil, r.Value); err != nil || string(b) != "v" {
						t.Errorf("%q, %v", b, err)
					}
					if _, err := a.Next(); !errors.Is(err, io.EOF) {
						t.Error(err)
					}
				}
				check := func(want string) {
					t.Helper()
					if got := tc.c.asked.String(); got != want {
						t.Errorf("%s were asked, want %s", got, want)
					}
					tc.c.asked.Reset()
				}
				for range 3 {
					get()
				}
				check(tc.asked)
				time.Sleep(stay)
				get()
				check(tc.later)
				if tc.change != nil {
					tc.change(&tc.c)
				}
				get()
				check(tc.then)
				f.Leave("t", 0)
				get()
				check("1")
			})
		})
	}
}

// What the leader refuses is refused.
func TestErrors(t *testing.T) {
	c := cluster{version: 11, moved: true}
	if _, err := (&Client{Transport: &c, Rack: "b"}).Fetch(t.Context(), "t", 0, 5); !errors.Is(err, kafka.NotLeaderForPartition) || c.asked.String() != "1" {
		t.Errorf("%v after %s", err, &c.asked)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c = cluster{version: 11, away: true, lost: true}
	if _, err := (&Client{Transport: &c, Rack: "b"}).Fetch(ctx, "t", 0, 5); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if b, err := Bytes(nil, nil); b != nil || err != nil {
		t.Error(b, err)
	}
	if b, err := Bytes(nil, protocol.NewBytes([]byte{})); b == nil || err != nil {
		t.Error(b, err)
	}
}
