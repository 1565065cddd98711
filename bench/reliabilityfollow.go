package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// landed is a record of a topic, as far as it counts.
type landed struct {
	topic     string
	partition int
	offset    int64
	id        wire.ID
	instance  string
	outcome   string
	answer    int       // the number that the instance gave it; 0: it is none of an answer
	ts        int64     // when it was scraped, by the collector's clock, ms
	came      time.Time // to a follower
}

// readLanded takes a record apart, without the decoder of the product.
func readLanded(topic string, partition int, offset int64, value []byte) (landed, error) {
	id, body, err := wire.CutHead(value)
	if err != nil {
		return landed{}, fmt.Errorf("%s/%d offset %d: %w", topic, partition, offset, err)
	}
	r := landed{topic: topic, partition: partition, offset: offset, id: id, instance: string(between(body, `"instance":"`)), outcome: string(between(body, `"outcome":"`))}
	r.answer = int(numberAfter(body, `"`+answerName+`":`))
	if i := bytes.Index(body, []byte(`"ts":`)); i >= 0 {
		r.ts = numberAfter(body[:min(len(body), i+30)], `"ts":`)
	}
	if r.instance == "" || r.outcome == "" || r.ts == 0 || r.outcome == outcomeOK && r.answer == 0 {
		return landed{}, fmt.Errorf("%s/%d offset %d: a record without instance, outcome, time or answer: %.300s", topic, partition, offset, value)
	}
	return r, nil
}

// follower reads topics as they grow, as a page would, and keeps when each record came.
type follower struct {
	client *kafka.Client
	topics []string
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	rows   []landed
	faults []error
	at     map[string]int64 // next offset, by topic/partition
}

func follow(ctx context.Context, brokers []string, topics ...string) *follower {
	ctx, stop := context.WithCancel(ctx)
	f := &follower{client: reader(brokers, topics), topics: topics, stop: stop, at: map[string]int64{}}
	f.wg.Go(func() { f.watch(ctx) })
	return f
}

// reader is a client for topics that does not believe old metadata for long.
func reader(brokers, topics []string) *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 5 * time.Second,
		Transport: &kafka.Transport{MetadataTTL: 250 * time.Millisecond, DialTimeout: time.Second, MetadataTopics: topics, ClientID: "reader"}}
}

// watch starts a reader for each partition that there is.
func (f *follower) watch(ctx context.Context) {
	known := map[string]int{}
	for ctx.Err() == nil {
		md, err := f.client.Metadata(ctx, &kafka.MetadataRequest{Topics: f.topics})
		for _, t := range topicsOf(md, err) {
			for ; known[t.Name] < len(t.Partitions); known[t.Name]++ {
				topic, p := t.Name, known[t.Name]
				f.wg.Go(func() { f.one(ctx, topic, p) })
			}
		}
		_ = sleep(ctx, 250*time.Millisecond)
	}
}

func topicsOf(md *kafka.MetadataResponse, err error) []kafka.Topic {
	if err != nil {
		return nil // no broker is up: asked again
	}
	return md.Topics
}

// one reads a partition.
func (f *follower) one(ctx context.Context, topic string, partition int) {
	next := int64(0)
	for ctx.Err() == nil {
		n, err := f.fetch(ctx, topic, partition, next)
		if err != nil {
			_ = sleep(ctx, 50*time.Millisecond)
		}
		next = n
	}
}

func (f *follower) fetch(ctx context.Context, topic string, partition int, from int64) (next int64, err error) {
	res, err := f.client.Fetch(ctx, &kafka.FetchRequest{Topic: topic, Partition: partition, Offset: from, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: 250 * time.Millisecond})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return from, err
	}
	now := time.Now()
	var rows []landed
	var faults []error
	for next = from; ; {
		r, err := res.Records.ReadRecord()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return from, err
			}
			break
		}
		if r.Offset < next { // a batch begins before
			continue
		}
		value, err := kafka.ReadAll(r.Value)
		if err != nil {
			return from, err
		}
		next = r.Offset + 1
		one, err := readLanded(topic, partition, r.Offset, value)
		if one.came = now; err != nil {
			faults = append(faults, err)
			continue
		}
		rows = append(rows, one)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, rows...)
	f.faults = append(f.faults, faults...)
	f.at[place(topic, partition)] = next
	return next, nil
}

func place(topic string, partition int) string { return fmt.Sprint(topic, "/", partition) }

// seen is what came so far.
func (f *follower) seen() []landed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows[:len(f.rows):len(f.rows)]
}

// caughtUp reports that everything that is in the topics has come.
func (f *follower) caughtUp(ctx context.Context) (bool, error) {
	ends, err := endsOf(ctx, f.client, f.topics)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for p, end := range ends {
		if f.at[p] < end {
			return false, nil
		}
	}
	return true, nil
}

func (f *follower) close() error {
	f.stop()
	f.wg.Wait()
	f.client.Transport.(*kafka.Transport).CloseIdleConnections()
	return errors.Join(f.faults...)
}

// endsOf is where the partitions end, by topic/partition.
func endsOf(ctx context.Context, c *kafka.Client, topics []string) (map[string]int64, error) {
	md, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		return nil, err
	}
	ask := map[string][]kafka.OffsetRequest{}
	for _, t := range md.Topics {
		for p := range t.Partitions {
			ask[t.Name] = append(ask[t.Name], kafka.LastOffsetOf(p))
		}
	}
	said, err := c.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: ask})
	if err != nil {
		return nil, err
	}
	ends := map[string]int64{}
	for topic, ps := range said.Topics {
		for _, o := range ps {
			if o.Error != nil {
				return nil, fmt.Errorf("ask where %s/%d ends: %w", topic, o.Partition, o.Error)
			}
			ends[place(topic, o.Partition)] = max(0, o.LastOffset)
		}
	}
	return ends, nil
}

// readAll reads topics from their first record to their last, once.
func readAll(ctx context.Context, brokers []string, topics ...string) ([]landed, error) {
	f := &follower{client: reader(brokers, topics), topics: topics, at: map[string]int64{}}
	defer f.client.Transport.(*kafka.Transport).CloseIdleConnections()
	ends, err := endsOf(ctx, f.client, topics)
	if err != nil {
		return nil, err
	}
	for p, end := range ends {
		i := strings.LastIndexByte(p, '/')
		var partition int
		if _, err := fmt.Sscan(p[i+1:], &partition); err != nil {
			return nil, err
		}
		for at, tries := int64(0), 0; at < end; {
			next, err := f.fetch(ctx, p[:i], partition, at)
			if tries++; next > at {
				tries = 0
			}
			if tries > 20 {
				return nil, fmt.Errorf("read %s from offset %d on: %w", p, at, errors.Join(err, io.ErrNoProgress))
			}
			at = next
		}
	}
	return f.rows, errors.Join(f.faults...)
}
