package collect

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// rollOf is a daemon that runs nothing, with a roster of n members and whatever else the sets hold.
func rollOf(t testing.TB, n int, more ...discovery.Set) (*Daemon, *http.ServeMux) {
	t.Helper()
	c, err := config.Parse([]byte("kafka: {brokers: ['127.0.0.1:1']}\nscrape_configs:\n- job_name: apps\n  params: {token: [very-secret]}\n  static_configs: [{targets: ['127.0.0.1:1']}]\n"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(c, Options{Storage: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	bySet := map[string][]*discovery.Member{}
	for i := range n {
		service := fmt.Sprintf("s%03d", i/100)
		path := "/discovery/" + service + "/prod"
		bySet[path] = append(bySet[path], member(service, path, fmt.Sprintf("10.%d.%d.%d:8001", i>>16, i>>8&255, i&255)))
	}
	for path, ms := range bySet {
		d.onChange(d.roster.Apply(discovery.Set{Source: "apps", Path: path, Members: ms, Verified: now}, now))
	}
	for _, s := range more {
		d.onChange(d.roster.Apply(s, now))
	}
	d.applyTargets()
	mux := http.NewServeMux()
	d.Routes(mux)
	return d, mux
}

func member(service, path, addr string) *discovery.Member {
	host, port, err := discovery.SplitAddr(addr)
	if err != nil {
		panic(err)
	}
	return &discovery.Member{Instance: discovery.Instance{Key: discovery.Key{Service: service, Env: "prod", Host: host, Port: port}, Source: "apps", Path: path, Member: "m-" + addr, Format: "kingpin",
		Shard: discovery.NoShard, Zxid: 0x12, Tags: discovery.TagsOf(map[string]string{"service.version": "1.0"}),
		Meta: discovery.TagsOf(map[string]string{"__meta_serverset_path": path, "__meta_serverset_endpoint_host": host, "__meta_serverset_endpoint_port": fmt.Sprint(port)})}}
}

func ask(t testing.TB, mux http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func read[T any](t testing.TB, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%d: %v\n%.500s", w.Code, err, w.Body)
	}
	return v
}

type rosterAnswer struct {
	Entries []discovery.Entry
	Total   int
	Counts  map[discovery.State]int
}

func TestRosterQuery(t *testing.T) {
	broken := &discovery.Member{Instance: discovery.Instance{Key: discovery.Key{Service: "broken", Env: "prod"}, Source: "apps", Path: "/discovery/broken/prod", Member: "member_1"}, Err: io.ErrUnexpectedEOF}
	d, mux := rollOf(t, 250, discovery.Set{Source: "apps", Path: "/discovery/broken/prod", Members: []*discovery.Member{broken}})
	gone := time.Now()
	left := []*discovery.Member{}
	for i := range 98 {
		left = append(left, member("s000", "/discovery/s000/prod", fmt.Sprintf("10.0.0.%d:8001", i)))
	}
	d.onChange(d.roster.Apply(discovery.Set{Source: "apps", Path: "/discovery/s000/prod", Members: left, Verified: gone}, gone))
	for _, tc := range []struct {
		query        string
		total, shown int
	}{
		{"", 251, 251},
		{"?service=s001", 100, 100},
		{"?service=s001&limit=10&offset=95", 100, 5},
		{"?limit=7", 251, 7},
		{"?offset=1000", 251, 0},
		{"?env=staging", 0, 0},
		{"?state=unparsable", 1, 1},
		{"?state=departed", 2, 2},
		{"?state=missing,unparsable", 3, 3},
		{"?state=scraped", 248, 248},
		{"?path=/discovery/s002", 50, 50},
		{"?path=/discovery/s00", 0, 0},
		{"?q=10.0.0.99", 1, 1},
		{"?q=MEMBER_1", 1, 1},
		{"?q=1.0&service=s002", 50, 50},
		{"?job=other", 0, 0},
	} {
		a := read[rosterAnswer](t, ask(t, mux, "/api/v1/roster"+tc.query))
		if a.Total != tc.total || len(a.Entries) != tc.shown {
			t.Errorf("%s: %d of %d, want %d of %d", tc.query, len(a.Entries), a.Total, tc.shown, tc.total)
		}
	}
	for _, bad := range []string{"?state=gone", "?limit=-1", "?offset=x", "?q=" + strings.Repeat("x", 2000)} {
		if w := ask(t, mux, "/api/v1/roster"+bad); w.Code != http.StatusBadRequest || read[map[string]string](t, w)["error"] == "" {
			t.Errorf("%.40s: %d %s", bad, w.Code, w.Body)
		}
	}
	groups := read[struct {
		Groups []discovery.Group
		Total  int
	}](t, ask(t, mux, "/api/v1/roster/groups?service=s000"))
	if len(groups.Groups) != 1 || groups.Groups[0].Missing != 2 || groups.Groups[0].Expected != 100 {
		t.Errorf("groups: %+v", groups)
	}
	paths := read[struct {
		Paths []discovery.PathState
		Total int
	}](t, ask(t, mux, "/api/v1/roster/paths?limit=2"))
	if len(paths.Paths) != 2 || paths.Total != 4 {
		t.Errorf("paths: %+v", paths)
	}
	if w := ask(t, mux, "/api/v1/roster/guards"); !strings.Contains(w.Body.String(), `"guards":[]`) {
		t.Errorf("guards: %s", w.Body)
	}
	s := d.Status()
	if s.Missing.Count != 2 || s.Missing.Names[0] != "s000/prod/10.0.0.98:8001" || s.Broken.Count != 1 {
		t.Errorf("status names %+v %+v", s.Missing, s.Broken)
	}
}

func TestWhyNames(t *testing.T) {
	_, mux := rollOf(t, 250)
	for _, tc := range []struct {
		name string
		code int
		says string
	}{
		{"s000/prod/10.0.0.7:8001", 200, "s000/prod/10.0.0.7:8001 is present"},
		{"10.0.0.7:8001", 200, "Job apps has it at /discovery/s000/prod as m-10.0.0.7:8001, made by transaction 0x12"},
		{"m-10.0.0.70:8001", 200, "s000/prod/10.0.0.70:8001"},
		{"0.249:80", 200, "s002/prod/10.0.0.249:8001"},
		{"s002", 300, `"total":50`},
		{"nobody", 404, "rollcall ls"},
		{"", 400, "say who"},
	} {
		w := ask(t, mux, "/api/v1/roster/why?instance="+tc.name)
		if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s: %d %s", tc.name, w.Code, w.Body)
		}
	}
}

// What is sent to one who has it already is nothing; a change of the roster is sent.
func TestServiceDiscovery(t *testing.T) {
	d, mux := rollOf(t, 150)
	type group struct {
		Targets []string
		Labels  map[string]string
	}
	w := ask(t, mux, "/sd/http")
	groups := read[[]group](t, w)
	if len(groups) != 150 || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
		t.Fatalf("%d groups, %s", len(groups), w.Header())
	}
	first := groups[0]
	for name, want := range map[string]string{"job": "s000", "env": "prod", "__meta_serverset_path": "/discovery/s000/prod", "__meta_serverset_endpoint_host": "10.0.0.0", "__meta_rollcall_state": "present", "__meta_rollcall_tag_service_version": "1.0"} {
		if first.Labels[name] != want {
			t.Errorf("label %s is %q, want %q", name, first.Labels[name], want)
		}
	}
	if len(first.Targets) != 1 || first.Targets[0] != "10.0.0.0:8001" {
		t.Errorf("targets %q", first.Targets)
	}
	tag := w.Header().Get("ETag")
	if again := ask(t, mux, "/sd/http"); again.Body.String() != w.Body.String() || again.Header().Get("ETag") != tag {
		t.Error("two answers about one roster differ")
	}
	if w := ask(t, mux, "/sd/http", "If-None-Match", `"x", `+tag); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("known already: %d, %d bytes", w.Code, w.Body.Len())
	}
	if w := ask(t, mux, "/sd/http?service=s001", "If-None-Match", tag); w.Code != http.StatusOK || len(read[[]group](t, w)) != 50 {
		t.Errorf("another question: %d", w.Code)
	}
	zipped := ask(t, mux, "/sd/http", "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || string(text) != w.Body.String() {
		t.Errorf("zipped: %v, %d bytes", err, len(text))
	}
	now := time.Now()
	d.onChange(d.roster.Apply(discovery.Set{Source: "apps", Path: "/discovery/new/prod", Members: []*discovery.Member{member("new", "/discovery/new/prod", "10.9.9.9:80")}, Verified: now}, now))
	if w := ask(t, mux, "/sd/http", "If-None-Match", tag); w.Code != http.StatusOK || len(read[[]group](t, w)) != 151 {
		t.Errorf("after a join: %d", w.Code)
	}
	if w := ask(t, mux, "/sd/http?service=nobody"); w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("nobody: %d %s", w.Code, w.Body)
	}
}

// Static targets of one service are one group: their labels are the same.
// Whoever reads our list is not sent where we would not go ourselves.
func TestServiceDiscoveryForbids(t *testing.T) {
	d, mux := rollOf(t, 3, discovery.Set{Source: "apps", Path: "/discovery/evil/prod", Verified: time.Now(), Members: []*discovery.Member{
		member("evil", "/discovery/evil/prod", "169.254.169.254:80"), member("evil", "/discovery/evil/prod", "10.9.9.9:80")}})
	if len(d.roster.Of("evil", "prod")) != 2 {
		t.Fatal("the roster has not both of them")
	}
	w := ask(t, mux, "/sd/http?service=evil")
	if got := w.Body.String(); strings.Contains(got, "169.254") || !strings.Contains(got, "10.9.9.9:80") {
		t.Errorf("%s", got)
	}
}

func TestServiceDiscoveryGroups(t *testing.T) {
	var list []*discovery.Member
	for i := range 3 {
		list = append(list, &discovery.Member{Instance: discovery.Instance{Key: discovery.Key{Service: "web", Env: "prod", Host: "10.0.0.1", Port: uint16(80 + i)}, Source: "apps", Path: "static", Format: "static", Shard: discovery.NoShard}})
	}
	_, mux := rollOf(t, 0, discovery.Set{Source: "apps", Path: "static", Members: list})
	if s := strings.TrimSpace(ask(t, mux, "/sd/http").Body.String()); !strings.HasPrefix(s, `[{"targets":["10.0.0.1:80","10.0.0.1:81","10.0.0.1:82"],"labels":{`) || strings.Count(s, "targets") != 1 {
		t.Error(s)
	}
}

func TestTargetsLikePrometheus(t *testing.T) {
	d, mux := rollOf(t, 3)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.pool.Run(ctx) }()
	defer func() { cancel(); <-done }()
	eventually(t, "the pool has its targets", func() bool {
		return strings.Contains(ask(t, mux, "/api/v1/targets?state=active").Body.String(), "10.0.0.2")
	})
	w := ask(t, mux, "/api/v1/targets")
	a := read[struct {
		Status string
		Data   struct {
			ActiveTargets, DroppedTargets []map[string]any
			DroppedTargetCounts           map[string]int
		}
	}](t, w)
	if a.Status != "success" || len(a.Data.ActiveTargets) != 3 || len(a.Data.DroppedTargets) != 0 {
		t.Fatalf("%s", w.Body)
	}
	for _, key := range []string{"discoveredLabels", "labels", "scrapePool", "scrapeUrl", "globalUrl", "lastError", "lastScrape", "lastScrapeDuration", "health", "scrapeInterval", "scrapeTimeout"} {
		if _, ok := a.Data.ActiveTargets[0][key]; !ok {
			t.Errorf("no %s", key)
		}
	}
	if strings.Contains(w.Body.String(), "very-secret") {
		t.Error("a parameter's value is shown")
	}
	if w := ask(t, mux, "/api/v1/targets?state=Dropped"); strings.Contains(w.Body.String(), "health") {
		t.Error("active ones among the dropped")
	}
	if w := ask(t, mux, "/api/v1/targets?state=nonsense"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "bad_data") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Those who follow the roster hear each change, and catch up by the id of the last one they heard.
func TestEvents(t *testing.T) {
	d, mux := rollOf(t, 1)
	s := httptest.NewServer(mux)
	defer s.Close()
	follow := func(query string) (next func() string, stop func()) {
		res, err := http.Get(s.URL + "/api/v1/roster/events" + query)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res, err)
		}
		lines := bufio.NewScanner(res.Body)
		lines.Scan()
		return func() string {
			for lines.Scan() {
				if l := lines.Text(); l != "" && !strings.HasPrefix(l, ":") {
					return l
				}
			}
			t.Fatal(lines.Err())
			return ""
		}, func() { res.Body.Close() }
	}
	join := func(addr string) {
		now := time.Now()
		d.onChange(d.roster.Apply(discovery.Set{Source: "apps", Path: "/discovery/" + addr, Members: []*discovery.Member{member("new", "/discovery/"+addr, addr)}, Verified: now}, now))
	}
	next, stop := follow("?service=new")
	join("10.0.0.1:80")
	id := next()
	if e, data := next(), next(); e != "event: change" || !strings.Contains(data, `"host":"10.0.0.1"`) || !strings.HasPrefix(id, "id: ") {
		t.Errorf("%s\n%s\n%s", id, e, data)
	}
	stop()
	join("10.0.0.2:80")
	join("10.0.0.3:80")
	next, stop = follow("?service=new&after=" + strings.TrimPrefix(id, "id: "))
	for _, want := range []string{"10.0.0.2", "10.0.0.3"} {
		if _, _, data := next(), next(), next(); !strings.Contains(data, want) {
			t.Errorf("want %s: %s", want, data)
		}
	}
	stop()
	next, stop = follow("?after=77-1")
	if e, data := next(), next(); e != "event: gap" || !strings.Contains(data, "restarted") {
		t.Errorf("after another start: %s %s", e, data)
	}
	stop()
}

func TestHistoryForgets(t *testing.T) {
	var h history
	one := func(i int) discovery.Change {
		return discovery.Change{Entry: discovery.Entry{Instance: discovery.Instance{Shard: int32(i)}}}
	}
	for i := range historySize + 10 {
		h.add([]discovery.Change{one(i)})
	}
	out, next, lost, more := h.after(3)
	if lost != 7 || len(out) != 256 || out[0].Shard != 10 || next != 266 || more != nil {
		t.Errorf("%d changes from %d on, next %d, lost %d", len(out), out[0].Shard, next, lost)
	}
	h.add(make([]discovery.Change, 3*historySize))
	if out, next, lost, _ := h.after(266); lost != uint64(3*historySize+10-266) || len(out) != 256 || next != uint64(3*historySize+10+256) {
		t.Errorf("%d changes, next %d, lost %d", len(out), next, lost)
	}
}

func TestIndex(t *testing.T) {
	_, mux := rollOf(t, 0)
	w := ask(t, mux, "/")
	for _, l := range links {
		if !strings.Contains(w.Body.String(), `href="`+l.Path+`"`) {
			t.Errorf("no link to %s", l.Path)
		}
	}
	if w := ask(t, mux, "/nonsense"); w.Code != http.StatusNotFound {
		t.Errorf("nonsense: %d", w.Code)
	}
}

func BenchmarkServiceDiscovery(b *testing.B) {
	_, mux := rollOf(b, 20_000)
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(ask(b, mux, "/sd/http").Body.Len()))
	}
}
