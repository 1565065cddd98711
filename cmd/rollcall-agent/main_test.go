package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestMain(m *testing.M) {
	testscript.Main(testenv.Runner{M: m}, map[string]func(){"rollcall-agent": main})
}

// The command line against a real ZooKeeper. A script has $ZK, $ROOT (nobody else's), $PORT and $WEB (free ports), $APP (host:port of an application whose
// health the command app sets), and the commands below.
func TestScripts(t *testing.T) {
	server, root := testenv.SharedZooKeeper(t)
	eyes, events, err := gozk.Connect([]string{server.Addr}, 6*time.Second, gozk.WithLogger(quiet{}), gozk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the scripts, which run beside each other
		eyes.Close()
		for range events { // closed when the library has ended
		}
	})
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			a := &app{}
			s := httptest.NewServer(a)
			e.Defer(s.Close)
			e.Values[appKey{}] = a
			tt := e.T().(testing.TB)
			e.Setenv("ZK", server.Addr)
			e.Setenv("ROOT", root+"/"+filepath.Base(e.WorkDir))
			e.Setenv("PORT", strconv.Itoa(testenv.Port(tt)))
			e.Setenv("WEB", "127.0.0.1:"+strconv.Itoa(testenv.Port(tt)))
			e.Setenv("APP", s.Listener.Addr().String())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// members SERVICE/ENV N [TEXT…]: waits until that many members are there, each of the texts in the name or data of one.
			"members": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[1])
				ts.Check(err)
				dir := ts.Getenv("ROOT") + "/" + args[0]
				until(ts, func() error {
					names, _, err := eyes.Children(dir)
					if err != nil && !errors.Is(err, gozk.ErrNoNode) {
						return err
					}
					all := ""
					for _, n := range names {
						data, _, _ := eyes.Get(dir + "/" + n)
						all += n + " " + string(data) + "\n"
					}
					if len(names) != want {
						return fmt.Errorf("%d members, want %d:\n%s", len(names), want, all)
					}
					return contains(all, args[2:])
				})
			},
			// get PATH STATUS [TEXT…]: waits until the agent's page answers so.
			"get": func(ts *testscript.TestScript, _ bool, args []string) {
				until(ts, func() error {
					res, err := http.Get("http://" + ts.Getenv("WEB") + args[0])
					if err != nil {
						return err
					}
					defer res.Body.Close()
					b, err := io.ReadAll(res.Body)
					if err != nil {
						return err
					}
					if got := strconv.Itoa(res.StatusCode); got != args[1] {
						return fmt.Errorf("status %s, want %s: %s", got, args[1], b)
					}
					return contains(string(b), args[2:])
				})
			},
			// app well|sick
			"app": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Value(appKey{}).(*app).sick.Store(args[0] == "sick")
			},
			// signal NAME: to the last command in the background.
			"signal": func(ts *testscript.TestScript, _ bool, args []string) {
				all := ts.BackgroundCmds()
				sig := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "USR2": syscall.SIGUSR2, "KILL": syscall.SIGKILL}[args[0]]
				ts.Check(all[len(all)-1].Process.Signal(sig))
			},
			// put FILE: replaces a file of services by what comes from FILE.new, at once.
			"put": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(os.Rename(ts.MkAbs(args[0]+".new"), ts.MkAbs(args[0])))
			},
		},
	})
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

type appKey struct{}

type app struct{ sick atomic.Bool }

func (a *app) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if a.sick.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func contains(text string, parts []string) error {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return fmt.Errorf("no %q in:\n%s", p, text)
		}
	}
	return nil
}

func until(ts *testscript.TestScript, ok func() error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within 30 s: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestOwnAddress(t *testing.T) {
	for _, tc := range []struct{ server, want string }{{"127.0.0.1:2181", "127.0.0.1"}, {"127.0.0.1", "127.0.0.1"}, {"[::1]:2181", "::1"}} {
		got, err := ownAddress([]string{"nowhere.invalid:2181", tc.server})
		if err != nil || got != tc.want {
			t.Errorf("towards %s: %q, %v", tc.server, got, err)
		}
	}
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	digest := write("digest", "no colon in it\n")
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"--version", 0, "rollcall-agent "},
		{"--help", 0, "register -s checkout -e prod -p 8001 --check=http:/health"},
		{"register --help", 0, "SIGUSR2"},
		{"", 2, "--help"},
		{"regster", 2, "register"},
		{"register", 2, "nothing to register"},
		{"register -s a", 2, "port: is missing"},
		{"register -p 1", 2, "service: is missing"},
		{"register -s a/b -p 1 --host=h", 2, "holds a /"},
		{"register -s a -p 70000", 2, "port"},
		{"register -s a -p 1 --host=0.0.0.0", 2, "clients reach it"},
		{"register -s a -p 1 --host=h --check=ping", 2, "--check: check \"ping\": write it as http:/health"},
		{"register -s a -p 1 --host=h --check=tcp --check-interval=1ms", 2, "interval"},
		{"register -s a -p 1 --host=h --track=new", 2, "canary, baseline or production"},
		{"register -s a -p 1 --host=h --zookeeper=zk/chroot", 2, "holds a path"},
		{"register -s a -p 1 --host=h --zookeeper.root=x", 2, "root"},
		{"register -s a -p 1 --host=h --zookeeper.session-timeout=1ms", 2, "session timeout"},
		{"register -s a -p 1 --host=h --zookeeper.digest-file=" + digest, 2, "user:password"},
		{"register -s a -p 1 --host=h --zookeeper.digest-file=/nowhere", 2, "/nowhere"},
		{"register -s a -p 1 --host=h --log.level=loud", 2, "log.level"},
		{"register --config.file=/nowhere.yml", 2, "/nowhere.yml"},
		{"register --config.file=" + write("a.yml", "services:\n- service: a\n  prot: 1\n"), 2, `a.yml: line 3: nothing is called "prot" here; is it port?`},
		{"register --service-files=*/x.yml", 1, "wildcard in its folder"},
		{"register -s a -p 1 --host=h --web.listen-address=nowhere", 1, "HOST:PORT"},
		{"register -s a -p 1 --host=h --web.listen-address=127.0.0.1:0 --web.config.file=/nowhere", 2, "/nowhere"},
		{"register -s a -p 1 --host=h --storage.path=" + digest, 1, "storage path"},
		{"register --config.file=" + write("t.yml", "zookeeper: {tls_config: {ca_file: "+digest+"}}\nservices: [{service: a, host: h, port: 1}]\n"), 2, "no certificate"},
		{"register --config.file=" + write("u.yml", "zookeeper: {tls_config: {cert_file: x}}\nservices: [{service: a, host: h, port: 1}]\n"), 2, "go together"},
		{"check " + write("b.yml", "service_files: ['c*.yml']\n"), 0, "b.yml: 0 services, 1 patterns"},
		{"check " + write("b2.yml", "root: x\n"), 1, "line 1: root: "},
		{"check /nowhere.yml", 1, "/nowhere.yml"},
		{"check --services " + write("d.yml", "service: a\nport: 0\n"), 1, "d.yml: line 2: port: is missing or 0"},
		{"check --services " + write("e.yml", "service: a\nport: 1\n---\nservice: b\nport: 2\n"), 0, "e.yml: 2 services"},
	} {
		var out strings.Builder
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		code := run(ctx, strings.Fields(tc.args), &out, &out)
		cancel()
		if code != tc.code || !strings.Contains(out.String(), tc.says) {
			t.Errorf("rollcall-agent %s: %d\n%s\nwant %d and %q", tc.args, code, out.String(), tc.code, tc.says)
		}
	}
}
