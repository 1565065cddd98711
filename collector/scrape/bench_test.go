package scrape

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// benchBody is a stats.json of 200 numbers.
func benchBody(shape int) []byte {
	b := []byte(`{"counters":{`)
	for i := range 100 {
		b = fmt.Appendf(b, `"http/shape_%03d/route_%03d/status_200":%d,`, shape, i, 1000003*i)
	}
	b = append(b[:len(b)-1], `},"gauges":{`...)
	for i := range 56 {
		b = fmt.Appendf(b, `"jvm/pool_%03d/used_mb":%d.25,`, i, 17*i)
	}
	b = append(b[:len(b)-1], `},"labels":{},"metrics":{`...)
	for i := range 4 {
		b = fmt.Appendf(b, `"latency_%03d_ms":{"average":3,"count":%d,"maximum":31,"minimum":1,"p50":2,"p90":7,"p95":9,"p99":17,"p999":29,"p9999":31,"sum":%d},`, i, i*1001, i*3003)
	}
	return append(b[:len(b)-1], `}}`...)
}

const (
	benchNumbers = 200
	benchTargets = 200 // connections that take turns
)

// TestMain serves the fleet of the benchmarks when it is started for that: in a process of its own, so that what is measured here is the scraper alone.
func TestMain(m *testing.M) {
	if os.Getenv("ROLLCALL_BENCH_FLEET") == "" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	go func() { // ends with its parent
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var answers [][]byte
	for i := range benchTargets {
		body := benchBody(i)
		answers = append(answers, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	}
	for i := 0; ; i++ {
		c, err := l.Accept()
		if err != nil {
			os.Exit(0)
		}
		go func() {
			buf := make([]byte, 4096)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				if !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
					continue
				}
				if _, err := c.Write(answers[i%len(answers)]); err != nil {
					return
				}
			}
		}()
	}
}

func benchFleet(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ROLLCALL_BENCH_FLEET=1", "GOMAXPROCS=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

// cpu is the time that this process has spent on a processor.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkScrape pulls 200 numbers over real sockets: by the pool, body to samples; by a bare connection that reads and throws away (the floor); and by net/http,
// once throwing away and once with encoding/json, the way anybody would. cpu-ns/number is what this process spent, the kernel's part included.
func BenchmarkScrape(b *testing.B) {
	addr := benchFleet(b)
	measure := func(name string, make func(b *testing.B) func(i int)) {
		b.Run(name, func(b *testing.B) {
			one := make(b)
			for i := range 2 * benchTargets {
				one(i)
			}
			b.SetBytes(int64(len(benchBody(0))))
			b.ReportAllocs()
			i := 0
			before := cpu()
			for b.Loop() {
				one(i)
				i++
			}
			b.ReportMetric(float64(cpu()-before)/float64(i)/benchNumbers, "cpu-ns/number")
		})
	}
	measure("pool", func(b *testing.B) func(int) {
		p, err := New(Config{Handle: func(s *collector.Snapshot) {
			if s.Outcome != collector.OK || len(s.Samples) != 160 {
				b.Fatalf("%s %s, %d samples", s.Outcome, s.Reason, len(s.Samples))
			}
			s.Release()
		}})
		if err != nil {
			b.Fatal(err)
		}
		p.ctx = context.Background()
		j := &Job{Name: "bench", NoServerInfo: true, Interval: time.Minute, Timeout: time.Minute}
		run := p.newJobRun(j)
		var ts []*target
		for i := range benchTargets {
			to := targets(j, addr)[0]
			to.Service = "s" + strconv.Itoa(i)
			t := &target{at: -1}
			t.spec.Store(newSpec(&to, run, nil))
			ts = append(ts, t)
		}
		b.Cleanup(func() {
			for _, t := range ts {
				t.drop()
			}
		})
		return func(i int) { p.scrape(ts[i%len(ts)], nil, 0) }
	})
	measure("floor", func(b *testing.B) func(int) {
		request := []byte("GET /stats.json HTTP/1.1\r\nHost: " + addr + "\r\nUser-Agent: rollcall\r\nAccept: " + acceptText + "\r\nAccept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 60\r\n\r\n")
		var conns []net.Conn
		for range benchTargets {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, c)
		}
		b.Cleanup(func() {
			for _, c := range conns {
				_ = c.Close()
			}
		})
		buf := make([]byte, 64<<10)
		head := []byte("\r\n\r\n")
		return func(i int) {
			c := conns[i%len(conns)]
			if _, err := c.Write(request); err != nil {
				b.Fatal(err)
			}
			got, want := 0, -1
			for want < 0 || got < want {
				n, err := c.Read(buf[got:])
				if err != nil {
					b.Fatal(err)
				}
				if got += n; want < 0 {
					if at := bytes.Index(buf[:got], head); at > 0 {
						_, rest, _ := bytes.Cut(buf[:at], []byte("Content-Length: "))
						length, _ := strconv.Atoi(string(rest))
						want = at + 4 + length
					}
				}
			}
		}
	})
	client := func(b *testing.B) *http.Client {
		tr := &http.Transport{MaxIdleConnsPerHost: benchTargets, DisableCompression: true}
		b.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr, Timeout: time.Minute}
	}
	measure("nethttp", func(b *testing.B) func(int) {
		c := client(b)
		return func(int) {
			resp, err := c.Get("http://" + addr + "/stats.json")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close()
		}
	})
	measure("nethttp-encoding-json", func(b *testing.B) func(int) {
		c := client(b)
		return func(int) {
			resp, err := c.Get("http://" + addr + "/stats.json")
			if err != nil {
				b.Fatal(err)
			}
			var v struct {
				Counters, Gauges map[string]float64
				Labels           map[string]string
				Metrics          map[string]map[string]float64
			}
			if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	body := string(benchBody(1))
	all := &pulls{budget: 1 << 20, zstd: sync.OnceValues(newZstd)}
	for _, bc := range []struct{ encoding, raw string }{{"gzip", zipped(body)}, {"zstd", zstandard(body)}} {
		b.Run(bc.encoding, func(b *testing.B) {
			x := all.get(len(body))
			x.raw = []byte(bc.raw)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if out, err := x.decode([]byte(bc.encoding), 1<<20); err != nil || len(out) != len(body) {
					b.Fatal(len(out), err)
				}
			}
		})
	}
}
