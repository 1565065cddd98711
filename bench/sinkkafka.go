package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// kafkaServer is a real Kafka of one node, with its data in a temporary folder.
type kafkaServer struct {
	addr string
	cmd  *exec.Cmd
	done chan struct{}
}

// startKafka fetches Kafka where needed, starts it on a core and waits until it answers. Its data is in a folder within dir.
func startKafka(ctx context.Context, dir string, core int, progress io.Writer) (*kafkaServer, error) {
	cp, err := testenv.Fetch(ctx, testenv.KafkaJars, progress)
	if err != nil {
		return nil, err
	}
	client, err := freePort()
	if err != nil {
		return nil, err
	}
	controller, err := freePort()
	if err != nil {
		return nil, err
	}
	if dir, err = os.MkdirTemp(dir, "kafka-"); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "server.properties")
	conf := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=%[3]s
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.segment.delete.delay.ms=1000
`, client, controller, filepath.Join(dir, "data"))
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	java := []string{"-Xmx1g", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", cp}
	if out, err := exec.CommandContext(ctx, "java", append(java, "kafka.tools.StorageTool", "format", "-t", "cm9sbGNhbGwtYmVuY2htYXJr", "-c", file)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's storage: %w\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	k := &kafkaServer{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(client)), done: make(chan struct{})}
	k.cmd = exec.Command("java", append(java, "kafka.Kafka", file)...)
	k.cmd.Stdout, k.cmd.Stderr = log, log
	if err := startChild(k.cmd, core, func() { log.Close(); close(k.done) }); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	for end := time.Now().Add(90 * time.Second); ; {
		asked, stop := context.WithTimeout(ctx, 2*time.Second)
		md, err := (&kafka.Client{Addr: kafka.TCP(k.addr), Transport: &kafka.Transport{}}).Metadata(asked, &kafka.MetadataRequest{})
		stop()
		if err == nil && len(md.Brokers) > 0 {
			return k, nil
		}
		select {
		case <-k.done:
			b, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("start Kafka: it ended at once\n%s", b)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), k.stop())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("start Kafka: not ready after 90 s: %w", err), k.stop())
		}
	}
}

func (k *kafkaServer) stop() error {
	_ = k.cmd.Process.Kill() // it may have ended by itself
	<-k.done
	return nil
}

// makeTopic makes a topic for one turn and waits until it has leaders.
func makeTopic(ctx context.Context, broker, topic string) error {
	c := &kafka.Client{Addr: kafka.TCP(broker), Timeout: 10 * time.Second, Transport: &kafka.Transport{MetadataTTL: 100 * time.Millisecond}}
	defer c.Transport.(*kafka.Transport).CloseIdleConnections()
	var err error
	for range 20 { // until a client that has just begun knows who the controller is
		var r *kafka.CreateTopicsResponse
		r, err = c.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}}})
		if err == nil {
			err = r.Errors[topic]
		}
		if !errors.Is(err, kafka.BrokerNotAvailable) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("make topic %s: %w", topic, err)
	}
	for range 100 {
		md, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		if err != nil {
			return fmt.Errorf("make topic %s: %w", topic, err)
		}
		led := 0
		for _, t := range md.Topics {
			for _, p := range t.Partitions {
				if p.Leader.Host != "" {
					led++
				}
			}
		}
		if led == partitions {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("make topic %s: its partitions have no leaders after 5 s", topic)
}

// lengthOf is how many records a topic has had.
func lengthOf(ctx context.Context, broker, topic string) (n int64, err error) {
	c := &kafka.Client{Addr: kafka.TCP(broker), Timeout: 10 * time.Second, Transport: &kafka.Transport{}}
	defer c.Transport.(*kafka.Transport).CloseIdleConnections()
	var ask []kafka.OffsetRequest
	for p := range partitions {
		ask = append(ask, kafka.LastOffsetOf(p))
	}
	r, err := c.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ask}})
	if err != nil {
		return 0, fmt.Errorf("ask for the length of topic %s: %w", topic, err)
	}
	for _, p := range r.Topics[topic] {
		if p.Error != nil {
			return 0, fmt.Errorf("ask for the length of topic %s: %w", topic, p.Error)
		}
		n += p.LastOffset
	}
	return n, nil
}

// dropTopic removes a topic, so that the broker's disk holds one turn's.
func dropTopic(ctx context.Context, broker, topic string) error {
	c := &kafka.Client{Addr: kafka.TCP(broker), Timeout: 10 * time.Second, Transport: &kafka.Transport{}}
	defer c.Transport.(*kafka.Transport).CloseIdleConnections()
	r, err := c.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err == nil {
		err = r.Errors[topic]
	}
	if err != nil {
		return fmt.Errorf("remove topic %s: %w", topic, err)
	}
	return nil
}
