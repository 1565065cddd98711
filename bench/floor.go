package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// agentCounts is what something that scrapes says of itself.
type agentCounts struct {
	OK, Failed, Skipped uint64
	Mallocs             uint64
	Acknowledged        uint64 // records, where it makes some
	LastError           string
	Packed, Unpacked    uint64 // bytes of batches, of rollcall
}

// agent is a way to scrape that is measured beside rollcall.
type agent struct {
	ok, failed, skipped, acked atomic.Uint64
	last                       atomic.Pointer[string]
}

// scraped is one of the list of targets.
type scraped struct {
	Service string
	Addr    string
}

// runAgent is the process of a floor, or of the plain collector. It prints "ready", scrapes all targets once an interval, spread over it, and tells its counts when
// it is asked for them. What it has in hand when stdin ends is finished first.
func runAgent(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	of := fs.String("of", "", "nethttp, bare or plain")
	list := fs.String("targets", "", "file_sd list")
	interval := fs.Duration("interval", time.Second, "between two scrapes of a target")
	broker := fs.String("broker", "", "HOST:PORT, of the plain collector")
	if err := fs.Parse(args); err != nil {
		return err
	}
	targets, err := readTargets(*list)
	if err != nil {
		return err
	}
	a := &agent{}
	var one func(t scraped) (func(context.Context) error, error)
	finish := func() error { return nil }
	switch *of {
	case "nethttp":
		one = discardNetHTTP(*interval)
	case "bare":
		one = discardBare(*interval)
	case "plain":
		if one, finish, err = plain(ctx, a, *broker, *interval); err != nil {
			return err
		}
	default:
		return fmt.Errorf("agent %q: nethttp, bare or plain", *of)
	}
	out := json.NewEncoder(stdout)
	if err := out.Encode("ready"); err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	begin := time.Now()
	for i, t := range targets {
		scrape, err := one(t)
		if err != nil {
			return err
		}
		offset := time.Duration(int64(*interval) / int64(len(targets)) * int64(i))
		all.Go(func() { a.scrapeOn(run, begin.Add(offset), *interval, scrape) })
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if err := out.Encode(agentCounts{OK: a.ok.Load(), Failed: a.failed.Load(), Skipped: a.skipped.Load(), Mallocs: m.Mallocs, Acknowledged: a.acked.Load(), LastError: *cmp.Or(a.last.Load(), new(string))}); err != nil {
			return err
		}
	}
	stop()
	all.Wait()
	return errors.Join(lines.Err(), finish())
}

// scrapeOn scrapes one target at first and then once an interval. A slot that comes while the scrape before is under way is skipped.
func (a *agent) scrapeOn(ctx context.Context, first time.Time, interval time.Duration, scrape func(context.Context) error) {
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	for next := first; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := scrape(context.WithoutCancel(ctx)); err != nil {
			a.failed.Add(1)
			text := err.Error()
			a.last.Store(&text)
		} else {
			a.ok.Add(1)
		}
		now := time.Now()
		for next = next.Add(interval); next.Before(now); next = next.Add(interval) {
			a.skipped.Add(1)
		}
		timer.Reset(next.Sub(now))
	}
}

func readTargets(file string) ([]scraped, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read targets: %w", err)
	}
	var groups []targetGroup
	if err := json.Unmarshal(b, &groups); err != nil {
		return nil, fmt.Errorf("read targets: %w", err)
	}
	var out []scraped
	for _, g := range groups {
		for _, t := range g.Targets {
			out = append(out, scraped{g.Labels["service"], t})
		}
	}
	return out, nil
}

// httpClient keeps one connection a target.
func httpClient(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}}
}

// discardNetHTTP reads by net/http and throws away: the floor for a collector that is built on it.
func discardNetHTTP(timeout time.Duration) func(scraped) (func(context.Context) error, error) {
	client := httpClient(timeout)
	return func(t scraped) (func(context.Context) error, error) {
		req, err := http.NewRequest(http.MethodGet, "http://"+t.Addr+"/stats.json", nil)
		return func(context.Context) error {
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			if _, err = io.Copy(io.Discard, resp.Body); err == nil && resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
			return errors.Join(err, resp.Body.Close())
		}, err
	}
}

// discardBare writes a request that it has made before, reads into a buffer that it has only while there is something to read, and looks at nothing but the length:
// what a connection of the standard library costs with a goroutine, a timer and a deadline a target. It is no floor for all that could be written in Go, and net/http,
// which costs about as much, may be below it.
func discardBare(timeout time.Duration) func(scraped) (func(context.Context) error, error) {
	buffers := sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}
	return func(t scraped) (func(context.Context) error, error) {
		request := []byte("GET /stats.json HTTP/1.1\r\nHost: " + t.Addr + "\r\n\r\n")
		var conn net.Conn
		var raw syscall.RawConn
		var got, want int // bytes of the answer; 0: not known yet
		var failed error
		some := func(fd uintptr) (done bool) {
			buf := buffers.Get().(*[]byte)
			defer buffers.Put(buf)
			n, err := syscall.Read(int(fd), *buf)
			switch {
			case err == syscall.EAGAIN:
				return false
			case err != nil:
				failed = err
			case n == 0:
				failed = io.ErrUnexpectedEOF
			default:
				if got += n; want == 0 {
					want, failed = wholeLength((*buf)[:n])
				}
			}
			return true
		}
		return func(context.Context) (err error) {
			if conn == nil {
				if conn, err = net.DialTimeout("tcp", t.Addr, timeout); err != nil {
					return err
				}
				if raw, err = conn.(*net.TCPConn).SyscallConn(); err != nil {
					return err
				}
			}
			defer func() {
				if err != nil {
					conn.Close()
					conn = nil
				}
			}()
			if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
				return err
			}
			if _, err := conn.Write(request); err != nil {
				return err
			}
			for got, want, failed = 0, 0, nil; want == 0 || got < want; {
				if err := cmp.Or(raw.Read(some), failed); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
}

// wholeLength is how long an answer is, by its head, which is whole in what was read first: the fleet sends it in one piece.
func wholeLength(b []byte) (int, error) {
	end := bytes.Index(b, endOfRequest)
	if end < 0 {
		return 0, errors.New("a head that is not whole")
	}
	_, rest, _ := bytes.Cut(b[:end], []byte("Content-Length: "))
	length, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(length))
	return end + len(endOfRequest) + n, err
}
