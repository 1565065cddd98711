package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
)

// trial is one fault under way: a collector on topics of its own.
type trial struct {
	*reliability
	t      testing.TB
	name   string
	folder string
	conf   string
	url    string
	spool  string // its folder

	program string   // instead of the delivered one
	env     []string // of the collector
	cmd     *exec.Cmd
	done    chan struct{}
	log     *os.File
	lives   []life

	reader   *follower
	earlier  []landed  // of topics that are no more
	over     time.Time // when the fault was over
	still    bool      // nobody scrapes when it is over: there is no freshness to speak of
	drained  time.Duration
	ledger   []byte // the collector's last word
	undoings []func(context.Context) error
}

func (r *trial) topic(kind string) string { return "reliability." + r.name + "." + kind }

func (r *trial) lanes() []string { return []string{r.topic("snapshots"), r.topic("backfill")} }

func (r *trial) topics() []string {
	return append(r.lanes(), r.topic("roster"), r.topic("rollups"), r.topic("findings"))
}

// onEnd has something undone at the end of the trial.
func (r *trial) onEnd(f func(context.Context) error) { r.undoings = append(r.undoings, f) }

// prepare writes the configuration, starts the collector and waits until all of the fleet is in the topics.
func (r *trial) prepare(ctx context.Context) (err error) {
	r.folder = filepath.Join(r.dir, r.name)
	if err := os.MkdirAll(r.folder, 0o755); err != nil {
		return err
	}
	r.fleet.reset()
	list, err := json.Marshal(r.fleet.groups())
	if err != nil {
		return err
	}
	targets := filepath.Join(r.folder, "targets.json")
	if err := os.WriteFile(targets, list, 0o600); err != nil {
		return err
	}
	r.conf, r.spool = filepath.Join(r.folder, "rollcall.yml"), filepath.Join(r.folder, "spool")
	if err := os.WriteFile(r.conf, []byte(r.configuration(targets, true)), 0o600); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	r.url = "http://" + hostPort(port)
	if r.log, err = os.Create(filepath.Join(r.folder, "rollcall.log")); err != nil {
		return err
	}
	return nil
}

// configuration is a collector's: as it is delivered, but for where things are and how often it scrapes.
func (r *trial) configuration(targets string, proxied bool) string {
	brokers := r.cluster.Brokers()
	if proxied {
		brokers = nil
		for _, p := range r.cluster.Proxies() {
			brokers = append(brokers, p.Addr)
		}
	}
	list, _ := json.Marshal(brokers) // strings always are JSON
	return fmt.Sprintf("global: {scrape_interval: %dms}\nscrape_configs:\n- job_name: fleet\n  file_sd_configs:\n  - files: [%q]\nkafka:\n  brokers: %s\n  rack: %q\n"+
		"  topics: {snapshots: %q, backfill: %q, roster: %q, rollups: %q, findings: %q}\nspool: {path: %q}\n",
		r.interval.Milliseconds(), targets, list, nearRack, r.topic("snapshots"), r.topic("backfill"), r.topic("roster"), r.topic("rollups"), r.topic("findings"), r.spool)
}

// begin starts the collector on what the one before left.
func (r *trial) begin(ctx context.Context) error {
	program := r.program
	if program == "" {
		program = r.reliability.program
	}
	r.cmd = exec.CommandContext(ctx, program, "collect", "--config.file="+r.conf, "--storage.path="+filepath.Join(r.folder, "data"), "--web.listen-address="+strings.TrimPrefix(r.url, "http://"))
	r.cmd.Stdout, r.cmd.Stderr, r.cmd.Env = r.log, r.log, append(os.Environ(), r.env...)
	done := make(chan struct{})
	r.done = done
	began := time.Now()
	if err := startChild(r.cmd, anyCore, func() { close(done) }); err != nil {
		return err
	}
	r.lives = append(r.lives, life{began: began, gone: began.Add(24 * time.Hour)})
	return r.await(ctx, 30*time.Second, "the collector's start", func() (bool, error) {
		select {
		case <-done:
			return false, errors.New("the collector has ended")
		default:
		}
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(r.url, "http://"), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil, nil
	})
}

// warm starts the collector and a reader, and waits until the whole fleet is in the topics.
func (r *trial) warm(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	r.reader = follow(ctx, r.cluster.Brokers(), r.lanes()...)
	err := r.await(ctx, time.Minute, "the fleet to be in the topics", func() (bool, error) {
		all := map[string]bool{}
		for _, l := range r.reader.seen() {
			all[l.instance] = true
		}
		return len(all) == r.targets, nil
	})
	if err != nil {
		return err
	}
	if _, err := r.admin.whole(ctx, r.topics()...); err != nil {
		return err
	}
	return sleep(ctx, 3*time.Second)
}

// await waits for something.
func (r *trial) await(ctx context.Context, atMost time.Duration, what string, ok func() (bool, error)) error {
	for end := time.Now().Add(atMost); ; {
		yes, err := ok()
		if yes {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if time.Now().After(end) {
			return fmt.Errorf("waited %v for %s", atMost, what)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

func (r *trial) running() bool {
	if r.cmd == nil {
		return false
	}
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// end ends the collector: with SIGKILL where it stands, with SIGTERM in order.
func (r *trial) end(sig syscall.Signal) error {
	if !r.running() {
		return errors.New("the collector has ended by itself")
	}
	l := &r.lives[len(r.lives)-1]
	if l.killed = sig == syscall.SIGKILL; l.killed {
		l.gone = time.Now()
	}
	if err := r.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("end the collector: %w", err)
	}
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		_ = r.cmd.Process.Kill() // nothing more can be done
		<-r.done
		return errors.New("end the collector: it did not end within a minute")
	}
	if !l.killed {
		l.gone = time.Now()
	}
	if code := r.cmd.ProcessState.ExitCode(); code > 0 {
		return fmt.Errorf("the collector ended with %d", code)
	}
	return nil
}

// get reads one of the collector's pages.
func (r *trial) get(ctx context.Context, path string) ([]byte, error) {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, resp.Status, b)
	}
	return b, err
}

// metric is the sum of the collector's metrics that begin with a name.
func (r *trial) metric(ctx context.Context, name string) (sum float64, err error) {
	b, err := r.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name); ok {
			v, err := strconv.ParseFloat(text[strings.LastIndexByte(text, ' ')+1:], 64)
			if err != nil {
				return 0, fmt.Errorf("metric %s: %w", name, err)
			}
			sum += v
		}
	}
	return sum, nil
}

// accounts is the collector's ledger.
func (r *trial) accounts(ctx context.Context) (l sink.Report, err error) {
	b, err := r.get(ctx, "/api/v1/ledger")
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	if err != nil {
		return l, fmt.Errorf("ask for the ledger: %w", err)
	}
	r.ledger = b
	if !l.Total.Balanced() {
		return l, fmt.Errorf("the ledger does not balance: %+v", l.Total)
	}
	return l, nil
}

func (r *trial) logTail(lines int) string {
	if r.log == nil {
		return ""
	}
	b, err := os.ReadFile(r.log.Name())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// undo ends all that the trial has begun.
func (r *trial) undo(ctx context.Context) (err error) {
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	defer stop()
	if r.running() {
		_ = r.cmd.Process.Kill() // the trial has failed before its end
		<-r.done
	}
	for i := len(r.undoings) - 1; i >= 0; i-- {
		err = errors.Join(err, r.undoings[i](ctx))
	}
	if r.reader != nil {
		err = errors.Join(err, r.reader.close())
	}
	for _, p := range r.cluster.Proxies() {
		p.Up()
		p.Heal()
	}
	r.cluster.Start()
	if e := r.admin.remove(ctx, r.topics()...); e != nil {
		err = errors.Join(err, e)
	}
	return err
}
