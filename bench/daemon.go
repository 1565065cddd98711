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
	"time"
)

// fleetEnv is the environment in which the fleet's services are.
const fleetEnv = "bench"

// targetGroup is one of Prometheus' file_sd.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// writeTargets writes the list of the first n instances, which take turns over the processes of the fleet.
func writeTargets(file string, n, processes int) error {
	groups := make([]targetGroup, min((n+processes-1)/processes, fleetShapes))
	for i := range n {
		in := i / processes // of its process
		g := &groups[in%fleetShapes]
		g.Labels = map[string]string{"service": service(in), "env": fleetEnv}
		g.Targets = append(g.Targets, endpoint(i%processes, in).String())
	}
	b, err := json.Marshal(groups)
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write targets: %w", err)
	}
	return nil
}

// buildRollcall builds the collector of this tree.
func buildRollcall(ctx context.Context, dir string) (string, error) {
	out := filepath.Join(dir, "rollcall")
	return out, buildRollcallTo(ctx, out)
}

// buildRollcallTo builds it into a file, with further flags of go build.
func buildRollcallTo(ctx context.Context, out string, flags ...string) error {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/rollcall-metrics/rollcall")
	list.Stderr = os.Stderr
	root, err := list.Output()
	if err != nil {
		return fmt.Errorf("look for rollcall's module: %w", err)
	}
	build := exec.CommandContext(ctx, "go", append(append([]string{"build"}, flags...), "-o", out, "./cmd/rollcall")...)
	build.Dir, build.Stdout, build.Stderr = strings.TrimSpace(string(root)), os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build rollcall: %w", err)
	}
	return nil
}

// queueBytes is the daemon's bound for what waits for Kafka.
const queueBytes = 64 << 20

// daemon is `rollcall collect` or `rollcall serve`, as it is delivered.
type daemon struct {
	cmd  *exec.Cmd
	conf string // its file
	list string // of targets
	kafk string
	url  string
	done chan struct{}
	log  *os.File
}

func startDaemon(ctx context.Context, program, dir, list, broker string, core int, interval time.Duration) (*daemon, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	d := &daemon{conf: filepath.Join(dir, "rollcall.yml"), list: list, kafk: broker}
	if err := d.configure(interval); err != nil {
		return nil, err
	}
	return d, d.launch(ctx, program, dir, core, port, "collect", "--config.file="+d.conf, "--storage.path="+filepath.Join(dir, "data"), "--web.enable-lifecycle")
}

// launch starts the program with arguments of its own, listening on a port, on a core or on any.
func (d *daemon) launch(ctx context.Context, program, dir string, core, port int, args ...string) (err error) {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	d.url, d.done = "http://"+addr, make(chan struct{})
	if d.log, err = os.Create(filepath.Join(dir, "rollcall.log")); err != nil {
		return err
	}
	d.cmd = exec.CommandContext(ctx, program, append(args, "--web.listen-address="+addr)...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := startChild(d.cmd, core, func() { d.log.Close(); close(d.done) }); err != nil {
		return errors.Join(err, d.log.Close())
	}
	return nil
}

// configure writes the configuration: what is not in it is as it is delivered.
func (d *daemon) configure(interval time.Duration) error {
	conf := fmt.Sprintf("scrape_configs:\n- job_name: fleet\n  scrape_interval: %dms\n  file_sd_configs:\n  - files: [%q]\nkafka: {brokers: [%q], queue_bytes: %dMB}\n", interval.Milliseconds(), d.list, d.kafk, queueBytes>>20)
	if err := os.WriteFile(d.conf, []byte(conf), 0o600); err != nil {
		return fmt.Errorf("write the collector's configuration: %w", err)
	}
	return nil
}

// every changes the interval of all scrapes.
func (d *daemon) every(ctx context.Context, interval time.Duration) error {
	if err := d.configure(interval); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/-/reload", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reload the collector: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("reload the collector: %s: %s", resp.Status, b)
	}
	return nil
}

// get reads one of its pages, if that takes no more than a minute.
func (d *daemon) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, resp.Status, b)
	}
	return b, err
}

// counts asks its metrics.
func (d *daemon) counts(ctx context.Context) (agentCounts, error) {
	var c agentCounts
	b, err := d.get(ctx, "/metrics")
	if err != nil {
		return c, fmt.Errorf("ask the collector for its metrics: %w", err)
	}
	found := false
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || name == "#" {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch {
		case name == "go_memstats_mallocs_total":
			c.Mallocs, found = uint64(v), true
		case strings.HasPrefix(name, "rollcall_scrape_skipped_total{"):
			c.Skipped += uint64(v)
		case strings.HasPrefix(name, "rollcall_scrape_pulls_total{") && strings.Contains(name, `outcome="ok"`):
			c.OK += uint64(v)
		case strings.HasPrefix(name, "rollcall_scrape_pulls_total{") && !strings.Contains(name, `outcome="skipped"`):
			c.Failed += uint64(v)
		case name == "rollcall_sink_batch_bytes_total":
			c.Unpacked = uint64(v)
		case name == "rollcall_sink_batch_compressed_bytes_total":
			c.Packed = uint64(v)
		case strings.HasPrefix(name, "rollcall_sink_acknowledged_total{"):
			c.Acknowledged += uint64(v)
		}
	}
	if !found {
		return c, errors.New("ask the collector for its metrics: no go_memstats_mallocs_total among them")
	}
	return c, nil
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }

func (d *daemon) gone() <-chan struct{} { return d.done }

// end lets it drain.
func (d *daemon) end() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop rollcall: %w", err)
	}
	select {
	case <-d.done:
	case <-time.After(30 * time.Second):
		_ = d.cmd.Process.Kill() // nothing more can be done
		<-d.done
		return errors.New("stop rollcall: it did not end within 30 s")
	}
	if code := d.cmd.ProcessState.ExitCode(); code > 0 {
		b, _ := os.ReadFile(d.log.Name())
		return fmt.Errorf("rollcall ended with %d:\n%s", code, b[max(0, len(b)-2000):])
	}
	return nil
}
