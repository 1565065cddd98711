package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// runCanary is `rollcall canary checkout` with flags, in this process.
func runCanary(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, append([]string{"canary", "checkout/prod"}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// Each verdict ends with a code of its own, and that we could not look is none of them, unless it is asked for.
func TestCanaryExits(t *testing.T) {
	answer := func(v canary.Verdict) string {
		return fmt.Sprintf(`{"service":"checkout","env":"prod","verdict":%q,"reason":"because","canary":{"name":"canary","version":"1.42.0","instances":2,"answering":1},`+
			`"baseline":{"name":"production","version":"1.41.3","instances":9,"answering":9},"zones":["a"],"since":1764000000000,"every_ms":1000,"polls":60,"warming":1,`+
			`"metrics":[{"name":"errors","action":"fail","verdict":"fail","text":"errors 0.2 %% → 3 %%","sigmas":7.25,"zone":"a"},{"name":"rate","action":"warn","verdict":"fail","text":"rate down","sigmas":null}],`+
			`"convergence":{"target":"1.42.0","on":2,"of":11,"t50_ms":60000,"reverts":[{"instance":"x"}]}}`, v)
	}
	var asked atomic.Int32
	var query atomic.Value
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		query.Store(r.URL.Query().Encode())
		switch mode := strings.Trim(strings.TrimSuffix(r.URL.Path, "/api/v1/canary"), "/"); mode {
		case "blind":
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"error":"nothing can be judged now"}`)
		case "odd":
			io.WriteString(w, answer("maybe"))
		case "broken":
			io.WriteString(w, `{"verdict":`)
		case "later": // first it is away, then it does not know yet
			switch n {
			case 1:
				w.WriteHeader(http.StatusBadGateway)
			case 2:
				io.WriteString(w, answer(canary.Hold))
			default:
				io.WriteString(w, answer(canary.Fail))
			}
		default:
			io.WriteString(w, answer(canary.Verdict(mode)))
		}
	}))
	defer page.Close()
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	for _, tc := range []struct {
		name, path string
		flags      []string
		code       int
		out, errs  string
	}{
		{"pass", "pass", nil, 0, "PASS  checkout/prod: because", ""},
		{"hold", "hold", nil, 3, "HOLD  checkout/prod", ""},
		{"fail", "fail", nil, 4, "FAIL  checkout/prod", ""},
		{"json", "fail", []string{"--format=json"}, 4, `"verdict":"fail"`, ""},
		{"blind", "blind", nil, 1, "", "could not be judged: nothing can be judged now"},
		{"blind, on error hold", "blind", []string{"--on-error=hold"}, 3, "", "could not be judged"},
		{"blind, on error fail", "blind", []string{"--on-error=fail"}, 4, "", "could not be judged"},
		{"a verdict that is none", "odd", nil, 1, "", `verdict is "maybe", which is none`},
		{"an answer that breaks off", "broken", nil, 1, "", "read the page's answer"},
		{"waits for a verdict", "later", []string{"--wait=20s"}, 4, "FAIL", "hold: because"},
		{"waits no longer than it is told to", "hold", []string{"--wait=1500ms"}, 3, "HOLD", "hold: because"},
		{"waits for a page", "blind", []string{"--wait=1500ms"}, 1, "", "nothing can be judged now"},
		{"passes while it waits", "pass", []string{"--wait"}, 0, "PASS", ""},
		{"no duration", "pass", []string{"--wait=soon"}, 2, "", "expected a duration such as 10m"},
		{"no such way out", "pass", []string{"--on-error=pass"}, 2, "", "must be one of"},
		{"warming up backwards", "pass", []string{"--warmup=-1s"}, 2, "", "--warmup=-1s is not within a day"},
	} {
		asked.Store(0)
		code, out, errs := runCanary(t.Context(), append(tc.flags, "--url="+page.URL+"/"+tc.path)...)
		if code != tc.code || !strings.Contains(out, tc.out) || tc.out == "" && out != "" || !strings.Contains(errs, tc.errs) {
			t.Errorf("%s: exit %d, want %d\n%s\n%s", tc.name, code, tc.code, out, errs)
		}
	}
	if code, out, errs := runCanary(t.Context(), "--url="+nobody.URL, "--on-error=hold"); code != 3 || out != "" || !strings.Contains(errs, "no page answers") {
		t.Errorf("nobody answers: exit %d\n%s\n%s", code, out, errs)
	}
	if code, _, errs := runCanary(t.Context(), "--url=nowhere", "--on-error=hold", "--wait"); code != 2 || !strings.Contains(errs, "is no URL") {
		t.Errorf("no URL: exit %d\n%s", code, errs)
	}
	// Told to stop is not passed.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, errs := runCanary(ended, "--url="+page.URL+"/hold", "--wait"); code != 1 || !strings.Contains(errs, "stopped before there was a verdict") {
		t.Errorf("told to stop: exit %d\n%s", code, errs)
	}
	_, out, _ := runCanary(t.Context(), "--url="+page.URL+"/fail", "--service-version=1.42.0", "--warmup=90s")
	const want = `FAIL  checkout/prod: because
canary 1.42.0 (2 instances, 1 of them answering) against production 1.41.3 (9 instances) of its own zones, a; 60 polls of 1s since 16:00:00 UTC; 1 still warming up
  fail  errors 0.2 % → 3 % in a  7.2 standard errors
  warn  rate down
2 of 11 instances run 1.42.0: half after 1m, 1 went back
`
	if trimmed := trimLines(out); trimmed != want {
		t.Errorf("it says\n%s\nwant\n%s", trimmed, want)
	}
	if q := query.Load(); q != "env=prod&service=checkout&version=1.42.0&warmup=1m30s" {
		t.Errorf("it asks %v", q)
	}
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// The demo breaks a canary, and a deploy that waits for the verdict is stopped. Nobody else's is.
func TestCanaryOfTheDemo(t *testing.T) {
	b := newTestBroker(t)
	b.start()
	d := startDemo(t, b.addr)
	url := strings.TrimSuffix(strings.Fields(d.url)[0], "/")
	res, err := http.Post(url+"/demo/fault", "application/json", strings.NewReader(`{"kind":"canary"}`))
	if err != nil {
		t.Fatal(err)
	}
	var fault struct{ Text string }
	if err := json.Unmarshal([]byte(readAll(t, res)), &fault); err != nil {
		t.Fatal(err)
	}
	broken := strings.Fields(fault.Text)[0]
	for _, service := range []string{broken, "users"} {
		var out, errs bytes.Buffer
		args := []string{"canary", service, "--wait=60s", "--url=" + url}
		want := exitFail
		if service != broken {
			args, want = []string{"canary", service, "--url=" + url}, exitHold
		}
		code := run(t.Context(), args, strings.NewReader(""), &out, &errs)
		if code != want && !(service != broken && code == exitOK) {
			t.Errorf("%q: exit %d for %s\n%s%s", fault.Text, code, service, &out, &errs)
		}
		if service == broken && (!strings.Contains(out.String(), "FAIL  "+broken+"/prod: in us-east-1") || !strings.Contains(out.String(), " errors ")) {
			t.Errorf("it says\n%s", &out)
		}
	}
	if program, ok := testenv.Tool(t, "chromium"); ok {
		p := openTab(t, program, url)
		p.do(chromedp.Navigate(url + "/canaries"))
		await[bool](p, 20*time.Second, "the canary that fails, on the page, with its evidence", fmt.Sprintf(`((c) => c?.dataset.verdict === "fail" && !!c.querySelector(".turn.fail") && !!c.querySelector('[data-metric=errors][data-verdict=fail]'))(document.querySelector('[data-testid=canary][data-service="%s"]'))`, broken))
	}
	commandsAnswer(t, map[string]string{"ROLLCALL_URL": url, "ROLLCALL_COLLECTOR": d.from, "BROKEN": broken})
	grafanaIsAnswered(t, url, broken)
}
