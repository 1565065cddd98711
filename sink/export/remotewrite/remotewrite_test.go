package remotewrite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/prompb"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/export/exporttest"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.Runner{M: m}) }

// receiver takes remote writes, and reads them with Prometheus' own code.
type receiver struct {
	*httptest.Server
	answer func(w http.ResponseWriter, req *prompb.WriteRequest) (taken bool)

	mu  sync.Mutex
	got []prompb.TimeSeries
}

func receive(t testing.TB, answer func(w http.ResponseWriter, req *prompb.WriteRequest) bool) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		b, err := io.ReadAll(in.Body)
		if err == nil {
			b, err = s2.Decode(nil, b)
		}
		var req prompb.WriteRequest
		if err == nil {
			err = req.Unmarshal(b)
		}
		if err != nil || in.Header.Get("Content-Encoding") != "snappy" || in.Header.Get("Content-Type") != "application/x-protobuf" || in.Header.Get("X-Prometheus-Remote-Write-Version") != "0.1.0" {
			t.Errorf("%v, %v", err, in.Header)
		}
		if r.answer != nil && !r.answer(w, &req) {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, req.Timeseries...)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) series() []prompb.TimeSeries {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func valueOf(ls []prompb.Label, name string) string {
	for _, l := range ls {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

func output(t testing.TB, change func(*Config)) *Output {
	c := Config{Name: "test", Client: &http.Client{Transport: &http.Transport{}}}
	change(&c)
	o, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestContract(t *testing.T) {
	exporttest.Check(t, func(t *testing.T, _ string) exporttest.Subject {
		var broken atomic.Bool
		r := receive(t, func(w http.ResponseWriter, _ *prompb.WriteRequest) bool {
			if broken.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return !broken.Load()
		})
		return exporttest.Subject{
			Output: func(t testing.TB) export.Output {
				return output(t, func(c *Config) { c.URL, c.MaxSamples = r.URL, 10 })
			},
			Break: broken.Store, Twice: true,
			Delivered: func(testing.TB) map[string]int {
				out := map[string]int{}
				for _, s := range r.series() {
					if valueOf(s.Labels, "__name__") == "heap" {
						out[valueOf(s.Labels, "instance")]++
					}
				}
				return out
			},
		}
	})
}

// decoded is a snapshot as it comes out of the topic.
func decoded(t testing.TB, s *collector.Snapshot, seq uint64) export.Record {
	t.Helper()
	r := new(wire.Record)
	if err := wire.Decode(wire.AppendSnapshot(nil, s, wire.ID{Collector: 1, Start: 1, Sequence: seq}, wire.Provenance{}), r); err != nil {
		t.Fatal(err)
	}
	return export.Record{Record: r}
}

func write(t testing.TB, o *Output, rs ...export.Record) {
	t.Helper()
	p, _, err := o.Open(context.Background(), 0, "")
	if err == nil {
		_, err = p.Write(context.Background(), rs)
	}
	if err = errors.Join(err, p.Close(), o.Close()); err != nil {
		t.Fatal(err)
	}
}

// everything is a snapshot with every form of sample, n-th of its kind.
func everything(at time.Time, n int) *collector.Snapshot {
	pair := func(name, value string) []collector.LabelPair {
		return []collector.LabelPair{{Name: name, Value: value}}
	}
	return &collector.Snapshot{
		Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: "10.0.0.5", Port: 8001}, Shard: discovery.NoShard},
		Time:     at, Took: 1500 * time.Microsecond, Interval: time.Second, Tags: discovery.TagsOf(map[string]string{"cloud.availability_zone": "us-east-1c", "team": "payments"}),
		Samples: []collector.Sample{
			{Name: "requests/status/200", Kind: collector.Counter, Value: fmt.Sprint(12345 + n)},
			{Name: "requests.status.200", Kind: collector.Counter, Value: "1"}, // the same name for Prometheus
			{Name: "5xx", Kind: collector.Gauge, Value: "1.5e3"},
			{Name: "naïve:x", Kind: collector.Untyped, Value: "-7"},
			{Name: "mode", Kind: collector.Label, Value: "warm"},
			{Name: "latency_ms", Kind: collector.Distribution, Fields: []collector.Field{{Name: "count", Value: "9"}, {Name: "sum", Value: "31"}, {Name: "p50", Value: "3"}, {Name: "p999", Value: "9.25"}, {Name: "max", Value: "11"}}},
			{Name: "hits", Kind: collector.Delta, Value: fmt.Sprint(17 + n), Since: time.Second, Labels: pair("client.as.number", "15169")},
			{Name: "hits", Kind: collector.Counter, Value: "4", Labels: []collector.LabelPair{{Name: "instance", Value: "other"}, {Name: "path", Value: "/a\"b"}}},
			{Name: "sizes", Kind: collector.Histogram, Hist: &collector.NativeHistogram{Schema: 3, ZeroThreshold: 1e-9, ZeroCount: 2, Count: float64(12 + n), Sum: 18.4,
				PositiveSpans: []collector.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 1}}, PositiveCounts: []float64{1, 2, float64(1 + n)},
				NegativeSpans: []collector.Span{{Offset: -2, Length: 2}}, NegativeCounts: []float64{5, 1}}},
		},
	}
}

// want is what a receiver has of everything: by name and labels, but for the target's own, the value. NaN stands for a histogram.
func want(n int) map[string]float64 {
	return map[string]float64{
		"requests_status_200": float64(12345 + n), "_5xx": 1500, "na_ve:x": -7, "up": 1, "scrape_duration_seconds": 0.0015,
		"latency_ms_count": 9, "latency_ms_sum": 31, `latency_ms quantile=0.5`: 3, `latency_ms quantile=0.999`: 9.25, "latency_ms_max": 11,
		"hits_delta client_as_number=15169": float64(17 + n), `hits exported_instance=other path=/a"b`: 4, "sizes": math.NaN(),
	}
}

func named(labels map[string]string) string {
	var out []string
	for k, v := range labels {
		switch k {
		case "__name__", "job", "env", "instance", "team", "cloud_availability_zone":
		default:
			out = append(out, k+"="+v)
		}
	}
	slices.Sort(out)
	return strings.Join(append([]string{labels["__name__"]}, out...), " ")
}

func TestForms(t *testing.T) {
	r := receive(t, nil)
	at := time.UnixMilli(1764000000123)
	failed := everything(at.Add(time.Second), 0)
	failed.Outcome, failed.Reason = collector.Timeout, "none"
	o := output(t, func(c *Config) { c.URL = r.URL })
	write(t, o, decoded(t, everything(at, 0), 1), decoded(t, failed, 2))
	got := map[string]float64{}
	for _, s := range r.series() {
		labels := map[string]string{}
		last := ""
		for _, l := range s.Labels {
			if l.Name <= last {
				t.Errorf("labels are not in order: %v", s.Labels)
			}
			labels[l.Name], last = l.Value, l.Name
		}
		if labels["job"] != "checkout" || labels["env"] != "prod" || labels["instance"] != "10.0.0.5:8001" || labels["team"] != "payments" || labels["cloud_availability_zone"] != "us-east-1c" {
			t.Errorf("%v", labels)
		}
		switch {
		case len(s.Histograms) == 1:
			h := s.Histograms[0].ToIntHistogram()
			if err := h.Validate(); err != nil || h.Count != 12 || h.Sum != 18.4 || h.ZeroCount != 2 || h.Schema != 3 || s.Histograms[0].Timestamp != at.UnixMilli() ||
				fmt.Sprint(h.PositiveSpans, h.PositiveBuckets, h.NegativeSpans, h.NegativeBuckets) != "[{0 2} {1 1}] [1 1 -1] [{-2 2}] [5 -4]" {
				t.Errorf("%v: %+v", err, h)
			}
			got[named(labels)] = math.NaN()
		case s.Samples[0].Timestamp == at.UnixMilli():
			got[named(labels)] = s.Samples[0].Value
		case labels["__name__"] == "up" && s.Samples[0].Value != 0:
			t.Error("a failed scrape is up")
		}
	}
	if g, w := fmt.Sprint(got), fmt.Sprint(want(0)); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
	if o.count(Collision).Get() != 1 || o.count(Text).Get() != 1 {
		t.Errorf("%d collisions, %d texts", o.count(Collision).Get(), o.count(Text).Get())
	}
}

// A real Prometheus has every number that was sent, at its time.
func TestPrometheus(t *testing.T) {
	program, ok := testenv.Tool(t, "prometheus")
	if !ok {
		return
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := "127.0.0.1:" + strconv.Itoa(testenv.Port(t))
	testenv.Program(t, []string{program, "--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr,
		"--web.enable-remote-write-receiver", "--enable-feature=native-histograms", "--log.level=error"}, testenv.Answers("http://"+addr+"/-/ready"))
	o := output(t, func(c *Config) { c.URL, c.MaxSamples = "http://"+addr+"/api/v1/write", 7 })
	began := time.Now().Add(-2 * time.Minute).Truncate(time.Second)
	var rs []export.Record
	const n = 20
	for i := range n {
		rs = append(rs, decoded(t, everything(began.Add(time.Duration(i)*time.Second), i), uint64(i+1)))
	}
	late := decoded(t, everything(began.Add(-time.Second), 0), 99)
	write(t, o, append(rs, late)...)
	if o.count(TooLate).Get() == 0 {
		t.Error("what is late was not counted")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + addr + "/api/v1/query?" + url.Values{"query": {`{job="checkout"}[5m]`}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var said struct {
		Data struct {
			Result []struct {
				Metric     map[string]string
				Values     [][2]any
				Histograms [][2]any
			}
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil {
		t.Fatal(err)
	}
	numbers := 0
	for _, s := range said.Data.Result {
		name := named(s.Metric)
		if len(s.Values)+len(s.Histograms) != n {
			t.Errorf("%s has %d values", name, len(s.Values)+len(s.Histograms))
			continue
		}
		for i := range n {
			at := float64(began.Unix() + int64(i))
			if name == "sizes" {
				h := s.Histograms[i][1].(map[string]any)
				if s.Histograms[i][0] != at || h["count"] != fmt.Sprint(12+i) || h["sum"] != "18.4" || len(h["buckets"].([]any)) != 6 {
					t.Errorf("%v", s.Histograms[i])
				}
				numbers++
				continue
			}
			v, err := strconv.ParseFloat(s.Values[i][1].(string), 64)
			if w, known := want(i)[name]; err != nil || !known || v != w || s.Values[i][0] != at {
				t.Errorf("%s: %v, want %v at %v", name, s.Values[i], w, at)
			}
			numbers++
		}
	}
	if numbers != n*len(want(0)) {
		t.Errorf("%d numbers, want %d", numbers, n*len(want(0)))
	}
	// Of a request that a real Prometheus refuses for one series the others get through: here another exporter, which does not know that they are late.
	again := output(t, func(c *Config) { c.URL = o.cfg.URL })
	fresh := decoded(t, everything(began.Add(time.Minute), 1), 100)
	write(t, again, late, decoded(t, func() *collector.Snapshot {
		s := everything(began.Add(-time.Second), 1)
		s.Instance.Port = 9
		return s
	}(), 101), fresh)
	if refused := again.count("refused_400").Get(); refused == 0 || again.sent.Get() < 2*uint64(len(want(0))) {
		t.Errorf("%d refused, %d sent", refused, again.sent.Get())
	}
}

func TestAnswers(t *testing.T) {
	at := time.UnixMilli(1764000000123)
	record := func(seq uint64) export.Record {
		return decoded(t, everything(at.Add(time.Duration(seq)*time.Second), 0), seq)
	}
	t.Run("a series that is refused alone is left out", func(t *testing.T) {
		r := receive(t, func(w http.ResponseWriter, req *prompb.WriteRequest) bool {
			for _, s := range req.Timeseries {
				if valueOf(s.Labels, "__name__") == "_5xx" {
					http.Error(w, "out of order sample", http.StatusBadRequest)
					return false
				}
			}
			return true
		})
		o := output(t, func(c *Config) { c.URL = r.URL })
		write(t, o, record(1), record(2))
		if n := len(r.series()); n != 2*(len(want(0))-1) || o.count("refused_400").Get() != 2 {
			t.Errorf("%d series taken, %d refused", n, o.count("refused_400").Get())
		}
	})
	t.Run("where all is refused, not for ever", func(t *testing.T) {
		var asked atomic.Int64
		r := receive(t, func(w http.ResponseWriter, req *prompb.WriteRequest) bool {
			asked.Add(1)
			http.Error(w, "no", http.StatusBadRequest)
			return false
		})
		o := output(t, func(c *Config) { c.URL = r.URL })
		var rs []export.Record
		for i := range 100 {
			rs = append(rs, record(uint64(i+1)))
		}
		write(t, o, rs...)
		if asked.Load() > splits+2 || o.count("refused_400").Get() != uint64(100*len(want(0))) {
			t.Errorf("%d requests, %d refused", asked.Load(), o.count("refused_400").Get())
		}
	})
	t.Run("Retry-After is heeded", func(t *testing.T) {
		var first atomic.Int64
		r := receive(t, func(w http.ResponseWriter, _ *prompb.WriteRequest) bool {
			if first.CompareAndSwap(0, time.Now().UnixMilli()) {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				return false
			}
			return true
		})
		o := output(t, func(c *Config) { c.URL = r.URL })
		p, _, _ := o.Open(t.Context(), 0, "")
		_, err := p.Write(t.Context(), []export.Record{record(1)})
		if err == nil || !strings.Contains(err.Error(), "429") {
			t.Errorf("%v", err)
		}
		if _, err = p.Write(t.Context(), []export.Record{record(1)}); err != nil || time.Now().UnixMilli()-first.Load() < 900 || len(r.series()) != len(want(0)) {
			t.Errorf("%v after %d ms, %d series", err, time.Now().UnixMilli()-first.Load(), len(r.series()))
		}
		o.Close()
	})
	for _, code := range []int{401, 403, 404, 500, 503, 302} {
		t.Run(fmt.Sprint(code, " drops nothing"), func(t *testing.T) {
			r := receive(t, func(w http.ResponseWriter, _ *prompb.WriteRequest) bool { w.WriteHeader(code); return false })
			o := output(t, func(c *Config) { c.URL = strings.Replace(r.URL, "http://", "http://me:secret@", 1) })
			p, _, _ := o.Open(t.Context(), 0, "")
			if _, err := p.Write(t.Context(), []export.Record{record(1)}); err == nil || !strings.Contains(err.Error(), fmt.Sprint(code)) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
			o.Close()
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		o := output(t, func(c *Config) { c.URL = "http://me:secret@127.0.0.1:1/write" })
		p, _, _ := o.Open(t.Context(), 0, "")
		if _, err := p.Write(t.Context(), []export.Record{record(1)}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	})
}

// Whatever the names and labels are, what is sent is what Prometheus takes: legal, sorted, each series once.
func TestLegal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"job", "instance", "__name__", "quantile", "a.b", "a/b", "exported_job"}))
		r := &wire.Record{TS: 1, Service: text.Draw(t, "service"), Env: text.Draw(t, "env"), Instance: text.Draw(t, "instance")}
		for range rapid.IntRange(0, 4).Draw(t, "tags") {
			r.Tags = append(r.Tags, collector.LabelPair{Name: text.Draw(t, "tag"), Value: text.Draw(t, "value")})
		}
		for range rapid.IntRange(0, 6).Draw(t, "samples") {
			s := collector.Sample{Name: text.Draw(t, "name"), Kind: collector.Gauge, Value: "1"}
			for range rapid.IntRange(0, 3).Draw(t, "labels") {
				s.Labels = append(s.Labels, collector.LabelPair{Name: text.Draw(t, "label"), Value: text.Draw(t, "value")})
			}
			r.Samples = append(r.Samples, s)
		}
		seen := map[string]bool{}
		newEncoder(nil).record(r, func(b []byte) {
			var req prompb.WriteRequest
			if err := req.Unmarshal(b); err != nil || len(req.Timeseries) != 1 {
				t.Fatal(err)
			}
			last := ""
			for i, l := range req.Timeseries[0].Labels {
				if l.Name <= last || promtext.Name(l.Name, l.Name == "__name__") != l.Name || l.Value == "" {
					t.Fatalf("%d: %v", i, req.Timeseries[0].Labels)
				}
				last = l.Name
			}
			key := fmt.Sprintf("%q", req.Timeseries[0].Labels)
			if seen[key] {
				t.Fatalf("twice: %s", key)
			}
			seen[key] = true
		})
	})
}

func BenchmarkEncode(b *testing.B) {
	r := &wire.Record{TS: 1, Service: "checkout", Env: "prod", Instance: "10.0.0.5:80", Tags: []collector.LabelPair{{Name: "service.version", Value: "1.42.0"}, {Name: "team", Value: "payments"}}}
	for i := range 200 {
		r.Samples = append(r.Samples, collector.Sample{Name: fmt.Sprint("http/requests/status/", i), Kind: collector.Counter, Value: fmt.Sprint(1000 + i)})
	}
	e := newEncoder(nil)
	b.ReportAllocs()
	for b.Loop() {
		e.record(r, func([]byte) {})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200, "ns/sample")
}
