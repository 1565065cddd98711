package web

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
)

// inMemory is a server whose connections have no buffers: what a page does not read, it has not been sent. Time is the bubble's.
type inMemory struct {
	conns chan net.Conn
	board *dashboards.Board
	log   *bytes.Buffer
	set   *metrics.Set
}

func (l *inMemory) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l *inMemory) Close() error   { return nil }
func (l *inMemory) Addr() net.Addr { return &net.TCPAddr{} }

// serveInMemory serves the demo's fleet, a tick each second, until the test ends it. Scrapes come so late that points of the charts that were there already change again.
func serveInMemory(t *testing.T, late time.Duration) (l *inMemory, end func()) {
	board, err := dashboards.NewBoard(dashboards.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l = &inMemory{conns: make(chan net.Conn), board: board, log: &bytes.Buffer{}, set: metrics.NewSet()}
	s, err := New(Config{Board: board, Metrics: l.set, Log: slog.New(slog.NewTextHandler(l.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	f := sim.Demo(3, time.Now(), time.Second)
	f.Register(board)
	board.SetFeed(dashboards.Feed{State: dashboards.FeedLive, Since: time.Now().UnixMilli()})
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for was := time.Now(); ctx.Err() == nil; {
			time.Sleep(time.Second)
			now := time.Now()
			f.Scrape(board, was.Add(-late), now.Add(-late))
			was = now
			board.Tick(now)
		}
	})
	srv := &http.Server{Handler: s.Handler(), BaseContext: func(net.Listener) context.Context { return ctx }}
	all.Go(func() { _ = srv.Serve(l) })
	return l, func() {
		cancel()
		close(l.conns)
		_ = srv.Close()
		all.Wait()
	}
}

// slowly reads so many bytes a second; 0: all that there are.
type slowly struct {
	net.Conn
	perSecond int
}

func (s *slowly) Read(b []byte) (int, error) {
	if s.perSecond > 0 {
		const pieces = 10
		time.Sleep(time.Second / pieces)
		b = b[:min(len(b), max(1, s.perSecond/pieces))]
	}
	return s.Conn.Read(b)
}

// reader is a page that merges what it reads, as the browser's does.
type reader struct {
	conn     *slowly
	stream   string
	events   int
	asOf     int64
	lateness time.Duration // of the last event, when all of it had come
	rows     map[string]map[string]any
	numbers  []string
	findings json.RawMessage
	strip    json.RawMessage
}

func (l *inMemory) open(t *testing.T, path string, perSecond int) (*reader, *bufio.Reader) {
	ours, theirs := net.Pipe()
	l.conns <- ours
	r := &reader{conn: &slowly{theirs, perSecond}, rows: map[string]map[string]any{}}
	fmt.Fprintf(theirs, "GET %s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", path)
	res, err := http.ReadResponse(bufio.NewReaderSize(r.conn, 256), nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	z, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, bufio.NewReaderSize(z, 1<<20)
}

// follow takes in events until the connection ends or enough says so.
func (r *reader) follow(t *testing.T, in *bufio.Reader, enough func() bool) error {
	for !enough() {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var e struct {
			Full     bool
			Stream   string
			AsOf     int64 `json:"as_of"`
			Services []map[string]any
			Figures  []any
			Gone     []string
			Strip    json.RawMessage
			Findings json.RawMessage
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Error(err)
		}
		for _, row := range e.Services {
			key := fmt.Sprint(row["service"], "/", row["env"])
			was := r.rows[key]
			if was == nil {
				r.numbers = append(r.numbers, key)
			}
			if tip, ok := row["tip"].(map[string]any); ok {
				delete(row, "tip")
				row["spark"] = tipped(t, was["spark"].(map[string]any), tip)
			} else if row["spark"] == nil && was != nil {
				row["spark"] = was["spark"]
			}
			r.rows[key] = row
		}
		for i := 0; i < len(e.Figures); i += 7 {
			f := e.Figures[i : i+7]
			row := maps.Clone(r.rows[r.numbers[int(f[0].(float64))]])
			row["rate"], row["errors"], row["error_ratio"] = f[1], f[2], f[3]
			if l, ok := row["latency"].(map[string]any); ok {
				row["latency"] = map[string]any{"name": l["name"], "lo": f[4], "hi": f[5], "est": f[6]}
			}
			r.rows[r.numbers[int(f[0].(float64))]] = row
		}
		for _, g := range e.Gone {
			delete(r.rows, g)
		}
		if e.Strip == nil {
			continue // more of it is to come
		}
		if e.Findings != nil {
			r.findings = e.Findings
		}
		r.stream += e.Stream
		r.events, r.asOf, r.strip, r.lateness = r.events+1, e.AsOf, e.Strip, time.Since(time.UnixMilli(e.AsOf))
	}
	return nil
}

func tipped(t *testing.T, was, tip map[string]any) map[string]any {
	by := int(tip["t0"].(float64)-was["t0"].(float64)) / int(was["step"].(float64))
	if by != 0 && by != 1 {
		t.Errorf("the end of a spark, %d steps on", by)
	}
	out := maps.Clone(tip)
	for _, line := range []string{"rate", "error_ratio", "latency", "answering"} {
		old, end := was[line].([]any), tip[line].([]any)
		out[line] = slices.Concat(old[by:len(old)-len(end)+by], end)
	}
	return out
}

// text is all that is known, with figures as exact as any event has them.
func (r *reader) text() string {
	rows := map[string]string{}
	for key, row := range r.rows {
		rows[key] = fmt.Sprint(rounded(row))
	}
	return fmt.Sprintf("%s %s %v", r.strip, r.findings, rows)
}

func rounded(v any) any {
	switch v := v.(type) {
	case float64:
		return fmt.Sprintf("%.*g", figureDigits, v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = rounded(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k := range v {
			switch line, ok := v[k].([]any); {
			case k == "age_ms": // a row is not sent again for that alone
			case ok && v["step"] != nil: // the last point of a spark is the row's figures
				out[k] = rounded(line[:len(line)-1])
			default:
				out[k] = rounded(v[k])
			}
		}
		return out
	}
	return v
}

// A connection that carries less than there is to say: its page asks for less, gets it at once over the same stream, and knows in the end what all others know.
func TestSlowConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, end := serveInMemory(t, 2*time.Second)
		defer end()
		time.Sleep(30 * time.Second)
		fast, fastIn := l.open(t, "/api/v1/stream?parts=1", 0)
		slow, slowIn := l.open(t, "/api/v1/stream?parts=1", 150)
		begun := time.Now()
		var until time.Time
		over := func() bool { return time.Now().After(until) }
		both := func(d time.Duration) (fastEvents, slowEvents int) {
			until = time.Now().Add(d)
			n, m := fast.events, slow.events
			var all sync.WaitGroup
			all.Go(func() { _ = fast.follow(t, fastIn, over) })
			all.Go(func() { _ = slow.follow(t, slowIn, over) })
			all.Wait()
			return fast.events - n, slow.events - m
		}
		a, b := both(100 * time.Second)
		if a < 99 || b > 80 || slow.lateness < 500*time.Millisecond {
			t.Fatalf("%d events and %d, the last after %s: the connection is not slow", a, b, slow.lateness)
		}
		repace := func(every string, want int) {
			t.Helper()
			ours, theirs := net.Pipe()
			defer theirs.Close()
			l.conns <- ours
			fmt.Fprintf(theirs, "POST /api/v1/stream/%s?every=%s HTTP/1.1\r\nHost: a\r\n\r\n", slow.stream, every)
			if res, err := http.ReadResponse(bufio.NewReader(theirs), nil); err != nil || res.StatusCode != want {
				t.Errorf("every=%s: %v, %v", every, res, err)
			}
		}
		repace("x", 400)
		repace("10000", 200)
		both(time.Minute) // what waits goes first
		if a, b = both(100 * time.Second); a < 99 || b < 9 || b > 12 || slow.lateness > 9*time.Second {
			t.Errorf("%d events and %d of one that wants them every ten seconds, the last after %s", a, b, slow.lateness)
		}
		repace("0", 200)
		slow.conn.perSecond = 0
		both(3 * time.Second)
		if a, b = both(20 * time.Second); b < 19 {
			t.Errorf("%d events and %d of one that is as fast as the other", a, b)
		}
		if fast.asOf != slow.asOf || len(slow.rows) != 8 || fast.text() != slow.text() {
			t.Errorf("after %s they know different things:\n%s\n%s", time.Since(begun), fast.text(), slow.text())
		}
		slow.stream = "x"
		repace("0", 404)
		fast.conn.Close()
		slow.conn.Close()
	})
}

// Who reads nothing is let go, with a word in the log; who reads a kilobyte a second is not, however long an event takes.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, end := serveInMemory(t, 2*time.Second)
		defer end()
		time.Sleep(30 * time.Second)
		stuck, _ := l.open(t, "/api/v1/stream", 0)
		slow, slowIn := l.open(t, "/api/v1/stream", 1100)
		until := time.Now().Add(3 * time.Minute)
		if err := slow.follow(t, slowIn, func() bool { return time.Now().After(until) }); err != nil || slow.events < 5 {
			t.Errorf("%d events, %v", slow.events, err)
		}
		said := l.log.String()
		if n := l.set.GetOrCreateCounter("rollcall_web_streams_cut_total").Get(); n != 1 || strings.Count(said, "reads nothing") != 1 || !strings.Contains(said, "waited=15s") {
			t.Errorf("%d are cut: %s", n, said)
		}
		rest, err := io.ReadAll(stuck.conn)
		if err != nil || len(rest) > 2*pieceSize {
			t.Errorf("%d bytes and %v of a stream that was ended", len(rest), err)
		}
		slow.conn.Close()
	})
}

// A browser has six connections for all its windows: those beyond four are told now and then, by answers that end, and what else a page asks finds a connection.
func TestManyWindows(t *testing.T) {
	r := newRig(t, nil)
	const path = "/api/v1/stream?browser=b"
	var open []*watcher
	for range perBrowser {
		w := r.watch(t, path)
		w.next()
		open = append(open, w)
	}
	for _, c := range []struct {
		query   string
		crowded bool
	}{{"browser=b", true}, {"browser=b&parts=1", true}, {"browser=c", false}, {"", false}} {
		for _, zip := range []string{"identity", "gzip"} {
			w := r.watch(t, "/api/v1/stream?"+c.query, "Accept-Encoding", zip)
			e := w.next()
			if !e.Full || len(e.Services) != 8 || e.Again > 0 != c.crowded || e.Stream != "" == c.crowded {
				t.Errorf("%q: %+v", c.query, e)
			}
			if c.crowded {
				if rest, err := io.ReadAll(w.in); err != nil || !strings.HasPrefix(string(rest), "id: ") {
					t.Errorf("%q ends with %q, %v", c.query, rest, err)
				}
			}
			w.body.Close()
		}
	}
	open[0].body.Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		w := r.watch(t, path)
		e := w.next()
		w.body.Close()
		if e.Again == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the place was never given back")
		}
	}
}
