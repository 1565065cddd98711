package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/sink"
)

const (
	surveyEvery = 500 * time.Millisecond // reads the transport's cache, which asks about as often
	metadataTTL = time.Second            // at most; a moved leader is found within it
	mendEvery   = 15 * time.Second       // between two attempts to make or enlarge topics, where one has failed
	mendAgain   = time.Second            // and where it has not: brokers hear of a new topic one after the other
)

// cluster is what we know of Kafka: where partitions live, and how much is on its way to each broker.
type cluster struct {
	s         *Sink
	client    *kafka.Client
	transport *kafka.Transport
	topics    []string
	make      time.Time // when we may try to make topics again
	enlarged  time.Time // when we last tried to enlarge one

	mu      sync.Mutex
	leaders map[string][]int32 // broker by partition, by topic; -1 where there is none
	gates   map[int32]*gate
}

// gate bounds the requests on their way to one broker. The backfill lanes have half of the places, so that live never waits for them alone.
type gate struct {
	all, late chan struct{}

	mu   sync.Mutex
	shut [sink.NumLanes]time.Time // until then the broker wants nothing of a lane
}

// slot is one place at a gate.
type slot struct {
	g    *gate
	late bool
}

func newCluster(s *Sink) (*cluster, error) {
	mechanism, err := s.cfg.SASL.Login()
	if err != nil {
		return nil, err
	}
	c := &cluster{s: s, topics: topicNames(s.cfg.Topics), leaders: map[string][]int32{}, gates: map[int32]*gate{}}
	c.transport = &kafka.Transport{
		Dial: s.cfg.Dial, DialTimeout: min(5*time.Second, s.cfg.Timeout), IdleTimeout: time.Minute, ClientID: cmp.Or(s.cfg.ClientID, "rollcall-"+s.backlog.id.Hex()),
		MetadataTTL: metadataTTL, MetadataTopics: c.topics, TLS: s.cfg.TLS, SASL: mechanism,
	}
	c.client = &kafka.Client{Addr: kafka.TCP(s.cfg.Brokers...), Timeout: s.cfg.Timeout, Transport: c.transport}
	return c, nil
}

// slot waits for a place at the broker that leads n's partition. A broker that we do not know has a gate too: it is number -1.
func (c *cluster) slot(ctx context.Context, n *lane) (slot, bool) {
	c.mu.Lock()
	broker := int32(-1)
	if l := c.leaders[n.topic]; int(n.q.part) < len(l) {
		broker = l[n.q.part]
	}
	g := c.gates[broker]
	if g == nil {
		g = &gate{all: make(chan struct{}, inFlight), late: make(chan struct{}, inFlight/2)}
		c.gates[broker] = g
	}
	c.mu.Unlock()
	late := n.kind != 0
	if late {
		select {
		case g.late <- struct{}{}:
		case <-ctx.Done():
			return slot{}, false
		}
	}
	for {
		if wait := g.closed(n.kind, time.Now()); wait > 0 {
			pause(ctx, wait)
		}
		select {
		case g.all <- struct{}{}:
		case <-ctx.Done():
			if late {
				<-g.late
			}
			return slot{}, false
		}
		if ctx.Err() == nil && g.closed(n.kind, time.Now()) <= 0 {
			return slot{g, late}, true
		}
		<-g.all // the broker has asked for less meanwhile
	}
}

const (
	maxThrottle  = 30 * time.Second
	lateThrottle = 4 // how many times as long the backfill lanes keep still: what a quota allows is for the fresh first
)

// throttle has all lanes wait when the broker has asked for less: it reads nothing more from that connection until then, and what it is sent by others meanwhile
// only makes it longer. Who waits has not chosen a batch yet, so that what is late by then goes the other way.
func (g *gate) throttle(d time.Duration, now time.Time) {
	d = min(d, maxThrottle)
	g.mu.Lock()
	defer g.mu.Unlock()
	for lane, times := range [sink.NumLanes]time.Duration{sink.Live: 1, sink.Backfill: lateThrottle} {
		if until := now.Add(times * d); until.After(g.shut[lane]) {
			g.shut[lane] = until
		}
	}
}

// closed is for how long a lane has to wait.
func (g *gate) closed(lane sink.Lane, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut[lane].Sub(now)
}

// free gives the place back.
func (s slot) free() {
	<-s.g.all
	if s.late {
		<-s.g.late
	}
}

// watch keeps looking until ctx ends.
func (c *cluster) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if !c.look(ctx) {
			pause(ctx, surveyEvery)
		}
	}
}

// look learns where the partitions are and how many, and mends what is missing. It reports true where that calls for another look at once.
func (c *cluster) look(ctx context.Context) bool {
	md, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: c.topics})
	if err != nil {
		if ctx.Err() == nil {
			c.s.trouble.is("brokers", 0, judge(err, nil), err)
		}
		return false
	}
	c.s.trouble.over("brokers", 0)
	var missing []string
	counts := map[string]int{}
	c.mu.Lock()
	for _, t := range md.Topics {
		if errors.Is(t.Error, kafka.UnknownTopicOrPartition) || t.Error == nil && len(t.Partitions) == 0 {
			missing = append(missing, t.Name)
			continue
		}
		if t.Error != nil {
			c.s.trouble.is("topic "+t.Name, 0, judge(nil, t.Error), t.Error)
			continue
		}
		leaders := make([]int32, len(t.Partitions))
		for _, p := range t.Partitions {
			if p.ID < 0 || p.ID >= len(leaders) {
				continue
			}
			leaders[p.ID] = int32(p.Leader.ID)
			if p.Leader.Host == "" {
				leaders[p.ID] = -1
			}
		}
		c.leaders[t.Name] = leaders
		counts[t.Name] = len(t.Partitions)
	}
	c.mu.Unlock()
	for name, n := range counts {
		c.s.trouble.over("topic "+name, 0)
		c.s.learn(name, n)
	}
	t := c.s.cfg.Topics
	live, late := counts[t.Snapshots], counts[t.Backfill]
	short := live > 0 && late > 0 && late < live
	if short && time.Since(c.enlarged) > mendEvery {
		c.enlarged = time.Now()
		c.enlarge(ctx, t.Backfill, late, live)
	}
	if len(missing) > 0 && time.Now().After(c.make) {
		made, failing := c.create(ctx, missing, len(md.Brokers))
		if c.make = time.Now().Add(mendAgain); failing {
			c.make = time.Now().Add(mendEvery)
		}
		return made
	}
	return false
}

// enlarge gives the backfill lane as many partitions as the live lane has: a snapshot has one partition number in both.
func (c *cluster) enlarge(ctx context.Context, topic string, from, to int) {
	var err error
	if !c.s.cfg.NoCreate {
		var r *kafka.CreatePartitionsResponse
		r, err = c.client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(to)}}})
		if err == nil {
			err = r.Errors[topic]
		}
		if err == nil {
			c.s.log.Info("enlarged topic", "topic", topic, "from", from, "to", to)
			return
		}
	}
	err = fmt.Errorf("topic %q has %d partitions, the live lane %d; run: kafka-topics.sh --bootstrap-server %s --alter --topic %s --partitions %d: %w",
		topic, from, to, c.s.cfg.Brokers[0], topic, to, errOr(err))
	c.s.trouble.is("topic "+topic, 0, verdict{reason: "partitions", wait: waitAuth}, err)
}
