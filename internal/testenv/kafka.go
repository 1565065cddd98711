package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// KafkaOption changes how a broker is started.
type KafkaOption func(*kafkaOptions)

type kafkaOptions struct {
	settings map[string]string // lines of server.properties
	jvm      []string          // flags of the JVM
	proxied  bool
	racks    bool
}

// BrokerSetting sets a line of server.properties.
func BrokerSetting(key, value string) KafkaOption {
	return func(o *kafkaOptions) { o.settings[key] = value }
}

// Listener gives a broker another address, with a name and a protocol of its own (SSL, SASL_SSL, SASL_PLAINTEXT); BrokerSetting("listener.name.<name>.…") says the rest. The
// test itself goes on at Brokers, in the clear.
func Listener(name, protocol, addr string) KafkaOption {
	return func(o *kafkaOptions) {
		o.settings["listeners"] += "," + name + "://" + addr
		o.settings["advertised.listeners"] += "," + name + "://" + addr
		o.settings["listener.security.protocol.map"] += "," + name + ":" + protocol
	}
}

// JavaAgent runs an agent within the broker's JVM: its jar, and the arguments that go with it.
func JavaAgent(jar, args string) KafkaOption {
	return func(o *kafkaOptions) { o.jvm = append(o.jvm, "-javaagent:"+jar+"="+args) }
}

// BehindProxy gives each broker a second listener behind a Proxy: who begins there is told of the brokers' proxies only. Brokers talk to each other, and tests
// that begin at Brokers to them, without one.
func BehindProxy() KafkaOption { return func(o *kafkaOptions) { o.proxied = true } }

// Racks puts each broker into a rack of its own, by its number, and has them name the replica that is in a reader's.
func Racks() KafkaOption { return func(o *kafkaOptions) { o.racks = true } }

// KafkaServer is one Kafka node under test: broker and controller in one, topics made only when asked for.
type KafkaServer struct {
	Kind    string   // kafka-4.1.1
	ID      int      // its node.id
	Brokers []string // host:port, one
	Proxy   *Proxy   // of the BehindProxy option

	t    testing.TB
	cp   string
	dir  string
	argv []string
	p    *process
}

// Kafka starts a real Kafka that ends with the test. ok is false where it cannot be had (a failure with CI=true): the test goes on
// with the embedded broker.
func Kafka(t testing.TB, opts ...KafkaOption) (k *KafkaServer, ok bool) {
	t.Helper()
	c, ok := Cluster(t, 1, opts...)
	if !ok {
		return nil, false
	}
	return c.Nodes[0], true
}

func kafkaJava(cp, heap string) []string {
	return []string{"java", heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", cp}
}

// java is a command that runs a class of Kafka's jars.
func (k *KafkaServer) java(ctx context.Context, class string, args ...string) *exec.Cmd {
	argv := append(append(kafkaJava(k.cp, "-Xmx128m"), class), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = k.dir
	return cmd
}

// Start starts a broker that was killed, on the same port and data, and waits until it is in its own metadata.
func (k *KafkaServer) Start() {
	k.t.Helper()
	k.begin()
	if err := k.wait(); err != nil {
		k.t.Fatalf("testenv: %v", err)
	}
}

func (k *KafkaServer) begin() {
	k.t.Helper()
	if k.p.running() {
		k.t.Fatalf("testenv: start %s: it runs", k.Kind)
	}
	p, err := start(filepath.Join(k.dir, "log"), k.argv...)
	if err != nil {
		k.t.Fatalf("testenv: %v", err)
	}
	k.p = p
}

func (k *KafkaServer) wait() error {
	return poll(k.Kind, k.p, func(ctx context.Context) error {
		m, err := kafkaMetadata(ctx, k.Brokers[0])
		if err == nil && !m.brokers[k.ID] {
			err = fmt.Errorf("broker %d is not registered yet", k.ID)
		}
		return err
	})
}

// Kill ends the broker as SIGKILL does, and waits for its end.
func (k *KafkaServer) Kill() { k.p.kill() }

// Restart kills the broker and starts it again on the same port and data.
func (k *KafkaServer) Restart() {
	k.t.Helper()
	k.Kill()
	k.Start()
}

// Stop halts the broker as SIGSTOP does: connections stay open and nothing answers.
func (k *KafkaServer) Stop() {
	k.t.Helper()
	if err := k.p.signal(syscall.SIGSTOP); err != nil {
		k.t.Fatalf("testenv: stop %s: %v", k.Kind, err)
	}
}

// Cont lets a stopped broker go on.
func (k *KafkaServer) Cont() {
	k.t.Helper()
	if err := k.p.signal(syscall.SIGCONT); err != nil {
		k.t.Fatalf("testenv: continue %s: %v", k.Kind, err)
	}
}

// Topics is the topics' names with their number of partitions, internal ones included.
func (k *KafkaServer) Topics() map[string]int {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m, err := kafkaMetadata(ctx, k.Brokers[0])
	if err != nil {
		k.t.Fatalf("testenv: list topics: %v", err)
	}
	return m.topics
}

// CreateTopic makes a topic; settings are its configuration, such as max.message.bytes.
func (k *KafkaServer) CreateTopic(name string, partitions int, settings map[string]string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := kafkaCreateTopic(ctx, k.Brokers[0], name, partitions, settings); err != nil {
		k.t.Fatalf("testenv: create topic %q: %v", name, err)
	}
}

// Count is how many records a topic holds, by its partitions' offsets.
func (k *KafkaServer) Count(topic string) int {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	partitions := k.Topics()[topic]
	end, err := kafkaOffsets(ctx, k.Brokers[0], topic, partitions, latest)
	if err != nil {
		k.t.Fatalf("testenv: count records of topic %q: %v", topic, err)
	}
	begin, err := kafkaOffsets(ctx, k.Brokers[0], topic, partitions, earliest)
	if err != nil {
		k.t.Fatalf("testenv: count records of topic %q: %v", topic, err)
	}
	return int(end - begin)
}

// Consume reads a topic with Kafka's own console consumer, from its beginning, and returns its standard output: max records, or
// with max 0 what Count says now. Where there are fewer than max it waits for more until none came for idle. With no format given a
// line is a record:
//
//	CreateTime:1764000000123 \t Partition:0 \t Offset:7 \t content-type:application/json,… \t key \t value
//
// without the blanks around the tabs, NO_HEADERS where there are none. format are the console consumer's formatter properties,
// such as print.key=true.
func (k *KafkaServer) Consume(topic string, max int, idle time.Duration, format ...string) string {
	k.t.Helper()
	if format == nil {
		format = []string{"print.timestamp=true", "print.partition=true", "print.offset=true", "print.headers=true", "print.key=true"}
	}
	count := k.Count(topic)
	if max == 0 {
		max = count
	}
	if max == 0 {
		return ""
	}
	if max <= count { // they are there: however long the consumer takes to start
		idle = time.Minute
	}
	args := []string{"--bootstrap-server", k.Brokers[0], "--topic", topic, "--from-beginning",
		"--timeout-ms", strconv.FormatInt(idle.Milliseconds(), 10), "--max-messages", strconv.Itoa(max)}
	for _, f := range format {
		args = append(args, "--property", f)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := k.java(ctx, "org.apache.kafka.tools.consumer.ConsoleConsumer", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	// Out of records is a TimeoutException on standard error and not a failure: the exit status tells nothing.
	if err != nil && !strings.Contains(stderr.String(), "TimeoutException") {
		k.t.Fatalf("testenv: consume topic %q: %v\n%s", topic, err, stderr.String())
	}
	return string(out)
}

func writeFile(name, text string) error {
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
