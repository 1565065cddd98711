package kafka

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir, os.Getenv(childAddr))
		return
	}
	if text := os.Getenv(killedEnv); text != "" {
		killed(text)
	}
	goleak.VerifyTestMain(testenv.Runner{M: m})
}

const childDir, childAddr = "ROLLCALL_TEST_BROKER_DIR", "ROLLCALL_TEST_BROKER_ADDR"

// child is an embedded broker in a process of its own, for the test that kills it.
func child(dir, addr string) {
	b, err := broker.New(broker.Config{Addr: addr, DataDir: dir})
	if err != nil {
		panic(err)
	}
	go func() {
		<-b.Ready()
		fmt.Println("ready")
	}()
	fmt.Println(b.Run(context.Background()))
}

// inProcess starts child and waits until it serves.
func inProcess(t *testing.T, dir, addr string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childAddr+"="+addr)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("broker says %q, %v", line, err)
	}
	return cmd
}

// embedded starts an embedded broker and gives its address and what stops it.
func embedded(t testing.TB, c broker.Config) (addr string, stop func()) {
	t.Helper()
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	b, err := broker.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-b.Ready():
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	return b.Addr(), stop
}

// subject makes a sink at a broker; change may alter the configuration.
func subject(t testing.TB, addr string, change func(*Config)) sinktest.Subject {
	t.Helper()
	ledger := sink.NewLedger(sink.Identity{Collector: 0x9f3c2a7be01d44c1, Start: 1}, time.Now())
	c := Config{Brokers: []string{addr}, Ledger: ledger, Logger: testLog(t)}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return sinktest.Subject{Sink: s, Ledger: c.Ledger, Topics: s.cfg.Topics, Read: func(t testing.TB, topic string) []sinktest.Message { return readAll(t, addr, topic) }}
}

// readAll reads a topic with kafka-go, partition by partition, from its beginning to its end as of now.
func readAll(t testing.TB, addr, topic string) (out []sinktest.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tr := &kafka.Transport{MetadataTopics: []string{topic}}
	defer tr.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(addr), Transport: tr}
	md, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		t.Fatal(err)
	}
	for p := range md.Topics[0].Partitions {
		r, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(p)}}})
		if err != nil {
			t.Fatal(err)
		}
		end := r.Topics[topic][0].LastOffset
		if end <= 0 {
			continue
		}
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: topic, Partition: p, MaxBytes: 16 << 20, MaxWait: 100 * time.Millisecond})
		for {
			m, err := reader.ReadMessage(ctx)
			if err != nil {
				t.Fatalf("read %s/%d: %v", topic, p, err)
			}
			if len(m.Headers) < 2 || string(m.Headers[0].Value) != "application/json" {
				t.Errorf("headers %v", m.Headers)
			}
			out = append(out, sinktest.Message{Key: string(m.Key), Value: m.Value, Time: m.Time})
			if m.Offset >= end-1 {
				break
			}
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}
	return out
}

// testLog writes to the test's log, and to nowhere once the test is over.
func testLog(t testing.TB) *slog.Logger {
	w := &logWriter{t: t}
	t.Cleanup(func() {
		w.mu.Lock()
		w.t = nil
		w.mu.Unlock()
	})
	level := slog.LevelInfo
	if os.Getenv("ROLLCALL_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

type logWriter struct {
	mu sync.Mutex
	t  testing.TB
}

func (w *logWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t == nil {
		return 0, errors.New("the test is over")
	}
	w.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}

// until waits for a condition.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(3 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited three minutes for %s", what)
		}
	}
}
