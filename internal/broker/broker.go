// Package broker is the embedded broker: the Kafka protocol in this process, so that the program runs whole where no Kafka is configured.
//
// It owns its address, its folder and how much disk it may take. It is kfake underneath, and no Kafka: one node, no replication, made for a
// demo and for a small installation. What talks to it uses the same clients as with Kafka and must not know the difference.
package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kfake"
)

// DefaultAddr is where the embedded broker listens unless told otherwise.
const DefaultAddr = "127.0.0.1:7192"

// Config shapes a Broker. The zero value listens on DefaultAddr and keeps everything in memory.
type Config struct {
	Addr      string // host:port to listen on; port 0 takes a free one
	Advertise string // host that clients are told to connect to; empty: the one listened on, or 127.0.0.1 where that is every address
	DataDir   string // folder for the log, made if missing; empty: in memory, gone with the process
	// A partition keeps at most RetentionBytes (default 64 MiB) and nothing older than Retention (default 7 days; a topic's own retention.ms wins). Both count in
	// whole segments, so the disk holds at most partitions × (RetentionBytes + SegmentBytes).
	RetentionBytes int64
	Retention      time.Duration
	SegmentBytes   int64         // default 4 MiB
	Sweep          time.Duration // how often retention is applied; default 30 s
	Partitions     int           // of topics created without a number; default 12

	Logger  *slog.Logger // nil: silent
	Metrics *metrics.Set // nil: a private set
}

func (c *Config) fill() {
	c.Addr = cmp.Or(c.Addr, DefaultAddr)
	c.RetentionBytes = cmp.Or(c.RetentionBytes, 64<<20)
	c.Retention = cmp.Or(c.Retention, 7*24*time.Hour)
	c.SegmentBytes = cmp.Or(c.SegmentBytes, 4<<20)
	c.Sweep = cmp.Or(c.Sweep, 30*time.Second)
	c.Partitions = cmp.Or(c.Partitions, 12)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.Metrics = cmp.Or(c.Metrics, metrics.NewSet())
}

func (c *Config) validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	_, port, err := net.SplitHostPort(c.Addr)
	fault(err != nil, "listen address %q: want host:port: %w", c.Addr, err)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
		fault(err != nil, "listen address %q: port is not a number in 0..65535", c.Addr)
	}
	fault(c.RetentionBytes < c.SegmentBytes, "retention of %d bytes is less than one segment of %d", c.RetentionBytes, c.SegmentBytes)
	fault(c.SegmentBytes < 4<<10, "segments of %d bytes: want at least 4096", c.SegmentBytes)
	fault(c.Retention < time.Second, "retention of %v: want at least a second", c.Retention)
	fault(c.Sweep < 10*time.Millisecond, "sweep every %v: want at least 10ms", c.Sweep)
	fault(c.Partitions < 1 || c.Partitions > 1000, "%d partitions: want 1..1000", c.Partitions)
	return errors.Join(faults...)
}

// Broker is one embedded broker.
type Broker struct {
	cfg   Config
	ready chan struct{}
	addr  string
}

// New checks the configuration and does nothing else.
func New(c Config) (*Broker, error) {
	c.fill()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configure embedded broker: %w", err)
	}
	return &Broker{cfg: c, ready: make(chan struct{})}, nil
}

// Ready is closed once the broker listens.
func (b *Broker) Ready() <-chan struct{} { return b.ready }

// Addr is the host:port that clients connect to. It is known once Ready is closed, and empty before.
func (b *Broker) Addr() string {
	select {
	case <-b.ready:
		return b.addr
	default:
		return ""
	}
}

// Run serves until ctx ends, then saves and closes. An address in use is an error for which errors.Is(err, syscall.EADDRINUSE). Run may be called once.
func (b *Broker) Run(ctx context.Context) error {
	ln, err := net.Listen("tcp", b.cfg.Addr)
	if err != nil {
		return fmt.Errorf("start embedded broker: %w", err)
	}
	ad := b.advertised(ln)
	taken := false
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.ClusterID("rollcall-embedded"), kfake.DefaultNumPartitions(b.cfg.Partitions), kfake.WithLogger(logger{b.cfg.Logger}),
		kfake.ListenFn(func(string, string) (net.Listener, error) {
			taken = true
			return ad, nil
		}),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":          strconv.FormatInt(b.cfg.SegmentBytes, 10),
			"log.retention.bytes":        strconv.FormatInt(b.cfg.RetentionBytes, 10),
			"log.retention.ms":           strconv.FormatInt(b.cfg.Retention.Milliseconds(), 10),
			"default.replication.factor": "1",
		}),
	}
	if b.cfg.DataDir != "" {
		if err := os.MkdirAll(b.cfg.DataDir, 0o750); err != nil {
			return errors.Join(fmt.Errorf("start embedded broker: %w", err), ln.Close())
		}
		opts = append(opts, kfake.DataDir(b.cfg.DataDir))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		if !taken {
			err = errors.Join(err, ln.Close())
		}
		return fmt.Errorf("start embedded broker: %w; if %q is damaged beyond repair, remove it: what it held is lost then", err, b.cfg.DataDir)
	}
	defer c.Close()
	b.addr = ad.Addr().String()
	b.measure()
	close(b.ready)
	b.cfg.Logger.Info("embedded broker listens", "addr", b.addr, "folder", b.cfg.DataDir)
	tick := time.NewTicker(b.cfg.Sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			c.ApplyRetention()
		}
	}
}

// measure registers the broker's own metrics.
func (b *Broker) measure() {
	if b.cfg.DataDir == "" {
		return
	}
	const name = "rollcall_broker_disk_bytes"
	b.cfg.Metrics.UnregisterMetric(name) // of a broker that ended before this one
	b.cfg.Metrics.NewGauge(name, func() float64 {
		n, err := diskBytes(b.cfg.DataDir)
		if err != nil {
			return -1
		}
		return float64(n)
	})
}

// diskBytes sums the files below dir.
func diskBytes(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil // segments come and go while we look
		}
		if err != nil {
			return err
		}
		i, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			n += i.Size()
		}
		return err
	})
	return n, err
}

// advertised wraps ln so that its address is the one that clients are told.
func (b *Broker) advertised(ln net.Listener) net.Listener {
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	if ip := net.ParseIP(host); b.cfg.Advertise != "" {
		host = b.cfg.Advertise
	} else if ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return listener{ln, address(net.JoinHostPort(host, port))}
}

type listener struct {
	net.Listener
	addr net.Addr
}

func (l listener) Addr() net.Addr { return l.addr }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// logger turns kfake's log into ours.
type logger struct{ l *slog.Logger }

// Logf implements kfake.Logger. What kfake calls info is one line a request: debug for us.
func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
		to = slog.LevelWarn
	}
	if l.l.Enabled(context.Background(), to) {
		l.l.Log(context.Background(), to, "embedded broker", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
