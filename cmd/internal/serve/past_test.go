package serve

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// A while of hours ago is answered from Kafka, and what is asked of it next from what was read; of the present nothing is read back.
func TestPast(t *testing.T) {
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	<-b.Ready()
	tr := &kafka.Transport{}
	defer tr.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(b.Addr()), Timeout: 10 * time.Second, Transport: tr}
	topics := sink.DefaultTopics()
	const partitions = 3
	made, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topics.Snapshots, NumPartitions: partitions, ReplicationFactor: 1}, {Topic: topics.Backfill, NumPartitions: partitions, ReplicationFactor: 1}}})
	if err != nil || made.Errors[topics.Snapshots] != nil || made.Errors[topics.Backfill] != nil {
		t.Fatal(err, made)
	}
	key := sink.Key("checkout", "prod")
	part := wire.Partition(key, partitions)
	// Twenty a second of each of six instances; in the last minutes one in ten fails of those of 1.42.0.
	begin := time.Now().Add(-3 * time.Hour).Truncate(time.Minute)
	var lanes [2][]kafka.Record
	n, errs := 0, 0
	for i := range 240 {
		at := begin.Add(time.Duration(i) * 10 * time.Second)
		if i > 216 {
			errs += 20
		}
		for k := range 6 {
			n++
			version := []string{"1.41.3", "1.42.0"}[k%2]
			s := &collector.Snapshot{Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: "10.0.0." + strconv.Itoa(k), Port: 80}, Shard: discovery.NoShard},
				Time: at, Took: time.Millisecond, Interval: 10 * time.Second, Tags: discovery.TagsOf(map[string]string{"service.version": version}),
				Samples: []collector.Sample{{Name: "requests", Kind: collector.Counter, Value: strconv.Itoa(200 * i)}, {Name: "errors", Kind: collector.Counter, Value: strconv.Itoa(k % 2 * errs)}}}
			lane := min(n%30, 1) ^ 1
			lanes[lane] = append(lanes[lane], kafka.Record{Time: at, Key: kafka.NewBytes([]byte(key)), Value: kafka.NewBytes(wire.AppendSnapshot(nil, s, wire.ID{Collector: 7, Start: 1, Partition: part, Sequence: uint64(n)}, wire.Provenance{}))})
		}
	}
	for lane, topic := range []string{topics.Snapshots, topics.Backfill} {
		res, err := client.Produce(ctx, &kafka.ProduceRequest{Topic: topic, Partition: int(part), RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(lanes[lane]...)})
		if err != nil || res.Error != nil {
			t.Fatal(err, res)
		}
	}
	d := daemon(t, "kafka: {brokers: ['"+b.Addr()+"']}\n")
	defer d.back.Close()
	ask := func(path string, from, to time.Time, into any) (int, string) {
		t.Helper()
		rec := httptest.NewRecorder()
		d.Handler().ServeHTTP(rec, httptest.NewRequest("GET", path+"&from="+strconv.FormatInt(from.UnixMilli(), 10)+"&to="+strconv.FormatInt(to.UnixMilli(), 10), nil))
		if into != nil {
			if err := json.Unmarshal(rec.Body.Bytes(), into); err != nil {
				t.Fatal(err)
			}
		}
		return rec.Code, rec.Body.String()
	}
	type back struct {
		From, To int64
		Whole    bool
		Text     string
	}
	from, to := begin.Add(35*time.Minute), begin.Add(39*time.Minute)
	const of = "?service=checkout&env=prod"
	for q, want := range map[string][]float64{"": {120}, "&by=version": {60, 60}, "&by=version&where=" + url.QueryEscape("version=1.42.0"): {60}} {
		var a struct {
			Series []struct{ Values []*float64 }
			Back   *back `json:"read_back"`
		}
		code, body := ask("/api/v1/series"+of+"&metric=requests&step=10000"+q, from, to, &a)
		if code != 200 || a.Back == nil || !a.Back.Whole || a.Back.From != from.UnixMilli() || len(a.Series) != len(want) {
			t.Fatalf("%s: %d %s", q, code, body)
		}
		for i, l := range a.Series {
			for k, v := range l.Values {
				if v == nil || *v != want[i] || len(l.Values) != 24 {
					t.Fatalf("%s: point %d of line %d: %s", q, k, i, body)
				}
			}
		}
	}
	var x struct {
		Differences []struct {
			Metric, Only string
			Was, Is      float64
		}
		Changes []struct{ Text string }
		Back    *back `json:"read_back"`
	}
	code, body := ask("/api/v1/different"+of+"&signal=errors", from.Add(90*time.Second), to, &x)
	if code != 200 || x.Back == nil || !x.Back.Whole || len(x.Differences) != 1 || !(x.Differences[0].Was < .02) || x.Differences[0].Is != .05 || !strings.Contains(x.Differences[0].Only, "1.42.0") || !strings.Contains(body, "errors 0/s → 6/s") {
		t.Errorf("%d %s", code, body)
	}
	rec := httptest.NewRecorder()
	d.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(rec.Body.String(), "rollcall_past_readings_total 1\n") {
		t.Error("it was read more than once, or not at all")
	}
	if code, body := ask("/api/v1/series"+of+"&metric=requests", time.Now().Add(-10*time.Minute), time.Now(), nil); code != 404 || strings.Contains(body, "read_back") {
		t.Errorf("of the present: %d %s", code, body)
	}
	if code, body := ask("/api/v1/different"+of, begin.Add(-10*time.Hour), begin, nil); code != 404 {
		t.Errorf("of too long a while, of a service that nobody knows: %d %s", code, body)
	}
}
