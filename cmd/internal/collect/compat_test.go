package collect

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-metrics/rollcall/cmd/internal/fleet"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/register"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// appOfBoth is an application that both of us can scrape.
func appOfBoth(t *testing.T) (addr string) {
	mux := http.NewServeMux()
	mux.HandleFunc("/stats.json", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"counters":{"requests":7}}`) })
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "# TYPE requests counter\nrequests 7\n")
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// kazoo registers endpoints as KingPin's own client does, and reads another serverset.
type kazoo struct {
	t     *testing.T
	in    io.WriteCloser
	lines *bufio.Scanner
	cmd   *exec.Cmd
}

func startKazoo(t *testing.T, python, zk, path, other string, endpoints ...string) *kazoo {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, append([]string{"-W", "ignore", "testdata/kingpin.py", zk, path, other}, endpoints...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k := &kazoo{t, in, bufio.NewScanner(out), cmd}
	t.Cleanup(func() { in.Close() })
	return k
}

func (k *kazoo) says(word string) string {
	k.t.Helper()
	if !k.lines.Scan() || !strings.HasPrefix(k.lines.Text(), word) {
		k.t.Fatalf("kazoo says %q, want %s: %v", k.lines.Text(), word, k.lines.Err())
	}
	return strings.TrimSpace(strings.TrimPrefix(k.lines.Text(), word))
}

func (k *kazoo) leaves() {
	k.in.Close()
	if err := k.cmd.Wait(); err != nil {
		k.t.Error(err)
	}
}

// agent registers endpoints with our own agent until the test ends.
func agent(t *testing.T, server, service string, endpoints ...string) {
	t.Helper()
	session, err := zk.NewSession(zk.Config{Servers: []string{server}, SessionTimeout: 4 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	a, err := register.New(register.Config{}, session)
	if err != nil {
		t.Fatal(err)
	}
	var services []register.Service
	for _, e := range endpoints {
		host, port, err := net.SplitHostPort(e)
		if err != nil {
			t.Fatal(err)
		}
		s := register.Service{Name: service, Env: "prod", Host: host}
		fmt.Sscan(port, &s.Port)
		services = append(services, s)
	}
	if err := a.Set(services); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	held, end := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { session.Run(held) })
	wg.Go(func() { a.Run(ctx, held); end() })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// prometheusOn runs Prometheus on a list of targets and returns its address.
func prometheusOn(t *testing.T, program, sd string) string {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n- job_name: rollcall\n  http_sd_configs: [{url: '%s', refresh_interval: 1s}]\n", sd)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	cmd := exec.CommandContext(t.Context(), program, "--config.file="+conf, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at, "--log.level=warn")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus' log:\n%s", &log)
		}
	})
	return at
}

// target is what two scrapers of one fleet must agree on.
type target struct {
	Labels  map[string]string
	Health  string
	Address string
	Meta    map[string]string
}

func targetsOf(base string) (out []target) {
	res, err := http.Get(base + "/api/v1/targets?state=active")
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	var a struct {
		Data struct{ ActiveTargets []activeTarget }
	}
	if json.NewDecoder(res.Body).Decode(&a) != nil {
		return nil
	}
	for _, x := range a.Data.ActiveTargets {
		one := target{x.Labels, x.Health, x.DiscoveredLabels["__address__"], map[string]string{}}
		for n, v := range x.DiscoveredLabels {
			if strings.HasPrefix(n, "__meta_serverset_") {
				one.Meta[n] = v
			}
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b target) int {
		return strings.Compare(a.Labels["job"]+a.Address, b.Labels["job"]+b.Address)
	})
	return out
}

// TestBesideOthers has KingPin's client (kazoo) and our agent register with one ZooKeeper: our roster has both, kazoo reads ours, and Prometheus, on our list
// of targets, scrapes the same instances under the same labels as we do.
func TestBesideOthers(t *testing.T) {
	python, hasPython := testenv.Python(t, testenv.Kazoo...)
	program, hasPrometheus := testenv.Tool(t, "prometheus")
	if !hasPython {
		return // said at the end
	}
	w := newWorld(t, fleet.Config{Instances: 1, Services: 1, Numbers: 2, Shapes: 1})
	theirs, ours := []string{appOfBoth(t), appOfBoth(t)}, []string{appOfBoth(t), appOfBoth(t)}
	slices.Sort(ours)
	agent(t, w.zk.Addr(), "ours", ours...)
	k := startKazoo(t, python, w.zk.Addr(), "/discovery/theirs/prod", "/discovery/ours/prod", theirs...)
	k.says("joined")

	d, stop := start(t, w.config(t, ""), t.TempDir())
	defer stop()
	mux := http.NewServeMux()
	d.Routes(mux)
	api := httptest.NewServer(mux)
	defer api.Close()
	var list []target
	eventually(t, "both register, and all are scraped", func() bool {
		list = slices.DeleteFunc(targetsOf(api.URL), func(t target) bool { return t.Labels["job"] != "ours" && t.Labels["job"] != "theirs" })
		return len(list) == 4 && !slices.ContainsFunc(list, func(t target) bool { return t.Health != "up" })
	})
	for _, e := range theirs {
		if why, err := d.roster.Find("theirs/prod/" + e); err != nil || why.Format != "kingpin" || why.Owner == 0 {
			t.Errorf("%s, which kazoo registered: %+v, %v", e, why, err)
		}
	}
	if got := strings.Fields(k.says("reads")); !slices.ContainsFunc(ours, func(e string) bool { return slices.Contains(got, e) }) || slices.ContainsFunc(got, func(e string) bool { return !slices.Contains(ours, e) }) {
		t.Errorf("kazoo reads %q of what our agent registered, %q", got, ours)
	}
	if hasPrometheus {
		at := "http://" + prometheusOn(t, program, api.URL+"/sd/http?path=/discovery&q=s/prod")
		var got []target
		eventually(t, "Prometheus scrapes them all", func() bool {
			got = targetsOf(at)
			return len(got) == 4 && !slices.ContainsFunc(got, func(t target) bool { return t.Health != "up" })
		})
		if diff := cmp.Diff(list, got); diff != "" {
			t.Errorf("Prometheus sees other targets than we say (-ours +Prometheus):\n%s", diff)
		}
	}
	k.leaves()
	eventually(t, "a serverset that became empty is not believed while its members answer", func() bool {
		n := 0
		for _, e := range d.roster.Of("theirs", "prod") {
			if e.State == discovery.Unconfirmed {
				n++
			}
		}
		return n == 2 && len(d.roster.Guards()) > 0
	})
}
