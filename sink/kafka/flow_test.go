package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
)

// flying counts Produce requests that are on their way.
type flying struct{ now, most atomic.Int64 }

type flyingConn struct {
	net.Conn
	f     *flying
	aloft atomic.Bool
}

func (f *flying) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &flyingConn{Conn: c, f: f}, nil
}

func (c *flyingConn) Write(b []byte) (int, error) {
	// A connection has one request at a time; its first bytes hold size and kind.
	if len(b) > 6 && binary.BigEndian.Uint16(b[4:]) == 0 && int(binary.BigEndian.Uint32(b)) > 60 && !c.aloft.Swap(true) {
		for n := c.f.now.Add(1); ; {
			m := c.f.most.Load()
			if n <= m || c.f.most.CompareAndSwap(m, n) {
				break
			}
		}
	}
	return c.Conn.Write(b)
}

func (c *flyingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.aloft.Swap(false) {
		c.f.now.Add(-1)
	}
	return n, err
}

func TestFourRequestsAtOnce(t *testing.T) {
	addr, _ := embedded(t, broker.Config{DataDir: t.TempDir()})
	var f flying
	s := subject(t, addr, func(c *Config) { c.Dial, c.Linger = f.dial, time.Millisecond })
	end := s.Go(t)
	for i := range 3000 {
		s.Sink.Put(sinktest.Snapshot(fmt.Sprint("service-", i%40), i))
	}
	end()
	if n := f.most.Load(); n < 2 || n > inFlight {
		t.Errorf("%d requests at once, want 2 to %d", n, inFlight)
	}
	if r := s.Ledger.Report(time.Now()); r.Total.Acknowledged != 3000 {
		t.Errorf("ledger %+v", r.Total)
	}
}

func TestBackfillLeavesRoomForLive(t *testing.T) {
	c := &cluster{leaders: map[string][]int32{}, gates: map[int32]*gate{}}
	late, live := &lane{kind: sink.Backfill, q: &queue{}}, &lane{kind: sink.Live, q: &queue{}}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	var held []slot
	for range inFlight / 2 {
		sl, ok := c.slot(t.Context(), late)
		if !ok {
			t.Fatal("no place for backfill")
		}
		held = append(held, sl)
	}
	if _, ok := c.slot(short, late); ok {
		t.Error("backfill takes more than half")
	}
	for range inFlight / 2 {
		sl, ok := c.slot(t.Context(), live)
		if !ok {
			t.Fatal("no place for live")
		}
		held = append(held, sl)
	}
	if _, ok := c.slot(short, live); ok {
		t.Error("more than four at once")
	}
	for _, sl := range held {
		sl.free()
	}
	if sl, ok := c.slot(t.Context(), late); !ok {
		t.Error("places are not given back")
	} else {
		sl.free()
	}
}

func TestThrottleIsObeyed(t *testing.T) {
	c := fake(t)
	s := subject(t, c.ListenAddrs()[0], func(c *Config) { c.Linger = time.Millisecond })
	var first, second atomic.Int64
	c.ControlKey(0, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		now := time.Now().UnixNano()
		if first.CompareAndSwap(0, now) {
			resp := req.(*kmsg.ProduceRequest).ResponseKind().(*kmsg.ProduceResponse)
			resp.ThrottleMillis = 400
			for _, rt := range req.(*kmsg.ProduceRequest).Topics {
				t := kmsg.NewProduceResponseTopic()
				t.Topic = rt.Topic
				one := kmsg.NewProduceResponseTopicPartition()
				one.Partition, one.ErrorCode = rt.Partitions[0].Partition, 7
				t.Partitions = append(t.Partitions, one)
				resp.Topics = append(resp.Topics, t)
			}
			return resp, nil, true
		}
		second.CompareAndSwap(0, now)
		return nil, nil, false
	})
	end := s.Go(t)
	s.Sink.Put(sinktest.Snapshot("checkout", 1))
	end()
	if gap := time.Duration(second.Load() - first.Load()); gap < 400*time.Millisecond {
		t.Errorf("the next request came after %v", gap)
	}
}

// Who is throttled is the connection of one, but the bound is on what all send: all lanes to that broker keep still, the backfill for longer, and others go on.
func TestThrottleIsForAllLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{leaders: map[string][]int32{"live": {1, 1, 2}, "late": {1, 1, 2}}, gates: map[int32]*gate{}}
		to := func(topic string, part int32, kind sink.Lane) *lane {
			return &lane{topic: topic, kind: kind, q: &queue{part: part}}
		}
		after := func(n *lane) time.Duration {
			began := time.Now()
			place, ok := c.slot(t.Context(), n)
			if !ok {
				t.Fatal("no place")
			}
			place.free()
			return time.Since(began)
		}
		asked, _ := c.slot(t.Context(), to("live", 0, sink.Live))
		asked.g.throttle(400*time.Millisecond, time.Now())
		asked.g.throttle(100*time.Millisecond, time.Now())
		asked.free()
		if d := after(to("live", 2, sink.Live)); d != 0 {
			t.Errorf("another broker's lane waits %v", d)
		}
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, ok := c.slot(short, to("live", 1, sink.Live)); ok {
			t.Error("a place at a broker that wants nothing")
		}
		if d := after(to("live", 1, sink.Live)); d != 300*time.Millisecond {
			t.Errorf("the live lane of another partition waits %v more", d)
		}
		if d := after(to("late", 0, sink.Backfill)); d != 1200*time.Millisecond {
			t.Errorf("the backfill waits %v more", d)
		}
	})
}

// Every acknowledgement is lost until the time to drain is over: the ledger does not claim to know.
func TestUnclearAtTheEnd(t *testing.T) {
	addr, _ := embedded(t, broker.Config{})
	var cut cutter
	s := subject(t, addr, func(c *Config) { c.Dial, c.Drain = cut.dial, 500*time.Millisecond })
	cut.lose.Store(math.MaxInt64)
	end := s.Go(t)
	s.Sink.Put(sinktest.Snapshot("checkout", 1))
	until(t, "a lost acknowledgement", func() bool { return cut.lost.Load() > 0 })
	end()
	r := s.Ledger.Report(time.Now())
	if r.Total.Reasons[sink.DroppedUnclear] != 1 || !r.Total.Balanced() {
		t.Errorf("ledger %+v", r.Total)
	}
	if n := len(s.Read(t, s.Topics.Snapshots)); n != 1 {
		t.Errorf("%d records in the topic: however often it was sent, it is there once", n)
	}
}

func TestTroubleIsToldWhenItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		tr := trouble{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.MessageKey {
				return slog.Attr{}
			}
			return a
		}})), what: map[string]*fault{}}
		passing := verdict{reason: "unreachable", wait: waitShort}
		tr.is("t", 1, passing, errors.New("x"))
		tr.over("t", 1)
		if out.Len() > 0 {
			t.Errorf("a passing trouble is told: %s", &out)
		}
		tr.is("t", 1, passing, errors.New("x"))
		tr.is("t", 2, passing, errors.New("x"))
		for range 70 {
			time.Sleep(time.Second)
			tr.is("t", 1, passing, errors.New("x"))
		}
		if n := strings.Count(out.String(), "level=WARN"); n != 3 {
			t.Errorf("told %d times in 70 s, want 3:\n%s", n, &out)
		}
		tr.over("t", 1)
		if _, _, ok := tr.now(); !ok || strings.Contains(out.String(), "INFO") {
			t.Error("over while partition 2 still stands")
		}
		tr.over("t", 2)
		if !strings.HasSuffix(out.String(), "level=INFO at=t after=1m10s\n") {
			t.Errorf("%s", &out)
		}
		out.Reset()
		tr.is("topic x", 0, verdict{reason: "missing", wait: waitAuth}, errors.New("run: kafka-topics.sh"))
		if !strings.Contains(out.String(), "kafka-topics.sh") {
			t.Error("what waits for a person is told at once")
		}
	})
}

func TestMetrics(t *testing.T) {
	set := metrics.NewSet()
	c := fake(t, kfake.SeedTopics(1, sink.DefaultTopics().Snapshots))
	change := func(c *Config) { c.Metrics = set }
	subject(t, c.ListenAddrs()[0], change) // a sink made anew takes the set over
	s := subject(t, c.ListenAddrs()[0], change)
	answer(c, s.Topics.Snapshots, 6, 87)
	end := s.Go(t)
	s.Sink.Put(sinktest.Snapshot("a", 1))
	until(t, "the first", func() bool { return s.Ledger.Report(time.Now()).Total.InMemory == 0 })
	s.Sink.Put(sinktest.Snapshot("a", 2))
	old := sinktest.Snapshot("a", 3)
	old.Time = old.Time.Add(-time.Hour)
	s.Sink.Publish(s.Topics.Roster, "k", []byte("{}"), time.Now())
	until(t, "the second", func() bool { return s.Ledger.Report(time.Now()).Total.InMemory == 0 })
	s.Sink.Put(old)
	end()
	var out bytes.Buffer
	set.WritePrometheus(&out)
	for _, line := range []string{
		"rollcall_sink_snapshots_total 3", "rollcall_sink_published_total 1",
		`rollcall_sink_acknowledged_total{lane="live"} 1`, `rollcall_sink_acknowledged_total{lane="backfill"} 1`,
		`rollcall_sink_dropped_total{reason="refused_record"} 1`,
		`rollcall_sink_produce_requests_total{lane="live",result="not_leader"} 1`, `rollcall_sink_produce_requests_total{lane="live",result="record"} 1`,
		"rollcall_sink_producer_ids_total 1", "rollcall_sink_memory_bytes 0", "rollcall_sink_memory_batches 0", "rollcall_sink_oldest_seconds 0",
		"rollcall_sink_memory_budget_bytes 268435456", `rollcall_sink_produce_seconds_count{lane="backfill"} 1`,
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("no line %q in\n%s", line, &out)
		}
	}
}
