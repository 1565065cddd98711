// Package fetch asks Kafka for the records of a partition: its leader, or the replica that is nearest (KIP-392), which the client library's own way of asking leaves out.
//
// It owns who is asked, and one answer's records; where to begin and what to do after a failure is its caller's, and what a record says is nobody's here.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// Client asks. It is safe for concurrent use. Addr and Transport must be given; the rest has defaults.
type Client struct {
	Addr      net.Addr // of brokers to begin with
	Transport kafka.RoundTripper
	// Rack is where we are, as broker.rack says it of brokers: the leader may then name a replica that is nearer, if its replica.selector.class does such things. "": it
	// is asked for the records itself.
	Rack     string
	MaxBytes int           // of an answer, as the topic has them; one batch is taken however long it is. Default 4 MiB
	MaxWait  time.Duration // how long a broker waits for the first record; default 500 ms
	Timeout  time.Duration // of an answer, beside that; default 10 s

	mu   sync.Mutex
	asks map[place]whom
}

type place struct {
	topic     string
	partition int
}

// whom is who is asked for a partition.
type whom struct {
	id    int32 // below 0: the leader, and it is not asked for a nearer one
	until time.Time
}

// stay is how long a replica is asked before the leader is asked again for the nearest, and how long the leader is asked after a replica did not have what there is.
const stay = 30 * time.Second

// Answer is what a broker gave.
type Answer struct {
	End  int64 // where the partition ends, as whoever answered knows it: a replica may be behind
	By   int32 // the broker's number, of a replica that is nearer than the leader; below 0: the leader's
	from int64
	in   kafka.RecordReader
	last *kafka.Record
}

// Fetch asks for the records from an offset on. Without any it waits for one, up to MaxWait. Its errors are the transport's and kafka.Error.
func (c *Client) Fetch(ctx context.Context, topic string, partition int, from int64) (*Answer, error) {
	at := place{topic, partition}
	for {
		r := c.request(at, from)
		a, nearer, err := c.ask(ctx, r)
		switch {
		case err != nil && r.to >= 0 && ctx.Err() == nil: // it is gone, or has not got there: the leader has
			c.is(at, leader)
		case err == nil && nearer >= 0:
			c.is(at, nearer)
		case err != nil:
			return nil, err
		default:
			return a, nil
		}
	}
}

const leader = -1

// Leave has the leader asked for a while: whoever was asked of a partition ends before where it is known to go.
func (c *Client) Leave(topic string, partition int) { c.is(place{topic, partition}, leader) }

func (c *Client) is(at place, id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asks == nil {
		c.asks = map[place]whom{}
	}
	c.asks[at] = whom{id, time.Now().Add(stay)}
}

// request is the next one for a partition. Only the leader is told our rack, and not while it is asked because a replica would not do: so no two of them can send us to and fro.
func (c *Client) request(at place, from int64) *request {
	r := newRequest(at, from, int32(cmp.Or(c.MaxBytes, 4<<20)), cmp.Or(c.MaxWait, 500*time.Millisecond))
	if c.Rack == "" {
		return r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if who, ok := c.asks[at]; ok && time.Now().Before(who.until) {
		r.to = who.id
	} else {
		r.RackID = c.Rack
	}
	return r
}

// ask gives the answer of one broker, or who is nearer; below 0: nobody.
func (c *Client) ask(ctx context.Context, r *request) (a *Answer, nearer int32, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.MaxWaitTime)*time.Millisecond+cmp.Or(c.Timeout, 10*time.Second))
	defer cancel()
	m, err := c.Transport.RoundTrip(ctx, c.Addr, r)
	if err != nil {
		return nil, leader, err
	}
	p, err := r.read(m)
	if err != nil {
		return nil, leader, err
	}
	if r.RackID != "" && r.version >= nearestSince && p.PreferredReadReplica >= 0 {
		return nil, p.PreferredReadReplica, nil
	}
	return &Answer{End: p.HighWatermark, By: r.to, from: r.Topics[0].Partitions[0].FetchOffset, in: p.RecordSet.Records}, leader, nil
}

// Next is the next record, or io.EOF. It is good until the one after it is asked for.
func (a *Answer) Next() (*kafka.Record, error) {
	for a.in != nil {
		if a.last != nil { // what holds it is wanted for other answers
			done(a.last.Key)
			done(a.last.Value)
		}
		r, err := a.in.ReadRecord()
		if a.last = r; errors.Is(err, io.ErrUnexpectedEOF) { // an answer may end within a batch
			return nil, io.EOF
		}
		if err != nil || r.Offset >= a.from { // a batch begins before
			return r, err
		}
	}
	return nil, io.EOF
}

// Bytes reads a record's key or value into b, which may be nil. It is nil for one that is null.
func Bytes(b []byte, of kafka.Bytes) ([]byte, error) {
	if of == nil {
		return nil, nil
	}
	if b == nil {
		b = make([]byte, 0, of.Len())
	}
	b = slices.Grow(b[:0], of.Len())[:of.Len()]
	_, err := io.ReadFull(of, b)
	return b, err
}

func done(b kafka.Bytes) {
	if b != nil {
		_ = b.Close()
	}
}
