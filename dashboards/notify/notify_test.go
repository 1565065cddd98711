package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// list is findings that change while they are told.
type list struct {
	mu sync.Mutex
	fs []dashboards.Finding
}

func (l *list) set(fs ...dashboards.Finding) {
	l.mu.Lock()
	l.fs = fs
	l.mu.Unlock()
}

func (l *list) get() []dashboards.Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]dashboards.Finding(nil), l.fs...)
}

func finding(id, level string) dashboards.Finding {
	return dashboards.Finding{ID: id, Level: level, Service: "check out", Env: "prod", Metric: "errors", Since: time.Now().Add(-time.Minute).UnixMilli(), Title: "checkout is failing", Text: "checkout is failing; only 1.42.0"}
}

func over(f dashboards.Finding) dashboards.Finding {
	t := time.Now().UnixMilli()
	f.Ended = &t
	return f
}

func run(t *testing.T, c Config) {
	t.Helper()
	n, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func TestWords(t *testing.T) {
	now := time.Now()
	silenced := finding("f1", "bad")
	silenced.Silenced = &dashboards.Silence{}
	old := over(finding("f1", "bad"))
	*old.Ended -= time.Hour.Milliseconds()
	passed, goneBy := finding("f1", "info"), over(finding("f1", "info"))
	said := func(level string, ago time.Duration, over bool) map[string]told {
		f := finding("f1", level)
		return map[string]told{"f1": {now.Add(-ago), level, over, labels(&f)}}
	}
	for _, tc := range []struct {
		name string
		told map[string]told
		f    dashboards.Finding
		am   string // what an Alertmanager hears, and a webhook
		hook string
	}{
		{"new", nil, finding("f1", "bad"), "firing", "firing"},
		{"told", said("bad", time.Second, false), finding("f1", "bad"), "", ""},
		{"told a while ago", said("bad", 2*time.Minute, false), finding("f1", "bad"), "firing", ""},
		{"worse", said("warn", time.Second, false), finding("f1", "bad"), "firing, was warn", "firing"},
		{"over", said("bad", time.Second, false), over(finding("f1", "bad")), "over", "over"},
		{"over and told", said("bad", time.Second, true), over(finding("f1", "bad")), "", ""},
		{"over, and this process has not told of it", nil, over(finding("f1", "bad")), "over", ""},
		{"over for long", nil, old, "", ""},
		{"silenced", nil, silenced, "", ""},
		{"silenced after it was told", said("bad", time.Second, false), silenced, "over", "over"},
		{"no trouble", nil, passed, "", ""},
		{"no trouble, and over", nil, goneBy, "", ""},
		{"no trouble any more", said("bad", time.Second, false), passed, "over, was bad", "over"},
		{"trouble now", said("info", time.Second, true), finding("f1", "bad"), "firing", "firing"},
		{"not silenced any more", said("bad", time.Second, true), finding("f1", "bad"), "firing", "firing"},
	} {
		for form, want := range map[Form]string{Alertmanager: tc.am, Webhook: tc.hook} {
			r := &receiver{Receiver: Receiver{Form: form}, cfg: &Config{Resend: time.Minute}, told: map[string]told{}}
			for id, x := range tc.told {
				r.told[id] = x
			}
			var got []string
			for _, w := range r.words(now, []dashboards.Finding{tc.f}, nil) {
				s := map[bool]string{true: "over", false: "firing"}[w.told.over]
				if w.was != nil {
					s += ", was " + w.was["level"]
				}
				got = append(got, s)
			}
			if text := strings.Join(got, "; "); text != want {
				t.Errorf("%s, %s: %q, want %q", tc.name, form, text, want)
			}
		}
	}
}

// A webhook that fails hears all the same, and how things are then; one that refuses is not asked again.
func TestWebhook(t *testing.T) {
	var mu sync.Mutex
	var got []string
	fail, failed := false, 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if fail {
			failed++
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		b, _ := io.ReadAll(r.Body)
		var m Message
		if err := json.Unmarshal(b, &m); err != nil || r.Header.Get("Authorization") != "Bearer x" {
			t.Error(err, string(b))
		}
		got = append(got, m.Status+" "+m.Finding.Level+" "+m.Link)
	}))
	defer srv.Close()
	var l list
	l.set(finding("f1", "warn"))
	run(t, Config{Findings: l.get, Link: "https://rollcall.example/", Receivers: []Receiver{{Form: Webhook, URL: srv.URL, Authorize: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer x"); return nil }}}})
	said := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= n }
	}
	testenv.Eventually(t, "it is told", said(1))
	mu.Lock()
	fail = true
	mu.Unlock()
	l.set(finding("f1", "bad"))
	testenv.Eventually(t, "it is tried", func() bool { mu.Lock(); defer mu.Unlock(); return failed > 0 })
	l.set(over(finding("f1", "bad")))
	mu.Lock()
	fail = false
	mu.Unlock()
	testenv.Eventually(t, "the end is told", said(2))
	const link = " https://rollcall.example/finding/f1?env=prod"
	if text := strings.Join(got, ", "); text != "firing warn"+link+", resolved bad"+link {
		t.Errorf("told: %s", text)
	}
}

// One finding that a webhook does not take holds up no other; it is told again if it may be taken later.
func TestOneHoldsUpNoOther(t *testing.T) {
	for _, tc := range []struct {
		status int
		heard  string // at once, and after a minute
		later  string
		away   bool
	}{
		{500, "b c d", "a", false},
		{503, "b c d", "a", false},
		{404, "b c d", "a", false},
		{401, "b c d", "a", false},
		{408, "b c d", "a", false},
		{409, "b c d", "", false},
		{410, "b c d", "", false},
		{422, "b c d", "", false},
		{429, "", "b c d a", true},
		{0, "", "b c d a", true}, // the connection dies
	} {
		var mu sync.Mutex
		var got []string
		bad := tc.status
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var m Message
			_ = json.NewDecoder(r.Body).Decode(&m)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case m.ID == "a" && bad == 0:
				panic(http.ErrAbortHandler)
			case m.ID == "a" && bad != 200:
				w.WriteHeader(bad)
			default:
				got = append(got, m.ID)
			}
		}))
		l := &list{}
		l.set(finding("a", "bad"), finding("b", "bad"), finding("c", "bad"), finding("d", "bad"))
		n, err := New(Config{Findings: l.get, Receivers: []Receiver{{Form: Webhook, URL: srv.URL}}})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		away, err := n.to[0].look(t.Context(), now)
		mu.Lock()
		if text := strings.Join(got, " "); text != tc.heard || away != tc.away || (err == nil) != (tc.later == "") {
			t.Errorf("%d: heard %q, away %v, %v", tc.status, text, away, err)
		}
		got, bad = nil, 200
		mu.Unlock()
		_, err = n.to[0].look(t.Context(), now.Add(time.Minute))
		mu.Lock()
		if err != nil || strings.Join(got, " ") != tc.later {
			t.Errorf("%d: later heard %q, want %q; %v", tc.status, got, tc.later, err)
		}
		mu.Unlock()
		srv.Close()
	}
}

// Where nothing is taken it is not asked for each finding.
func TestNothingIsTaken(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer srv.Close()
	l := &list{}
	for i := range 100 {
		l.fs = append(l.fs, finding(strconv.Itoa(i), "bad"))
	}
	n, err := New(Config{Findings: l.get, Receivers: []Receiver{{Form: Webhook, URL: srv.URL}}})
	if err != nil {
		t.Fatal(err)
	}
	if away, err := n.to[0].look(t.Context(), time.Now()); !away || err == nil || asked != mostInRow {
		t.Errorf("asked %d times, away %v, %v", asked, away, err)
	}
}

// The real Alertmanager takes what it is told, knows the finding by its labels, and that it is over.
func TestAlertmanager(t *testing.T) {
	program, ok := testenv.Tool(t, "prometheus-alertmanager")
	if !ok {
		return
	}
	dir, at := t.TempDir(), net.JoinHostPort("127.0.0.1", strconv.Itoa(testenv.Port(t)))
	file := filepath.Join(dir, "am.yml")
	if err := os.WriteFile(file, []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := "http://" + at
	testenv.Program(t, []string{program, "--config.file=" + file, "--storage.path=" + dir, "--web.listen-address=" + at, "--cluster.listen-address="}, testenv.Answers(base+"/-/ready"))
	alerts := func() (out string) {
		res, err := http.Get(base + "/api/v2/alerts")
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		var as []struct {
			Labels, Annotations map[string]string
			GeneratorURL        string
		}
		if err := json.NewDecoder(res.Body).Decode(&as); err != nil {
			return err.Error()
		}
		for _, a := range as {
			out += fmt.Sprintf("%s/%s %s %s %s: %s (%s) %s;", a.Labels["service"], a.Labels["env"], a.Labels["metric"], a.Labels["level"], a.Labels["finding"], a.Annotations["description"], a.Annotations["acknowledged"], a.GeneratorURL)
		}
		return out
	}
	const page = "https://rollcall.example"
	want := func(what, text string) {
		t.Helper()
		testenv.Eventually(t, what, func() bool { return alerts() == text })
	}
	line := func(level, ack string) string {
		return "check out/prod errors " + level + " f1: checkout is failing; only 1.42.0 (" + ack + ") " + page + "/finding/f1?env=prod;"
	}
	var l list
	l.set(finding("f1", "warn"))
	run(t, Config{Findings: l.get, Link: page, Resend: time.Second, Receivers: []Receiver{{Form: Alertmanager, URL: base}}})
	want("it fires", line("warn", ""))
	worse := finding("f1", "bad")
	worse.Ack = &dashboards.Ack{By: "ann"}
	l.set(worse)
	want("it is worse, and no longer what it was", line("bad", "by ann"))
	l.set(over(worse))
	want("it is over", "")
	l.set(worse)
	want("it fires again", line("bad", "by ann"))
	l.set() // as when this process dies
	want("it is over by itself", "")
}

// Who looks after a service is told with its finding: by labels, which alerts are sent on by, and the runbook as Prometheus' rules have it.
func TestSigned(t *testing.T) {
	f := finding("f1", dashboards.LevelBad)
	f.Owner, f.Chat, f.Runbook = "payments", "#payments", "https://wiki.example/c"
	for _, tc := range []struct {
		form Form
		want []string
	}{
		{Alertmanager, []string{`"owner":"payments"`, `"chat":"#payments"`, `"runbook_url":"https://wiki.example/c"`}},
		{Webhook, []string{`"owner":"payments"`, `"chat":"#payments"`, `"runbook":"https://wiki.example/c"`}},
	} {
		r := receiver{Receiver: Receiver{Form: tc.form}, cfg: &Config{Resend: time.Minute}}
		body, err := r.body([]word{{f: &f, told: told{as: labels(&f)}}}, time.Now())
		for _, w := range tc.want {
			if err != nil || !strings.Contains(string(body), w) {
				t.Errorf("%s: %v: no %s in %s", tc.form, err, w, body)
			}
		}
	}
}
