// Package topic writes what an export makes into a topic of its own.
//
// It owns the way into that topic: which partition, batches, an idempotent producer a source partition, and the mark by which an exporter that was killed finds out
// what it had written. It must not know what the records say; a Codec does.
package topic

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/rollcall-metrics/rollcall/internal/promtext"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Codec makes records of one partition. It is used by one goroutine.
type Codec interface {
	// Encode gives the records that r becomes; their bytes are the caller's. Of one that is Known it gives none, and only remembers. An error holds the export up: it is
	// for what may be better later, such as a registry that does not answer.
	Encode(ctx context.Context, r *export.Record, emit func(key, value []byte)) error
	// Close gives back what the codec holds.
	Close()
}

// Config shapes an Output. Brokers, Topic and Codec must be given.
type Config struct {
	Brokers    []string
	TLS        *tls.Config
	Login      sasl.Mechanism
	ClientID   string // default rollcall-export- and Topic
	Topic      string
	Partitions int           // of the topic, where we make it; default 12
	Keep       time.Duration // its retention, where we make it; default 7 days
	NoCreate   bool
	// Codec makes one for each partition of the snapshots, and says for how many intervals it wants to see what was before.
	Codec       func() Codec
	Intervals   int
	ContentType string // header content-type; default application/json
	Schema      string // header rollcall-schema
	MaxBatch    int    // bytes of a batch before compression; default 512 KiB

	Name    string // in metrics
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Output writes to a topic. It implements export.Output.
type Output struct {
	cfg     Config
	client  *kafka.Client
	back    *readback.Client
	refused *metrics.Counter
	again   *metrics.Counter
	written *metrics.Counter

	refusedSaid atomic.Int64 // when a refused record was last named, Unix nanoseconds
}

// New checks the configuration; it dials nothing.
func New(c Config) (*Output, error) {
	var faults []error
	if len(c.Brokers) == 0 {
		faults = append(faults, errors.New("no brokers: give at least one host:port"))
	}
	if c.Topic == "" || c.Codec == nil {
		faults = append(faults, errors.New("no topic or no codec"))
	}
	c.ClientID = cmp.Or(c.ClientID, "rollcall-export-"+c.Topic)
	c.Partitions = cmp.Or(c.Partitions, 12)
	c.Keep = cmp.Or(c.Keep, 7*24*time.Hour)
	c.MaxBatch = cmp.Or(c.MaxBatch, 512<<10)
	c.ContentType = cmp.Or(c.ContentType, wire.ContentType)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.Metrics = cmp.Or(c.Metrics, metrics.NewSet())
	if c.Partitions < 1 || c.Partitions > 10_000 {
		faults = append(faults, fmt.Errorf("%d partitions: want 1 to 10000", c.Partitions))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("configure output topic %q: %w", c.Topic, err)
	}
	back, err := readback.New(readback.Config{Brokers: c.Brokers, TLS: c.TLS, Login: c.Login, ClientID: c.ClientID})
	if err != nil {
		return nil, err
	}
	t := &kafka.Transport{DialTimeout: 3 * time.Second, MetadataTTL: time.Second, TLS: c.TLS, SASL: c.Login, ClientID: c.ClientID}
	count := func(name string) *metrics.Counter {
		return c.Metrics.GetOrCreateCounter(fmt.Sprintf("rollcall_export_topic_%s{export=%s}", name, promtext.Quote(c.Name)))
	}
	return &Output{cfg: c, back: back, client: &kafka.Client{Addr: kafka.TCP(c.Brokers...), Timeout: 10 * time.Second, Transport: t},
		refused: count("refused_total"), again: count("producers_total"), written: count("written_total")}, nil
}

// Close gives the connections back.
func (o *Output) Close() error {
	o.back.Close()
	o.client.Transport.(*kafka.Transport).CloseIdleConnections()
	return nil
}

// Open implements export.Output.
func (o *Output) Open(ctx context.Context, partition int, mark string) (export.Part, export.Recall, error) {
	var recall export.Recall
	if err := o.create(ctx); err != nil {
		return nil, recall, err
	}
	n, err := o.back.Partitions(ctx, o.cfg.Topic)
	if err != nil {
		return nil, recall, err
	}
	spans, err := o.back.Spans(ctx, time.Time{}, o.cfg.Topic)
	if err != nil {
		return nil, recall, err
	}
	p := &part{o: o, source: partition, ends: make([]int64, n), stamps: make([]stamp, n), rows: make([][]row, n), bytes: make([]int, n), codec: o.cfg.Codec()}
	marked := parseMark(mark)
	for _, s := range spans {
		p.ends[s.Partition] = s.End
		if s.Partition >= len(marked) {
			continue
		}
		// What stands behind the mark was written, and its offsets were not committed.
		s.From = max(s.First, marked[s.Partition])
		if err := o.back.Read(ctx, s, func(m readback.Message) error {
			for _, h := range m.Headers {
				if h.Key != idHeader {
					continue
				}
				if id, err := wire.ParseID(string(h.Value)); err == nil && int(id.Partition) == partition {
					recall.Delivered.Add(id)
				}
			}
			return nil
		}); err != nil {
			p.codec.Close()
			return nil, recall, err
		}
	}
	if p.zip, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(64<<10)); err == nil {
		err = p.producer(ctx)
	}
	if err != nil {
		p.codec.Close()
		return nil, recall, err
	}
	recall.Intervals, recall.Mark = o.cfg.Intervals, mark
	if mark == "" {
		recall.Mark = p.mark()
	}
	p.last, p.looked = recall.Mark, time.Now()
	return p, recall, nil
}

// create makes the topic where it is not there.
func (o *Output) create(ctx context.Context) error {
	_, err := o.back.Partitions(ctx, o.cfg.Topic)
	if err == nil || !errors.Is(err, readback.ErrNoTopic) {
		return err
	}
	brokers, err := o.back.Brokers(ctx)
	if err != nil {
		return err
	}
	replicas := max(1, min(3, brokers))
	t := kafka.TopicConfig{Topic: o.cfg.Topic, NumPartitions: o.cfg.Partitions, ReplicationFactor: replicas, ConfigEntries: []kafka.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"}, {ConfigName: "compression.type", ConfigValue: "producer"}, {ConfigName: "message.timestamp.type", ConfigValue: "CreateTime"},
		{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(o.cfg.Keep.Milliseconds(), 10)}}}
	if replicas >= 3 {
		t.ConfigEntries = append(t.ConfigEntries, kafka.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: "2"})
	}
	if o.cfg.NoCreate {
		return fmt.Errorf("topic %q is not there, and we are told not to make topics", o.cfg.Topic)
	}
	r, err := o.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{t}})
	if err == nil {
		err = r.Errors[o.cfg.Topic]
	}
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("make topic %q: %w", o.cfg.Topic, err)
	}
	if err == nil {
		o.cfg.Logger.Info("made topic", "topic", o.cfg.Topic, "partitions", o.cfg.Partitions, "replication", replicas)
	}
	for range 50 { // until the brokers have told each other
		if _, err = o.back.Partitions(ctx, o.cfg.Topic); err == nil || !errors.Is(err, readback.ErrNoTopic) || ctx.Err() != nil {
			return err
		}
		t := time.NewTimer(100 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	return err
}

// part writes what becomes of one partition of the snapshots.
type part struct {
	o      *Output
	source int
	codec  Codec
	zip    *zstd.Encoder

	stamps []stamp // by partition of the topic: of the next batch
	ends   []int64 // where each ended after our last write
	rows   [][]row
	bytes  []int
	sealed []batch // made of the records in hand, in their order; what is not there yet
	made   bool    // sealed stands for the records in hand
	last   string
	looked time.Time
}

type batch struct {
	to     int
	n      int
	wire   []byte
	rows   []row   // until it is known to be there: a new producer needs them
	halves []batch // of one that the broker does not take whole, in its place
}

// anew has a batch sealed again.
func (b *batch) anew() {
	b.wire = nil
	for i := range b.halves {
		b.halves[i].anew()
	}
}

// Write implements export.Part.
func (p *part) Write(ctx context.Context, rs []export.Record) (string, error) {
	if !p.made {
		for i := range rs {
			if err := p.encode(ctx, &rs[i]); err != nil {
				p.drop()
				return "", err
			}
		}
		for to := range p.rows {
			p.cut(to)
		}
		p.made = true
	}
	if err := p.send(ctx); err != nil {
		return "", err
	}
	p.made = false
	if time.Since(p.looked) > lookEvery {
		p.look(ctx)
	}
	if len(rs) > 0 {
		p.last = p.mark()
	}
	return p.last, nil
}

// lookEvery is how often the mark is brought forward in partitions that only others write to: behind a mark is what is read again after a kill.
const lookEvery = 30 * time.Second

// look takes the topic's ends into the mark. All that we wrote is before them.
func (p *part) look(ctx context.Context) {
	p.looked = time.Now()
	spans, err := p.o.back.Spans(ctx, time.Time{}, p.o.cfg.Topic)
	if err != nil {
		return // the next one will do
	}
	for _, s := range spans {
		if s.Partition < len(p.ends) {
			p.ends[s.Partition] = max(p.ends[s.Partition], s.End)
		}
	}
	p.last = p.mark()
}

// drop forgets what was encoded of records that will be given again.
func (p *part) drop() {
	for i := range p.rows {
		p.rows[i], p.bytes[i] = nil, 0
	}
	p.sealed = nil
}

func (p *part) encode(ctx context.Context, r *export.Record) error {
	type made struct{ key, value []byte }
	var all []made
	if err := p.codec.Encode(ctx, r, func(key, value []byte) { all = append(all, made{key, value}) }); err != nil || len(all) == 0 {
		return err
	}
	ts := cmp.Or(max(r.TS, 0), now())
	for i, m := range all {
		to := int(wire.Partition(string(m.key), len(p.rows)))
		size := len(m.key) + len(m.value) + recordFrame
		if p.bytes[to]+size > p.o.cfg.MaxBatch && len(p.rows[to]) > 0 {
			p.cut(to)
		}
		one := row{key: m.key, value: m.value, ts: ts, of: r.ID}
		if i == len(all)-1 {
			one.id = r.ID.String()
		}
		p.rows[to] = append(p.rows[to], one)
		p.bytes[to] += size
	}
	return nil
}

// cut closes the open batch of a partition.
func (p *part) cut(to int) {
	if len(p.rows[to]) > 0 {
		p.sealed = append(p.sealed, batch{to: to, n: len(p.rows[to]), rows: p.rows[to]})
		p.rows[to], p.bytes[to] = nil, 0
	}
}

// send brings all sealed batches to the topic, those of one partition in their order, those of several at once.
func (p *part) send(ctx context.Context) error {
	by := map[int][]*batch{}
	for i := range p.sealed {
		by[p.sealed[i].to] = append(by[p.sealed[i].to], &p.sealed[i])
	}
	var wg sync.WaitGroup
	errs := make(chan error, len(by))
	var zip sync.Mutex
	for _, list := range by {
		wg.Go(func() {
			for _, b := range list {
				if err := p.deliver(ctx, b, &zip); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	var all []error
	anew := false
	for err := range errs {
		all = append(all, err)
		anew = anew || errors.Is(err, kafka.OutOfOrderSequenceNumber) || errors.Is(err, kafka.InvalidProducerEpoch) || errors.Is(err, errUnknownProducer)
	}
	if len(all) == 0 {
		p.sealed = nil
		return nil
	}
	if anew { // the broker has forgotten the producer: what is left goes as another
		p.o.again.Inc()
		if err := p.producer(ctx); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

var errUnknownProducer = kafka.Error(59) // UNKNOWN_PRODUCER_ID

// deliver brings a batch to the topic, or its halves. zip guards the compressor.
func (p *part) deliver(ctx context.Context, b *batch, zip *sync.Mutex) error {
	if b.n == 0 { // it is there
		return nil
	}
	if b.halves == nil {
		if b.wire == nil {
			zip.Lock()
			b.wire = seal(p.zip, b.rows, p.o.cfg.ContentType, p.o.cfg.Schema, p.stamps[b.to])
			zip.Unlock()
		}
		if err := p.produce(ctx, b); err != nil || b.halves == nil {
			return err
		}
	}
	for i := range b.halves {
		if err := p.deliver(ctx, &b.halves[i], zip); err != nil {
			return err
		}
	}
	b.n, b.halves = 0, nil
	return nil
}

// refuse divides a batch that the broker does not take, so that only the record that is not wanted is left out. A refused batch used no sequence.
func (p *part) refuse(b *batch, err error) {
	b.wire = nil
	if n := len(b.rows) / 2; n > 0 {
		b.halves = []batch{{to: b.to, n: n, rows: b.rows[:n]}, {to: b.to, n: len(b.rows) - n, rows: b.rows[n:]}}
		b.rows = nil
		return
	}
	r := &b.rows[0]
	p.o.refused.Inc()
	if now, said := time.Now().UnixNano(), p.o.refusedSaid.Load(); now-said > int64(sayAgain) && p.o.refusedSaid.CompareAndSwap(said, now) {
		p.o.cfg.Logger.Error("the topic refuses a record for good; it is left out, like others that are counted", "topic", p.o.cfg.Topic, "partition", b.to, "key", string(r.key),
			"bytes", len(r.value), "of", r.of.String(), "err", err)
	}
	b.n, b.rows = 0, nil
}

// sayAgain is how long other records that are refused are only counted.
const sayAgain = time.Second

// produce sends one batch; on any unclear answer the same bytes are sent again by the next call.
func (p *part) produce(ctx context.Context, b *batch) error {
	r, err := p.o.client.RawProduce(ctx, &kafka.RawProduceRequest{Topic: p.o.cfg.Topic, Partition: b.to, RequiredAcks: kafka.RequireAll,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(b.wire)}})
	if err == nil {
		err = r.Error
	}
	switch {
	case err == nil:
		p.o.written.Add(b.n)
		p.ends[b.to] = max(p.ends[b.to], r.BaseOffset+int64(b.n))
	case errors.Is(err, kafka.DuplicateSequenceNumber): // it is there
		p.o.written.Add(b.n)
		p.ends[b.to] += int64(b.n)
	case errors.Is(err, kafka.MessageSizeTooLarge), errors.Is(err, kafka.RecordListTooLarge), errors.Is(err, kafka.InvalidRecord), errors.Is(err, kafka.InvalidTimestamp):
		p.refuse(b, err)
		return nil
	default:
		return fmt.Errorf("write to %s/%d: %w", p.o.cfg.Topic, b.to, err)
	}
	p.stamps[b.to].sequence = int32((int64(p.stamps[b.to].sequence) + int64(b.n)) & 0x7fffffff)
	b.n, b.rows, b.wire = 0, nil, nil
	return nil
}

// producer takes a new producer id.
func (p *part) producer(ctx context.Context) error {
	r, err := p.o.client.InitProducerID(ctx, &kafka.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return fmt.Errorf("take a producer id: %w", err)
	}
	for i := range p.stamps {
		p.stamps[i] = stamp{id: int64(r.Producer.ProducerID), epoch: int16(r.Producer.ProducerEpoch)}
	}
	for i := range p.sealed {
		p.sealed[i].anew()
	}
	return nil
}

// Close implements export.Part.
func (p *part) Close() error {
	p.codec.Close()
	return p.zip.Close()
}

// mark is where each partition of the topic ended: varints, in base64, as little room is given to it.
func (p *part) mark() string {
	var b []byte
	for _, end := range p.ends {
		b = binary.AppendUvarint(b, uint64(end))
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

func parseMark(s string) (out []int64) {
	b, err := base64.RawStdEncoding.DecodeString(s)
	for err == nil && len(b) > 0 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil
		}
		out, b = append(out, int64(v)), b[n:]
	}
	return out
}
