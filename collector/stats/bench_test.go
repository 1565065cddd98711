package stats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	plabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/rollcall-metrics/rollcall/collector"
)

// ostrichBody is a stats.json of about n numbers: counters, gauges and distributions, as services serve it.
func ostrichBody(n int) []byte {
	b := []byte(`{"counters":{`)
	for i := range n / 2 {
		b = fmt.Appendf(b, `"http/route_%03d/status_200":%d,`, i, 1000003*i)
	}
	b = append(b[:len(b)-1], `},"gauges":{`...)
	for i := range n / 4 {
		b = fmt.Appendf(b, `"jvm/pool_%03d/used_mb":%d.25,`, i, 17*i)
	}
	b = append(b[:len(b)-1], `},"labels":{"version":"1.42.0"},"metrics":{`...)
	for i := range n / 44 {
		b = fmt.Appendf(b, `"latency_%03d_ms":{"average":3,"count":%d,"maximum":31,"minimum":1,"p50":2,"p90":7,"p95":9,"p99":17,"p999":29,"p9999":31,"sum":%d},`, i, i*1001, i*3003)
	}
	return append(b[:len(b)-1], `}}`...)
}

// prometheusBody is an exposition of n series with two labels each.
func prometheusBody(n int) []byte {
	var b []byte
	for i := range n {
		if i%20 == 0 {
			b = fmt.Appendf(b, "# HELP http_requests_%02d_total Requests.\n# TYPE http_requests_%02d_total counter\n", i/20, i/20)
		}
		b = fmt.Appendf(b, "http_requests_%02d_total{code=\"200\",route=\"/api/v1/r%03d\"} %d\n", i/20, i, 1000003*i)
	}
	return b
}

// csvBody is a stats.csv of n numbers.
func csvBody(n int) []byte {
	b := []byte("type,name,value\n")
	for i := range n {
		b = fmt.Appendf(b, "counter,http/route_%03d/status_200,%d\n", i, 1000003*i)
	}
	return b
}

// varsBody is a /vars of n numbers.
func varsBody(n int) (b []byte) {
	for i := range n {
		b = fmt.Appendf(b, "http/route_%03d/status_200 %d\n", i, 1000003*i)
	}
	return b
}

// unsorted is an ostrichBody whose names stand in no order.
func unsorted(n int) []byte {
	b := ostrichBody(n)
	for i, at := 0, bytes.Index(b, []byte("http/")); at >= 0; i++ {
		copy(b[at:], []string{"http", "user", "call", "kafk", "feed"}[i%5])
		next := bytes.Index(b[at:], []byte("http/"))
		if next < 0 {
			break
		}
		at += next
	}
	return b
}

func BenchmarkParse(b *testing.B) {
	zk, err := os.ReadFile("testdata/zookeeper-monitor.json")
	if err != nil {
		b.Fatal(err)
	}
	node, err := os.ReadFile("testdata/node-exporter.prom")
	if err != nil {
		b.Fatal(err)
	}
	read := func(file string) []byte {
		body, err := os.ReadFile("testdata/" + file)
		if err != nil {
			b.Fatal(err)
		}
		return body
	}
	om := append(prometheusBody(200), "# EOF\n"...)
	for _, bc := range []struct {
		name string
		body []byte
	}{{"ostrich", ostrichBody(200)}, {"ostrich-unsorted", unsorted(200)}, {"zookeeper", zk}, {"prometheus", prometheusBody(200)}, {"node-exporter", node}, {"openmetrics", om},
		{"ostrich-text", read("ostrich-program.txt")}, {"dropwizard", read("dropwizard-program.json")}, {"twitter-server", read("twitter-server.json")}, {"csv", csvBody(200)},
		{"vars", varsBody(200)}, {"protobuf", read("node-exporter.pb")}, {"native", read("client-golang.pb")}} {
		b.Run(bc.name, func(b *testing.B) {
			var p Parser
			var s collector.Snapshot
			b.SetBytes(int64(len(bc.body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Parse(&s, bc.body, "", Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(p.numbers), "ns/number")
		})
	}
}

// BenchmarkOthers reads the same bodies the way anybody would.
func BenchmarkOthers(b *testing.B) {
	ostrich, prom := ostrichBody(200), prometheusBody(200)
	b.Run("ostrich/encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(ostrich)))
		b.ReportAllocs()
		for b.Loop() {
			var v struct {
				Counters, Gauges map[string]json.Number
				Labels           map[string]string
				Metrics          map[string]map[string]json.Number
			}
			if err := json.Unmarshal(ostrich, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	pb, err := os.ReadFile("testdata/node-exporter.pb")
	if err != nil {
		b.Fatal(err)
	}
	for _, bc := range []struct {
		name string
		body []byte
		read func([]byte, *plabels.SymbolTable) textparse.Parser
	}{
		{"prometheus/textparse", prom, func(b []byte, t *plabels.SymbolTable) textparse.Parser { return textparse.NewPromParser(b, t, false) }},
		{"openmetrics/textparse", append(prometheusBody(200), "# EOF\n"...), func(b []byte, t *plabels.SymbolTable) textparse.Parser { return textparse.NewOpenMetricsParser(b, t) }},
		{"protobuf/textparse", pb, func(b []byte, t *plabels.SymbolTable) textparse.Parser {
			return textparse.NewProtobufParser(b, false, false, false, false, t)
		}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(bc.body)))
			b.ReportAllocs()
			for b.Loop() {
				p := bc.read(bc.body, plabels.NewSymbolTable())
				var ls plabels.Labels
				for {
					e, err := p.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					if e == textparse.EntrySeries {
						p.Series()
						p.Labels(&ls)
					}
				}
			}
		})
	}
}
