package serve

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-metrics/rollcall/dashboards/detect"
)

// Replicas hear of each other's troubles when they ask who they are, and forget them when one is gone.
func TestPeersTellTroubles(t *testing.T) {
	var ps [2]*peers
	var urls []string
	for i := range ps {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ps[i].serve(w, r) }))
		defer s.Close()
		urls = append(urls, s.URL)
	}
	said := []detect.Trouble{{ID: "f1", Service: "a", Env: "prod", Metric: "errors", Level: "bad", Since: 1, At: []detect.Cond{{Dim: "host.name", Value: "h"}}, Size: 7.5, Why: "errors", Clear: true}}
	for i := range ps {
		p, err := newPeers(urls, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p.count = func() int { return 6 }
		p.tell = func() []detect.Trouble { return said[:1-i] }
		ps[i] = p
	}
	for _, p := range ps {
		p.ask(t.Context(), 0)
		p.ask(t.Context(), 1)
	}
	told := ps[1].troubles()
	if len(told) != 1 || told[0].From != ps[0].id || !cmp.Equal(told[0].Troubles, said) {
		t.Fatalf("the second hears %+v", told)
	}
	for _, s := range []string{"a", "b", "c", "d"} {
		if told[0].Owns(s, "prod") == ps[1].ownsService(s, "prod") {
			t.Errorf("%s is owned by both or none", s)
		}
	}
	if told := ps[0].troubles(); len(told) != 1 || len(told[0].Troubles) != 0 {
		t.Errorf("the first hears %+v", told)
	}
	ps[1].divide(time.Now().Add(2 * peerLapse))
	if told := ps[1].troubles(); len(told) != 0 {
		t.Errorf("of one who is gone the second hears %+v", told)
	}
}

// Whatever answers at a replica's address, it is read within bounds.
func FuzzSaid(f *testing.F) {
	f.Add(`{"id":"x","partitions":[0,3],"of":12,"troubles":[{"id":"f1","service":"a","env":"prod","metric":"errors","level":"bad","since":1,"at":[{"dim":"host.name","value":"h"}],"size":7.5,"why":"w"}]}`)
	f.Add(`{"id":""}`)
	f.Add(`{"id":"x","troubles":[` + strings.Repeat(`{},`, detect.MaxTroubles) + `{}]}`)
	f.Add(`[1]`)
	f.Fuzz(func(t *testing.T, text string) {
		is, err := readSaid(strings.NewReader(text))
		if err != nil {
			return
		}
		if is.ID == "" || len(is.Troubles) > detect.MaxTroubles {
			t.Fatalf("taken: %+v", is)
		}
		again, err := json.Marshal(is)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readSaid(strings.NewReader(string(again))); err != nil {
			t.Fatalf("what was read is not told again: %v", err)
		}
	})
}
