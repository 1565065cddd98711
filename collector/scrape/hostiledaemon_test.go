package scrape

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// daemon is `rollcall collect` as it is delivered, in a process of its own.
type daemon struct {
	t   *testing.T
	dir string
	url string
	cmd *exec.Cmd
	end func() // of it and its broker
}

// run starts a program that ends with the test.
func run(t *testing.T, dir string, argv ...string) (cmd *exec.Cmd, end func()) {
	t.Helper()
	cmd = exec.Command(argv[0], argv[1:]...)
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		if end(); t.Failed() {
			t.Logf("%s said:\n%.4000s", strings.Join(argv, " "), out)
		}
	})
	return cmd, end
}

// buildDaemon builds the program.
func buildDaemon(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "rollcall")
	build := exec.Command("go", "build", "-o", program, "github.com/rollcall-metrics/rollcall/cmd/rollcall")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the daemon: %v\n%s", err, out)
	}
	return program
}

// startDaemon runs a collector over the targets of a world, at first the good ones, and the broker that it delivers to.
func startDaemon(t *testing.T, program string, w *hostileWorld) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: t.TempDir()}
	local := func() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(testenv.Port(t))) }
	broker, at := local(), local()
	_, endBroker := run(t, d.dir, program, "broker", "--storage.path=broker", "--listen="+broker)
	d.write("ca.pem", w.CA)
	var conf strings.Builder
	conf.WriteString("scrape_configs:\n")
	for job, more := range map[string]string{"apps": "  scrape_interval: 1s\n", "bad": "", "http": "  follow_redirects: true\n", "tls": "  scheme: https\n  tls_config: {ca_file: ca.pem}\n"} {
		if job != "apps" {
			more += fmt.Sprintf("  scrape_interval: %s\n  scrape_timeout: %s\n", hostileInterval, hostileTimeout)
		}
		fmt.Fprintf(&conf, "- job_name: %s\n  server_info: false\n%s  file_sd_configs: [{files: [%s.json], refresh_interval: 1s}]\n", job, more, job)
		d.targets(job, nil)
	}
	fmt.Fprintf(&conf, "kafka: {brokers: [%q]}\n", broker)
	d.write("rollcall.yml", []byte(conf.String()))
	d.targets("apps", w.Fleet)
	d.url = "http://" + at
	cmd, end := run(t, d.dir, program, "collect", "--config.file=rollcall.yml", "--storage.path=data", "--web.listen-address="+at)
	d.cmd, d.end = cmd, func() {
		end()
		endBroker()
	}
	return d
}

// write replaces a file in the daemon's folder.
func (d *daemon) write(name string, b []byte) {
	d.t.Helper()
	file := filepath.Join(d.dir, name)
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		d.t.Fatal(err)
	}
}

// targets gives a job its targets.
func (d *daemon) targets(job string, addrs []string) {
	d.t.Helper()
	groups := []map[string]any{}
	if len(addrs) > 0 {
		groups = append(groups, map[string]any{"targets": addrs, "labels": map[string]string{"service": job, "env": "prod"}})
	}
	b, err := json.Marshal(groups)
	if err != nil {
		d.t.Fatal(err)
	}
	d.write(job+".json", b)
}

func (d *daemon) get(path string) []byte {
	d.t.Helper()
	resp, err := http.Get(d.url + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: status %d, %v", path, resp.StatusCode, err)
	}
	return b
}

var pullsOfApps = regexp.MustCompile(`(?m)^rollcall_scrape_(?:pulls_total\{job="apps",outcome="(\w+)"|skipped_total\{job="apps",reason="([^"]+)")\} (\d+)$`)

// apps is how often the pulls of good targets ended in which way.
func (d *daemon) apps() map[string]int {
	d.t.Helper()
	out := map[string]int{}
	for _, m := range pullsOfApps.FindAllSubmatch(d.get("/metrics"), -1) {
		n, _ := strconv.Atoi(string(m[3]))
		out[cmp.Or(string(m[1]), "skipped: "+string(m[2]))] += n
	}
	return out
}

var resident = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// resident watches for some seconds how many bytes of memory the daemon takes: the median, and the most. It asks for the metrics meanwhile, which takes memory that is garbage then: so
// its heap goes through a whole round of collection, and one time is as good as another.
func (d *daemon) resident(seconds int) (median, most int) {
	d.t.Helper()
	var all []int
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond) // of a real clock: it is another process
		d.get("/metrics")
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
		if err != nil {
			d.t.Fatal(err)
		}
		m := resident.FindSubmatch(b)
		if m == nil {
			d.t.Fatalf("no VmRSS in %s", b)
		}
		n, _ := strconv.Atoi(string(m[1]))
		all = append(all, n<<10)
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)-1]
}

// lastErrors is how the last pull of each target ended, by job and address; "" is well.
func (d *daemon) lastErrors() map[[2]string]string {
	d.t.Helper()
	var page struct {
		Data struct {
			ActiveTargets []struct{ ScrapePool, ScrapeURL, LastError, Health string }
		}
	}
	if err := json.Unmarshal(d.get("/api/v1/targets?state=active"), &page); err != nil {
		d.t.Fatal(err)
	}
	out := map[[2]string]string{}
	for _, x := range page.Data.ActiveTargets {
		_, rest, _ := strings.Cut(x.ScrapeURL, "://")
		addr, _, _ := strings.Cut(rest, "/")
		if x.Health == "unknown" {
			x.LastError = "not pulled"
		}
		out[[2]string{x.ScrapePool, addr}] = x.LastError
	}
	return out
}

const (
	givenBack = 24 // seconds within which the memory that the first bodies of bad targets took is given back, while they go on
	firstPeak = 48 << 20

	noStall  = 100 * time.Millisecond
	askAgain = 55 * time.Second // how long after the first time it is asked again: a time is less than a minute
)

// The daemon as it is delivered, with its own limits, over a thousand good targets of 200 numbers at 1 s: when all bad ones join, it becomes no larger by more than a
// fifth, the good ones miss nothing, and each bad one says what is wrong with it. As above, it is asked again where the machine ran nobody, while there is time for that. Where it
// still did not, what was missed is told only: it is not the daemon's fault. Its memory may then be larger, as pulls that wait for a processor are under way for longer; its bound stays.
func TestHostileDaemon(t *testing.T) {
	w, program := startHostile(t, goodTargets), buildDaemon(t)
	var seen beside
	for begin := time.Now(); ; {
		seen = w.besideDaemon(t, program)
		if len(seen.missed) == 0 && seen.grown() == "" || !seen.starved() || time.Since(begin) > askAgain {
			break
		}
		t.Logf("%q and %d more such faults, while the targets' process was not run, either, for %s: once more", seen.grown(), len(seen.missed), seen.stall)
	}
	if text := seen.grown(); text != "" {
		t.Error(text)
	}
	for _, f := range seen.missed {
		if seen.starved() {
			t.Logf("the targets' process was not run for %s, and %s", seen.stall, f)
		} else {
			t.Error(f)
		}
	}
}

// beside is what a daemon took and missed beside bad targets.
type beside struct {
	calm, calmMost     int // bytes that were resident before they came
	storm, most, first int // with them, and when they came
	missed             []string
	stall              time.Duration // for which the machine did not run the targets
}

func (b *beside) starved() bool { return b.stall >= noStall }

// grown says by how much it became too large; "": it did not.
func (b *beside) grown() string {
	may := b.calm + b.calm/5
	if b.starved() {
		may = b.calm + b.calm*3/4
	}
	switch {
	case b.storm > may:
		return fmt.Sprintf("it grew from %d to %d bytes, of %d at most", b.calm, b.storm, may)
	case b.first > b.calmMost+firstPeak:
		return fmt.Sprintf("it grew from %d to %d bytes when they came", b.calmMost, b.first)
	}
	return ""
}

// besideDaemon runs a daemon over the good targets, and then over all.
func (w *hostileWorld) besideDaemon(t *testing.T, program string) (out beside) {
	fault := func(format string, args ...any) { out.missed = append(out.missed, fmt.Sprintf(format, args...)) }
	d := startDaemon(t, program, w)
	defer d.end()
	testenv.Eventually(t, "all good targets are pulled", func() bool {
		resp, err := http.Get(d.url + "/metrics")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return d.apps()["ok"] > 3*goodTargets
	})
	d.resident(2)
	calm, calmMost := d.resident(6)

	before := d.apps()
	w.report(t)
	begin := time.Now()
	wants := map[[2]string]hostile{}
	lists := map[string][]string{}
	for _, h := range hostiles() {
		if h.name == moreKeys { // it is within the daemon's limit
			continue
		}
		add := func(job string, h hostile) {
			h.reason = strings.ReplaceAll(h.reason, strconv.Itoa(hostileLimit), strconv.Itoa(8<<20))
			wants[[2]string{job, w.Bad[h.name]}] = h
			lists[job] = append(lists[job], w.Bad[h.name])
		}
		if h.way == tlsOnly {
			add("tls", h)
			continue
		}
		add("bad", h)
		if h.way == both {
			h.want, h.reason = cmp.Or(h.byHTTP, h.want), cmp.Or(h.reasonByHTTP, h.reason)
			add("http", h)
		}
	}
	for job, addrs := range lists {
		d.targets(job, addrs)
	}
	_, first := d.resident(3)
	storm, most := d.resident(3)
	first = max(first, most)
	for back := 6; storm > calm+calm/5 && back < givenBack; back += 3 {
		first = max(first, most)
		storm, most = d.resident(3)
	}
	after, report, took := d.apps(), w.report(t), time.Since(begin)

	t.Logf("resident, MB: %.1f calm, %.1f at most; with %d bad targets %.1f, %.1f at most, %.1f when they came; after %s", float64(calm)/1e6, float64(calmMost)/1e6, len(wants), float64(storm)/1e6, float64(most)/1e6, float64(first)/1e6, took)
	out.calm, out.calmMost, out.storm, out.most, out.first, out.stall = calm, calmMost, storm, most, first, report.Stall
	for _, how := range slices.Sorted(maps.Keys(after)) {
		if n := after[how] - before[how]; how != "ok" && n > 0 {
			fault("%d pulls of good targets were %s", n, how)
		}
	}
	if n, want := after["ok"]-before["ok"], int(took/time.Second-1)*goodTargets; n < want {
		fault("%d good pulls in %s, want %d", n, took, want)
	}
	errs := d.lastErrors()
	for k, h := range wants {
		text, known := errs[k]
		if !known || (text == "") != (h.want == collector.OK) && !h.turns || h.want != collector.OK && !strings.Contains(text, h.reason) {
			fault("%s: %q, want %s %q", h.name, text, h.want, h.reason)
		}
	}
	return out
}
