package flat_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/export/flat"
	"github.com/rollcall-metrics/rollcall/sink/export/topic"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// confluentJSON reads a topic with Confluent's client, on librdkafka, and prints what Python's json makes of each value.
const confluentJSON = `
import json, sys
from confluent_kafka import Consumer
addr, topic, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
c = Consumer({"bootstrap.servers": addr, "group.id": "python", "auto.offset.reset": "earliest", "broker.address.family": "v4"})
c.subscribe([topic])
while n > 0:
    m = c.poll(10.0)
    if m is None or m.error():
        print(m and m.error(), file=sys.stderr)
        sys.exit(1)
    print(json.dumps({"key": m.key().decode(), "headers": {k: v.decode() for k, v in m.headers()}, "value": json.loads(m.value())}))
    n -= 1
c.close()
`

// field is one field of a map as Java prints it.
var field = regexp.MustCompile(`(?:^\{|, |labels=\{)(instance|ts|name|value|service|path)=([^,}]*)`)

// ofConnect is the line of a record as the connector writes it: a map of Java's, {name=requests, ts=1764000000123, labels={path=/é}, …}.
func ofConnect(t *testing.T, line string) string {
	t.Helper()
	f := map[string]string{}
	for _, m := range field.FindAllStringSubmatch(line, -1) {
		f[m[1]] = m[2]
	}
	ts, err := strconv.ParseInt(f["ts"], 10, 64)
	if err != nil || f["service"] != "checkoüt" {
		t.Errorf("%q: %v", line, err)
	}
	return show(f["instance"], f["name"], ts, f["value"], f["path"])
}

func show(instance, name string, ts int64, value, path string) string {
	return fmt.Sprintf("%s %s %d %s %q", instance, name, ts, value, path)
}

// Readers that are none of ours read from a real Kafka what the application said: Kafka Connect with its JsonConverter, into a file, and Confluent's client.
func TestForeignReaders(t *testing.T) {
	classes, ok := testenv.Classpath(t, testenv.ConnectJars)
	python, ok2 := testenv.Python(t, testenv.Confluent...)
	k, ok3 := testenv.Kafka(t)
	if !ok || !ok2 || !ok3 {
		return
	}
	const samples = "rollcall.samples"
	addr := k.Brokers[0]
	memory := flat.NewMemory(0, "foreign", nil, nil)
	o, err := topic.New(topic.Config{Brokers: []string{addr}, Topic: samples, Partitions: 3, Schema: flat.Schema, Codec: func() topic.Codec { return flat.NewEncoder(memory) }})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var p export.Part
	testenv.Eventually(t, "Kafka to give producer ids", func() bool {
		p, _, err = o.Open(t.Context(), 0, "")
		return err == nil
	})
	defer p.Close()
	var rs []export.Record
	var want []string
	at := time.Now().Truncate(time.Second)
	for i := range 12 {
		s := &collector.Snapshot{Time: at.Add(time.Duration(i) * time.Second), Interval: time.Second, Outcome: collector.OK}
		s.Instance.Key = discovery.Key{Service: "checkoüt", Env: "prod", Host: fmt.Sprintf("10.0.0.%d", i%4), Port: 80}
		s.Samples = []collector.Sample{
			{Name: "requests", Kind: collector.Counter, Value: fmt.Sprint(9007199254740000 + i)},
			{Name: "heap", Kind: collector.Gauge, Value: "-1.5"},
			{Name: `a "name"`, Kind: collector.Gauge, Value: "0.25", Labels: []collector.LabelPair{{Name: "path", Value: "/é"}}},
		}
		for _, one := range s.Samples {
			path := ""
			for _, l := range one.Labels {
				path = l.Value
			}
			want = append(want, show(fmt.Sprintf("10.0.0.%d:80", i%4), one.Name, s.Time.UnixMilli(), one.Value, path))
		}
		r := new(wire.Record)
		if err := wire.Decode(wire.AppendSnapshot(nil, s, wire.ID{Collector: 1, Start: 1, Sequence: uint64(i + 1)}, wire.Provenance{}), r); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, export.Record{Record: r})
	}
	if _, err := p.Write(t.Context(), rs); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)

	dir := t.TempDir()
	file := filepath.Join(dir, "out")
	worker := fmt.Sprintf("bootstrap.servers=%s\nkey.converter=org.apache.kafka.connect.storage.StringConverter\nvalue.converter=org.apache.kafka.connect.json.JsonConverter\n"+
		"value.converter.schemas.enable=false\noffset.storage.file.filename=%s\noffset.flush.interval.ms=500\nlisteners=http://127.0.0.1:%d\nplugin.discovery=service_load\n",
		addr, filepath.Join(dir, "offsets"), testenv.Port(t))
	sink := fmt.Sprintf("name=samples\nconnector.class=org.apache.kafka.connect.file.FileStreamSinkConnector\ntasks.max=1\nfile=%s\ntopics=%s\nconsumer.override.auto.offset.reset=earliest\n", file, samples)
	for name, text := range map[string]string{"worker.properties": worker + "connector.client.config.override.policy=All\n", "sink.properties": sink} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Program(t, []string{"java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp", classes, "org.apache.kafka.connect.cli.ConnectStandalone",
		filepath.Join(dir, "worker.properties"), filepath.Join(dir, "sink.properties")},
		func(context.Context) error {
			b, err := os.ReadFile(file)
			if err == nil && bytes.Count(b, []byte("\n")) < len(want) {
				err = fmt.Errorf("%d lines", bytes.Count(b, []byte("\n")))
			}
			return err
		})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) { // a map of Java's, as the connector writes it: {name=…, ts=…}
		got = append(got, ofConnect(t, line))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("Kafka Connect\ngot  %q\nwant %q", got, want)
	}

	out, err := exec.Command(python, "-c", confluentJSON, addr, samples, fmt.Sprint(len(want))).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	got = got[:0]
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		var m struct {
			Key     string
			Headers map[string]string
			Value   struct {
				TS                           int64
				Service, Env, Instance, Name string
				Value                        json.Number
				Labels                       map[string]string
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		if v := m.Value; m.Key != v.Service+"/"+v.Env+"/"+v.Instance || v.Service != "checkoüt" || m.Headers["rollcall-schema"] != flat.Schema {
			t.Errorf("%+v", m)
		}
		got = append(got, show(m.Value.Instance, m.Value.Name, m.Value.TS, m.Value.Value.String(), m.Value.Labels["path"]))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("Confluent's client\ngot  %q\nwant %q", got, want)
	}
}
