// Package readback reads topics once, partition by partition: from a time, or from their beginning, to where they end when it is asked.
//
// It owns offsets and the road out of Kafka, without a consumer group; it must not know what a record says.
package readback

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/rollcall-metrics/rollcall/internal/fetch"
)

// Config says where to read. Brokers must be given.
type Config struct {
	Brokers  []string       // host:port, one or more to begin with
	TLS      *tls.Config    // nil: plain TCP
	Login    sasl.Mechanism // nil: none
	ClientID string         // as the brokers' logs and quotas name us; default rollcall-readback
	Rack     string         // where we are, as the brokers' broker.rack has it: records come from the nearest replica then, where the brokers name one; "": from the leader
}

// Client reads. Close gives its connections back.
type Client struct {
	cfg       Config
	transport *kafka.Transport
	client    *kafka.Client
	records   *fetch.Client
}

// Span is what there is to read of one partition: offsets From to End, without End. First is the oldest that the partition still has: what was before it is gone.
type Span struct {
	Topic            string
	Partition        int
	First, From, End int64
}

// Len is how many offsets the span has. A topic that nobody compacts and no transaction was in has as many records.
func (s Span) Len() int64 { return max(0, s.End-s.From) }

// Message is one record. Its bytes are the caller's.
type Message struct {
	Offset     int64
	Time       time.Time
	Key, Value []byte
	Headers    []kafka.Header
}

const (
	dialTimeout = 5 * time.Second
	askTimeout  = 15 * time.Second
	maxWait     = 500 * time.Millisecond
	// emptyAnswers is after how many without a record a span is at its end.
	emptyAnswers = 3
	fetchWithin  = 10 * time.Second // how long what is read once is asked for again
	fetchPause   = 200 * time.Millisecond
	fetchMost    = 2 * time.Second
	followPause  = 100 * time.Millisecond
	followMost   = 5 * time.Second
	maxBytes     = 4 << 20
)

// New makes a client; it dials nothing.
func New(c Config) (*Client, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New("read back: no brokers: give at least one host:port")
	}
	c.ClientID = cmp.Or(c.ClientID, "rollcall-readback")
	t := &kafka.Transport{DialTimeout: dialTimeout, MetadataTTL: time.Second, TLS: c.TLS, SASL: c.Login, ClientID: c.ClientID}
	to := kafka.TCP(c.Brokers...)
	return &Client{cfg: c, transport: t, client: &kafka.Client{Addr: to, Timeout: askTimeout, Transport: t},
		records: &fetch.Client{Addr: to, Transport: t, Rack: c.Rack, MaxBytes: maxBytes, MaxWait: maxWait, Timeout: askTimeout}}, nil
}

// Close gives the connections back.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Broker is one to name in a command.
func (c *Client) Broker() string { return c.cfg.Brokers[0] }

// ErrNoTopic says that a topic is not there.
var ErrNoTopic = errors.New("the topic is not there")

// Spans asks what there is to read of the topics' partitions, from a time on; the zero time means their beginning. They come in the order of topics and partitions.
func (c *Client) Spans(ctx context.Context, from time.Time, topics ...string) ([]Span, error) {
	ask := map[string][]kafka.OffsetRequest{}
	for _, topic := range topics {
		n, err := c.Partitions(ctx, topic)
		if err != nil {
			return nil, err
		}
		for p := range n {
			ask[topic] = append(ask[topic], kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
			if !from.IsZero() {
				ask[topic] = append(ask[topic], kafka.TimeOffsetOf(p, from))
			}
		}
	}
	return c.list(ctx, ask, from, topics)
}

// Span is what one partition has.
func (c *Client) Span(ctx context.Context, topic string, partition int, from time.Time) (Span, error) {
	ask := []kafka.OffsetRequest{kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)}
	if !from.IsZero() {
		ask = append(ask, kafka.TimeOffsetOf(partition, from))
	}
	spans, err := c.list(ctx, map[string][]kafka.OffsetRequest{topic: ask}, from, []string{topic})
	if err == nil && len(spans) != 1 {
		err = fmt.Errorf("ask for the offsets of %s/%d: no answer", topic, partition)
	}
	if err != nil {
		return Span{}, err
	}
	return spans[0], nil
}

func (c *Client) list(ctx context.Context, ask map[string][]kafka.OffsetRequest, from time.Time, topics []string) ([]Span, error) {
	said, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: ask})
	if err != nil {
		return nil, fmt.Errorf("ask for offsets: %w", err)
	}
	var out []Span
	for topic, ps := range said.Topics {
		for _, o := range ps {
			if o.Error != nil {
				return nil, fmt.Errorf("ask for the offsets of %s/%d: %w", topic, o.Partition, o.Error)
			}
			s := Span{Topic: topic, Partition: o.Partition, First: max(0, o.FirstOffset), End: max(0, o.LastOffset)}
			s.From = s.First
			if !from.IsZero() {
				s.From = s.End // nothing is as new, unless it says so
				for offset := range o.Offsets {
					if offset >= 0 {
						s.From = max(s.First, min(s.From, offset))
					}
				}
			}
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Span) int {
		return cmp.Or(cmp.Compare(slices.Index(topics, a.Topic), slices.Index(topics, b.Topic)), cmp.Compare(a.Partition, b.Partition))
	})
	return out, nil
}

// Partitions is how many partitions a topic has. The error is ErrNoTopic where there is none.
func (c *Client) Partitions(ctx context.Context, topic string) (int, error) {
	md, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, fmt.Errorf("no broker answers at %s: %w", strings.Join(c.cfg.Brokers, ","), err)
	}
	if len(md.Topics) == 0 || errors.Is(md.Topics[0].Error, kafka.UnknownTopicOrPartition) || md.Topics[0].Error == nil && len(md.Topics[0].Partitions) == 0 {
		return 0, fmt.Errorf("topic %q: %w", topic, ErrNoTopic)
	}
	if err := md.Topics[0].Error; err != nil {
		return 0, fmt.Errorf("topic %q: %w", topic, err)
	}
	return len(md.Topics[0].Partitions), nil
}

// Brokers is how many brokers the cluster has.
func (c *Client) Brokers(ctx context.Context) (int, error) {
	md, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{}})
	if err != nil {
		return 0, fmt.Errorf("no broker answers at %s: %w", strings.Join(c.cfg.Brokers, ","), err)
	}
	return len(md.Brokers), nil
}

// Retention is how long a topic keeps its records, by time; false where nobody says, or for good.
func (c *Client) Retention(ctx context.Context, topic string) (time.Duration, bool) {
	r, err := c.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"}}}})
	if err != nil {
		return 0, false
	}
	for _, res := range r.Resources {
		for _, e := range res.ConfigEntries {
			if ms, err := strconv.ParseInt(e.ConfigValue, 10, 64); e.ConfigName == "retention.ms" && err == nil && ms > 0 {
				return time.Duration(ms) * time.Millisecond, true
			}
		}
	}
	return 0, false
}

// Read gives every record of the span, in order, until take returns an error, which Read returns, or ctx ends.
func (c *Client) Read(ctx context.Context, s Span, take func(Message) error) error {
	if s.Len() == 0 {
		return nil
	}
	nothing := 0
	for next := s.From; next < s.End; {
		ms, end, err := c.fetch(ctx, s.Topic, s.Partition, next, fetchWithin)
		if err != nil {
			return err
		}
		if len(ms) == 0 && end < s.End {
			c.records.Leave(s.Topic, s.Partition) // a replica that is behind
		}
		for _, m := range ms {
			if m.Offset >= s.End {
				return nil
			}
			if err := take(m); err != nil {
				return err
			}
			next = m.Offset + 1
		}
		if len(ms) > 0 {
			nothing = 0
		} else if nothing++; nothing == emptyAnswers {
			return nil // the last offsets are of no record, such as a transaction's end
		}
	}
	return nil
}

// Follow gives the records of a partition from an offset on, as they come, an answer of the broker at a time, with where the partition ends as of then; a waiting
// answer is one without records. It goes on over errors, which it tells, until ctx ends or take returns an error, which it returns. Where the offset is not there
// any more, it goes on with the oldest that is, and tells ErrTrimmed.
func (c *Client) Follow(ctx context.Context, topic string, partition int, from int64, take func(ms []Message, end int64) error, trouble func(error)) error {
	pause := followPause
	for ctx.Err() == nil {
		ms, end, err := c.fetch(ctx, topic, partition, from, 0)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, kafka.OffsetOutOfRange):
			if s, err := c.Span(ctx, topic, partition, time.Time{}); err == nil {
				trouble(fmt.Errorf("%w: %s/%d at offset %d; going on at %d", ErrTrimmed, topic, partition, from, s.First))
				from = s.First
			}
		case err != nil:
			trouble(err)
		default:
			pause = followPause
			if n := len(ms); n > 0 {
				from = ms[n-1].Offset + 1
			}
			if err := take(ms, end); err != nil {
				return err
			}
			continue
		}
		wait(ctx, pause)
		pause = min(2*pause, followMost)
	}
	return ctx.Err()
}

// ErrTrimmed says that records were removed before they were read.
var ErrTrimmed = errors.New("records were removed before they were read")

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// fetch asks for the records from an offset on, again and again for so long while there is no answer, and where the partition ends.
func (c *Client) fetch(ctx context.Context, topic string, partition int, from int64, within time.Duration) (out []Message, end int64, err error) {
	fail := func(err error) error { return fmt.Errorf("read %s/%d at offset %d: %w", topic, partition, from, err) }
	var a *fetch.Answer
	pause := fetchPause
	for until := time.Now().Add(within); ; pause = min(2*pause, fetchMost) {
		a, err = c.records.Fetch(ctx, topic, partition, from)
		if err == nil || ctx.Err() != nil || errors.Is(err, kafka.OffsetOutOfRange) || errors.Is(err, kafka.TopicAuthorizationFailed) || !time.Now().Before(until) {
			break
		}
		wait(ctx, min(pause, time.Until(until))) // a leader that moves, a broker that restarts or is busy
	}
	if err != nil {
		return nil, 0, fail(err)
	}
	for {
		r, err := a.Next()
		if errors.Is(err, io.EOF) {
			return out, a.End, nil
		}
		if err != nil {
			return nil, 0, fail(err)
		}
		m := Message{Offset: r.Offset, Time: r.Time, Headers: r.Headers}
		if m.Key, err = fetch.Bytes(nil, r.Key); err == nil {
			m.Value, err = fetch.Bytes(nil, r.Value)
		}
		if err != nil {
			return nil, 0, fail(err)
		}
		out = append(out, m)
	}
}

// Some gives the records of one answer of the broker, from an offset on: none where there is none.
func (c *Client) Some(ctx context.Context, topic string, partition int, from int64) ([]Message, error) {
	ms, _, err := c.fetch(ctx, topic, partition, from, fetchWithin)
	return ms, err
}
