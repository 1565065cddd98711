package serve

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestAskCollectors(t *testing.T) {
	api := http.NewServeMux()
	api.HandleFunc("GET /api/v1/roster/paths", func(w http.ResponseWriter, r *http.Request) {
		user, pass, _ := r.BasicAuth()
		io.WriteString(w, `{"q":"`+r.FormValue("q")+`","user":"`+user+pass+`"}`)
	})
	api.HandleFunc("GET /moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/api/v1/roster/paths", http.StatusFound)
	})
	s := httptest.NewServer(api)
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	there := collectors{urls: []string{"http://ann:secret@" + host, "http://127.0.0.1:1", "%zz"}}
	told := there.ask(t.Context(), "/api/v1/roster/paths", url.Values{"q": {"x y"}})
	if len(told) != 3 || told[0].Collector != host || string(told[0].Body) != `{"q":"x y","user":"annsecret"}` {
		t.Errorf("%+v", told)
	}
	for _, away := range told[1:] {
		if away.Status != 0 || away.Err == "" || strings.Contains(away.Collector+away.Err, "secret") {
			t.Errorf("%+v", away)
		}
	}
	if told := there.ask(t.Context(), "/moved", nil); told[0].Status != http.StatusFound {
		t.Errorf("a redirect was followed: %+v", told[0])
	}
	here := collectors{here: api}
	if told := here.ask(t.Context(), "/api/v1/roster/paths", url.Values{"q": {"z"}}); len(told) != 1 || told[0].Status != http.StatusOK || !strings.Contains(string(told[0].Body), `"q":"z"`) {
		t.Errorf("%+v", told)
	}
	if told := here.ask(t.Context(), "/none", nil); told[0].Status != http.StatusNotFound {
		t.Errorf("%+v", told)
	}
}
