package collect

import (
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// guarded is an application that wants a header, each path another one, and remembers what it was sent.
type guarded struct {
	mu    sync.Mutex
	wants map[string]string
	got   map[string][]http.Header
	send  map[string]string // a path to where it redirects
}

func (g *guarded) want(path, header string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wants[path] = header
}

func (g *guarded) heard(path string) []http.Header {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got[path]
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.got[r.URL.Path] = append(g.got[r.URL.Path], r.Header.Clone())
	if to := g.send[r.URL.Path]; to != "" {
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
		return
	}
	if want := g.wants[r.URL.Path]; want != "" && r.Header.Get("Authorization") != want {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	io.WriteString(w, oneCounter)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// swap has a file say something else of the same length at the same time, as tools do that keep times.
func swap(t *testing.T, file, text string) {
	t.Helper()
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	next := file + ".next"
	write(t, next, []byte(text))
	if err := os.Chtimes(next, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

func TestJobCredentials(t *testing.T) {
	dir := t.TempDir()
	password, token, empty := filepath.Join(dir, "password"), filepath.Join(dir, "token"), filepath.Join(dir, "empty")
	write(t, password, []byte("one-hunter2\n"))
	write(t, token, []byte("tok-hunter2"))
	write(t, empty, []byte("\n"))
	t.Setenv("JOB_TOKEN", "env-hunter2")
	new := func() *guarded {
		return &guarded{wants: map[string]string{}, got: map[string][]http.Header{}, send: map[string]string{}}
	}
	g, other := new(), new()
	elsewhere, _ := anApp(t, nil, other.ServeHTTP)
	at, _ := anApp(t, nil, g.ServeHTTP)
	ann := basic("ann", "one-hunter2")
	for path, want := range map[string]string{"/basic": ann, "/token": "Token tok-hunter2", "/env": "Bearer env-hunter2", "/wrong": ann, "/nobody": ann, "/moved": ann, "/home": ann, "/back": ann} {
		g.want(path, want)
	}
	g.send["/away"], g.send["/here"], g.send["/circle"], g.send["/echo"] = "http://"+elsewhere+"/stats", "/home", "http://"+elsewhere+"/circle", "/login"
	other.send["/circle"] = "http://" + at + "/back"

	const follow = "follow_redirects: true, basic_auth: {username: ann, password: one-hunter2}, params: {key: [param-hunter2]}, "
	r := newJobRig(t, aJob("basic", at, "metrics_path: /basic, basic_auth: {username: ann, password_file: '"+password+"'}")+
		aJob("basic by client", at, "metrics_path: /basic, enable_http2: true, basic_auth: {username: ann, password_file: '"+password+"'}")+
		aJob("token", at, "metrics_path: /token, authorization: {type: Token, credentials_file: '"+token+"'}")+
		aJob("env", at, "metrics_path: /env, authorization: {credentials: '${JOB_TOKEN}'}")+
		aJob("wrong", at, "metrics_path: /wrong, basic_auth: {username: ann, password: wrong-hunter2}")+
		aJob("wrong token", at, "metrics_path: /wrong, enable_http2: true, authorization: {credentials: wrong-hunter2}")+
		aJob("nobody", at, "metrics_path: /nobody")+
		aJob("no file", at, "metrics_path: /basic, basic_auth: {username: ann, password_file: '"+dir+"/none'}")+
		aJob("no file by client", at, "metrics_path: /basic, enable_http2: true, basic_auth: {username: ann, password_file: '"+dir+"/none'}")+
		aJob("empty file", at, "metrics_path: /token, authorization: {credentials_file: '"+empty+"'}")+
		aJob("params", at, "metrics_path: /query, params: {key: [param-hunter2], many: [a, b]}")+
		aJob("echo", at, "metrics_path: /echo, params: {key: [param-hunter2]}")+
		aJob("away", at, follow+"metrics_path: /away")+
		aJob("here", at, follow+"metrics_path: /here")+
		aJob("circle", at, follow+"metrics_path: /circle"))

	for name, want := range map[string][2]string{
		"basic": {"ok"}, "basic by client": {"ok"}, "token": {"ok"}, "env": {"ok"}, "params": {"ok"},
		"wrong":             {"status", "status 401: it does not take the job's credentials"},
		"wrong token":       {"status", "status 401: it does not take the job's credentials"},
		"nobody":            {"status", "status 401: it wants to know who asks: set basic_auth or authorization"},
		"no file":           {"forbidden", "read credentials: open " + dir + "/none: no such file"},
		"no file by client": {"forbidden", "read credentials: open " + dir + "/none: no such file"},
		"empty file":        {"forbidden", "is empty"},
		"echo":              {"status", `status 302: it points to "/login?…", and redirects are not followed`},
		"away":              {"ok"},                   // the other program is asked, without credentials
		"here":              {"ok"},                   // the same program is sent them again
		"circle":            {"status", "status 401"}, // who came by another program is not
	} {
		r.ends(t, name, want[0], want[1])
	}
	for _, path := range []string{"/stats", "/circle"} {
		for _, h := range other.heard(path) {
			if h.Get("Authorization") != "" || h.Get("Referer") != "" {
				t.Errorf("another program was sent %q", h)
			}
		}
		if len(other.heard(path)) == 0 {
			t.Errorf("no redirect to %s was followed", path)
		}
	}

	// The server takes other credentials now; the files follow.
	g.want("/basic", basic("ann", "two-hunter2"))
	g.want("/token", "Token new-hunter2")
	for _, name := range []string{"basic", "basic by client", "token"} {
		r.ends(t, name, "status", "status 401")
	}
	swap(t, password, "two-hunter2\n")
	swap(t, token, "new-hunter2")
	for _, name := range []string{"basic", "basic by client", "token"} {
		r.ends(t, name, "ok", "")
	}
	said := []string{"hunter2"}
	for _, p := range []string{"one-hunter2", "two-hunter2", "wrong-hunter2"} {
		said = append(said, strings.TrimPrefix(basic("ann", p), "Basic "))
	}
	r.silent(t, said...)
}
