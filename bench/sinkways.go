package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	kafkazstd "github.com/segmentio/kafka-go/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rollcall-metrics/rollcall/sink"
	sinkkafka "github.com/rollcall-metrics/rollcall/sink/kafka"
	"github.com/rollcall-metrics/rollcall/sink/spool"
)

// record is what all ways are given: the same keys, values and headers.
type record struct {
	key   string
	value []byte
}

const (
	recordKinds = 4096     // different records
	services    = 48       // different keys
	underWay    = 32 << 20 // bytes of values that a way may hold, not acknowledged
	batchBytes  = 900 << 10
	linger      = 100 * time.Millisecond
	partitions  = 12
)

// recordHeaders are those of the sink's topics.
var recordHeaders = [][2]string{{"content-type", "application/json"}, {"rollcall-schema", "rollup/1"}}

// valuesOf makes the records: JSON in which the numbers differ from record to record, one number in the small ones.
func valuesOf(size int) []record {
	out := make([]record, recordKinds)
	seed := uint32(1)
	random := func() uint32 { seed = seed*1664525 + 1013904223; return seed >> 8 }
	for i := range out {
		s := i % services
		v := fmt.Appendf(nil, `{"ts":%d,"service":"service-%d","instance":"10.0.%d.%d:8001"`, 1764000000000+int64(i), s, random()%256, random()%256)
		for n := 0; len(v) < size-1; n++ {
			v = fmt.Appendf(v, `,"requests_%d":%d`, n, random())
		}
		v = append(v[:size-1], '}')
		out[i] = record{fmt.Sprintf("service-%d/bench", s), v}
	}
	return out
}

// producer is one way to bring records to the broker.
type producer interface {
	send(r *record, at time.Time)
	// flush waits until everything that was sent is acknowledged.
	flush(sent int64) error
	// finish does so for the last time: nothing waits for company any more.
	finish(sent int64) error
}

type producerConfig struct {
	way, broker, topic, dir string
	size                    int
	sent                    sent
}

func newProducer(ctx context.Context, c *producerConfig) (producer, error) {
	switch c.way {
	case wayOurs, wayMemory:
		return newOurs(ctx, c)
	case wayWriter:
		return newWriter(c), nil
	case wayFranz:
		return newFranz(c)
	}
	return nil, fmt.Errorf("producer: %q is no way", c.way)
}

// sent counts the bytes that this process has written to brokers.
type sent struct{ n atomic.Int64 }

func (s *sent) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return countedConn{c, s}, nil
}

type countedConn struct {
	net.Conn
	to *sent
}

func (c countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.to.n.Add(int64(n))
	return n, err
}

// produce gives a producer as many records as it takes for d, and waits by flush until all are acknowledged.
func produce(p producer, s *sent, values []record, d time.Duration, flush func(int64) error) (out produced) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	spent, began, bytes := cpu(), time.Now(), s.n.Load()
	now := began
	for n := 0; now.Sub(began) < d; n++ {
		if n%64 == 0 {
			now = time.Now()
		}
		p.send(&values[n%len(values)], now)
		out.Records++
	}
	err := flush(out.Records)
	out.Took, out.CPU, out.Sent = time.Since(began), cpu()-spent, s.n.Load()-bytes
	runtime.ReadMemStats(&after)
	if out.Mallocs = after.Mallocs - before.Mallocs; err != nil {
		out.Error = err.Error()
	}
	return out
}

// ourSink is the sink of this tree.
type ourSink struct {
	sink   *sinkkafka.Sink
	ledger *sink.Ledger
	topic  string
	size   int
	spool  string
	before uint64
	n      int
	end    func() error
	ended  bool
}

func newOurs(ctx context.Context, c *producerConfig) (*ourSink, error) {
	o := &ourSink{topic: c.topic, size: c.size, ledger: sink.NewLedger(sink.Identity{Collector: 1, Start: uint64(time.Now().Unix())}, time.Now())}
	conf := sinkkafka.Config{Brokers: []string{c.broker}, Ledger: o.ledger, Topics: sink.Topics{Rollups: c.topic}, Partitions: partitions, Dial: c.sent.dial}
	if c.way == wayOurs {
		dir, err := os.MkdirTemp(c.dir, "spool-")
		if err != nil {
			return nil, err
		}
		o.spool, conf.Spool = dir, &spool.Config{Path: dir}
	}
	s, err := sinkkafka.New(conf)
	if err != nil {
		return nil, err
	}
	o.sink = s
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	o.end = func() error { cancel(); return <-done }
	return o, nil
}

func (o *ourSink) send(r *record, at time.Time) {
	o.sink.Publish(o.topic, r.key, r.value, at)
	if o.n++; o.n*o.size > 1<<20 {
		o.n = 0
		for o.sink.Behind() || o.sink.Status().Memory > underWay {
			time.Sleep(time.Millisecond)
		}
	}
}

func (o *ourSink) flush(sent int64) error {
	for {
		for _, t := range o.ledger.Report(time.Now()).Topics {
			if t.Topic != o.topic || t.Waiting() > 0 && !o.ended {
				continue
			}
			n := int64(t.Acknowledged - o.before)
			if o.before = t.Acknowledged; n != sent {
				return fmt.Errorf("%d sent, %d acknowledged, %d dropped, %d left", sent, n, t.Dropped, t.Waiting())
			}
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (o *ourSink) finish(sent int64) error {
	err := o.end() // which drains
	o.ended = true
	if o.spool != "" {
		err = errors.Join(err, os.RemoveAll(o.spool))
	}
	return errors.Join(err, o.flush(sent))
}

// writer is kafka-go's, which sends at once what it may and is told when that is acknowledged. It has no producer id: what it sends twice stands twice.
type writer struct {
	w       *kafka.Writer
	size    int64
	pending []kafka.Message
	headers []kafka.Header
	held    atomic.Int64
	acked   atomic.Int64
	room    chan struct{}
	err     atomic.Pointer[error]
}

const writerChunk = 1000 // messages of one call

func newWriter(c *producerConfig) *writer {
	compress.Codecs[compress.Zstd] = &kafkazstd.Codec{Level: 1} // the level that the others have
	w := &writer{size: int64(c.size), room: make(chan struct{}, 1)}
	for _, h := range recordHeaders {
		w.headers = append(w.headers, kafka.Header{Key: h[0], Value: []byte(h[1])})
	}
	w.w = &kafka.Writer{Addr: kafka.TCP(c.broker), Transport: &kafka.Transport{Dial: c.sent.dial}, Topic: c.topic, RequiredAcks: kafka.RequireAll, Compression: kafka.Zstd, Balancer: kafka.Murmur2Balancer{},
		BatchSize: 10_000, BatchBytes: batchBytes, BatchTimeout: linger, Async: true, Completion: func(ms []kafka.Message, err error) {
			if err != nil {
				w.err.CompareAndSwap(nil, &err)
			} else {
				w.acked.Add(int64(len(ms)))
			}
			w.held.Add(-int64(len(ms)))
			select {
			case w.room <- struct{}{}:
			default:
			}
		}}
	return w
}

func (w *writer) send(r *record, at time.Time) {
	w.pending = append(w.pending, kafka.Message{Key: []byte(r.key), Value: r.value, Headers: w.headers, Time: at})
	if len(w.pending) == writerChunk {
		w.hand()
	}
}

func (w *writer) hand() {
	w.held.Add(int64(len(w.pending)))
	if err := w.w.WriteMessages(context.Background(), w.pending...); err != nil {
		w.err.CompareAndSwap(nil, &err)
	}
	w.pending = w.pending[:0]
	for w.held.Load()*w.size > underWay {
		<-w.room
	}
}

func (w *writer) flush(sent int64) error {
	for w.hand(); w.held.Load() > 0; {
		<-w.room
	}
	return w.said(sent)
}

func (w *writer) finish(sent int64) error {
	w.hand()
	return errors.Join(w.w.Close(), w.said(sent))
}

func (w *writer) said(sent int64) error {
	if err := w.err.Load(); err != nil {
		return *err
	}
	if n := w.acked.Swap(0); n != sent {
		return fmt.Errorf("%d sent, %d acknowledged", sent, n)
	}
	return nil
}

// franz is franz-go's client: idempotent, all replicas acknowledging, as it is by itself.
type franz struct {
	c       *kgo.Client
	headers []kgo.RecordHeader
	acked   atomic.Int64
	err     atomic.Pointer[error]
}

func newFranz(c *producerConfig) (*franz, error) {
	f := &franz{}
	for _, h := range recordHeaders {
		f.headers = append(f.headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	var err error
	f.c, err = kgo.NewClient(kgo.SeedBrokers(c.broker), kgo.DefaultProduceTopic(c.topic), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(1)),
		kgo.ProducerBatchMaxBytes(batchBytes), kgo.ProducerLinger(linger), kgo.MaxBufferedBytes(underWay), kgo.MaxBufferedRecords(underWay/c.size), kgo.Dialer(c.sent.dial))
	return f, err
}

func (f *franz) send(r *record, at time.Time) {
	f.c.Produce(context.Background(), &kgo.Record{Key: []byte(r.key), Value: r.value, Headers: f.headers, Timestamp: at}, f.told)
}

func (f *franz) told(_ *kgo.Record, err error) {
	if err != nil {
		f.err.CompareAndSwap(nil, &err)
		return
	}
	f.acked.Add(1)
}

func (f *franz) flush(sent int64) error {
	if err := f.c.Flush(context.Background()); err != nil {
		return err
	}
	if err := f.err.Load(); err != nil {
		return *err
	}
	if n := f.acked.Swap(0); n != sent {
		return fmt.Errorf("%d sent, %d acknowledged", sent, n)
	}
	return nil
}

func (f *franz) finish(sent int64) error {
	err := f.flush(sent)
	f.c.Close()
	return err
}

func eachLine(from io.Reader, do func(string) error) error {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		if err := do(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}
