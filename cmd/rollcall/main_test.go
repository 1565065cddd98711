package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func TestMain(m *testing.M) {
	testscript.Main(testenv.Runner{M: m}, map[string]func(){
		"rollcall": func() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestCommandLine runs the scripts of testdata/script: what each command says, and how it ends.
func TestCommandLine(t *testing.T) { runScripts(t, "testdata/script", nil) }

// commandsAnswer runs the scripts of testdata/live, which ask a line that runs already.
func commandsAnswer(t *testing.T, vars map[string]string) {
	t.Run("commands", func(t *testing.T) { runScripts(t, "testdata/live", vars) })
}

func runScripts(t *testing.T, dir string, vars map[string]string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Values[portKey] = func() int { return testenv.Port(t) }
			for name, value := range vars {
				e.Setenv(name, value)
			}
			return nil
		},
		Condition: func(cond string) (bool, error) { // [tool:NAME]
			name, ok := strings.CutPrefix(cond, "tool:")
			if !ok {
				return false, fmt.Errorf("no condition %q", cond)
			}
			_, ok = testenv.Tool(t, name)
			return ok, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "until": until, "free": free, "occupy": occupy, "json": jsonHolds, "answers": answers,
		},
	})
}

const portKey = "port"

// exits CODE PROGRAM ARG… runs a program that must end with that very code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if (code == want) == neg {
		ts.Fatalf("%s ends with %d, want %d", args[1], code, want)
	}
}

// until PROGRAM ARG… runs a program again and again until it ends well, for half a minute.
func until(ts *testscript.TestScript, _ bool, args []string) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s still ends with %v:\n%s%s", strings.Join(args, " "), err, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
	}
}

// answers URL REGEXP asks again and again until the answer is as it should be, for half a minute.
func answers(ts *testscript.TestScript, _ bool, args []string) {
	want, err := regexp.Compile(args[1])
	ts.Check(err)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		var text []byte
		res, err := http.Get(args[0])
		if err == nil {
			text, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		if err == nil && want.Match(text) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s still answers %v %.2000s", args[0], err, text)
		}
	}
}

// free NAME… puts an address that nobody listens on into each variable.
func free(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Setenv(name, fmt.Sprintf("127.0.0.1:%d", ts.Value(portKey).(func() int)()))
	}
}

// occupy NAME puts an address that this process listens on into a variable, and into HOLDER what the system calls this process.
func occupy(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
	ts.Setenv("HOLDER", "another process")
	if name, err := os.ReadFile("/proc/self/comm"); err == nil {
		ts.Setenv("HOLDER", fmt.Sprintf("%s \\(pid %d\\)", strings.TrimSpace(string(name)), os.Getpid()))
	}
}

// json FILE KEY[=VALUE]… wants one JSON object with these keys, and no word beside it. A dot leads into an object; a VALUE is the JSON of it.
func jsonHolds(ts *testscript.TestScript, neg bool, args []string) {
	var object map[string]any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &object); err != nil {
		ts.Fatalf("%s is no JSON: %v", args[0], err)
	}
	for _, arg := range args[1:] {
		path, want, compare := strings.Cut(arg, "=")
		at, ok := any(object), true
		for key := range strings.SplitSeq(path, ".") {
			m, _ := at.(map[string]any)
			if at, ok = m[key]; !ok {
				break
			}
		}
		got, err := json.Marshal(at)
		ts.Check(err)
		if (ok && (!compare || string(got) == want)) == neg {
			ts.Fatalf("%s: %s is %s", args[0], arg, got)
		}
	}
}
