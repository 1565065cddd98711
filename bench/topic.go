package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/internal/broker"
)

// runBroker is the process of the embedded broker, in memory. It prints its address as JSON and ends with stdin.
func runBroker(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	fs := flag.NewFlagSet("broker", flag.ContinueOnError)
	keep := fs.Int64("keep", 4<<30, "bytes of each partition that are kept")
	if err := fs.Parse(args); err != nil {
		return err
	}
	// Unless told otherwise everything is kept, for it is read to the last record at the end.
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0", RetentionBytes: *keep, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-b.Ready():
	}
	out := json.NewEncoder(stdout)
	if err := out.Encode(b.Addr()); err != nil {
		return err
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		if err := out.Encode("ok"); err != nil {
			return err
		}
	}
	stop()
	return errors.Join(lines.Err(), <-done)
}

// readTopics reads every record of the topics, both lanes, and counts. Slots are compared of the scrapes at one interval; changed says that there were others before.
func readTopics(ctx context.Context, addr string, interval time.Duration, changed bool, topics ...string) (*tally, error) {
	t := newTally(interval.Milliseconds())
	t.changed = changed
	for _, topic := range topics {
		err := eachRecord(ctx, addr, topic, t.record)
		if err != nil {
			return nil, fmt.Errorf("read topic %s: %w", topic, err)
		}
	}
	t.sum()
	return t, nil
}

// eachRecord reads a topic from its first record to its last.
func eachRecord(ctx context.Context, addr, topic string, each func([]byte) error) error {
	conn, err := kafka.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	partitions, err := conn.ReadPartitions(topic)
	if err = errors.Join(err, conn.Close()); err != nil {
		return err
	}
	for _, p := range partitions {
		if err := eachOf(ctx, addr, topic, p.ID, each); err != nil {
			return fmt.Errorf("partition %d: %w", p.ID, err)
		}
	}
	return nil
}

func eachOf(ctx context.Context, addr, topic string, partition int, each func([]byte) error) (err error) {
	conn, err := kafka.DialLeader(ctx, "tcp", addr, topic, partition)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	first, last, err := conn.ReadOffsets()
	if err != nil {
		return err
	}
	if first != 0 {
		return fmt.Errorf("it begins at %d: what was before is not there to be counted", first)
	}
	buf := make([]byte, 1<<20)
	for at := first; at < last; {
		if _, err := conn.Seek(at, kafka.SeekAbsolute); err != nil {
			return err
		}
		batch := conn.ReadBatch(1, 8<<20)
		began := at
		for at < last {
			n, err := batch.Read(buf)
			if err != nil {
				break // the batch's own error comes from Close
			}
			at++
			if err := each(buf[:n]); err != nil {
				return errors.Join(err, batch.Close())
			}
		}
		if err := batch.Close(); err != nil && !errors.Is(err, io.EOF) || at == began {
			return fmt.Errorf("read on from %d: %w", at, cmp.Or(err, io.ErrNoProgress))
		}
	}
	return nil
}
