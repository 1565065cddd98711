package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// topServer is a page's server that says the same again and again, until it is made to fall silent.
func topServer(t *testing.T, gone *atomic.Bool) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/now", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, topNow) })
	mux.HandleFunc("GET /api/v1/service", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, topCheckout) })
	mux.HandleFunc("GET /api/v1/stream", func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for !gone.Load() {
			fmt.Fprintf(w, "event: now\ndata: %s\n\n", strings.ReplaceAll(topNow, "\n", ""))
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// pane is a terminal of tmux.
type pane struct {
	t            *testing.T
	tmux, socket string
}

func (p *pane) do(args ...string) string {
	p.t.Helper()
	cmd := exec.Command(p.tmux, append([]string{"-S", p.socket, "-f", "/dev/null", "-u"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

var blankLines = regexp.MustCompile(`\n{3,}`)

var ages = regexp.MustCompile(`\d+\.\d s old`)

// screen is what stands on it, ages aside.
func (p *pane) screen() string {
	var lines []string
	for _, l := range strings.Split(p.do("capture-pane", "-p"), "\n") {
		lines = append(lines, strings.TrimRight(l, " "))
	}
	return strings.TrimRight(ages.ReplaceAllString(strings.Join(lines, "\n"), "N s old"), "\n")
}

func (p *pane) until(what, text string) {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the screen:\n%s", p.screen())
		}
	}()
	testenv.Eventually(p.t, what, func() bool { return strings.Contains(p.screen(), text) })
}

func startTop(t *testing.T, env, url string) *pane {
	t.Helper()
	tmux, ok := testenv.Tool(t, "tmux")
	if !ok {
		return nil
	}
	program, err := exec.LookPath("rollcall")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "top") // a socket's name must be short
	if err != nil {
		t.Fatal(err)
	}
	p := &pane{t: t, tmux: tmux, socket: filepath.Join(dir, "s")}
	p.do("new-session", "-d", "-x", "80", "-y", "24", "env", env, program, "top", "--url="+url)
	t.Cleanup(func() {
		exec.Command(tmux, "-S", p.socket, "kill-server").Run() // it may have ended with its only program
		os.RemoveAll(dir)
	})
	return p
}

const topScreen = `35 of 36 answering, 1 silent · N s old · feed live
WARN Discovery is 2 min old: no ZooKeeper server answers; scraping goes on
BAD  checkout is failing: errors 0.2 % → 3.1 %, only 1.42.0 in us-east-1c

  SERVICE              RATE/S   ERRORS      LATENCY     ANSWERING RATE, 15 MIN
> checkout/prod  BAD    18.4k   3.10 %   p99 212 ms      11 of 12 ▂▃ ▅█
  basket/staging WARN       -        -            -      12 of 12
  search/prod    calm     900      0 %  p99 10.0 ms      12 of 12














3 services   j k move · Enter instances · / filter · ? help · q quit`

func TestTopInTerminal(t *testing.T) {
	var gone atomic.Bool
	srv := topServer(t, &gone)
	p := startTop(t, "NO_COLOR=1", srv.URL)
	if p == nil {
		return
	}
	p.until("the services", "3 services")
	if got, want := blankLines.ReplaceAllString(p.screen(), "\n\n"), blankLines.ReplaceAllString(topScreen, "\n\n"); got != want {
		t.Errorf("the screen:\n%s\nwant:\n%s", got, want)
	}
	if regexp.MustCompile(`\x1b\[[0-9;]*(3[0-7]|4[0-7]|38|48)[;m]`).MatchString(p.do("capture-pane", "-p", "-e")) {
		t.Error("there is colour")
	}
	p.do("send-keys", "Enter")
	p.until("the instances", "10.0.0.7:8001 on ip-10-0-0-7: departed for")
	p.do("send-keys", "Down")
	p.until("the next", "> 10.0.0.6:8001")
	p.do("resize-window", "-x", "140", "-y", "30")
	p.until("a wide terminal", "REASON")
	p.do("send-keys", "Escape")
	p.until("the services again", "3 services")
	p.do("send-keys", "/", "s", "e", "a", "Enter")
	p.until("the filter", "/sea  1 of 3 services")
	p.do("send-keys", "?")
	p.until("the help", "any key goes back")
	p.do("send-keys", "x")
	gone.Store(true)
	p.until("the loss", "CONNECTION LOST: what is shown is")
	gone.Store(false)
	testenv.Eventually(t, "the connection again", func() bool { return !strings.Contains(p.screen(), "LOST") })
	p.do("send-keys", "q")
	testenv.Eventually(t, "the end", func() bool { return exec.Command(p.tmux, "-S", p.socket, "has-session").Run() != nil })

	if p = startTop(t, "COLORTERM=truecolor", srv.URL); p != nil {
		p.until("the services", "3 services")
		if !strings.Contains(p.do("capture-pane", "-p", "-e"), "\x1b[1m\x1b[31m") && !strings.Contains(p.do("capture-pane", "-p", "-e"), "\x1b[1;31m") {
			t.Errorf("there is no colour:\n%q", p.do("capture-pane", "-p", "-e"))
		}
	}
}

func TestTopOnce(t *testing.T) {
	var gone atomic.Bool
	srv := topServer(t, &gone)
	out, err := exec.Command("env", "COLUMNS=80", "rollcall", "top", "--once", "--url="+srv.URL).CombinedOutput()
	if err != nil || !strings.HasPrefix(ages.ReplaceAllString(string(out), "N s old"), strings.Split(topScreen, "\n")[0]) || strings.ContainsRune(string(out), '\x1b') || !strings.Contains(string(out), "search/prod") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = exec.Command("rollcall", "top", "--url="+srv.URL).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "top needs a terminal; --once prints the same as text") {
		t.Errorf("without a terminal: %v\n%s", err, out)
	}
}
