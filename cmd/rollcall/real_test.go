package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// built are both programs, as they are delivered: static.
var built = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "rollcall-bin-"); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir, "github.com/rollcall-metrics/rollcall/cmd/rollcall", "github.com/rollcall-metrics/rollcall/cmd/rollcall-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

func binary(t *testing.T, name string) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// program is one of ours, as a process.
type program struct {
	cmd *exec.Cmd
	out *bytes.Buffer
}

func spawn(t *testing.T, name string, args ...string) *program {
	t.Helper()
	p := &program{exec.Command(binary(t, name), args...), &bytes.Buffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		if t.Failed() {
			t.Logf("%s %s said:\n%.8000s", name, strings.Join(args, " "), p.out)
		}
	})
	return p
}

// stop asks a program to end and wants exit code 0.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%s: %v", p.cmd.Path, err)
	}
}

func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %s: %s", d, what)
}

func fetch(t *testing.T, url string, into any) error {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(into)
}

// application is one that nobody here wrote.
type application struct {
	name, addr, path string
}

func (a application) get(t *testing.T) map[string]collector.Sample {
	t.Helper()
	res, err := http.Get("http://" + a.addr + a.path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var s collector.Snapshot
	if err := new(stats.Parser).Parse(&s, b, res.Header.Get("Content-Type"), stats.Options{}); err != nil {
		t.Fatalf("%s: %v", a.name, err)
	}
	return byName(s.Samples)
}

// byName is every number of samples under a name of its own; strings are copied.
func byName(samples []collector.Sample) map[string]collector.Sample {
	out := map[string]collector.Sample{}
	for _, s := range samples {
		name := strings.Clone(s.Name)
		for _, l := range s.Labels {
			name += "{" + l.Name + "=" + l.Value + "}"
		}
		if len(s.Fields) == 0 {
			out[name] = collector.Sample{Name: name, Kind: s.Kind, Value: strings.Clone(s.Value)}
		}
		for _, f := range s.Fields {
			out[name+"."+f.Name] = collector.Sample{Name: name, Kind: collector.Distribution, Value: strings.Clone(f.Value)}
		}
	}
	return out
}

// record is one message of a topic, as another client read it.
type record struct {
	key   string
	value []byte
	ts    int64
	wire  wire.Record
}

// kcat reads a topic to its end with librdkafka.
func kcat(t *testing.T, tool, broker, topic string) (out []record) {
	t.Helper()
	b, err := exec.Command(tool, "-C", "-q", "-e", "-J", "-b", broker, "-t", topic, "-o", "beginning").Output()
	if err != nil {
		t.Fatalf("kcat: %v", err)
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 8<<20)
	for sc.Scan() {
		var m struct {
			TS           int64
			Key, Payload string
			Headers      []string
		}
		if err := json.Unmarshal(sc.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(m.Headers, wire.SnapshotSchema) || !slices.Contains(m.Headers, wire.ContentType) {
			t.Errorf("headers %v", m.Headers)
		}
		r := record{key: m.Key, value: []byte(m.Payload), ts: m.TS}
		if err := wire.Decode(r.value, &r.wire); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// compare holds a record against what a plain GET said before it and after it: every name is there, what did not move is the same to the digit, what only grows
// lies between. It returns what disagrees, by name, and how many numbers were held against each other.
func compare(before, after map[string]collector.Sample, r *wire.Record) (wrong map[string]string, compared int) {
	wrong = map[string]string{}
	got := byName(r.Samples)
	for name, x := range before {
		y, still := after[name]
		if !still {
			continue
		}
		g, ok := got[name]
		if !ok {
			wrong[name] = "not in the record; the application says " + x.Value
			continue
		}
		if x.Value == y.Value {
			if compared++; g.Value != x.Value && !sameNumber(g.Value, x.Value) {
				wrong[name] = fmt.Sprintf("%s in the record, %s before and after it", g.Value, x.Value)
			}
			continue
		}
		lo, e1 := strconv.ParseFloat(x.Value, 64)
		v, e2 := strconv.ParseFloat(g.Value, 64)
		hi, e3 := strconv.ParseFloat(y.Value, 64)
		if x.Kind == collector.Counter && e1 == nil && e2 == nil && e3 == nil && lo <= hi {
			if compared++; v < lo || v > hi {
				wrong[name] = fmt.Sprintf("the counter is %s in the record, %s before it and %s after", g.Value, x.Value, y.Value)
			}
		}
	}
	for name := range got {
		_, b := before[name]
		if _, c := after[name]; !b && !c {
			wrong[name] = "in the record, and the application never said it"
		}
	}
	return wrong, compared
}

func sameNumber(a, b string) bool {
	x, e1 := strconv.ParseFloat(a, 64)
	y, e2 := strconv.ParseFloat(b, 64)
	return e1 == nil && e2 == nil && x == y
}

// recordAfter waits for a record of an application that was scraped, well, after a moment in milliseconds.
func recordAfter(t *testing.T, cat, broker, topic string, a application, asked int64) (rec *wire.Record) {
	t.Helper()
	within(t, 20*time.Second, "a record of "+a.name+" newer than the GET", func() bool {
		for _, r := range kcat(t, cat, broker, topic) {
			if r.wire.Service == a.name && r.wire.TS > asked && r.wire.Outcome == collector.OK {
				rec = &r.wire
				if r.key != a.name+"/real" || r.ts != r.wire.TS || r.wire.Instance != a.addr {
					t.Errorf("key %s, time %d, instance %s of a record of %s at %d", r.key, r.ts, r.wire.Instance, a.addr, r.wire.TS)
				}
				return true
			}
		}
		return false
	})
	return rec
}

// TestRealLine is the whole line on real servers and real applications: ZooKeeper, Kafka, and three programs that nobody here wrote, registered by the agent.
func TestRealLine(t *testing.T) {
	zk := testenv.ZooKeeper(t, testenv.AdminServer(), testenv.Setting("maxSessionTimeout", "40000"))
	k, okKafka := testenv.Kafka(t)
	exporter, okExporter := testenv.Tool(t, "prometheus-node-exporter")
	cat, okKcat := testenv.Tool(t, "kcat")
	if !okKafka || !okExporter || !okKcat || zk.AdminURL == "" {
		return // testenv says so at the end, and fails with CI=true
	}
	apps := []application{{"zookeeper", strings.TrimPrefix(zk.AdminURL, "http://"), "/commands/monitor"}}
	port := strconv.Itoa(testenv.Port(t))
	testenv.Program(t, []string{exporter, "--web.listen-address=127.0.0.1:" + port, "--collector.disable-defaults", "--collector.cpu", "--collector.meminfo", "--collector.loadavg", "--collector.stat"}, testenv.Answers("http://127.0.0.1:"+port+"/metrics"))
	apps = append(apps, application{"node-exporter", "127.0.0.1:" + port, "/metrics"})
	port = strconv.Itoa(testenv.Port(t))
	if _, ok := testenv.Java(t, testenv.Artifacts{Name: "ostrich", Coordinates: []string{"com.twitter:ostrich_2.10:9.18.0"}}, filepath.Join("testdata", "OstrichApp.java"), []string{port}, testenv.Answers("http://127.0.0.1:"+port+"/stats.json")); !ok {
		return
	}
	apps = append(apps, application{"ostrich", "127.0.0.1:" + port, "/stats.json"})

	for _, a := range apps {
		_, port, _ := strings.Cut(a.addr, ":")
		spawn(t, "rollcall-agent", "register", "-s", a.name, "-e", "real", "--host=127.0.0.1", "-p", port, "--check=http:"+a.path, "--check-interval=1s", "--check-timeout=900ms", "--stats-path="+a.path,
			"--zookeeper="+zk.Addr, "--zookeeper.session-timeout=10s", "--web.listen-address=127.0.0.1:"+strconv.Itoa(testenv.Port(t)))
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "rollcall.yml")
	os.WriteFile(conf, []byte(fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s}\nzookeeper: {servers: [%q], session_timeout: 6s, monitor: false}\nkafka: {brokers: [%q]}\nscrape_configs:\n- job_name: apps\n  serverset_sd_configs: [{paths: ['/discovery/{service}/{env}']}]\n",
		zk.Addr, k.Brokers[0])), 0o600)
	api := "127.0.0.1:" + strconv.Itoa(testenv.Port(t))
	collecting := spawn(t, "rollcall", "collect", "--config.file="+conf, "--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+api)
	status := func() (s collect.Status) {
		fetch(t, "http://"+api+"/api/v1/collector", &s)
		return s
	}
	within(t, 30*time.Second, "three applications are scraped", func() bool { return status().Outcomes["ok"] == 3 })

	topic := sink.DefaultTopics().Snapshots
	for _, a := range apps {
		// A gauge may move and return between two GETs, so one round proves nothing against a number: what disagrees every time, and stands still for whoever asks, is
		// wrong.
		var wrong map[string]string
		said, moves := a.get(t), map[string]bool{}
		for round := 0; round == 0 || len(wrong) > 0 && round < 6; round++ {
			// kcat runs after all three looks, and well before the first: the kernel's numbers show a process that runs at one of them only.
			scrapes := func(rounds uint64) {
				n := status().Delivery.Acknowledged
				within(t, 20*time.Second, "rounds of scrapes", func() bool { return status().Delivery.Acknowledged >= n+3*rounds })
			}
			scrapes(1)
			before, asked := a.get(t), time.Now().UnixMilli()
			scrapes(2)
			after := a.get(t)
			rec := recordAfter(t, cat, k.Brokers[0], topic, a, asked)
			now, compared := compare(before, after, rec)
			for _, look := range []map[string]collector.Sample{before, after} {
				for name, x := range look {
					moves[name] = moves[name] || x.Value != said[name].Value
				}
			}
			if wrong == nil {
				wrong = now
			}
			maps.DeleteFunc(wrong, func(name, _ string) bool { return now[name] == "" })
			t.Logf("%s: %d numbers compared, %d have disagreed in each of %d rounds", a.name, compared, len(wrong), round+1)
			if compared < 10 {
				t.Errorf("%s: only %d numbers could be compared", a.name, compared)
			}
			if a.name == "ostrich" && (rec.Tag("service.version") != "1.42.0" || rec.Tag("rollcall.version.source") != "labels") {
				t.Errorf("ostrich says its version in a label; the record's is %q from %q", rec.Tag("service.version"), rec.Tag("rollcall.version.source"))
			}
		}
		maps.DeleteFunc(wrong, func(name, _ string) bool { return moves[name] })
		for name, why := range wrong {
			t.Errorf("%s: %s: %s", a.name, name, why)
		}
	}

	// ZooKeeper dies, and comes back: nobody is lost.
	acked := func() uint64 { return status().Delivery.Acknowledged }
	zk.Kill()
	n := acked()
	within(t, 20*time.Second, "scraping goes on without ZooKeeper", func() bool { return acked() > n+12 })
	zk.Restart()
	within(t, 40*time.Second, "ZooKeeper is back, everybody answers, and the agents' checks have passed again", func() bool {
		s := status()
		if s.Roster["departed"]+s.Roster["unparsable"] > 0 {
			t.Fatalf("after ZooKeeper's return the roster is %v", s.Roster)
		}
		return s.Outcomes["ok"] == 3 && s.Roster["present"] == 3 && len(s.Sources) == 1 && s.Sources[0].Connected
	})

	// Kafka dies for 20 s, and comes back: nothing is lost, nothing is doubled.
	k.Kill()
	away := time.Now()
	within(t, 30*time.Second, "20 s without Kafka pass, and scraping goes on", func() bool { return time.Since(away) > 20*time.Second && status().Delivery.Waiting() > 30 })
	k.Restart()
	within(t, 60*time.Second, "everything that waited is delivered", func() bool { s := status(); return s.Delivery.Waiting() < 10 && s.Kafka == "" })
	var led sink.Report
	if err := fetch(t, "http://"+api+"/api/v1/ledger", &led); err != nil {
		t.Fatal(err)
	}
	collecting.stop(t)
	if led.Total.Dropped != 0 || !led.Total.Balanced() {
		t.Errorf("ledger %+v", led.Total)
	}
	checkTopics(t, k)
}

// checkTopics reads both lanes with Kafka's own console consumer: each id once, no gap in any sequence, nobody counted twice in an interval, nobody lost for long.
func checkTopics(t *testing.T, k *testenv.KafkaServer) {
	t.Helper()
	seen := map[wire.ID]bool{}
	sequences := map[wire.ID][]uint64{}
	times := map[string][]int64{}
	for _, topic := range []string{sink.DefaultTopics().Snapshots, sink.DefaultTopics().Backfill} {
		n := 0
		for line := range strings.Lines(k.Consume(topic, 0, 5*time.Second)) {
			cols := strings.SplitN(strings.TrimRight(line, "\n"), "\t", 6)
			if len(cols) < 6 {
				t.Fatalf("the console consumer says %.200q", line)
			}
			var r wire.Record
			if err := wire.Decode([]byte(cols[5]), &r); err != nil {
				t.Fatal(err)
			}
			n++
			if seen[r.ID] {
				t.Errorf("id %s twice", r.ID)
			}
			seen[r.ID] = true
			stream := wire.ID{Collector: r.ID.Collector, Start: r.ID.Start, Partition: r.ID.Partition}
			sequences[stream] = append(sequences[stream], r.ID.Sequence)
			times[r.Instance] = append(times[r.Instance], r.TS)
		}
		t.Logf("%s: %d records", topic, n)
	}
	for stream, list := range sequences {
		slices.Sort(list)
		if gaps := int(list[len(list)-1]-list[0]) + 1 - len(list); gaps != 0 {
			t.Errorf("%s: %d sequences of %d are missing, and the ledger names none", stream, gaps, len(list))
		}
	}
	for who, ts := range times {
		slices.Sort(ts)
		for i := 1; i < len(ts); i++ {
			switch gap := ts[i] - ts[i-1]; {
			case gap < 500:
				t.Errorf("%s was scraped twice in an interval: %d ms apart", who, gap)
			case gap > 5000:
				t.Errorf("%s was not scraped for %d ms", who, gap)
			}
		}
	}
}

// TestDemoAgreesWithKafka holds the demo's report against what Kafka's console consumer counts in the topics.
func TestDemoAgreesWithKafka(t *testing.T) {
	k, ok := testenv.Kafka(t)
	if !ok {
		return
	}
	file := filepath.Join(t.TempDir(), "report.json")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t, "rollcall"), "demo", "--headless", "--for=15s", "--report="+file, "--kafka="+k.Brokers[0], "--no-faults")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var r report
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for _, topic := range []string{sink.DefaultTopics().Snapshots, sink.DefaultTopics().Backfill} {
		n += uint64(strings.Count(k.Consume(topic, 0, 5*time.Second), "\n"))
	}
	if n != r.Acknowledged || n != r.Seen || r.Lost != 0 || r.Duplicated != 0 || r.Discovered != r.Instances || r.Instances == 0 {
		t.Errorf("the console consumer counts %d, the report says %s", n, b)
	}
	auditAfterRetention(t, k)
}

// auditAfterRetention removes what is oldest in every partition, up to somewhere in the middle and not the same in both lanes: the audit finds nothing lost, before and
// after.
func auditAfterRetention(t *testing.T, k *testenv.KafkaServer) {
	t.Helper()
	sound := func(when string) {
		t.Helper()
		out, bad, code := rollcall(t, "audit", "--since=all", "--grace=0s", "--kafka="+k.Brokers[0])
		if code != 0 || !strings.Contains(out, "nothing lost, nothing doubled") {
			t.Errorf("%s: code %d\n%s%s", when, code, out, bad)
		}
	}
	sound("whole")
	c, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	back, err := readback.New(readback.Config{Brokers: k.Brokers})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	for lane, topic := range []string{sink.DefaultTopics().Snapshots, sink.DefaultTopics().Backfill} {
		of := kmsg.NewDeleteRecordsRequestTopic()
		of.Topic = topic
		spans, err := back.Spans(t.Context(), time.Time{}, topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range spans {
			to := kmsg.NewDeleteRecordsRequestTopicPartition()
			to.Partition, to.Offset = int32(s.Partition), s.End*int64(1+(s.Partition+lane)%3)/4
			of.Partitions = append(of.Partitions, to)
		}
		req.Topics = append(req.Topics, of)
	}
	res, err := req.RequestWith(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	removed := int64(0)
	for _, topic := range res.Topics {
		for _, p := range topic.Partitions {
			if p.ErrorCode != 0 {
				t.Fatalf("%s/%d: error code %d", topic.Topic, p.Partition, p.ErrorCode)
			}
			removed += p.LowWatermark
		}
	}
	if removed < 100 {
		t.Errorf("only %d records were removed", removed)
	}
	sound("after retention")
}
