package share

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// A peer's word is checked, and nobody is sent where no collector can be.
func TestAsk(t *testing.T) {
	answer := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer == "redirect" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		fmt.Fprint(w, answer)
	}))
	defer srv.Close()
	client := NewClient()
	defer client.CloseIdleConnections()
	ask := NewAsker(client)
	at := Collector{ID: "b", Addr: srv.Listener.Addr().String()}
	for text, bad := range map[string]string{
		`{"id":"b","term":"0x5","from":"zookeeper","members":[{"id":"b","weight":16,"jobs":{"main":"1"}}]}`: "",
		`{"id":"c","term":"0x5","members":[]}`:                              "answers there",
		`{"group":"default"}`:                                               "no division yet",
		`{"id":"b","members":[{"id":"b","weight":99}]}`:                     "weight",
		`{"id":"b","members":[{"id":"b","weight":1,"addr":"169.254.1.1"}]}`: "host:port",
		`redirect`: "status 302",
		`[`:        "JSON",
	} {
		answer = text
		d, err := ask(t.Context(), at)
		if (bad == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v, want %q", text, err, bad)
		}
		if err == nil && (d.Term != 5 || len(d.Members) != 1) {
			t.Errorf("%s: %+v", text, d)
		}
	}
	for _, addr := range []string{"169.254.169.254:80", "[fe80::1]:80", "0.0.0.0:80", "224.0.0.1:80"} {
		if _, err := ask(t.Context(), Collector{ID: "b", Addr: addr}); err == nil || !strings.Contains(err.Error(), "no collector is at such an address") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// A peer that lies about the members costs no more than as many as there may be.
func TestLyingDivision(t *testing.T) {
	for _, entry := range []string{"{}", "null", "1", "[", `{"id":"x"}`} {
		body := []byte(`{"id":"b","members":[` + strings.Repeat(entry+",", (maxAnswer-100)/(len(entry)+1)) + entry + `]}`)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decodeDivision("b", body)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err == nil || took > 4<<20 {
			t.Errorf("%s: %d bytes were made of it, %v", entry, took, err)
		}
	}
	if d, err := decodeDivision("b", []byte(`{"id":"b","members":null,"group":"default"}`)); err != nil || len(d.Members) != 0 {
		t.Errorf("of nobody: %v", err)
	}
}
