package avro

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/export/exporttest"
	"github.com/rollcall-metrics/rollcall/sink/export/topic"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.Runner{M: m}) }

// registry answers as a schema registry does: each schema has one id.
func registry(t testing.TB, broken *atomic.Bool) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Schema, SchemaType string }
		err := json.NewDecoder(r.Body).Decode(&in)
		switch {
		case broken.Load():
			http.Error(w, `{"error_code":50001,"message":"broken"}`, http.StatusInternalServerError)
		case r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/subjects/") || !strings.HasSuffix(r.URL.Path, "-value/versions") || err != nil || in.SchemaType != "AVRO" || in.Schema != Schema:
			t.Errorf("%s %s: %v %+v", r.Method, r.URL, err, in)
		default:
			fmt.Fprint(w, `{"id":77}`)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func output(t testing.TB, addr, to, url string) *topic.Output {
	reg, err := NewRegistry(Config{URL: url, Topic: to, Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := topic.New(topic.Config{Brokers: []string{addr}, Topic: to, Partitions: 3, ContentType: ContentType, Schema: wire.SnapshotSchema, Codec: func() topic.Codec { return NewEncoder(reg) }})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// messages are the values of a topic.
func messages(t testing.TB, addr, topic string) (out [][]byte) {
	c, err := readback.New(readback.Config{Brokers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	spans, err := c.Spans(context.Background(), time.Time{}, topic)
	if err != nil {
		return nil // it is not made yet
	}
	for _, s := range spans {
		if err := c.Read(context.Background(), s, func(m readback.Message) error { out = append(out, m.Value); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// instanceOf reads a record up to its instance.
func instanceOf(t testing.TB, b []byte) string {
	if len(b) < 5 || b[0] != 0 || binary.BigEndian.Uint32(b[1:]) != 77 {
		t.Fatalf("header %x", b[:min(len(b), 5)])
	}
	b = b[5:]
	next := func() int64 {
		n, size := binary.Varint(b)
		b = b[size:]
		return n
	}
	word := func() string {
		n := next()
		s := string(b[:n])
		b = b[n:]
		return s
	}
	word() // id
	next() // parts
	next() // ts
	word() // service
	word() // env
	return word()
}

func TestContract(t *testing.T) {
	exporttest.Check(t, func(t *testing.T, addr string) exporttest.Subject {
		var broken atomic.Bool
		to, reg := strings.ReplaceAll(t.Name(), "/", ".")+".avro", registry(t, &broken)
		return exporttest.Subject{
			Output: func(t testing.TB) export.Output { return output(t, addr, to, reg.URL) },
			Break:  broken.Store,
			Delivered: func(t testing.TB) map[string]int {
				out := map[string]int{}
				for _, m := range messages(t, addr, to) {
					out[instanceOf(t, m)]++
				}
				return out
			},
		}
	})
}

// everything has every form of sample.
func everything() *collector.Snapshot {
	return &collector.Snapshot{
		Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: "10.0.0.5", Port: 8001}, Shard: 3, Source: "main", Zxid: 0x5a1},
		Time:     time.UnixMilli(1764000000123), Took: 1500 * time.Microsecond, Interval: 10 * time.Second, Slot: time.UnixMilli(1764000000000), Term: 0x5a10000002f, Skew: -3 * time.Second,
		Tags: discovery.TagsOf(map[string]string{"team": "päyments"}), RulesHash: "9c1d", GeoBuild: "2026-11-04",
		Samples: []collector.Sample{
			{Name: "requests", Kind: collector.Counter, Value: "9007199254740993"},
			{Name: "big", Kind: collector.Counter, Value: "18446744073709551616"},
			{Name: "heap", Kind: collector.Gauge, Value: "-1.5"},
			{Name: "mode", Kind: collector.Label, Value: "warm"},
			{Name: "latency_ms", Kind: collector.Distribution, Window: collector.Latched, Fields: []collector.Field{{Name: "count", Value: "9"}, {Name: "p99", Value: "3.25"}}},
			{Name: "hits", Kind: collector.Delta, Value: "17", Since: 10 * time.Second, Labels: []collector.LabelPair{{Name: "as", Value: "15169"}, {Name: "country", Value: "US"}}},
			{Name: "sizes", Kind: collector.Histogram, Hist: &collector.NativeHistogram{Schema: -2, ZeroThreshold: 0.5, ZeroCount: 1, Count: 6, Sum: math.NaN(),
				PositiveSpans: []collector.Span{{Offset: -1, Length: 2}}, PositiveCounts: []float64{2, 3}}},
		}}
}

const decoder = `
import base64, io, json, struct, sys, urllib.request
import fastavro
registry, data = sys.argv[1], sys.stdin.read().split()
schemas, out = {}, []
for line in data:
    b = base64.b64decode(line)
    magic, number = struct.unpack(">bI", b[:5])
    assert magic == 0
    if number not in schemas:
        with urllib.request.urlopen(registry + "/schemas/ids/%d" % number) as r:
            schemas[number] = fastavro.parse_schema(json.loads(json.load(r)["schema"]))
    rest = io.BytesIO(b[5:])
    out.append(fastavro.schemaless_reader(rest, schemas[number]))
    assert rest.read() == b""
print(json.dumps(out, default=str))
`

const confluent = `
import json, sys
from confluent_kafka import Consumer, TopicPartition, OFFSET_BEGINNING
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
broker, topic, registry, n = sys.argv[1:]
c = Consumer({"bootstrap.servers": broker, "group.id": "confluent", "enable.auto.commit": False})
parts = c.list_topics(topic, timeout=30).topics[topic].partitions
c.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in parts])
avro = AvroDeserializer(SchemaRegistryClient({"url": registry}))
out = []
while len(out) < int(n):
    m = c.poll(30)
    assert m is not None, "no more records"
    assert m.error() is None, m.error()
    assert m.key() == b"checkout/prod", m.key()
    out.append(avro(m.value(), SerializationContext(topic, MessageField.VALUE)))
c.close()
print(json.dumps(out, default=str))
`

// A real registry takes the schema, and others' readers, which get it from there, read from a real Kafka what the application said: fastavro, and Confluent's client as anybody
// would use it.
func TestRealRegistry(t *testing.T) {
	dir, ok := testenv.Archive(t, testenv.Apicurio)
	python, ok2 := testenv.Python(t, testenv.Fastavro...)
	client, ok3 := testenv.Python(t, testenv.Confluent...)
	k, ok4 := testenv.Kafka(t)
	if !ok || !ok2 || !ok3 || !ok4 {
		return
	}
	jars, err := filepath.Glob(filepath.Join(dir, "*-runner.jar"))
	if err != nil || len(jars) != 1 {
		t.Fatalf("%v: %v", err, jars)
	}
	port := strconv.Itoa(testenv.Port(t))
	url := "http://127.0.0.1:" + port + "/apis/ccompat/v7"
	testenv.Program(t, []string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port=" + port, "-jar", jars[0]}, testenv.Answers(url+"/subjects"))
	addr := k.Brokers[0]
	o := output(t, addr, "checkout.avro", url)
	defer o.Close()
	var p export.Part
	testenv.Eventually(t, "Kafka to give producer ids", func() bool {
		p, _, err = o.Open(t.Context(), 3, "")
		return err == nil
	})
	defer p.Close()
	var r, bad wire.Record
	if err := wire.Decode(wire.AppendSnapshot(nil, everything(), wire.ID{Collector: 1, Start: 1, Partition: 3, Sequence: 7}, wire.Provenance{Term: 0x5a10000002f}), &r); err != nil {
		t.Fatal(err)
	}
	failed := everything()
	failed.Outcome, failed.Reason, failed.Instance.Shard = collector.Timeout, "no answer", discovery.NoShard
	if err := wire.Decode(wire.AppendSnapshot(nil, failed, wire.ID{Collector: 1, Start: 1, Partition: 3, Sequence: 8}, wire.Provenance{}), &bad); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(t.Context(), []export.Record{{Record: &r}, {Record: &bad}}); err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(url + "/subjects")
	if err != nil {
		t.Fatal(err)
	}
	subjects, _ := io.ReadAll(res.Body)
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if !strings.Contains(string(subjects), `"checkout.avro-value"`) {
		t.Errorf("subjects: %s", subjects)
	}
	var lines []string
	for _, m := range messages(t, addr, "checkout.avro") {
		lines = append(lines, base64.StdEncoding.EncodeToString(m))
	}
	cmd := exec.Command(python, "-c", decoder, url)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	want := `[{"id":"0000000000000001/1/3/7","parts":0,"ts":"2025-11-24 16:00:00.123000+00:00","service":"checkout","env":"prod","instance":"10.0.0.5:8001","shard":3,"outcome":"ok","reason":null,"took_us":1500,"tags":{"team":"päyments"},"samples":[` +
		`{"name":"requests","kind":"counter","labels":{},"value":9007199254740993,"since_ms":null,"window":null,"fields":null,"histogram":null},` +
		`{"name":"big","kind":"counter","labels":{},"value":1.8446744073709552e+19,"since_ms":null,"window":null,"fields":null,"histogram":null},` +
		`{"name":"heap","kind":"gauge","labels":{},"value":-1.5,"since_ms":null,"window":null,"fields":null,"histogram":null},` +
		`{"name":"latency_ms","kind":"distribution","labels":{},"value":null,"since_ms":null,"window":"latched","fields":{"count":9.0,"p99":3.25},"histogram":null},` +
		`{"name":"mode","kind":"label","labels":{},"value":"warm","since_ms":null,"window":null,"fields":null,"histogram":null},` +
		`{"name":"hits","kind":"delta","labels":{"as":"15169","country":"US"},"value":17,"since_ms":10000,"window":null,"fields":null,"histogram":null},` +
		`{"name":"sizes","kind":"histogram","labels":{},"value":null,"since_ms":null,"window":"buckets","fields":null,"histogram":{"schema":-2,"zero_threshold":0.5,"zero_count":1.0,"count":6.0,"sum":NaN,"positive_spans":[{"offset":-1,"length":2}],"positive_counts":[2.0,3.0],"negative_spans":[],"negative_counts":[]}}],` +
		`"src":{"term":"0x5a10000002f","slot":1764000000000,"interval_ms":10000,"roster":"main:0x5a1","rules":"9c1d","geo":"2026-11-04","skew_ms":-3000}},` +
		`{"id":"0000000000000001/1/3/8","parts":0,"ts":"2025-11-24 16:00:00.123000+00:00","service":"checkout","env":"prod","instance":"10.0.0.5:8001","shard":null,"outcome":"timeout","reason":"no answer","took_us":1500,"tags":{"team":"päyments"},"samples":[],` +
		`"src":{"term":null,"slot":1764000000000,"interval_ms":10000,"roster":"main:0x5a1","rules":"9c1d","geo":"2026-11-04","skew_ms":-3000}}]`
	plain := strings.NewReplacer(`: `, `:`, `, "`, `,"`, `, {`, `,{`, `, 3.0`, `,3.0`, `\u00e4`, `ä`)
	got := plain.Replace(strings.TrimSpace(string(out)))
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	out, err = exec.Command(client, "-c", confluent, addr, "checkout.avro", url, "2").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	if got := plain.Replace(strings.TrimSpace(string(out))); got != want {
		t.Errorf("Confluent's client\ngot  %s\nwant %s", got, want)
	}
}

func TestRegistryRefuses(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error_code":409,"message":"incompatible"}`, http.StatusConflict)
	}))
	defer s.Close()
	reg, err := NewRegistry(Config{URL: strings.Replace(s.URL, "http://", "http://me:secret@", 1), Topic: "t", Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reg.ID(t.Context()); err == nil || !strings.Contains(err.Error(), "t-value") || !strings.Contains(err.Error(), "incompatible") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	if _, err := NewRegistry(Config{URL: "registry:8081", Topic: "t"}); err == nil {
		t.Error("no URL, and taken")
	}
}
