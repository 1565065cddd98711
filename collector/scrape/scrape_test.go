package scrape

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/zstd"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

func TestGoodPull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var seen []http.Header
		f.handler("10.0.0.1:8001", func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, r.Header.Clone())
			if r.Host != "10.0.0.1:8001" || r.URL.RequestURI() != "/stats.json?period=10" {
				t.Errorf("asked %s for %s", r.Host, r.URL)
			}
			time.Sleep(30 * time.Millisecond)
			fmt.Fprint(w, `{"counters":{"requests":7},"metrics":{"m":{"count":1}}}`)
		})
		set1 := metrics.NewSet()
		p, got, stop := f.running(t, Config{ExternalTags: map[string]string{"cloud.region": "us-east-1", "team": "nobody"}, Metrics: set1})
		j := &Job{Name: "apps", Params: map[string][]string{"period": {"10"}}, NoServerInfo: true}
		ts := targets(j, "10.0.0.1:8001")
		ts[0].Tags = discovery.TagsOf(map[string]string{"team": "payments"})
		set(t, p, ts)
		time.Sleep(25 * time.Second)
		synctest.Wait()
		all := got.take()
		if len(all) < 2 || len(all) > 3 {
			t.Fatalf("%d snapshots in 25 s", len(all))
		}
		for i, s := range all {
			if s.Outcome != collector.OK || s.Reason != "" || len(s.Samples) != 2 || s.Samples[0].Value != "7" || s.Samples[1].Kind != collector.Distribution {
				t.Errorf("snapshot %+v", s)
			}
			if s.Took != 30*time.Millisecond || s.Interval != 10*time.Second || s.Tags.Get("team") != "payments" || s.Tags.Get("cloud.region") != "us-east-1" || s.BodyBytes != 55 {
				t.Errorf("snapshot took %s, interval %s, tags %v, %d bytes", s.Took, s.Interval, s.Tags.Map(), s.BodyBytes)
			}
			if i > 0 && s.Time.Sub(all[i-1].Time) != 10*time.Second {
				t.Errorf("%s between pulls", s.Time.Sub(all[i-1].Time))
			}
		}
		if f.dialled("10.0.0.1:8001") != 1 {
			t.Errorf("%d connections", f.dialled("10.0.0.1:8001"))
		}
		if h := seen[0]; h.Get("User-Agent") != "rollcall" || h.Get("Accept-Encoding") != "zstd, gzip" || !strings.HasPrefix(h.Get("Accept"), "application/json,") || h.Get("X-Prometheus-Scrape-Timeout-Seconds") != "5" {
			t.Errorf("header %v", h)
		}
		st := p.Status()
		if len(st) != 1 || st[0].Health != "up" || st[0].URL != "http://10.0.0.1:8001/stats.json?period=10" || st[0].LastDuration != 30*time.Millisecond || st[0].Samples != 2 || !st[0].LastScrape.Equal(all[len(all)-1].Time) {
			t.Errorf("status %+v", st)
		}
		var text bytes.Buffer
		set1.WritePrometheus(&text)
		for _, want := range []string{`rollcall_scrape_pulls_total{job="apps",outcome="ok"} ` + fmt.Sprint(len(all)), `rollcall_scrape_targets{job="apps"} 1`, `rollcall_scrape_connections_total{job="apps"} 1`, `rollcall_scrape_in_flight 0`} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("metrics lack %s", want)
			}
		}
		stop()
	})
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

func zstandard(s string) string {
	var b bytes.Buffer
	w, _ := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

// wideFrame is a frame of one byte whose header asks for a window of 128 MiB.
const wideFrame = "\x28\xb5\x2f\xfd\x00\x88\x09\x00\x00x"

// Each of these targets is wrong in its own way; each has its outcome and a reason, costs no more than its timeout, and is asked again in its next slot.
func TestHostileTargets(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	text := func(s string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, s) }
	}
	hang := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for _, tc := range []struct {
		name   string
		serve  func(net.Conn)
		want   collector.Outcome
		reason string
		took   time.Duration // at most
	}{
		{"hangs", hang, collector.Timeout, "timed out while waiting for the answer", second(1)},
		{"hangs in the header", func(c net.Conn) { text(ok + "Content-Le")(c); hang(c) }, collector.Timeout, "waiting for the answer", second(1)},
		{"hangs in the body", func(c net.Conn) { text(ok + "Content-Length: 50\r\n\r\n{\"a\":1")(c); hang(c) }, collector.Timeout, "after 6 of 50 bytes", second(1)},
		{"hangs in a chunk", func(c net.Conn) { text(ok + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a")(c); hang(c) }, collector.Timeout, "timed out after 3 bytes", second(1)},
		{"drips", func(c net.Conn) {
			for _, b := range []byte(ok + "Content-Length: 9\r\n\r\n{\"a\": 1}\n") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(400 * time.Millisecond)
			}
		}, collector.Timeout, "", second(1)},
		{"drips a body", func(c net.Conn) {
			text(ok + "\r\n{\"a\":")(c)
			for {
				if _, err := c.Write([]byte("1")); err != nil {
					return
				}
				time.Sleep(400 * time.Millisecond)
			}
		}, collector.Timeout, "timed out after 8 bytes", second(1)},
		{"announces 10 GB", text(ok + "Content-Length: 10737418240\r\n\r\n{"), collector.BodyLimit, "announced as 10737418240 bytes", 0},
		{"sends without end", func(c net.Conn) {
			text(ok + "\r\n")(c)
			for {
				if _, err := c.Write(bytes.Repeat([]byte("x"), 4096)); err != nil {
					return
				}
			}
		}, collector.BodyLimit, "the body is longer than 100000 bytes", 0},
		{"sends chunks without end", func(c net.Conn) {
			text(ok + "Transfer-Encoding: chunked\r\n\r\n")(c)
			for {
				if _, err := io.WriteString(c, "fff\r\n"+strings.Repeat("x", 4095)+"\r\n"); err != nil {
					return
				}
			}
		}, collector.BodyLimit, "the body is longer than 100000 bytes", 0},
		{"announces a large chunk", text(ok + "Transfer-Encoding: chunked\r\n\r\nffffffff\r\n"), collector.BodyLimit, "longer than 100000 bytes", 0},
		{"gzip bomb", func(c net.Conn) {
			z := zipped(strings.Repeat("0", 10<<20))
			text(ok + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(z), z))(c)
		}, collector.BodyLimit, "longer than 100000 bytes when unzipped", 0},
		{"broken gzip", text(ok + "Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\nabcdef"), collector.Parse, "unzip the body of 6 bytes", 0},
		{"cut gzip", func(c net.Conn) {
			z := zipped(someStats)
			z = z[:len(z)-6]
			text(ok + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(z), z))(c)
		}, collector.Parse, "unzip the body", 0},
		{"zstd bomb", func(c net.Conn) {
			z := zstandard(strings.Repeat("0", 10<<20))
			text(ok + fmt.Sprintf("Content-Encoding: zstd\r\nContent-Length: %d\r\n\r\n%s", len(z), z))(c)
		}, collector.BodyLimit, "longer than 100000 bytes when unzipped", 0},
		{"zstd window", text(ok + fmt.Sprintf("Content-Encoding: zstd\r\nContent-Length: %d\r\n\r\n%s", len(wideFrame), wideFrame)), collector.BodyLimit, "needs a window of more than 8388608 bytes", 0},
		{"broken zstd", text(ok + "Content-Encoding: zstd\r\nContent-Length: 6\r\n\r\nabcdef"), collector.Parse, "unzip the body of 6 bytes", 0},
		{"empty zstd", text(ok + "Content-Encoding: zstd\r\nContent-Length: 0\r\n\r\n"), collector.Parse, "unzip the body of 0 bytes", 0},
		{"cut zstd", func(c net.Conn) {
			z := zstandard(someStats)
			z = z[:len(z)-6]
			text(ok + fmt.Sprintf("Content-Encoding: zstd\r\nContent-Length: %d\r\n\r\n%s", len(z), z))(c)
		}, collector.Parse, "unzip the body", 0},
		{"brotli", text(ok + "Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"), collector.Parse, `encoded as "br"`, 0},
		{"redirects to a metadata address", text("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n"), collector.Status, "169.254.169.254", 0},
		{"body shorter than its length", text(ok + "Content-Length: 100\r\n\r\n{\"a\":1}"), collector.Refused, "closed after 7 of 100 bytes of the body", 0},
		{"no last chunk", text(ok + "Transfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n"), collector.Refused, "before its last chunk", 0},
		{"chunk of no size", text(ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), collector.Parse, `begins with "xyz"`, 0},
		{"chunk longer than its size", text(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{\"a\":1}\r\n"), collector.Parse, "longer than its size", 0},
		{"endless chunk line", func(c net.Conn) {
			text(ok + "Transfer-Encoding: chunked\r\n\r\n7;")(c)
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		}, collector.Parse, "a line between the chunks", 0},
		{"endless trailer", func(c net.Conn) {
			text(ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n")(c)
			for {
				if _, err := io.WriteString(c, "X-Trailer: y\r\n"); err != nil {
					return
				}
			}
		}, collector.BodyLimit, "the trailer", 0},
		{"endless header", func(c net.Conn) {
			text(ok)(c)
			for {
				if _, err := io.WriteString(c, "X-Header: "+strings.Repeat("y", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, collector.BodyLimit, "the header of the answer is longer than 16384 bytes", 0},
		{"endless header line", func(c net.Conn) {
			text(ok + "X: ")(c)
			for {
				if _, err := io.WriteString(c, strings.Repeat("y", 1000)); err != nil {
					return
				}
			}
		}, collector.BodyLimit, "the header of the answer", 0},
		{"HTTP/0.9", text(someStats + "\n"), collector.Parse, "not HTTP/1: it starts with \"{", 0},
		{"HTTP/0.9 without a line", text("hello"), collector.Parse, "not HTTP/1: it starts with \"hello\"", 0},
		{"HTTP/0.9 and hangs", func(c net.Conn) { text("hello")(c); hang(c) }, collector.Parse, "not HTTP/1: it starts with \"hello\"", second(1)},
		{"status 000", text("HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\n{}"), collector.Parse, "not HTTP/1", 0},
		{"HTTP/2", text("HTTP/2.0 200 OK\r\n\r\n{}"), collector.Parse, "not HTTP/1", 0},
		{"closes at once", func(net.Conn) {}, collector.Refused, "waiting for the answer: the connection was closed", 0},
		{"closes in the header", text("HTTP/1.1 200 OK\r\nContent"), collector.Refused, "the connection was closed", 0},
		{"two lengths", text(ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), collector.Parse, "not HTTP/1", 0},
		{"only informs", text(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50)), collector.Status, "status 100", 0},
		{"broken", text(ok + "Content-Length: 6\r\n\r\n{\"a\":x"), collector.Parse, "byte 5", 0},
		{"empty", text(ok + "Content-Length: 0\r\n\r\n"), collector.Parse, "byte 0: the body is empty", 0},
		{"too many samples", text(ok + "\r\n{\"a\":1,\"b\":2,\"c\":3,\"d\":4}"), collector.SampleLimit, `the first too many is "d"`, 0},
		{"too deep", text(ok + "\r\n{\"a\":" + strings.Repeat("[", 90_000)), collector.SampleLimit, `objects and arrays more than 64 deep in "a"`, 0},
		{"not found", text("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n"), collector.Status, "status 404", 0},
		{"not found, with a long page", text("HTTP/1.1 503 Oops\r\nContent-Length: 900000\r\n\r\nno\n"), collector.Status, "status 503", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.raw("10.0.0.1:8001", tc.serve)
				f.stats("10.0.0.2:8001", someStats)
				p, got, stop := f.running(t, Config{})
				j := &Job{Name: "apps", Interval: 2 * time.Second, Timeout: time.Second, BodyLimit: 100_000, NoServerInfo: true}
				j.Limits.Samples = 3
				set(t, p, targets(j, "10.0.0.1:8001", "10.0.0.2:8001"))
				time.Sleep(4 * time.Second)
				synctest.Wait()
				bad, good := 0, 0
				for _, s := range got.take() {
					if s.Instance.Host == "10.0.0.2" {
						if good++; s.Outcome != collector.OK {
							t.Errorf("the good one suffers: %s %s", s.Outcome, s.Reason)
						}
						continue
					}
					bad++
					if s.Outcome != tc.want || !strings.Contains(s.Reason, tc.reason) || len(s.Samples) != 0 || s.Took > tc.took || len(s.Reason) > 210 {
						t.Errorf("%s %q in %s, want %s %q", s.Outcome, s.Reason, s.Took, tc.want, tc.reason)
					}
				}
				if bad < 1 || good != 2 {
					t.Errorf("%d bad and %d good pulls in two intervals", bad, good)
				}
				stop()
			})
		})
	}
}

// Answers that are unusual, and right.
func TestUnusualAnswers(t *testing.T) {
	z, zs := zipped(someStats), zstandard(someStats)
	for _, tc := range []struct{ name, answer string }{
		{"to the end of the connection", "HTTP/1.1 200 OK\r\n\r\n" + someStats},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nServer: old\r\n\r\n" + someStats},
		{"gzip", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(z), z)},
		{"zstd", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\nContent-Length: %d\r\n\r\n%s", len(zs), zs)},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%X;ext=\"1\"\r\n%s\r\n%x \r\n%s\r\n0\r\nTrailer: x\r\n\r\n", 10, someStats[:10], len(someStats)-10, someStats[10:])},
		{"informs first", fmt.Sprintf("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(someStats), someStats)},
		{"says more than asked", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", len(someStats), someStats)},
		{"no reason phrase", fmt.Sprintf("HTTP/1.1 200\r\ncontent-length: %d\r\n\r\n%s", len(someStats), someStats)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.raw("10.0.0.1:8001", func(c net.Conn) { _, _ = io.WriteString(c, tc.answer) })
				p, got, stop := f.running(t, Config{})
				set(t, p, targets(&Job{Name: "apps", Interval: time.Second, NoServerInfo: true}, "10.0.0.1:8001"))
				time.Sleep(3 * time.Second)
				synctest.Wait()
				all := got.take()
				for _, s := range all {
					if s.Outcome != collector.OK || len(s.Samples) != 2 || s.BodyBytes != len(someStats) {
						t.Errorf("%s %s %v", s.Outcome, s.Reason, s.Samples)
					}
				}
				if len(all) != 3 {
					t.Errorf("%d snapshots", len(all))
				}
				stop()
			})
		})
	}
}

func TestAddresses(t *testing.T) {
	allow := func(nets ...string) Allow {
		var a Allow
		for _, n := range nets {
			a.Networks = append(a.Networks, netip.MustParsePrefix(n))
		}
		return a
	}
	tls := func(change func(*Target)) func(*Target) {
		return func(t *Target) { t.Job.Scheme, t.Job.Bearer, t.Scheme = "https", "secret", "http"; change(t) }
	}
	for _, tc := range []struct {
		host   string
		names  []string // what the host resolves to
		allow  Allow
		change func(*Target)
		want   collector.Outcome
		reason string
	}{
		{"10.1.2.3", nil, Allow{}, nil, collector.OK, ""},
		{"127.0.0.1", nil, Allow{}, nil, collector.OK, ""},
		{"fd00::1", nil, Allow{}, nil, collector.OK, ""},
		{"::ffff:10.0.0.1", nil, Allow{}, nil, collector.OK, ""},
		{"app.example", []string{"10.0.0.1"}, Allow{}, nil, collector.OK, ""},
		{"app.example", []string{"8.8.8.8", "10.0.0.1"}, Allow{}, nil, collector.OK, ""},
		{"app.example", []string{"10.9.9.9", "10.0.0.1"}, Allow{}, nil, collector.OK, ""}, // the first does not answer
		{"app.example", []string{"8.8.8.8"}, Allow{}, nil, collector.Forbidden, "address 8.8.8.8 is not on the allow-list"},
		{"app.example", []string{"169.254.169.254"}, allow("0.0.0.0/0"), nil, collector.Forbidden, "link-local or serves credentials"},
		{"169.254.169.254", nil, Allow{}, nil, collector.Forbidden, "169.254.169.254"},
		{"169.254.169.254", nil, allow("169.254.169.254/32"), nil, collector.OK, ""},
		{"169.254.7.7", nil, allow("169.254.7.0/24"), nil, collector.OK, ""},
		{"::ffff:169.254.169.254", nil, allow("0.0.0.0/0"), nil, collector.Forbidden, "169.254.169.254"},
		{"fd00:ec2::254", nil, Allow{}, nil, collector.Forbidden, "fd00:ec2::254"},
		{"100.100.100.200", nil, Allow{}, nil, collector.Forbidden, "100.100.100.200"},
		{"fe80::1", nil, allow("::/0"), nil, collector.Forbidden, "fe80::1"},
		{"0.0.0.0", nil, Allow{}, nil, collector.Forbidden, "0.0.0.0"},
		{"8.8.8.8", nil, allow("8.8.8.0/24"), nil, collector.OK, ""},
		{"10.0.0.1", nil, Allow{Ports: []PortRange{{8000, 9000}}}, nil, collector.OK, ""},
		{"10.0.0.1", nil, Allow{Ports: []PortRange{{1, 79}, {9000, 9001}}}, nil, collector.Forbidden, "port 8001 is not on the allow-list"},
		{"nowhere.example", nil, Allow{}, nil, collector.DNS, "look up nowhere.example: no such host"},
		{"10.0.0.9", nil, Allow{}, nil, collector.Refused, "connection refused"},
		{"evil\r\nX: y", nil, Allow{}, nil, collector.Forbidden, "neither an address nor a name"},
		{"10.0.0.1", nil, Allow{}, func(t *Target) { t.StatsPath = "/x?namespace=me" }, collector.Forbidden, "namespace"},
		{"10.0.0.1", nil, Allow{}, func(t *Target) { t.StatsPath = "/x HTTP/1.1\r\nX: y" }, collector.Forbidden, "no path"},
		{"10.0.0.1", nil, Allow{}, func(t *Target) { t.StatsPath = "stats" }, collector.Forbidden, "must begin with /"},
		{"10.0.0.1", nil, Allow{}, func(t *Target) { t.Scheme = "gopher" }, collector.Forbidden, "gopher"},
		{"10.0.0.1", nil, Allow{}, tls(func(*Target) {}), collector.Forbidden, "asks for http where its job says https"},
		{"10.0.0.1", nil, Allow{}, tls(func(t *Target) { t.RuledScheme = true }), collector.OK, ""},
		{"10.0.0.1", nil, Allow{}, func(t *Target) { t.StatsPath, t.StatsPort = "/own?x=y z", 9990 }, collector.OK, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			serve := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, someStats) }
			for _, a := range []string{"10.1.2.3", "127.0.0.1", "fd00::1", "10.0.0.1", "169.254.169.254", "169.254.7.7", "fd00:ec2::254", "100.100.100.200", "fe80::1", "0.0.0.0", "8.8.8.8"} {
				f.handler(netip.AddrPortFrom(netip.MustParseAddr(a), 8001).String(), serve)
			}
			f.handler("10.0.0.1:9990", func(w http.ResponseWriter, r *http.Request) {
				if r.RequestURI != "/own?x=y%20z" {
					t.Errorf("asked for %s", r.RequestURI)
				}
				fmt.Fprint(w, someStats)
			})
			if tc.names != nil {
				f.names[tc.host] = tc.names
			}
			p, got, stop := f.running(t, Config{})
			one := Target{Instance: discovery.Instance{Key: discovery.Key{Service: "s", Env: "e", Host: tc.host, Port: 8001}}, Job: &Job{Name: "apps", Interval: time.Second, Allow: tc.allow, NoServerInfo: true}}
			if tc.change != nil {
				tc.change(&one)
			}
			set(t, p, []Target{one})
			time.Sleep(1100 * time.Millisecond)
			synctest.Wait()
			all := got.take()
			if len(all) == 0 || all[0].Outcome != tc.want || !strings.Contains(all[0].Reason, tc.reason) {
				t.Errorf("%q %v: %+v, want %s %q", tc.host, tc.names, all, tc.want, tc.reason)
			}
			if tc.want == collector.Forbidden && len(f.dials) > 0 {
				t.Errorf("%q: dialled %v", tc.host, f.dials)
			}
			stop()
		})
	}
}
