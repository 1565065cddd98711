package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/readback"
)

// start runs the program until the returned function ends it as a signal does; that gives how it ended.
func start(t *testing.T, args ...string) (stdout, stderr *lines, end func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stdout, stderr = &lines{}, &lines{}
	done := make(chan int, 1)
	go func() { done <- run(ctx, args, strings.NewReader(""), stdout, stderr) }()
	ended := -1
	end = func() int {
		if ended < 0 {
			cancel()
			ended = <-done
		}
		return ended
	}
	t.Cleanup(func() {
		end()
		if t.Failed() {
			t.Logf("%d bytes of output\n%s", len(stdout.String()), stderr)
		}
	})
	return stdout, stderr, end
}

// exported are the exports of a running process.
func exported(t *testing.T, addr string) []export.Status {
	t.Helper()
	res, err := http.Get("http://" + addr + "/api/v1/exports")
	if err != nil {
		return nil // it does not listen yet
	}
	var out struct{ Exports []export.Status }
	if err := json.Unmarshal([]byte(readAll(t, res)), &out); err != nil {
		t.Fatal(err)
	}
	return out.Exports
}

func freeAddr(t *testing.T) string { return "127.0.0.1:" + strconv.Itoa(testenv.Port(t)) }

// All four forms are exported from one broker, by flags and from a file; each ends with everything it was to deliver, and says how far it is.
func TestExport(t *testing.T) {
	b := newTestBroker(t)
	b.start()
	const n = 90
	deliver(t, b.addr, 1, t.TempDir(), n) // 94 records: one comes in parts
	var posted, registered atomic.Int64
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case user != "me" || password != "hunter2":
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/subjects/"):
			registered.Add(1)
			io.WriteString(w, `{"id":5}`)
		default:
			posted.Add(1)
		}
	}))
	t.Cleanup(far.Close)

	t.Run("lines on standard output", func(t *testing.T) {
		stdout, _, end := start(t, "export", "--to=ndjson", "--path=-", "--from=all", "--kafka="+b.addr, "--web.listen-address=", "--services=service-1*")
		of := func() (whole int) {
			for l := range strings.SplitSeq(stdout.String(), "\n") {
				if json.Valid([]byte(l)) {
					whole++
				}
			}
			return whole
		}
		testenv.Eventually(t, "eleven services of three records, one of them in three parts", func() bool { return of() >= 35 })
		if code := end(); code != 0 || of() != 35 || strings.Contains(stdout.String(), `"service-2"`) {
			t.Errorf("code %d, %d lines", code, of())
		}
	})

	t.Run("flat, by a second of its group", func(t *testing.T) {
		web := freeAddr(t)
		_, _, end := start(t, "export", "--to=flat", "--metrics=requests|heap", "--from=all", "--kafka="+b.addr, "--web.listen-address="+web)
		testenv.Eventually(t, "all to be exported", func() bool {
			s := exported(t, web)
			return len(s) == 1 && s[0].Lag == 0 && s[0].Records >= n
		})
		res, err := http.Get("http://" + web + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		if text := readAll(t, res); !strings.Contains(text, `rollcall_export_lag_records{export="flat"} 0`) || !strings.Contains(text, `rollcall_export_records_total{export="flat",lane="live"}`) {
			t.Errorf("%s", text)
		}
		if code := end(); code != 0 {
			t.Errorf("code %d", code)
		}
		if got := count(t, b.addr, "rollcall.samples"); got != 2*n {
			t.Errorf("%d samples", got)
		}
		_, _, end = start(t, "export", "--to=flat", "--metrics=requests|heap", "--kafka="+b.addr, "--web.listen-address="+web)
		testenv.Eventually(t, "the next to begin", func() bool { s := exported(t, web); return len(s) == 1 && s[0].Partitions == 6 })
		if code := end(); code != 0 || count(t, b.addr, "rollcall.samples") != 2*n {
			t.Errorf("code %d, %d samples", code, count(t, b.addr, "rollcall.samples"))
		}
	})

	t.Run("a file, in one process with the rest", func(t *testing.T) {
		dir := t.TempDir()
		out, secret := filepath.Join(dir, "out"), filepath.Join(dir, "secret")
		if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		file, web := filepath.Join(dir, "rollcall.yml"), freeAddr(t)
		text := fmt.Sprintf(`kafka: {brokers: [%q]}
zookeeper: {monitor: false}
exports:
- {name: prometheus, to: remote-write, from: all, url: "%s/api/v1/write", basic_auth: {username: me, password_file: %q}}
- {name: lines, to: ndjson, from: all, path: %q, compression: gzip}
- {name: avro, to: avro, from: all, url: %q, basic_auth: {username: me, password: hunter2}}
- {name: dead, to: remote-write, from: all, url: "http://127.0.0.1:1/write"}
`, b.addr, far.URL, secret, out, far.URL)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, bad, code := rollcall(t, "check", "config", file); code != 0 || strings.Contains(out+bad, "hunter2") {
			t.Fatalf("code %d: %s%s", code, out, bad)
		}
		_, _, end := start(t, "up", "--config.file="+file, "--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+freeAddr(t), "--collector.listen-address="+web,
			"--embedded.zookeeper-address="+freeAddr(t))
		testenv.Eventually(t, "three to be done, and the dead one to be held up alone", func() bool {
			good, held := 0, 0
			for _, s := range exported(t, web) {
				if s.Trouble != "" {
					held++
				} else if s.Lag == 0 && s.Records >= n {
					good++
				}
			}
			return good == 3 && held == 1
		})
		if code := end(); code != 0 {
			t.Errorf("code %d", code)
		}
		files, _ := filepath.Glob(filepath.Join(out, "snapshots-*.ndjson.gz"))
		if len(files) != 3 || posted.Load() == 0 || registered.Load() != 1 || count(t, b.addr, "rollcall.snapshots.avro") < n {
			t.Errorf("files %v, %d posted, %d registered, %d in Avro", files, posted.Load(), registered.Load(), count(t, b.addr, "rollcall.snapshots.avro"))
		}
	})

	for _, tc := range []struct {
		name, args, says string
		code             int
	}{
		{"nothing to do", "", "nothing to export", 2},
		{"an unknown form", "--to=parquet", `"parquet": use flat`, 2},
		{"no receiver", "--to=remote-write", "is not an http or https URL", 2},
		{"a flag of another form", "--to=flat --path=x", "has no path", 2},
		{"a bad pattern", "--to=flat --metrics=(", "metrics[0]", 2},
		{"a bad time", "--to=flat --from=soon", "use now, all", 2},
		{"good", "--to=flat --check", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, bad, code := rollcall(t, append([]string{"export", "--kafka=" + b.addr}, strings.Fields(tc.args)...)...)
			if code != tc.code || !strings.Contains(bad, tc.says) {
				t.Errorf("code %d\n%s%s", code, out, bad)
			}
		})
	}
}

// count is how many records a topic has.
func count(t *testing.T, broker, topic string) (n int) {
	t.Helper()
	eachRecord(t, broker, topic, func(m readback.Message) {
		if len(bytes.TrimSpace(m.Value)) > 0 {
			n++
		}
	})
	return n
}
