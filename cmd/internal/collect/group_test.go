package collect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/fleet"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const (
	groupTargets  = 3000
	groupInterval = 2 * time.Second
	groupSession  = 4 * time.Second
)

// TestCollectorProcess is a collector in a process of its own, for TestThreeCollectors, which starts the test program again with a folder in its environment. It
// ends at SIGTERM, and when its standard input does.
func TestCollectorProcess(t *testing.T) {
	dir := os.Getenv("ROLLCALL_TEST_COLLECTOR")
	if dir == "" {
		return
	}
	conf, err := config.Load(filepath.Join(dir, "rollcall.yml"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", os.Getenv("ROLLCALL_TEST_LISTEN"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := New(conf, Options{Storage: dir, Listen: l.Addr().String(), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	d.Routes(mux)
	go http.Serve(l, mux)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := d.Run(ctx, context.Background()); err != nil {
		t.Fatal(err)
	}
}

// process is one of the three collectors.
type process struct {
	t    *testing.T
	dir  string
	addr string
	cmd  *exec.Cmd
	in   io.Closer
}

func (p *process) start() {
	p.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(os.Args[0], "-test.run=^TestCollectorProcess$")
	p.cmd.Env = append(os.Environ(), "ROLLCALL_TEST_COLLECTOR="+p.dir, "ROLLCALL_TEST_LISTEN="+p.addr)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// end signals the process and waits for it.
func (p *process) end(s syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGCONT)
	p.cmd.Process.Signal(s)
	if err := p.cmd.Wait(); err != nil && s != syscall.SIGKILL {
		p.t.Errorf("%s: %v", p.dir, err)
	}
	p.in.Close()
	p.cmd = nil
}

// status is what the collector says of its group; ok is false where it does not answer.
func (p *process) status() (s share.Status, ok bool) {
	c := http.Client{Timeout: time.Second}
	defer c.CloseIdleConnections()
	res, err := c.Get("http://" + p.addr + share.SharePath)
	if err != nil {
		return s, false
	}
	defer res.Body.Close()
	return s, json.NewDecoder(res.Body).Decode(&s) == nil && s.Division != nil
}

// sees reports whether the collector knows of n members, from there.
func (p *process) sees(from string, n int) bool {
	s, ok := p.status()
	return ok && s.Fresh && s.From == from && len(s.Members) == n
}

// group is three collectors, what they share and what they are asked about.
type group3 struct {
	t      *testing.T
	zk     *testenv.ZooKeeperServer
	via    *testenv.Proxy // between ZooKeeper and the first of them
	of     []*process
	phases []phase
}

// phase is a stretch of the test; it ends where the next one begins.
type phase struct {
	name  string
	at    time.Time
	crash bool // a session had to run out
}

func (g *group3) begin(p phase) {
	p.at = time.Now()
	g.phases = append(g.phases, p)
}

func (g *group3) until(what string, ok func() bool) {
	g.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(60 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			for _, p := range g.of {
				s, _ := p.status()
				g.t.Logf("%s: %+v", p.addr, s)
			}
			g.t.Fatalf("never: %s", what)
		}
	}
}

func (g *group3) all(from string, n int, of ...*process) {
	g.t.Helper()
	for _, p := range of {
		g.until(fmt.Sprintf("%s sees %d from %s", p.addr, n, from), func() bool { return p.sees(from, n) })
	}
}

// pass waits for the fleet to be pulled n times over.
func (g *group3) pass(n int) {
	end := time.Now().Add(time.Duration(n) * groupInterval)
	g.until("time", func() bool { return time.Now().After(end) })
}

func TestThreeCollectors(t *testing.T) {
	if testing.Short() {
		t.Log("it takes a minute and a half: not with -short")
		return
	}
	zk := testenv.ZooKeeper(t)
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := fleet.New(fleet.Config{Instances: groupTargets, Numbers: 3, Services: 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- b.Run(ctx) }()
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; <-ended })
	<-b.Ready()
	targets := filepath.Join(t.TempDir(), "targets.json")
	if err := f.WriteFileSD(targets); err != nil {
		t.Fatal(err)
	}
	g := &group3{t: t, zk: zk, via: testenv.NewProxy(t, zk.Addr)}
	for i := range 3 {
		server := zk.Addr
		if i == 0 {
			server = g.via.Addr
		}
		p := &process{t: t, dir: t.TempDir(), addr: fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))}
		text := fmt.Sprintf(`
global: {scrape_interval: %s, scrape_timeout: 1s}
zookeeper: {servers: ['%s'], session_timeout: %s, monitor: false}
kafka: {brokers: ['%s']}
scrape_configs:
- {job_name: apps, server_info: false, file_sd_configs: [{files: ['%s']}]}
`, groupInterval, server, groupSession, b.Addr(), targets)
		if err := os.WriteFile(filepath.Join(p.dir, "rollcall.yml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		g.of = append(g.of, p)
		t.Cleanup(func() { p.end(syscall.SIGKILL) })
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, p := range g.of {
			log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			t.Logf("%s:\n%s", p.addr, log[max(0, len(log)-6000):])
		}
	})
	one, two, three := g.of[0], g.of[1], g.of[2]
	for _, p := range g.of {
		p.start()
	}
	g.all(share.FromZooKeeper, 3, g.of...)
	g.pass(2)

	g.begin(phase{name: "calm"})
	g.pass(3)
	g.begin(phase{name: "kill -9", crash: true})
	three.end(syscall.SIGKILL)
	g.all(share.FromZooKeeper, 2, one, two)
	g.pass(2)
	g.begin(phase{name: "it is back"})
	three.start()
	g.all(share.FromZooKeeper, 3, g.of...)
	g.pass(2)
	g.begin(phase{name: "stopped for longer than its session", crash: true})
	two.cmd.Process.Signal(syscall.SIGSTOP)
	g.all(share.FromZooKeeper, 2, one, three)
	g.pass(2)
	two.cmd.Process.Signal(syscall.SIGCONT)
	g.all(share.FromZooKeeper, 3, g.of...)
	g.pass(2)
	g.begin(phase{name: "cut off from ZooKeeper", crash: true})
	g.via.Down()
	g.all(share.FromZooKeeper, 2, two, three)
	g.all(share.FromPeers, 2, one)
	g.pass(2)
	g.via.Up()
	g.all(share.FromZooKeeper, 3, g.of...)
	g.pass(2)
	g.begin(phase{name: "a rolling restart"})
	for _, p := range g.of {
		p.end(syscall.SIGTERM)
		p.start()
		g.all(share.FromZooKeeper, 3, g.of...)
	}
	g.pass(2)
	g.begin(phase{name: "no ZooKeeper"})
	zk.Kill()
	gone := time.Now().Add(2 * groupSession)
	g.until("two sessions' time", func() bool { return time.Now().After(gone) })
	for _, p := range g.of {
		if s, ok := p.status(); !ok || !s.Fresh || len(s.Members) != 3 {
			t.Errorf("without ZooKeeper %s does not go on: %+v", p.addr, s)
		}
	}
	zk.Start()
	g.all(share.FromZooKeeper, 3, g.of...)
	g.pass(2)
	g.begin(phase{name: "the end"})
	for _, p := range g.of {
		p.end(syscall.SIGTERM)
	}
	g.judge(b.Addr())
}

// seen is one pull, as its record says.
type seen struct {
	slot      int64
	term      uint64
	collector uint64
	start     uint64 // of the collector
	skipped   bool   // it had the target, and could not keep up
}

// judge reads everything that was published and counts.
func (g *group3) judge(broker string) {
	t := g.t
	board, err := dashboards.NewBoard(dashboards.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var rec wire.Record
	byInstance := map[string][]seen{}
	ids := map[wire.ID]bool{}
	records, pulls := 0, 0
	for _, name := range []string{"rollcall.snapshots", "rollcall.snapshots.backfill"} {
		for _, m := range topic(t, broker, name) {
			if err := wire.Decode(m.Value, &rec); err != nil {
				t.Fatal(err)
			}
			if ids[rec.ID] {
				t.Errorf("%v stands twice", rec.ID)
			}
			ids[rec.ID] = true
			records++
			if rec.Source.Slot == 0 || rec.Source.Term == 0 {
				t.Fatalf("a record without slot or term: %s", m.Value)
			}
			board.Add(&dashboards.Record{ID: dashboards.RecordID(rec.ID), Seen: time.Now(), Service: rec.Service, Env: rec.Env, Instance: rec.Instance, Time: time.UnixMilli(rec.TS),
				Interval: rec.Source.Interval, Outcome: rec.Outcome, Term: rec.Source.Term, Slot: rec.Source.Slot})
			skipped := rec.Outcome == collector.Skipped
			if !skipped {
				pulls++
			}
			if !skipped || rec.Reason != "the collector stood still" { // else nobody had the target
				byInstance[strings.Clone(rec.Instance)] = append(byInstance[rec.Instance], seen{rec.Source.Slot, rec.Source.Term, rec.ID.Collector, rec.ID.Start, skipped})
			}
		}
	}
	board.Tick(time.Now())
	if len(byInstance) != groupTargets {
		t.Errorf("%d instances were pulled, want %d", len(byInstance), groupTargets)
	}
	names := make([]string, len(g.phases))
	doubles, worst, gaps := make([]int, len(g.phases)), make([]int, len(g.phases)), make([]int, len(g.phases))
	in := func(slot int64) int { // the phase that a slot is in; -1 before the first
		at := time.UnixMilli(slot)
		return slices.IndexFunc(g.phases, func(p phase) bool { return p.at.After(at) }) - 1
	}
	twice, contested := 0, 0
	for name, all := range byInstance {
		slices.SortFunc(all, func(a, b seen) int {
			return cmp.Or(cmp.Compare(a.slot, b.slot), -cmp.Compare(a.term, b.term), cmp.Compare(a.collector, b.collector), cmp.Compare(a.start, b.start))
		})
		of := make([]int, len(g.phases))
		for i := 1; i < len(all); i++ {
			p := in(all[i].slot)
			if all[i].slot != all[i-1].slot {
				if p >= 0 {
					gaps[p] = max(gaps[p], int((all[i].slot-all[i-1].slot)/groupInterval.Milliseconds())-1)
				}
				continue
			}
			if all[i].skipped || all[i-1].skipped {
				continue
			}
			contested++
			if p >= 0 {
				of[p]++
			}
			// Of one that was restarted within the slot readers take the earlier.
			if all[i].collector == all[i-1].collector && all[i].start == all[i-1].start {
				twice++
				t.Logf("%s was pulled twice by %016x in the slot of %s", name, all[i].collector, time.UnixMilli(all[i].slot))
			}
		}
		for p, n := range of {
			doubles[p] += n
			worst[p] = max(worst[p], n)
		}
	}
	if twice > 0 {
		t.Errorf("%d pulls of one target by one collector in one slot", twice)
	}
	if n := board.Stats().Fenced; n < uint64(contested) {
		t.Errorf("the board fenced %d off, of %d doubles", n, contested)
	}
	t.Logf("%d records, %d pulls, %d in a slot that somebody else pulled too", records, pulls, contested)
	// After a crash an interval and the session's time may be missing, and ZooKeeper's tick, after which it notices; else an interval.
	crash := int((groupInterval + groupSession + time.Second) / groupInterval)
	for i, p := range g.phases[:len(g.phases)-1] {
		names[i] = p.name
		t.Logf("%-36s %5d doubles, at most %d of one target; longest gap %d slots", p.name+":", doubles[i], worst[i], gaps[i])
		moves := map[string]int{"a rolling restart": 6, "stopped for longer than its session": 2, "cut off from ZooKeeper": 2, "no ZooKeeper": 2}[p.name]
		if limit := max(1, moves); worst[i] > limit {
			t.Errorf("%s: a target was pulled twice in %d slots, want at most once each of %d moves", p.name, worst[i], limit)
		}
		bound := 1
		if p.crash {
			bound = crash
		}
		bound += gaps[0] // a machine that cannot keep up in calm times cannot in others
		if gaps[i] > bound {
			t.Errorf("%s: %d slots of a target are missing, want at most %d", p.name, gaps[i], bound)
		}
	}
	if doubles[0] != 0 || gaps[0] > 1 {
		t.Errorf("in calm times %d doubles, and a gap of %d slots", doubles[0], gaps[0])
	}
}
