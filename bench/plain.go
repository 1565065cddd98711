package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/segmentio/kafka-go"
)

// plainTopic is where the plain collector writes.
const plainTopic = "plain"

// plain is a collector as anybody would write it: net/http, encoding/json and kafka-go's Writer, a record a scrape, zstd, acks from all. It has no limits, no rules,
// no metrics, no second try, and does not know what it has lost.
func plain(ctx context.Context, a *agent, broker string, timeout time.Duration) (one func(scraped) (func(context.Context) error, error), finish func() error, err error) {
	if err := createTopic(ctx, broker, plainTopic); err != nil {
		return nil, nil, err
	}
	w := &kafka.Writer{
		Addr:         kafka.TCP(broker),
		Topic:        plainTopic,
		Balancer:     &kafka.Hash{},
		Compression:  kafka.Zstd,
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: 100 * time.Millisecond,
		Async:        true,
		Completion: func(messages []kafka.Message, err error) {
			if err == nil {
				a.acked.Add(uint64(len(messages)))
			} else {
				text := err.Error()
				a.last.Store(&text)
			}
		},
	}
	client := httpClient(timeout)
	one = func(t scraped) (func(context.Context) error, error) {
		url := "http://" + t.Addr + "/stats.json"
		return func(ctx context.Context) error {
			resp, err := client.Get(url)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return errors.New(resp.Status)
			}
			var stats map[string]any
			if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil {
				return err
			}
			stats["ts"] = time.Now().UnixMilli()
			stats["service"] = t.Service
			stats["env"] = fleetEnv
			stats["instance"] = t.Addr
			record, err := json.Marshal(stats)
			if err != nil {
				return err
			}
			return w.WriteMessages(ctx, kafka.Message{Key: []byte(t.Service), Value: record})
		}, nil
	}
	return one, w.Close, nil
}

func createTopic(ctx context.Context, broker, topic string) error {
	conn, err := kafka.DialContext(ctx, "tcp", broker)
	if err == nil {
		err = conn.CreateTopics(kafka.TopicConfig{Topic: topic, NumPartitions: 12, ReplicationFactor: 1})
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		return fmt.Errorf("make topic %s: %w", topic, err)
	}
	return nil
}
