package broker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

const childEnv = "ROLLCALL_TEST_BROKER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// child is a broker in a process of its own, for the test that kills it.
func child(dir string) {
	b, err := New(Config{Addr: "127.0.0.1:0", DataDir: dir})
	if err != nil {
		panic(err)
	}
	go func() {
		<-b.Ready()
		fmt.Println(b.Addr())
	}()
	fmt.Println(b.Run(context.Background()))
}

// run starts a broker and returns it with what stops it and waits for its end.
func run(t *testing.T, c Config) (*Broker, func()) {
	t.Helper()
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	select {
	case <-b.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	stop := func() {
		cancel()
		if err, ok := <-done; ok {
			close(done)
			if err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return b, stop
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("t"), kgo.AllowAutoTopicCreation())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func produce(t *testing.T, c *kgo.Client, n int, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range n {
		if err := c.ProduceSync(ctx, &kgo.Record{Value: []byte(value), Partition: 0}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func consume(t *testing.T, addr string, n int) (values []string) {
	t.Helper()
	c := client(t, addr, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(values) < n {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("%d of %d: %v", len(values), n, err)
		}
		f.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// makeTopic gives t one partition.
func makeTopic(t *testing.T, addr string) {
	t.Helper()
	raw, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := createTopic(t.Context(), raw, "t", 1); err != nil {
		t.Fatal(err)
	}
}

func TestSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	b, stop := run(t, Config{DataDir: dir})
	makeTopic(t, b.Addr())
	c := client(t, b.Addr())
	produce(t, c, 10, "before")
	c.Close()
	stop()
	b, _ = run(t, Config{DataDir: dir})
	produce(t, client(t, b.Addr()), 1, "after")
	got := consume(t, b.Addr(), 11)
	if len(got) != 11 || got[0] != "before" || got[10] != "after" {
		t.Errorf("%q", got)
	}
}

func TestSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	start := func() (*exec.Cmd, string) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		addr, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return cmd, strings.TrimSpace(addr)
	}
	cmd, addr := start()
	makeTopic(t, addr)
	c := client(t, addr)
	produce(t, c, 25, "acknowledged")
	c.Close()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	cmd, addr = start()
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if got := consume(t, addr, 25); len(got) != 25 {
		t.Errorf("%d records after a kill, want 25", len(got))
	}
}

func TestDiskIsBounded(t *testing.T) {
	dir := t.TempDir()
	set := metrics.NewSet()
	b, _ := run(t, Config{DataDir: dir, RetentionBytes: 256 << 10, SegmentBytes: 64 << 10, Sweep: 20 * time.Millisecond, Partitions: 1, Metrics: set})
	makeTopic(t, b.Addr())
	c := client(t, b.Addr(), kgo.ProducerBatchCompression(kgo.NoCompression()))
	produce(t, c, 200, strings.Repeat("x", 16<<10)) // 3.2 MB
	const bound = 256<<10 + 2*(64<<10) + 64<<10     // a segment being written and one too many; indexes and state
	deadline := time.Now().Add(10 * time.Second)
	for {
		n, err := diskBytes(dir)
		if err != nil {
			t.Fatal(err)
		}
		if n <= bound {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes on disk, want at most %d", n, bound)
		}
	}
	var out bytes.Buffer
	set.WritePrometheus(&out)
	if !strings.Contains(out.String(), "rollcall_broker_disk_bytes ") {
		t.Error("no disk metric: " + out.String())
	}
	produce(t, c, 1, "still open")
}

func TestPortInUse(t *testing.T) {
	b, _ := run(t, Config{})
	other, err := New(Config{Addr: b.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	if other.Addr() != "" {
		t.Error("address before Ready")
	}
	if err := other.Run(t.Context()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Run = %v, want address in use", err)
	}
}

func TestDamagedFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/meta.json", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Addr: "127.0.0.1:0", DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context()); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Run = %v, want an error that names the folder", err)
	}
}

func TestAdvertise(t *testing.T) {
	b, _ := run(t, Config{Addr: "0.0.0.0:0"})
	if !strings.HasPrefix(b.Addr(), "127.0.0.1:") {
		t.Errorf("advertises %s", b.Addr())
	}
	b, _ = run(t, Config{Advertise: "localhost"})
	if !strings.HasPrefix(b.Addr(), "localhost:") {
		t.Errorf("advertises %s", b.Addr())
	}
	makeTopic(t, b.Addr())
	produce(t, client(t, b.Addr()), 1, "x")
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		c    Config
		want string
	}{
		{Config{}, ""},
		{Config{Addr: "nowhere"}, "want host:port"},
		{Config{Addr: "h:99999"}, "port is not a number"},
		{Config{RetentionBytes: 1 << 20}, "less than one segment"},
		{Config{SegmentBytes: 1}, "at least 4096"},
		{Config{Retention: time.Millisecond}, "at least a second"},
		{Config{Sweep: 1}, "at least 10ms"},
		{Config{Partitions: -1}, "want 1..1000"},
	} {
		_, err := New(tc.c)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("New(%+v) = %v, want %q", tc.c, err, tc.want)
		}
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	l := logger{slog.New(slog.NewTextHandler(&out, nil))}
	l.Logf(kfake.LogLevelInfo, "a request %d", 1)
	if out.Len() > 0 {
		t.Error("kfake's info is debug for us: " + out.String())
	}
	l.Logf(kfake.LogLevelWarn, "segment %d is short\n", 7)
	if s := out.String(); !strings.Contains(s, "level=WARN") || !strings.Contains(s, `message="segment 7 is short"`) {
		t.Error(s)
	}
}
