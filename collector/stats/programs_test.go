package stats

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-metrics/rollcall/collector"
)

var record = flag.Bool("record", false, "record the answers of real programs anew")

// program is an application that nobody here wrote, as it answers now.
type program struct {
	name    string
	start   func(t *testing.T) (at urls, ok bool) // ok is false where it cannot be had: testenv says so at the end, and fails with CI=true
	answers []answer
}

// urls gives the URL of an answer by its path.
type urls func(path string) string

// answer is one of a program's, and what must be in it.
type answer struct {
	file   string // of testdata, which -record writes anew
	path   string
	accept string
	want   []string // samples, as kind, name and labels
}

const (
	acceptProtobuf    = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8"
	acceptText        = "application/json,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.8,text/plain;version=0.0.4;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.1" // as collector/scrape asks
	acceptUTF8        = "text/plain;version=1.0.0;escaping=allow-utf-8"
	acceptOpenMetrics = "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8"
)

func programs() []program {
	ostrich := []string{"counter requests", "gauge jvm_uptime", "label version", "distribution latency_ms"}
	node := []string{"gauge node_load1", "counter node_cpu_seconds_total{cpu=0,mode=idle}", "gauge node_memory_MemTotal_bytes"}
	return []program{
		{"expvar", expvarProgram, []answer{{"expvar.json", "", "", []string{"untyped memstats/Alloc", "gauge cmdline", "label version", "untyped requests", "untyped hits/cart"}}}},
		{"client_golang", clientGolang, []answer{
			{"client-golang.pb", "", acceptProtobuf, []string{"histogram latency_seconds", "counter requests_total{code=200}", "counter sizes_bucket{le=2.5,route=/a}", "gauge age_seconds{quantile=0.99}", "counter age_seconds_count"}},
			{"client-golang.prom", "", acceptUTF8, []string{`gauge queue.länge{room.name=ä "1"}`, "counter latency_seconds_count", "gauge age_seconds{quantile=0.99}"}},
			{"client-golang.openmetrics.txt", "", acceptOpenMetrics, []string{"counter latency_seconds_count", "counter requests_total{code=200}", "counter sizes_bucket{le=2.5,route=/a}"}},
		}},
		{"node-exporter", nodeExporter, []answer{{"node-exporter.prom", "/metrics", "", node}, {"node-exporter.pb", "/metrics", acceptProtobuf, node}}},
		{"ZooKeeper", zooKeeper, []answer{
			{"zookeeper-monitor.json", "/commands/monitor", "", []string{"untyped uptime", "label version", "untyped znode_count"}},
			{"zookeeper-metrics.prom", "metrics", "", []string{"gauge znode_count", "gauge uptime", "counter commit_count", "counter updatelatency_count", "counter dbinittime_count"}},
		}},
		{"Ostrich", ostrichProgram, []answer{{"ostrich-program.json", "/stats.json", "", ostrich}, {"ostrich-program.txt", "/stats.txt", "", ostrich}}},
		{"Dropwizard", dropwizard, []answer{{"dropwizard-program.json", "/metrics", "", []string{"counter active", "counter total", "label jvm.vendor", "gauge threads", "gauge tiny", "counter logins",
			"gauge logins/m1_rate", "distribution sizes", "distribution requests", "distribution never"}}}},
		{"twitter-server", twitterServer, []answer{{"twitter-server-program.json", "/admin/metrics.json", "", []string{"untyped srv/http/requests", "untyped srv/http/total", "untyped jvm/uptime", "untyped jvm/heap/used"}}}},
		{"Kafka", kafka, []answer{
			{"kafka-jolokia.json", "/jolokia/read/kafka.server:type=BrokerTopicMetrics,*", "", []string{"counter kafka.server/BrokerTopicMetrics/BytesInPerSec/Count", "gauge kafka.server/BrokerTopicMetrics/BytesInPerSec/MeanRate"}},
			{"kafka-jolokia-one.json", "/jolokia/read/java.lang:type=Memory", "", []string{"untyped java.lang/Memory/HeapMemoryUsage/used", "gauge java.lang/Memory/Verbose"}},
			{"kafka-jolokia-requests.json", "/jolokia/read/kafka.network:type=RequestMetrics,name=TotalTimeMs,*", "", []string{"distribution kafka.network/RequestMetrics/TotalTimeMs{request=Metadata}"}},
			{"kafka-exporter.openmetrics.txt", "/metrics", acceptText, []string{"untyped kafka_server_brokertopicmetrics_count{name=BytesInPerSec}", "gauge jvm_memory_used_bytes{area=heap}"}},
			{"kafka-exporter.prom", "/metrics", "", []string{"untyped kafka_server_brokertopicmetrics_count{name=BytesInPerSec}", "gauge jvm_memory_used_bytes{area=heap}"}},
		}},
	}
}

// TestRealPrograms reads what programs answer that nobody here wrote, as they answer today; the recordings in testdata are such answers.
func TestRealPrograms(t *testing.T) {
	for _, p := range programs() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			at, ok := p.start(t)
			if !ok {
				return
			}
			for _, a := range p.answers {
				t.Run(a.file, func(t *testing.T) { live(t, at(a.path), a) })
			}
		})
	}
}

func live(t *testing.T, url string, a answer) {
	body, contentType := fetch(t, url, a.accept)
	if *record {
		if err := os.WriteFile(filepath.Join("testdata", a.file), body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var p Parser
	var s collector.Snapshot
	if err := p.Parse(&s, body, contentType, Options{}); err != nil {
		t.Fatalf("%s: %v", contentType, err)
	}
	by := map[string]bool{}
	for i := range s.Samples {
		by[s.Samples[i].Kind.String()+" "+series(&s.Samples[i])] = true
	}
	for _, w := range a.want {
		if !by[w] {
			t.Errorf("no %s among\n%s", w, dump(&p, &s))
		}
	}
	if contentType == "application/json" || strings.HasPrefix(contentType, "application/json;") {
		everyNumber(t, body, &s)
	}
	// By its bytes alone it is the same.
	var q Parser
	var blind collector.Snapshot
	if err := q.Parse(&blind, body, "", Options{}); err != nil || !bytes.Equal(dump(&q, &blind), dump(&p, &s)) {
		t.Errorf("by its bytes alone: %v, %d samples instead of %d", err, len(blind.Samples), len(s.Samples))
	}
}

// series is a sample's name with its labels.
func series(s *collector.Sample) string {
	id := s.Name
	for i, l := range s.Labels {
		id += "{,"[min(i, 1):min(i, 1)+1] + l.Name + "=" + l.Value
	}
	if len(s.Labels) > 0 {
		id += "}"
	}
	return id
}

// everyNumber holds the numbers of all samples against those that encoding/json finds anywhere in the body.
func everyNumber(t *testing.T, body []byte, s *collector.Snapshot) {
	t.Helper()
	var want, got []string
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	depth, arrays := 0, 0
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch v := tok.(type) {
		case json.Delim:
			switch v {
			case '[':
				arrays++
			case ']':
				arrays--
			}
			depth++
		case json.Number:
			if arrays == 0 {
				want = append(want, v.String())
			}
		}
	}
	for i := range s.Samples {
		switch x := &s.Samples[i]; {
		case x.Kind == collector.Distribution:
			for _, f := range x.Fields {
				got = append(got, f.Value)
			}
		case x.Kind != collector.Label:
			got = append(got, x.Value)
		}
	}
	for _, w := range want { // booleans and arrays give numbers, too
		i := slices.Index(got, w)
		if i < 0 {
			t.Errorf("the number %s of the body is in no sample", w)
			continue
		}
		got[i] = ""
	}
}

func fetch(t *testing.T, url, accept string) (body []byte, contentType string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return body, resp.Header.Get("Content-Type")
}

// TestProtobufIsText holds the two forms of one registry against each other: they say the same, but for native histograms and how a time is spelled.
func TestProtobufIsText(t *testing.T) {
	at, _ := clientGolang(t)
	said := func(accept string) map[string]string {
		body, contentType := fetch(t, at(""), accept)
		var p Parser
		var s collector.Snapshot
		if err := p.Parse(&s, body, contentType, Options{}); err != nil {
			t.Fatalf("%s: %v", contentType, err)
		}
		m := map[string]string{}
		for _, x := range s.Samples {
			if strings.HasPrefix(x.Name, "latency_seconds") {
				continue
			}
			id := x.Kind.String() + " " + x.Name
			for _, l := range x.Labels {
				id += " " + l.Name + "=" + l.Value
			}
			f, err := x.Float()
			if err != nil {
				t.Error(err)
			}
			m[id] = strconv.FormatFloat(f, 'g', -1, 64)
		}
		return m
	}
	if d := cmp.Diff(said(acceptUTF8), said(acceptProtobuf)); d != "" {
		t.Error(d)
	}
}
