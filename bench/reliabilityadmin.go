package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// admin does to Kafka what operators do.
type admin struct {
	client *kafka.Client
}

func newAdmin(brokers []string) *admin {
	return &admin{&kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 10 * time.Second, Transport: &kafka.Transport{MetadataTTL: 100 * time.Millisecond, DialTimeout: time.Second, ClientID: "operator"}}}
}

// partitions are those of a topic; the error says which has no leader, or fewer than two in sync.
func (a *admin) partitions(ctx context.Context, topic string) ([]kafka.Partition, error) {
	md, err := a.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	if len(md.Topics) != 1 {
		return nil, fmt.Errorf("topic %s: no answer", topic)
	}
	t := md.Topics[0]
	if t.Error == nil && len(t.Partitions) == 0 {
		t.Error = kafka.UnknownTopicOrPartition
	}
	if t.Error != nil {
		return nil, fmt.Errorf("topic %s: %w", topic, t.Error)
	}
	for _, p := range t.Partitions {
		if p.Leader.Host == "" || len(p.Isr) < 2 {
			return t.Partitions, fmt.Errorf("topic %s: partition %d has leader %q and %d in sync", topic, p.ID, p.Leader.Host, len(p.Isr))
		}
	}
	return t.Partitions, nil
}

// whole waits until every partition of the topics has a leader and enough in sync, which is when Kafka takes what is sent, and says since when.
func (a *admin) whole(ctx context.Context, topics ...string) (time.Time, error) {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	for {
		var errs []error
		for _, t := range topics {
			_, err := a.partitions(ctx, t)
			errs = append(errs, err)
		}
		err := errors.Join(errs...)
		if err == nil {
			return time.Now(), nil
		}
		if ctx.Err() != nil {
			return time.Time{}, fmt.Errorf("wait for Kafka to be whole: %w", err)
		}
		_ = sleep(ctx, 20*time.Millisecond)
	}
}

// probe is a topic that nobody else writes to.
const probe = "reliability.probe"

// taken waits until each partition of the probe acknowledges a record as the collector wants it, by all in sync, and says since when. Kafka says that it is whole
// some time before it takes what is sent.
func (a *admin) taken(ctx context.Context) (time.Time, error) {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	errs := make([]error, probeParts)
	var wg sync.WaitGroup
	for p := range errs {
		wg.Go(func() {
			for {
				try, stop := context.WithTimeout(ctx, time.Second)
				r, err := a.client.Produce(try, &kafka.ProduceRequest{Topic: probe, Partition: p, RequiredAcks: kafka.RequireAll,
					Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("probe"))})})
				stop()
				if err == nil {
					err = r.Error
				}
				if errs[p] = err; err == nil || ctx.Err() != nil {
					return
				}
				_ = sleep(ctx, 20*time.Millisecond)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return time.Time{}, fmt.Errorf("wait for Kafka to take records: %w", err)
	}
	return time.Now(), nil
}

const probeParts = 12

// makeProbe makes the topic.
func (a *admin) makeProbe(ctx context.Context) error {
	r, err := a.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: probe, NumPartitions: probeParts, ReplicationFactor: 3,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "min.insync.replicas", ConfigValue: "2"}}}}})
	if err == nil {
		err = r.Errors[probe]
	}
	if err != nil {
		return fmt.Errorf("make topic %s: %w", probe, err)
	}
	return nil
}

// moveLeaders has every partition of a topic led by another of its replicas.
func (a *admin) moveLeaders(ctx context.Context, topic string) error {
	ps, err := a.partitions(ctx, topic)
	if err != nil {
		return err
	}
	r := &kafka.AlterPartitionReassignmentsRequest{Topic: topic, Timeout: 10 * time.Second}
	var all []int
	for _, p := range ps {
		ids := make([]int, 0, len(p.Replicas))
		for _, b := range p.Replicas {
			ids = append(ids, b.ID)
		}
		// The first is the one that should lead: the leader goes to the end.
		slices.SortStableFunc(ids, func(x, y int) int {
			switch p.Leader.ID {
			case x:
				return 1
			case y:
				return -1
			}
			return 0
		})
		r.Assignments = append(r.Assignments, kafka.AlterPartitionReassignmentsRequestAssignment{PartitionID: p.ID, BrokerIDs: ids})
		all = append(all, p.ID)
	}
	resp, err := a.client.AlterPartitionReassignments(ctx, r)
	if err == nil {
		err = resp.Error
	}
	if err != nil {
		return fmt.Errorf("order the replicas of %s anew: %w", topic, err)
	}
	// A preferred one that leads already is no failure.
	e, err := a.client.ElectLeaders(ctx, &kafka.ElectLeadersRequest{Topic: topic, Partitions: all, Timeout: 10 * time.Second})
	if err == nil {
		err = e.Error
	}
	if err != nil {
		return fmt.Errorf("elect leaders of %s: %w", topic, err)
	}
	return nil
}

// leaders is who leads each partition of a topic.
func (a *admin) leaders(ctx context.Context, topic string) (out []int, err error) {
	ps, err := a.partitions(ctx, topic)
	for _, p := range ps {
		out = append(out, p.Leader.ID)
	}
	return out, err
}

// enlarge gives a topic more partitions.
func (a *admin) enlarge(ctx context.Context, topic string, to int) error {
	r, err := a.client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(to)}}})
	if err == nil {
		err = r.Errors[topic]
	}
	if err != nil {
		return fmt.Errorf("enlarge %s: %w", topic, err)
	}
	return nil
}

// remove deletes topics and waits until no broker knows of them; those that are not there are no failure.
func (a *admin) remove(ctx context.Context, topics ...string) error {
	r, err := a.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: topics})
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	for t, err := range r.Errors {
		if err != nil && !errors.Is(err, kafka.UnknownTopicOrPartition) {
			return fmt.Errorf("delete topic %s: %w", t, err)
		}
	}
	return nil
}

// quota bounds what each client may produce, bytes a second a broker; 0 takes the bound away.
func (a *admin) quota(ctx context.Context, bytes int) error {
	op := kafka.AlterClientQuotaOps{Key: "producer_byte_rate", Value: float64(bytes), Remove: bytes == 0}
	r, err := a.client.AlterClientQuotas(ctx, &kafka.AlterClientQuotasRequest{Entries: []kafka.AlterClientQuotaEntry{
		{Entities: []kafka.AlterClientQuotaEntity{{EntityType: "client-id"}}, Ops: []kafka.AlterClientQuotaOps{op}}}})
	if err == nil {
		for _, e := range r.Entries {
			err = errors.Join(err, e.Error)
		}
	}
	if err != nil {
		return fmt.Errorf("set a quota: %w", err)
	}
	return nil
}

func (a *admin) close() { a.client.Transport.(*kafka.Transport).CloseIdleConnections() }

func hostPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
