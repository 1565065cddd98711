// Package fleet is a fleet to load-test with: many listeners that serve Ostrich's /stats.json with as many numbers as one likes, in as many shapes. It makes no
// sense of its numbers; the demo's fleet is the one that lives.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Config is the size of the fleet.
type Config struct {
	Instances int // listeners, on 127.0.0.1
	Numbers   int // in each body
	Shapes    int // different sets of names
	Services  int // the instances are divided among load-0, load-1, …
	Env       string
	FirstPort int // 0: any free ports
}

func (c *Config) validate() error {
	var errs []error
	bound := func(name string, v *int, def, lo, hi int) {
		if *v == 0 {
			*v = def
		}
		if *v < lo || *v > hi {
			errs = append(errs, fmt.Errorf("%s %d is not within %d..%d", name, *v, lo, hi))
		}
	}
	bound("instances", &c.Instances, 100, 1, 50_000)
	bound("numbers", &c.Numbers, 200, 1, 100_000)
	bound("shapes", &c.Shapes, 200, 1, 10_000)
	bound("services", &c.Services, 10, 1, 10_000)
	if c.Env == "" {
		c.Env = "load"
	}
	if c.FirstPort != 0 && c.FirstPort+c.Instances > 65536 {
		errs = append(errs, fmt.Errorf("%d instances from port %d on go past 65535", c.Instances, c.FirstPort))
	}
	return errors.Join(errs...)
}

// Instance is one listener.
type Instance struct {
	Service string
	Addr    string
}

// Fleet serves.
type Fleet struct {
	conf      Config
	names     [][]string // by shape
	listeners []net.Listener
	instances []Instance
	requests  atomic.Int64
	start     time.Time
}

// New checks the size.
func New(c Config) (*Fleet, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	f := &Fleet{conf: c, start: time.Now()}
	words := strings.Fields("http rpc cache db queue pool thrift jvm gc heap latency bytes hits misses retries errors timeouts connections requests responses sessions tokens rows pages")
	for s := range c.Shapes {
		rng := rand.New(rand.NewPCG(uint64(s), 7))
		names := make([]string, c.Numbers)
		for i := range names {
			names[i] = words[rng.IntN(len(words))] + "/" + words[rng.IntN(len(words))] + "_" + strconv.Itoa(i)
		}
		f.names = append(f.names, names)
	}
	return f, nil
}

// Requests is how many bodies have been served.
func (f *Fleet) Requests() int64 { return f.requests.Load() }

// Listen opens the listeners and says where they are. Each costs a file, and each connection to it another.
func (f *Fleet) Listen() ([]Instance, error) {
	for i := range f.conf.Instances {
		port := 0
		if f.conf.FirstPort > 0 {
			port = f.conf.FirstPort + i
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			for _, open := range f.listeners {
				open.Close()
			}
			return nil, fmt.Errorf("fleet: open listener %d of %d: %w; raise the limit of open files (ulimit -n), or ask for fewer", i+1, f.conf.Instances, err)
		}
		f.listeners = append(f.listeners, l)
		f.instances = append(f.instances, Instance{fmt.Sprintf("load-%d", i%f.conf.Services), l.Addr().String()})
	}
	return f.instances, nil
}

// Run serves until ctx ends. Call it after Listen.
func (f *Fleet) Run(ctx context.Context) error {
	srv := &fasthttp.Server{Handler: f.serve, NoDefaultServerHeader: true, ReadBufferSize: 2048, WriteBufferSize: 2048, MaxRequestBodySize: 1, Logger: quiet{}}
	var wg sync.WaitGroup
	for _, l := range f.listeners {
		wg.Go(func() { srv.Serve(l) })
	}
	<-ctx.Done()
	err := srv.Shutdown()
	for _, l := range f.listeners {
		l.Close() // Shutdown knows those on which serving had begun
	}
	wg.Wait()
	return err
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func (f *Fleet) serve(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) != "/stats.json" {
		ctx.Error("only /stats.json here\n", fasthttp.StatusNotFound)
		return
	}
	f.requests.Add(1)
	port := ctx.LocalAddr().(*net.TCPAddr).Port
	ctx.SetContentType("application/json")
	ctx.Response.SetBodyRaw(f.body(ctx.Response.Body()[:0], port, time.Since(f.start)))
}

// body is what the instance on a port says at an age: two thirds counters that grow at a pace of their own, one third gauges.
func (f *Fleet) body(b []byte, port int, age time.Duration) []byte {
	names := f.names[port%len(f.names)]
	ticks := uint64(age / (100 * time.Millisecond))
	cut := len(names) * 2 / 3
	section := func(open string, names []string, value func(i int) uint64) {
		b = append(b, open...)
		for i, n := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, '"')
			b = append(b, n...)
			b = append(b, '"', ':')
			b = strconv.AppendUint(b, value(i), 10)
		}
	}
	section(`{"counters":{`, names[:cut], func(i int) uint64 { return 1000 + ticks*uint64(1+(i*port)%97) })
	section(`},"gauges":{`, names[cut:], func(i int) uint64 { return uint64(50 + (int(ticks)+i*13+port)%400) })
	return append(b, "}}"...)
}

// WriteFileSD writes the instances as Prometheus' file_sd, one group a service.
func (f *Fleet) WriteFileSD(file string) error {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := map[string]*group{}
	var list []*group
	for _, i := range f.instances {
		g := groups[i.Service]
		if g == nil {
			g = &group{Labels: map[string]string{"service": i.Service, "env": f.conf.Env}}
			groups[i.Service] = g
			list = append(list, g)
		}
		g.Targets = append(g.Targets, i.Addr)
	}
	b, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return fmt.Errorf("write targets: %w", err)
	}
	return replace(file, b)
}

// WriteServersets writes one KingPin file a service into dir: discovery.<service>.<env>.
func (f *Fleet) WriteServersets(dir string) error {
	lines := map[string][]string{}
	for _, i := range f.instances {
		lines[i.Service] = append(lines[i.Service], i.Addr)
	}
	for s, l := range lines {
		if err := replace(filepath.Join(dir, "discovery."+s+"."+f.conf.Env), []byte(strings.Join(l, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file as a whole: readers see the old one or the new one.
func replace(file string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".fleet-*")
	if err != nil {
		return fmt.Errorf("write %q: %w", file, err)
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("write %q: %w", file, err)
	}
	return nil
}
