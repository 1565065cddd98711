package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ZooKeeperOption changes how a server is started.
type ZooKeeperOption func(*zkOptions)

type zkOptions struct {
	settings map[string]string // lines of zoo.cfg
	props    map[string]string // -D
	admin    bool
	metrics  bool
	observer bool // of an ensemble
}

// Setting sets a line of zoo.cfg; zkserve knows tickTime, minSessionTimeout, maxSessionTimeout and maxClientCnxns of them.
func Setting(key, value string) ZooKeeperOption {
	return func(o *zkOptions) { o.settings[key] = value }
}

// Property sets a Java system property, without the -D; zkserve knows jute.maxbuffer.
func Property(key, value string) ZooKeeperOption {
	return func(o *zkOptions) { o.props[key] = value }
}

// TickTime sets the tick: session timeouts lie between 2 and 20 of it. It is 500 ms unless given.
func TickTime(d time.Duration) ZooKeeperOption {
	return Setting("tickTime", strconv.FormatInt(d.Milliseconds(), 10))
}

// ReadOnlyMode lets a server of an ensemble that lost its quorum serve stale reads: it sets readonlymode.enabled and local
// sessions, as both are needed.
func ReadOnlyMode() ZooKeeperOption {
	return func(o *zkOptions) {
		o.props["readonlymode.enabled"] = "true"
		LocalSessions()(o)
	}
}

// LocalSessions has the servers of an ensemble keep sessions to themselves until one makes an ephemeral.
func LocalSessions() ZooKeeperOption {
	return func(o *zkOptions) {
		o.settings["localSessionsEnabled"] = "true"
		o.settings["localSessionsUpgradingEnabled"] = "true"
	}
}

// ForObservers gives options to the observers of an ensemble alone.
func ForObservers(opts ...ZooKeeperOption) ZooKeeperOption {
	return func(o *zkOptions) {
		for _, opt := range opts {
			if o.observer {
				opt(o)
			}
		}
	}
}

// Configuration takes the settings of a zoo.cfg, as an operator would write it, and the system properties of a line SERVER_JVMFLAGS="-Dname=value …" in it.
// Comments, and what a test decides (the tick, folders, addresses, ports and the servers of the ensemble), are left out.
func Configuration(text string) ZooKeeperOption {
	return func(o *zkOptions) {
		for line := range strings.Lines(text) {
			name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			switch {
			case !ok || strings.HasPrefix(name, "#") || strings.HasPrefix(name, "server."):
			case name == "SERVER_JVMFLAGS":
				for flag := range strings.FieldsSeq(strings.Trim(value, `"`)) {
					if name, value, ok := strings.Cut(strings.TrimPrefix(flag, "-D"), "="); ok {
						o.props[name] = value
					}
				}
			case name == "tickTime" || name == "dataDir" || name == "dataLogDir" || name == "clientPort" || name == "clientPortAddress" || strings.HasPrefix(name, "admin."):
			default:
				o.settings[name] = value
			}
		}
	}
}

// AdminServer starts ZooKeeper's own HTTP server; AdminURL is its address.
func AdminServer() ZooKeeperOption { return func(o *zkOptions) { o.admin = true } }

// PrometheusMetrics has ZooKeeper's metrics served for Prometheus; MetricsURL is where.
func PrometheusMetrics() ZooKeeperOption { return func(o *zkOptions) { o.metrics = true } }

// ZooKeeperServer is one server under test.
type ZooKeeperServer struct {
	Kind       string // zookeeper-3.9.4, or zkserve: the one in process
	Addr       string // host:port for clients
	AdminURL   string // http://host:port of the AdminServer option, without a path; /commands/monitor is its JSON
	MetricsURL string // http://host:port/metrics of the PrometheusMetrics option
	Dir        string // its data; snapshots and transaction logs

	t     testing.TB
	name  string
	start func() (server, error)
	p     server
}

// KindInProcess names the ZooKeeper-protocol server in process, internal/zkserve.
const KindInProcess = "zkserve"

// ZooKeepers runs a test against every kind of server, as a subtest of the kind's name with a server of its own: the one in
// process, and the real one where it can be had (with CI=true it must).
func ZooKeepers(t *testing.T, run func(t *testing.T, s *ZooKeeperServer), opts ...ZooKeeperOption) {
	t.Run(KindInProcess, func(t *testing.T) { run(t, ZooKeeperInProcess(t, opts...)) })
	if _, ok := Classpath(t, ZooKeeperJars); ok {
		t.Run(ZooKeeperJars.Name, func(t *testing.T) { run(t, ZooKeeper(t, opts...)) })
	}
}

// ZooKeeper starts a real ZooKeeper that ends with the test. Where none can be had, the in-process server stands in.
func ZooKeeper(t testing.TB, opts ...ZooKeeperOption) *ZooKeeperServer {
	t.Helper()
	cp, _ := Classpath(t, ZooKeeperJars)
	return ownZooKeeper(t, cp, opts)
}

// ZooKeeperInProcess starts an internal/zkserve that ends with the test. Kill and Start keep its persistent znodes; unlike a real
// one it forgets sessions and ephemerals with them. It has no admin server.
func ZooKeeperInProcess(t testing.TB, opts ...ZooKeeperOption) *ZooKeeperServer {
	t.Helper()
	return ownZooKeeper(t, "", opts)
}

func ownZooKeeper(t testing.TB, cp string, opts []ZooKeeperOption) *ZooKeeperServer {
	t.Helper()
	s, err := newZooKeeper(cp, t.TempDir(), func() (int, error) { return Port(t), nil }, nil, opts)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	s.t = t
	t.Cleanup(func() { endWith(t, s.name, s.p) })
	s.Start()
	return s
}

// newZooKeeper prepares one server, in process where cp is empty; extra are further lines of zoo.cfg.
func newZooKeeper(cp, dir string, port func() (int, error), extra map[string]string, opts []ZooKeeperOption) (*ZooKeeperServer, error) {
	client, err := port()
	if err != nil {
		return nil, err
	}
	o := zkOptions{
		settings: map[string]string{
			"tickTime": "500", "initLimit": "20", "syncLimit": "10", "dataDir": dir, "clientPort": strconv.Itoa(client), "clientPortAddress": "127.0.0.1",
			"admin.enableServer": "false", "4lw.commands.whitelist": "*", "maxClientCnxns": "0",
		},
		// The log is 64 MB from its first byte unless told otherwise, and SIGKILL does not lose what is in the page cache.
		props: map[string]string{"zookeeper.preAllocSize": "64", "zookeeper.forceSync": "no", "org.slf4j.simpleLogger.defaultLogLevel": "warn"},
	}
	maps.Copy(o.settings, extra)
	o.observer = extra["peerType"] == "observer"
	for _, opt := range opts {
		opt(&o)
	}
	s := &ZooKeeperServer{Kind: ZooKeeperJars.Name, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(client)), Dir: dir}
	if cp == "" {
		s.Kind = KindInProcess
		cfg := zkserveConfig(s.Addr, dir, o)
		s.start = func() (server, error) { return startInProcess(cfg) }
	} else {
		if o.admin {
			admin, err := port()
			if err != nil {
				return nil, err
			}
			o.settings["admin.enableServer"], o.settings["admin.serverAddress"], o.settings["admin.serverPort"] = "true", "127.0.0.1", strconv.Itoa(admin)
			s.AdminURL = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(admin))
		}
		if o.metrics {
			at, err := port()
			if err != nil {
				return nil, err
			}
			o.settings["metricsProvider.className"] = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
			o.settings["metricsProvider.httpHost"], o.settings["metricsProvider.httpPort"] = "127.0.0.1", strconv.Itoa(at)
			s.MetricsURL = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(at)) + "/metrics"
		}
		argv, err := zooArgs(cp, dir, o)
		if err != nil {
			return nil, err
		}
		s.start = func() (server, error) { return start(filepath.Join(dir, "log"), argv...) }
	}
	s.name = s.Kind + " on " + s.Addr
	return s, nil
}

// zooArgs writes zoo.cfg and gives the command line that reads it.
func zooArgs(cp, dir string, o zkOptions) ([]string, error) {
	var cfg strings.Builder
	for _, k := range slices.Sorted(maps.Keys(o.settings)) {
		fmt.Fprintf(&cfg, "%s=%s\n", k, o.settings[k])
	}
	file := filepath.Join(dir, "zoo.cfg")
	if err := writeFile(file, cfg.String()); err != nil {
		return nil, err
	}
	argv := []string{"java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"}
	for _, k := range slices.Sorted(maps.Keys(o.props)) {
		argv = append(argv, "-D"+k+"="+o.props[k])
	}
	return append(argv, "-cp", cp, "org.apache.zookeeper.server.quorum.QuorumPeerMain", file), nil
}

// Start starts a server that was killed, on the same port and data, and waits until it serves.
func (s *ZooKeeperServer) Start() {
	s.t.Helper()
	if err := s.begin(); err != nil {
		s.t.Fatalf("testenv: %v", err)
	}
	if err := s.wait(); err != nil {
		s.t.Fatalf("testenv: %v", err)
	}
}

func (s *ZooKeeperServer) begin() error {
	if s.running() {
		return fmt.Errorf("start %s: it runs", s.name)
	}
	p, err := s.start()
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	s.p = p
	return nil
}

func (s *ZooKeeperServer) running() bool { return s.p != nil && s.p.running() }

func (s *ZooKeeperServer) wait() error {
	return poll(s.name, s.p, func(ctx context.Context) error {
		answer, err := fourLetter(ctx, s.Addr, "srvr")
		if err != nil {
			return err
		}
		if !strings.Contains(answer, "Mode: ") {
			return errors.New(strings.TrimSpace(answer))
		}
		return nil
	})
}

// Kill ends the server as SIGKILL does, and waits for its end. Its sessions and ephemerals are on its disk: they outlive a
// restart until their timeout.
func (s *ZooKeeperServer) Kill() {
	if s.running() {
		s.p.kill()
	}
}

// Wipe removes all that a server which was killed has on its disk but its configuration: it comes back knowing nothing.
func (s *ZooKeeperServer) Wipe() {
	s.t.Helper()
	if s.running() {
		s.t.Fatalf("testenv: wipe %s: it runs", s.name)
	}
	if err := os.RemoveAll(filepath.Join(s.Dir, "version-2")); err != nil {
		s.t.Fatalf("testenv: wipe %s: %v", s.name, err)
	}
}

// Restart kills the server and starts it again on the same port and data.
func (s *ZooKeeperServer) Restart() {
	s.t.Helper()
	s.Kill()
	s.Start()
}

// Stop halts the server as SIGSTOP does: connections stay open and nothing answers.
func (s *ZooKeeperServer) Stop() {
	s.t.Helper()
	if err := s.p.signal(syscall.SIGSTOP); err != nil {
		s.t.Fatalf("testenv: stop %s: %v", s.name, err)
	}
}

// Cont lets a stopped server go on.
func (s *ZooKeeperServer) Cont() {
	s.t.Helper()
	if err := s.p.signal(syscall.SIGCONT); err != nil {
		s.t.Fatalf("testenv: continue %s: %v", s.name, err)
	}
}

// FourLetter sends a four-letter word (ruok, srvr, mntr, isro, stat) and returns the answer.
func (s *ZooKeeperServer) FourLetter(word string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer, err := fourLetter(ctx, s.Addr, word)
	if err != nil {
		s.t.Fatalf("testenv: ask %s: %v", s.name, err)
	}
	return answer
}

// ask is FourLetter for a server that may be between two states: no answer is empty.
func (s *ZooKeeperServer) ask(word string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	answer, err := fourLetter(ctx, s.Addr, word)
	if err != nil {
		return ""
	}
	return answer
}

func fourLetter(ctx context.Context, addr, word string) (string, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		c.SetDeadline(deadline)
	}
	if _, err := io.WriteString(c, word); err != nil {
		return "", err
	}
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(io.LimitReader(c, 4<<20)); err != nil {
		return "", fmt.Errorf("read answer to %q: %w", word, err)
	}
	if answer.Len() == 0 {
		return "", fmt.Errorf("read answer to %q: connection closed without one", word)
	}
	return answer.String(), nil
}
