package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// KafkaCluster is brokers that replicate what they have; each is a controller, too.
type KafkaCluster struct {
	Nodes []*KafkaServer
}

// Cluster starts a real Kafka of so many brokers that ends with the test, and waits until each is in its own metadata. ok is false where it cannot be had (a
// failure with CI=true).
func Cluster(t testing.TB, brokers int, opts ...KafkaOption) (c *KafkaCluster, ok bool) {
	t.Helper()
	cp, ok := Classpath(t, KafkaJars)
	if !ok {
		return nil, false
	}
	c = &KafkaCluster{}
	var voters, controllers []string
	for i := range brokers {
		controllers = append(controllers, net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(t))))
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, controllers[i]))
	}
	formats := make([]error, brokers)
	var wg sync.WaitGroup
	for i := range brokers {
		k, file, err := newKafka(t, cp, i+1, controllers[i], strings.Join(voters, ","), brokers, opts)
		if err != nil {
			t.Fatalf("testenv: %v", err)
		}
		c.Nodes = append(c.Nodes, k)
		wg.Go(func() {
			formats[i] = k.java(context.Background(), "kafka.tools.StorageTool", "format", "-t", "cm9sbGNhbGwtdGVzdGVudg", "-c", file).Run()
		})
	}
	wg.Wait()
	if err := errors.Join(formats...); err != nil {
		t.Fatalf("testenv: format Kafka's storage: %v", err)
	}
	for _, k := range c.Nodes {
		t.Cleanup(func() { endWith(t, k.Kind, k.p) })
	}
	c.Start()
	return c, true
}

// newKafka prepares one broker and writes its configuration into file.
func newKafka(t testing.TB, cp string, id int, controller, voters string, brokers int, opts []KafkaOption) (k *KafkaServer, file string, err error) {
	dir := t.TempDir()
	client := net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(t)))
	copies := strconv.Itoa(min(3, brokers))
	least := strconv.Itoa(max(1, min(3, brokers)-1))
	o := kafkaOptions{settings: map[string]string{
		"process.roles": "broker,controller", "node.id": strconv.Itoa(id), "controller.quorum.voters": voters,
		"listeners":            "PLAINTEXT://" + client + ",CONTROLLER://" + controller,
		"advertised.listeners": "PLAINTEXT://" + client, "controller.listener.names": "CONTROLLER",
		"listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT", "log.dirs": filepath.Join(dir, "data"),
		"auto.create.topics.enable": "false", "group.initial.rebalance.delay.ms": "0", "broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "300",
		"offsets.topic.replication.factor": copies, "offsets.topic.num.partitions": "1",
		"transaction.state.log.replication.factor": copies, "transaction.state.log.min.isr": least, "transaction.state.log.num.partitions": "1",
		"share.coordinator.state.topic.replication.factor": copies, "share.coordinator.state.topic.min.isr": least, "share.coordinator.state.topic.num.partitions": "1",
		"num.network.threads": "2", "num.io.threads": "2", "background.threads": "2", "num.recovery.threads.per.data.dir": "1",
		"log.cleaner.dedupe.buffer.size": "8388608", // 128 MB unless told otherwise
	}}
	for _, opt := range opts {
		opt(&o)
	}
	k = &KafkaServer{Kind: KafkaJars.Name, ID: id, Brokers: []string{client}, t: t, cp: cp, dir: dir}
	if brokers > 1 {
		k.Kind += " no. " + strconv.Itoa(id)
	}
	if o.racks {
		o.settings["broker.rack"], o.settings["replica.selector.class"] = strconv.Itoa(id), "org.apache.kafka.common.replica.RackAwareReplicaSelector"
	}
	if o.proxied {
		behind := net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(t)))
		k.Proxy = NewProxy(t, behind)
		o.settings["listeners"] += ",PROXIED://" + behind
		o.settings["advertised.listeners"] += ",PROXIED://" + k.Proxy.Addr
	}
	var cfg strings.Builder
	for _, key := range slices.Sorted(maps.Keys(o.settings)) {
		fmt.Fprintf(&cfg, "%s=%s\n", key, o.settings[key])
	}
	file = filepath.Join(dir, "server.properties")
	k.argv = append(slices.Insert(kafkaJava(cp, "-Xmx256m"), 1, o.jvm...), "kafka.Kafka", file)
	return k, file, writeFile(file, cfg.String())
}

// Start starts those that were killed, on the same ports and data, and waits until each is in its own metadata.
func (c *KafkaCluster) Start() {
	t := c.Nodes[0].t
	t.Helper()
	errs := make([]error, len(c.Nodes))
	var wg sync.WaitGroup
	for i, k := range c.Nodes {
		if k.p.running() {
			continue
		}
		k.begin()
		wg.Go(func() { errs[i] = k.wait() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("testenv: %v", err)
	}
}

// Kill ends every broker as SIGKILL does.
func (c *KafkaCluster) Kill() {
	for _, k := range c.Nodes {
		k.Kill()
	}
}

// Brokers is the addresses of all brokers.
func (c *KafkaCluster) Brokers() (out []string) {
	for _, k := range c.Nodes {
		out = append(out, k.Brokers...)
	}
	return out
}

// Proxies is the proxies of all brokers, with the BehindProxy option.
func (c *KafkaCluster) Proxies() (out []*Proxy) {
	for _, k := range c.Nodes {
		if k.Proxy != nil {
			out = append(out, k.Proxy)
		}
	}
	return out
}
