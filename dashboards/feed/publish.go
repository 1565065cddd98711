package feed

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/internal/login"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// PublisherConfig says where a Publisher writes. Brokers are needed.
type PublisherConfig struct {
	Brokers  []string
	SASL     login.SASL
	TLS      *tls.Config // nil: plain TCP
	ClientID string      // as the brokers' logs and quotas name us; default rollcall-serve
	MaxBytes int         // of what waits, default 32 MiB; past it what was put first goes, counted
	Log      *slog.Logger
	Metrics  *metrics.Set
}

// Publisher writes what `serve` itself has to say into the topics: findings and what people said of them, roll-ups. Of what waits for one key of a topic the newest
// counts, so that while Kafka is away there is never more to say than there are things. A record may stand twice where an answer was lost: readers take the newest.
type Publisher struct {
	cfg  PublisherConfig
	wake chan struct{}

	mu     sync.Mutex
	queue  []keyed // as they were put
	at     map[keyOf]int
	bytes  int
	lost   *metrics.Counter
	sent   *metrics.Counter
	failed *metrics.Counter
	errLog limiter

	refused  *metrics.Counter
	refusals limiter
}

type keyOf struct{ topic, key, what string }

type keyed struct {
	keyOf
	value []byte
	t     time.Time
}

const (
	publishBatch = 512 << 10 // bytes to one partition in one request
	publishPause = 20 * time.Millisecond
	publishRetry = 5 * time.Second // the longest pause between two tries
	publishDrain = 2 * time.Second // for what waits at the end
	lookAgain    = 30 * time.Second
)

// NewPublisher makes a Publisher; it dials nothing.
func NewPublisher(c PublisherConfig) (*Publisher, error) {
	c.MaxBytes, c.ClientID = cmp.Or(c.MaxBytes, 32<<20), cmp.Or(c.ClientID, clientID)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
	if len(c.Brokers) == 0 {
		return nil, errors.New("make publisher: no brokers; give kafka.brokers")
	}
	if _, err := c.SASL.Login(); err != nil {
		return nil, fmt.Errorf("make publisher: %w", err)
	}
	p := &Publisher{cfg: c, wake: make(chan struct{}, 1), at: map[keyOf]int{}}
	p.lost = c.Metrics.GetOrCreateCounter("rollcall_publish_dropped_total")
	p.sent = c.Metrics.GetOrCreateCounter("rollcall_publish_records_total")
	p.failed = c.Metrics.GetOrCreateCounter("rollcall_publish_failures_total")
	p.refused = c.Metrics.GetOrCreateCounter("rollcall_publish_refused_total")
	c.Metrics.GetOrCreateGauge("rollcall_publish_waiting_records", func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return float64(len(p.queue))
	})
	return p, nil
}

// Put takes a record; it never waits. Of two of one key and what (which is empty where the key says it all) the later counts, if both wait. What has a what goes first
// where there is too much. The value is the Publisher's from then on.
func (p *Publisher) Put(topic, key, what string, value []byte, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := keyOf{topic, key, what}
	if i, ok := p.at[k]; ok {
		p.bytes += len(value) - len(p.queue[i].value)
		p.queue[i].value, p.queue[i].t = value, t
	} else {
		p.at[k] = len(p.queue)
		p.queue = append(p.queue, keyed{k, value, t})
		p.bytes += len(value)
	}
	if p.bytes > p.cfg.MaxBytes {
		n := 0
		for _, parts := range []bool{true, false} {
			p.queue = slices.DeleteFunc(p.queue, func(r keyed) bool {
				if p.bytes <= p.cfg.MaxBytes-p.cfg.MaxBytes/10 || parts && r.what == "" {
					return false
				}
				p.bytes -= len(r.value)
				n++
				return true
			})
		}
		p.lost.Add(n)
		p.index()
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Publisher) index() {
	clear(p.at)
	for i := range p.queue {
		p.at[p.queue[i].keyOf] = i
	}
}

// take empties the queue.
func (p *Publisher) take() []keyed {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.queue
	p.queue, p.bytes = nil, 0
	clear(p.at)
	return out
}

// back puts what was not sent before what came meanwhile, which is newer where it has the same key.
func (p *Publisher) back(rest []keyed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest = slices.DeleteFunc(rest, func(r keyed) bool { _, newer := p.at[r.keyOf]; return newer })
	for i := range rest {
		p.bytes += len(rest[i].value)
	}
	p.queue = append(rest, p.queue...)
	p.index()
}

// Run writes until ctx ends, and then what still waits, for two seconds at most.
func (p *Publisher) Run(ctx context.Context) error {
	mechanism, err := p.cfg.SASL.Login()
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	transport := &kafka.Transport{DialTimeout: dialTimeout, MetadataTTL: metadataTTL, TLS: p.cfg.TLS, SASL: mechanism, ClientID: p.cfg.ClientID}
	defer transport.CloseIdleConnections()
	w := &writing{p: p, client: &kafka.Client{Addr: kafka.TCP(p.cfg.Brokers...), Timeout: 10 * time.Second, Transport: transport}}
	w.put = w.produce
	pause := publishPause
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishDrain)
			defer cancel()
			if rest := w.send(last, p.take()); len(rest) > 0 {
				p.lost.Add(len(rest))
				p.cfg.Log.Warn("not everything could be published before the end", "records", len(rest))
			}
			return nil
		case <-p.wake:
		}
		t := time.NewTimer(pause) // what is said in one moment goes in one request
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		if ctx.Err() != nil {
			p.kick()
			continue
		}
		if rest := w.send(ctx, p.take()); len(rest) > 0 {
			p.back(rest)
			p.kick()
			pause = min(2*max(pause, 50*time.Millisecond), publishRetry)
		} else {
			pause = publishPause
		}
	}
}

func (p *Publisher) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// writing is the way to the brokers while a Publisher runs.
type writing struct {
	p          *Publisher
	client     *kafka.Client
	partitions map[string]int
	looked     time.Time
	put        func(context.Context, partition, []keyed) error // produce
}

// send writes records and gives back those that could not be written.
func (w *writing) send(ctx context.Context, all []keyed) (rest []keyed) {
	if len(all) == 0 {
		return nil
	}
	if err := w.look(ctx, all); err != nil {
		w.trouble(err)
		return all
	}
	by := map[partition][]keyed{}
	for _, r := range all {
		n := w.partitions[r.topic]
		if n == 0 {
			rest = append(rest, r)
			continue
		}
		at := partition{r.topic, int(wire.Partition(r.key, n))}
		by[at] = append(by[at], r)
	}
	if len(rest) > 0 {
		w.trouble(fmt.Errorf("topic %s is not there yet; a collector makes it", rest[0].topic))
	}
	for at, rs := range by {
		for len(rs) > 0 {
			n, size := 0, 0
			for n < len(rs) && (n == 0 || size+len(rs[n].value) <= publishBatch) {
				size += len(rs[n].value)
				n++
			}
			done, err := w.write(ctx, at, rs[:n])
			rs = rs[done:]
			if err != nil {
				w.looked = time.Time{}
				w.trouble(fmt.Errorf("write to %s/%d: %w", at.topic, at.n, err))
				rest = append(rest, rs...)
				break
			}
		}
	}
	return rest
}

// write writes records of one partition, in their order. What the broker refuses for what it is, is divided until the record is alone, and goes: nothing behind it
// waits for what is refused at every try. done is how many need not be tried again; err is why the others have to be.
func (w *writing) write(ctx context.Context, at partition, rs []keyed) (done int, err error) {
	err = w.put(ctx, at, rs)
	switch {
	case err == nil:
		w.p.sent.Add(len(rs))
		return len(rs), nil
	case !isRefusal(err):
		return 0, err
	case len(rs) == 1:
		w.p.refused.Inc()
		if held, ok := w.p.refusals.allow(time.Now()); ok {
			w.p.cfg.Log.Error("a record that Kafka refuses is dropped", "topic", at.topic, "partition", at.n, "key", rs[0].key, "bytes", len(rs[0].value), "err", err, "others", held)
		}
		return 1, nil
	}
	half := len(rs) / 2
	if done, err = w.write(ctx, at, rs[:half]); err != nil {
		return done, err
	}
	n, err := w.write(ctx, at, rs[half:])
	return done + n, err
}

// isRefusal reports whether an error is of the records themselves: the same again would be refused again.
func isRefusal(err error) bool {
	for _, of := range []kafka.Error{kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidTimestamp, kafka.InvalidRecord} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

func (w *writing) trouble(err error) {
	w.p.failed.Inc()
	if held, ok := w.p.errLog.allow(time.Now()); ok {
		w.p.cfg.Log.Warn("publishing failed, trying again", "err", err, "others", held)
	}
}

func (w *writing) produce(ctx context.Context, at partition, rs []keyed) error {
	recs := make([]kafka.Record, len(rs))
	for i, r := range rs {
		recs[i] = kafka.Record{Time: r.t, Key: kafka.NewBytes([]byte(r.key)), Value: kafka.NewBytes(r.value)}
	}
	res, err := w.client.Produce(ctx, &kafka.ProduceRequest{Topic: at.topic, Partition: at.n, RequiredAcks: kafka.RequireAll, Compression: kafka.Zstd, Records: kafka.NewRecordReader(recs...)})
	if err != nil {
		return err
	}
	return res.Error
}

// look asks how many partitions the topics have, now and then.
func (w *writing) look(ctx context.Context, all []keyed) error {
	known := time.Since(w.looked) < lookAgain
	var topics []string
	for i := range all {
		if t := all[i].topic; !slices.Contains(topics, t) {
			topics = append(topics, t)
			known = known && w.partitions[t] > 0
		}
	}
	if known {
		return nil
	}
	md, err := w.client.Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		return err
	}
	if w.partitions == nil {
		w.partitions = map[string]int{}
	}
	for _, t := range md.Topics {
		w.partitions[t.Name] = len(t.Partitions)
		if t.Error != nil {
			w.partitions[t.Name] = 0
		}
	}
	w.looked = time.Now()
	return nil
}
