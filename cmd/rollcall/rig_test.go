package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/embed"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// seed makes the demo's faults the same each time. What is tested does not depend on it; the picture does.
const seed = 28

// testDemo is `rollcall demo` in this process.
type testDemo struct {
	t    *testing.T
	url  string
	from string // the URL of its collector
	end  context.CancelFunc
	done chan error
}

// startDemo runs the demo on free ports, on a broker of ours, and returns when its page is up. Nothing breaks by itself.
func startDemo(t *testing.T, broker string) *testDemo {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	cut, endCut := context.WithCancel(context.Background())
	out, stdout := io.Pipe()
	collector := net.JoinHostPort("127.0.0.1", strconv.Itoa(testenv.Port(t)))
	d := &testDemo{t: t, from: "http://" + collector, end: end, done: make(chan error, 1)}
	cmd := demoCmd{Listen: "127.0.0.1:0", Collect: collector, Storage: t.TempDir(), Kafka: []string{broker}, Seed: seed, NoFaults: true, Interval: interval}
	log := &lines{}
	go func() {
		d.done <- cmd.Run(&env{ctx: ctx, cut: cut, stdin: strings.NewReader(""), stdout: stdout, stderr: log, build: ops.ThisBuild(),
			log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		stdout.Close()
	}()
	t.Cleanup(func() {
		d.stop()
		endCut()
		if t.Failed() {
			t.Logf("the demo's log:\n%s", log)
		}
	})
	s := bufio.NewScanner(out)
	for s.Scan() {
		if _, after, ok := strings.Cut(s.Text(), "rollcall demo: "); ok {
			d.url = after
			go io.Copy(log, out)
			return d
		}
	}
	t.Fatalf("the demo ended without a page: %v\n%s", <-d.done, log)
	return nil
}

// stop ends the demo as the first Ctrl-C does, and waits.
func (d *testDemo) stop() {
	d.end()
	if err, ok := <-d.done; ok {
		close(d.done)
		if err != nil {
			d.t.Errorf("the demo ends with %v", err)
		}
	}
}

// testBroker is the embedded broker alone, to be stopped and started again where it was.
type testBroker struct {
	t    *testing.T
	addr string
	dir  string
	end  context.CancelFunc
	done chan error
}

func newTestBroker(t *testing.T) *testBroker {
	b := &testBroker{t: t, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(testenv.Port(t))), dir: t.TempDir()}
	t.Cleanup(b.stop)
	return b
}

func (b *testBroker) start() {
	b.t.Helper()
	s, err := embed.New(embed.Config{Kafka: true, Storage: b.dir, KafkaAddr: b.addr, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	b.end, b.done = end, make(chan error, 1)
	go func() { b.done <- s.Run(ctx) }()
	if err := s.Wait(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *testBroker) stop() {
	if b.end == nil {
		return
	}
	b.end()
	b.end = nil
	if err := <-b.done; err != nil {
		b.t.Errorf("the broker ends with %v", err)
	}
}

// lines is a log that tests read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// waits measures for how long the machine did not let this process run.
type waits struct {
	mu  sync.Mutex
	sum time.Duration
}

// meter measures until the test ends.
func meter(t *testing.T) *waits {
	const every = 20 * time.Millisecond
	w := &waits{}
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-t.Context().Done():
				return
			case <-tick.C:
			}
			now := time.Now()
			if late := now.Sub(last) - 2*every; late > 0 {
				w.mu.Lock()
				w.sum += late
				w.mu.Unlock()
			}
			last = now
		}
	})
	t.Cleanup(done.Wait)
	return w
}

func (w *waits) kept() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sum
}

func readAll(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// keep copies a picture to where the README shows it. What everybody downloads stays small.
func (p *tab) keep(name string) {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("%s/%s.png", pictures, name))
	if err == nil && len(b) > 250<<10 {
		err = fmt.Errorf("%s is of %d bytes", name, len(b))
	}
	if err == nil {
		err = os.WriteFile(pictureFile, b, 0o644)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// shown are the pictures that the documentation has, by the names of its pages.
var shown = map[string]string{"now-finding": "now", "now-calm": "calm", "services": "services", "service": "service", "explore-beside": "explore", "canaries": "canaries", "roster": "roster", "host": "host", "finding": "finding"}

// show puts a picture of a page where the documentation has it, small.
func (p *tab) show(name, as string) {
	p.t.Helper()
	page, ok := shown[name]
	if picturesFolder == "" || !ok {
		return
	}
	in, err := os.Open(fmt.Sprintf("%s/%s-%s.png", pictures, name, as))
	if err != nil {
		p.t.Error(err)
		return
	}
	defer in.Close()
	img, err := png.Decode(in)
	var out bytes.Buffer
	if err == nil {
		err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, paletted(img))
	}
	if err == nil && out.Len() > maxPicture {
		err = fmt.Errorf("the picture of %s is of %d bytes, at most %d", page, out.Len(), maxPicture)
	}
	if err == nil {
		err = os.MkdirAll(picturesFolder, 0o755)
	}
	if err == nil {
		err = os.WriteFile(fmt.Sprintf("%s/%s-%s.png", picturesFolder, page, as), out.Bytes(), 0o644)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// maxPicture is how large one picture may be: everybody downloads them.
const maxPicture = 150 << 10

// paletted is a picture in its own 256 most frequent colours, each other one as the nearest of them: shades of letters' edges, of which nobody misses any.
func paletted(img image.Image) image.Image {
	b := img.Bounds()
	n := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(img.At(x, y)).(color.RGBA) }
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			n[at(x, y)]++
		}
	}
	all := slices.SortedFunc(maps.Keys(n), func(x, y color.RGBA) int {
		return cmp.Or(n[y]-n[x], int(x.R)-int(y.R), int(x.G)-int(y.G), int(x.B)-int(y.B))
	})
	var colours color.Palette
	for _, c := range all[:min(256, len(all))] {
		colours = append(colours, c)
	}
	out := image.NewPaletted(b, colours)
	index := map[color.RGBA]uint8{}
	for _, c := range all {
		index[c] = uint8(colours.Index(c))
	}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			out.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	return out
}
