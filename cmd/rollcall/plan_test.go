package main

import (
	"encoding/json"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
)

func TestPlan(t *testing.T) {
	b := newTestBroker(t)
	b.start()
	deliver(t, b.addr, 1, t.TempDir(), 200)
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/collector":
			w.Write([]byte(`{"roster":{"present":300,"failing":100,"departed":7}}`))
		case "/metrics":
			w.Write([]byte("process_cpu_seconds_total 30\nprocess_resident_memory_bytes 4e+07\nrollcall_scrape_pulls_total{job=\"a\"} 600\nrollcall_scrape_pulls_total{job=\"b\"} 400\nrollcall_scrape_targets 400\n"))
		}
	}))
	defer far.Close()
	var p plan
	out, bad, code := rollcall(t, "plan", "--kafka="+b.addr, "--collector="+far.URL, "--format=json")
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != 0 {
		t.Fatalf("%v, code %d\n%s%s", err, code, out, bad)
	}
	m := p.Measured
	if m.Records != 202 || m.Instances != 200 || m.Partitions != 3 || m.Brokers != 1 || m.Interval != 1 || m.Zipped <= 0 || m.Zipped > m.Bytes/5 || math.Abs(m.PerSecond*m.Seconds-202) > 1e-6 {
		t.Errorf("%+v", m)
	}
	if p.For.Instances != 400 || p.For.PerSecond != 400 || math.Abs(m.CPU-30e6/1000/m.Samples) > 1e-6 || m.Memory != 1e5 || p.Collectors.From != "measured at the collector" {
		t.Errorf("%+v %+v %+v", p.For, m, p.Collectors)
	}
	out, _, code = rollcall(t, "plan", "--kafka="+b.addr, "--collector="+far.URL, "--instances=20000", "--interval=10s", "--brokers=5", "--readers=3", "--format=json")
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != 0 || p.For.PerSecond != 2000 || len(p.Topics) != 5 {
		t.Fatalf("%v, code %d\n%s", err, code, out)
	}
	second := 2000 * (p.Measured.Zipped + 24)
	if s := p.Topics[0]; s.Replication != 3 || s.Partitions < 12 || s.Partitions%5 != 0 || math.Abs(s.DayBytes/(second*86400)-1) > 1e-9 || math.Abs(s.KeptBytes/(s.DayBytes*2*3)-1) > 1e-9 ||
		math.Abs(p.Brokers.In/(second*3/5)-1) > 1e-9 || math.Abs(p.Brokers.Out/(second*5/5)-1) > 1e-9 {
		t.Errorf("%+v %+v", s, p.Brokers)
	}
	out, bad, code = rollcall(t, "plan", "--kafka="+b.addr, "--collector=http://127.0.0.1:1")
	if code != 0 || bad != "" || !strings.Contains(out, "of which the topics have records") || !strings.Contains(out, "estimated from docs/performance.md") || strings.Count(out, "kafka-topics.sh ") != 5 || strings.Count(out, "kafka-acls.sh ") != 7 {
		t.Errorf("code %d\n%s%s", code, out, bad)
	}
	if _, bad, code := rollcall(t, "plan", "--since=never"); code != 2 || !strings.Contains(bad, "--since=never") {
		t.Errorf("code %d: %s", code, bad)
	}
}

// What the plan prints are commands of Kafka's: its own tools take them, and the topics become those that the collector makes.
func TestPlannedCommands(t *testing.T) {
	k, ok := testenv.Kafka(t, testenv.BrokerSetting("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"), testenv.BrokerSetting("super.users", "User:ANONYMOUS"))
	cp, ok2 := testenv.Classpath(t, testenv.KafkaJars)
	if !ok || !ok2 {
		return
	}
	broker := k.Brokers[0]
	b := newTestBroker(t)
	b.start()
	deliver(t, b.addr, 1, t.TempDir(), 20)
	var p plan
	out, bad, code := rollcall(t, "plan", "--kafka="+b.addr, "--collector=http://127.0.0.1:1", "--format=json", "--partitions=2")
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != 0 {
		t.Fatalf("%v, code %d\n%s%s", err, code, out, bad)
	}
	tools := map[string]string{"kafka-topics.sh": "org.apache.kafka.tools.TopicCommand", "kafka-acls.sh": "org.apache.kafka.tools.AclCommand"}
	run := map[string]int{}
	for _, line := range p.Commands {
		words := strings.Fields(strings.ReplaceAll(line, b.addr, broker))
		class := tools[words[0]]
		if run[words[0]]++; class == "" || run[words[0]] > 2 && words[0] == "kafka-acls.sh" && !strings.Contains(line, "prefixed") {
			continue // a JVM each: two of a kind, and the one with a prefix, are enough
		}
		if out, err := exec.Command("java", append([]string{"-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", cp, class}, words[1:]...)...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	host, port, _ := net.SplitHostPort(broker)
	client := &kafkago.Client{Addr: kafkago.TCP(net.JoinHostPort(host, port))}
	names := sink.DefaultTopics()
	for topic, keep := range map[string]string{names.Snapshots: "172800000", names.Roster: "2592000000", names.Findings: "7776000000"} {
		r, err := client.DescribeConfigs(t.Context(), &kafkago.DescribeConfigsRequest{Resources: []kafkago.DescribeConfigRequestResource{{ResourceType: kafkago.ResourceTypeTopic, ResourceName: topic}}})
		if err != nil || len(r.Resources) != 1 || k.Topics()[topic] != 2 {
			t.Fatalf("%s: %v %+v, %d partitions", topic, err, r, k.Topics()[topic])
		}
		got := map[string]string{}
		for _, c := range r.Resources[0].ConfigEntries {
			got[c.ConfigName] = c.ConfigValue
		}
		if got["retention.ms"] != keep || got["compression.type"] != "producer" || got["message.timestamp.type"] != "CreateTime" || got["cleanup.policy"] != "delete" {
			t.Errorf("%s: %v", topic, got)
		}
	}
}
