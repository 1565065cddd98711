package feed

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/rollup"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.Runner{M: m}) }

// rig is an embedded broker, a feed that reads it and a Board.
type rig struct {
	t       *testing.T
	dir     string
	addr    string
	stop    func() // the broker
	board   *dashboards.Board
	feed    *Feed
	history *rollup.History

	once  sync.Once
	kafka *kafka.Client

	mu  sync.Mutex
	seq map[int]uint64
}

var topics = sink.DefaultTopics()

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir(), addr: "127.0.0.1:0", seq: map[int]uint64{}}
	r.startBroker()
	t.Cleanup(func() { r.stop() })
	r.newBoard()
	return r
}

func (r *rig) newBoard() {
	r.t.Helper()
	b, err := dashboards.NewBoard(dashboards.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.board = b
}

func (r *rig) startBroker() {
	r.t.Helper()
	b, err := broker.New(broker.Config{Addr: r.addr, DataDir: r.dir})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(ctx); err != nil {
			r.t.Error(err)
		}
	})
	<-b.Ready()
	r.addr = b.Addr()
	r.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
}

// run runs the feed and the Board's ticks until the test ends.
func (r *rig) run() {
	f, err := New(Config{Board: r.board, Brokers: []string{r.addr}, History: r.history})
	if err != nil {
		r.t.Fatal(err)
	}
	r.feed = f
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = f.Run(ctx) })
	wg.Go(func() { _ = r.board.Run(ctx) })
	r.t.Cleanup(func() { cancel(); wg.Wait() })
}

// client is one for the whole test; it soon learns of a broker that comes back.
func (r *rig) client() *kafka.Client {
	r.once.Do(func() {
		tr := &kafka.Transport{Dial: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, MetadataTTL: 200 * time.Millisecond}
		r.t.Cleanup(tr.CloseIdleConnections)
		r.kafka = &kafka.Client{Addr: kafka.TCP(r.addr), Timeout: 10 * time.Second, Transport: tr}
	})
	return r.kafka
}

func (r *rig) makeTopics(names ...string) {
	r.t.Helper()
	c := r.client()
	for _, n := range names {
		res, err := c.CreateTopics(context.Background(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: n, NumPartitions: 3, ReplicationFactor: 1}}})
		if err != nil || res.Errors[n] != nil {
			r.t.Fatal(err, res)
		}
	}
}

// produce sends values to a partition of a topic at once, with their times. A partition that has no leader yet is waited for.
func (r *rig) produce(topic string, p int, at time.Time, values ...[]byte) {
	r.t.Helper()
	var err error
	r.until("the broker takes it", 20*time.Second, func() bool {
		var recs []kafka.Record
		for _, v := range values {
			recs = append(recs, kafka.Record{Time: at, Key: kafka.NewBytes([]byte("checkout/prod")), Value: kafka.NewBytes(v)})
		}
		var res *kafka.ProduceResponse
		res, err = r.client().Produce(context.Background(), &kafka.ProduceRequest{Topic: topic, Partition: p, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(recs...)})
		if err == nil {
			err = res.Error
		}
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) { // a connection to the broker that was before
			return false
		}
		return !errors.Is(err, kafka.NotLeaderForPartition) && !errors.Is(err, kafka.LeaderNotAvailable) && (err == nil || !strings.Contains(err.Error(), "not found"))
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// snapshot is the next record of an instance, in a partition's sequence.
func (r *rig) snapshot(p int, instance string, at time.Time, requests int) []byte {
	r.mu.Lock()
	r.seq[p]++
	id := wire.ID{Collector: 7, Start: 1, Partition: int32(p), Sequence: r.seq[p]}
	r.mu.Unlock()
	return encode(id, instance, at, requests)
}

func encode(id wire.ID, instance string, at time.Time, requests int) []byte {
	host, port, _ := discovery.SplitAddr(instance)
	s := &collector.Snapshot{Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: host, Port: port}, Shard: discovery.NoShard},
		Time: at, Took: time.Millisecond, Interval: time.Second, Tags: discovery.TagsOf(map[string]string{dashboards.TagVersion: "1.41.3", "team": "payments"}),
		Samples: []collector.Sample{{Name: "requests", Kind: collector.Counter, Value: strconv.Itoa(requests)}, {Name: "mode", Kind: collector.Label, Value: "warm"}}}
	return wire.AppendSnapshot(nil, s, id, wire.Provenance{})
}

// until waits for a condition; the test fails if it does not come.
func (r *rig) until(what string, within time.Duration, cond func() bool) time.Duration {
	r.t.Helper()
	begun := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Since(begun) > within {
			r.t.Fatalf("waited %s in vain: %s; feed %+v, stats %+v", within, what, r.board.Feed(), r.board.Stats())
		}
		<-tick.C
	}
	return time.Since(begun)
}

func (r *rig) live() {
	r.until("the feed is live", 15*time.Second, func() bool { return r.is(dashboards.FeedLive) })
}

func (r *rig) is(s dashboards.FeedState) bool { return r.board.Feed().State == s }
