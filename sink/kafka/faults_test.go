package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// cutter dials connections that lose acknowledgements: the broker gets the Produce request and answers it, and the connection breaks before anybody
// reads the answer.
type cutter struct{ lose, lost atomic.Int64 }

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &cutConn{Conn: conn, c: c}, nil
}

type cutConn struct {
	net.Conn
	c    *cutter
	head []byte // of the frame being written
	left int    // of its body
	dead atomic.Bool
}

func (c *cutConn) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		if len(c.head) < 6 {
			n := min(6-len(c.head), len(rest))
			c.head, rest = append(c.head, rest[:n]...), rest[n:]
			if len(c.head) < 6 {
				break
			}
			c.left = int(binary.BigEndian.Uint32(c.head)) - 2
			if binary.BigEndian.Uint16(c.head[4:]) == 0 && c.c.lose.Add(-1) >= 0 {
				c.dead.Store(true)
			}
		}
		n := min(c.left, len(rest))
		c.left, rest = c.left-n, rest[n:]
		if c.left == 0 {
			c.head = c.head[:0]
		}
	}
	return c.Conn.Write(b)
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.dead.Load() {
		c.c.lost.Add(1)
		c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

func TestLostAcknowledgements(t *testing.T) {
	addr, _ := embedded(t, broker.Config{DataDir: t.TempDir()})
	var cut cutter
	s := subject(t, addr, func(c *Config) { c.Dial, c.Linger = cut.dial, time.Millisecond })
	end := s.Go(t)
	for i := range 400 {
		if i%10 == 0 {
			cut.lose.Store(1)
		}
		s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%9), i))
		if i%4 == 0 {
			s.Sink.Publish(s.Topics.Roster, fmt.Sprint("k", i%3), []byte(fmt.Sprint(i)), time.Now())
		}
		if i%20 == 0 {
			until(t, "the batch", func() bool { return s.Ledger.Report(time.Now()).Total.InMemory == 0 })
		}
	}
	cut.lose.Store(0)
	end()
	r := s.Ledger.Report(time.Now())
	if r.Total.Acknowledged != 400 || r.Total.Dropped != 0 {
		t.Errorf("ledger %+v", r.Total)
	}
	if n := sinktest.IDs(t, s.Read(t, s.Topics.Snapshots)); n != 400 {
		t.Errorf("%d snapshots in the topic", n)
	}
	if n := len(s.Read(t, s.Topics.Roster)); n != 100 {
		t.Errorf("%d roster records, want 100", n)
	}
	if n := cut.lost.Load(); n < 15 {
		t.Errorf("only %d acknowledgements were cut", n)
	}
}

func TestBrokerRestarts(t *testing.T) {
	dir := t.TempDir()
	addr, stop := embedded(t, broker.Config{DataDir: dir})
	s := subject(t, addr, func(c *Config) { c.Linger = 5 * time.Millisecond })
	end := s.Go(t)
	n := 0
	put := func(many int) {
		for range many {
			s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", n%9), n))
			n++
		}
	}
	for range 3 {
		put(100)
		stop()
		put(100)
		_, stop = embedded(t, broker.Config{Addr: addr, DataDir: dir})
		put(100)
		until(t, "all to be acknowledged", func() bool { return s.Ledger.Report(time.Now()).Total.InMemory == 0 })
	}
	end()
	if r := s.Ledger.Report(time.Now()); r.Total.Acknowledged != uint64(n) {
		t.Errorf("ledger %+v, want %d", r.Total, n)
	}
	got := append(s.Read(t, s.Topics.Snapshots), s.Read(t, s.Topics.Backfill)...)
	if m := sinktest.IDs(t, got); m != n {
		t.Errorf("%d snapshots in the topics, want %d", m, n)
	}
}

// The embedded broker dies without warning, again and again, while snapshots come all the time.
func TestBrokerIsKilled(t *testing.T) {
	dir, addr := t.TempDir(), "127.0.0.1:"+strconv.Itoa(testenv.Port(t))
	cmd := inProcess(t, dir, addr)
	kill := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	defer func() { kill() }()
	s := subject(t, addr, func(c *Config) { c.Linger, c.Drain = 2*time.Millisecond, time.Minute })
	end := s.Go(t)
	stop := traffic(s, 500)
	for range 5 {
		acked := s.Ledger.Report(time.Now()).Total.Acknowledged
		until(t, "acknowledgements", func() bool { return s.Ledger.Report(time.Now()).Total.Acknowledged > acked+200 })
		kill()
		cmd = inProcess(t, dir, addr)
	}
	n := stop()
	end()
	if got := explained(t, append(s.Read(t, s.Topics.Snapshots), s.Read(t, s.Topics.Backfill)...), s.Ledger.Report(time.Now())); got != n {
		t.Errorf("%d snapshots, %d in the topics", n, got)
	}
}

// fake starts kfake itself, for answers that no embedded broker gives.
func fake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// answer makes the cluster answer the next Produce requests for topic with these codes, without writing anything.
func answer(c *kfake.Cluster, topic string, codes ...int16) {
	var n atomic.Int64
	c.ControlKey(0, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		if p.Topics[0].Topic != topic {
			return nil, nil, false
		}
		i := int(n.Add(1)) - 1
		if i >= len(codes) {
			return nil, nil, false
		}
		resp := p.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range p.Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				one := kmsg.NewProduceResponseTopicPartition()
				one.Partition, one.ErrorCode = rp.Partition, codes[i]
				t.Partitions = append(t.Partitions, one)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, true
	})
}

// Whatever the broker answers once or twice, each snapshot is in the topic once, or named in the ledger.
func TestAnswers(t *testing.T) {
	topic := sink.DefaultTopics().Snapshots
	for _, tc := range []struct {
		name  string
		codes []int16
		lost  string // reason of the first batch's loss; empty: nothing is lost
	}{
		{"not leader", []int16{kerr.NotLeaderForPartition.Code, kerr.LeaderNotAvailable.Code}, ""},
		{"timeout", []int16{kerr.RequestTimedOut.Code}, ""},
		{"replicas", []int16{kerr.NotEnoughReplicas.Code, kerr.NotEnoughReplicasAfterAppend.Code}, ""},
		{"storage", []int16{kerr.KafkaStorageError.Code}, ""},
		{"out of order", []int16{kerr.OutOfOrderSequenceNumber.Code}, ""},
		{"unknown producer", []int16{kerr.UnknownProducerID.Code, kerr.UnknownProducerID.Code}, ""},
		{"fenced", []int16{kerr.InvalidProducerEpoch.Code}, ""},
		{"corrupt once", []int16{kerr.CorruptMessage.Code}, ""},
		{"timestamp", []int16{kerr.InvalidTimestamp.Code}, ""},
		{"timestamp for ever", slices.Repeat([]int16{kerr.InvalidTimestamp.Code}, 25), "refused_timestamp"},
		{"record", []int16{kerr.InvalidRecord.Code}, "refused_record"},
		{"policy", []int16{kerr.PolicyViolation.Code}, "refused_fatal"},
		{"out of order for ever", []int16{45, 45, 45}, "refused_out_of_order"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := fake(t)
			s := subject(t, c.ListenAddrs()[0], func(c *Config) { c.Linger = time.Millisecond })
			answer(c, topic, tc.codes...)
			end := s.Go(t)
			for i := range 30 {
				s.Sink.Put(sinktest.Snapshot("checkout", i))
				if i == 0 {
					until(t, "the first", func() bool { return s.Ledger.Report(time.Now()).Total.InMemory == 0 })
				}
			}
			end()
			r := s.Ledger.Report(time.Now())
			got := s.Read(t, topic)
			if tc.lost == "" {
				if r.Total.Acknowledged != 30 || sinktest.IDs(t, got) != 30 {
					t.Errorf("%d in the topic, ledger %+v", len(got), r.Total)
				}
				return
			}
			if len(got) != 29 || r.Total.Reasons[tc.lost] != 1 || len(r.Losses) != 1 || r.Losses[0].First != 1 || r.Losses[0].Last != 1 {
				t.Errorf("%d in the topic, ledger %+v, losses %+v", len(got), r.Total, r.Losses)
			}
		})
	}
}

// A topic that allows less than our batches gets smaller ones; only a record that is too large by itself is lost.
func TestTooLargeIsDivided(t *testing.T) {
	c := fake(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "60000"}))
	s := subject(t, c.ListenAddrs()[0], nil)
	end := s.Go(t)
	for i := range 40 {
		s.Sink.Put(random(fmt.Sprint("service-", i%3), i, 4000))
	}
	s.Sink.Put(random("service-1", 40, 120_000))
	end()
	r := s.Ledger.Report(time.Now())
	if r.Total.Acknowledged != 40 || r.Total.Reasons["refused_too_large"] != 1 {
		t.Errorf("ledger %+v", r.Total)
	}
	seen := map[string]bool{}
	for _, m := range s.Read(t, s.Topics.Snapshots) {
		seen[string(m.Value[:60])] = true
	}
	if len(seen) != 40 {
		t.Errorf("%d snapshots in the topic", len(seen))
	}
	if o := r.Losses; len(o) != 1 || o[0].Last != o[0].First || o[0].Services["service-1/prod"] != 1 {
		t.Errorf("losses %+v", o)
	}
}

func TestUnclearAndLostIsMaybeDouble(t *testing.T) {
	c := fake(t)
	s := subject(t, c.ListenAddrs()[0], nil)
	answer(c, s.Topics.Snapshots, kerr.RequestTimedOut.Code, kerr.OutOfOrderSequenceNumber.Code)
	end := s.Go(t)
	s.Sink.Put(sinktest.Snapshot("checkout", 1))
	end()
	k := s.Sink.(*Sink)
	if n := k.metrics.maybeDouble.Get(); n != 1 {
		t.Errorf("maybe double %d, want 1", n)
	}
	if r := s.Ledger.Report(time.Now()); r.Total.Acknowledged != 1 {
		t.Errorf("ledger %+v", r.Total)
	}
}

// A batch that may be in the topic and is then refused may have used its sequence: what follows must not use it again, or Kafka would acknowledge it
// as the one before, without storing it.
func TestAfterAnUnclearRefusal(t *testing.T) {
	c := fake(t)
	s := subject(t, c.ListenAddrs()[0], func(c *Config) { c.Linger = time.Millisecond })
	end := s.Go(t)
	put := func(n int) {
		s.Sink.Put(sinktest.Snapshot("checkout", n))
		until(t, "it", func() bool { return s.Ledger.Report(time.Now()).Total.InMemory == 0 })
	}
	put(1)
	answer(c, s.Topics.Snapshots, kerr.RequestTimedOut.Code, kerr.PolicyViolation.Code)
	put(2)
	put(3)
	put(4)
	end()
	r := s.Ledger.Report(time.Now())
	if n := len(s.Read(t, s.Topics.Snapshots)); n != 3 || r.Total.Acknowledged != 3 || r.Total.Reasons["refused_fatal"] != 1 {
		t.Errorf("%d in the topic, ledger %+v", n, r.Total)
	}
}

// Of a batch with one record whose time is ahead only that one goes with an earlier time, and says its own.
func TestOneBadRecordHurtsOnlyItself(t *testing.T) {
	c := fake(t)
	s := subject(t, c.ListenAddrs()[0], nil)
	c.ControlKey(0, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		var b kmsg.RecordBatch
		if err := b.ReadFrom(p.Topics[0].Partitions[0].Records); err != nil {
			t.Error(err)
		}
		if b.MaxTimestamp < time.Now().Add(time.Hour).UnixMilli() {
			return nil, nil, false
		}
		resp := p.ResponseKind().(*kmsg.ProduceResponse)
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = p.Topics[0].Topic
		one := kmsg.NewProduceResponseTopicPartition()
		one.Partition, one.ErrorCode = p.Topics[0].Partitions[0].Partition, kerr.InvalidTimestamp.Code
		rt.Partitions = append(rt.Partitions, one)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	for i := range 20 {
		snap := sinktest.Snapshot("checkout", i)
		if i == 7 {
			snap.Time = snap.Time.Add(3 * time.Hour)
		}
		s.Sink.Put(snap)
	}
	s.Go(t)()
	r := s.Ledger.Report(time.Now())
	ms := s.Read(t, s.Topics.Snapshots)
	if n := explained(t, ms, r); n != 20 || len(r.Losses) != 0 {
		t.Errorf("%d in the topic, ledger %+v, losses %+v", n, r.Total, r.Losses)
	}
	for _, m := range ms {
		var rec wire.Record
		if err := wire.Decode(m.Value, &rec); err != nil {
			t.Fatal(err)
		}
		earlier := time.Duration(0)
		if rec.ID.Sequence == 8 {
			earlier = 2 * time.Hour
		}
		if got := time.UnixMilli(rec.TS).Sub(m.Time); got != earlier {
			t.Errorf("%v: Kafka is told a time %v before its own, want %v", rec.ID, got, earlier)
		}
	}
}

func TestMissingTopicsNameTheCommand(t *testing.T) {
	c := fake(t)
	s := subject(t, c.ListenAddrs()[0], func(c *Config) { c.NoCreate, c.Drain = true, 10*time.Millisecond })
	k := s.Sink.(*Sink)
	end := s.Go(t)
	s.Sink.Put(sinktest.Snapshot("checkout", 1))
	until(t, "the trouble to be told", func() bool { return strings.Contains(k.Status().Trouble, "is missing") })
	st := k.Status()
	for _, word := range []string{"kafka-topics.sh --bootstrap-server " + c.ListenAddrs()[0] + " --create --topic rollcall.", "--partitions 12", "--config retention.ms=", "--config compression.type=producer", "told not to"} {
		if !strings.Contains(st.Trouble, word) {
			t.Errorf("trouble %q lacks %q", st.Trouble, word)
		}
	}
	end()
	if r := s.Ledger.Report(time.Now()); r.Total.Reasons[sink.DroppedShutdown] != 1 {
		t.Errorf("ledger %+v", r.Total)
	}
}
