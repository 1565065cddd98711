package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// asks is a pair of collectors with canned answers, the first of which is away.
func asks(answers map[string]string) func(context.Context, string, url.Values) []Told {
	return func(_ context.Context, path string, q url.Values) []Told {
		body, ok := answers[path]
		told := []Told{{Collector: "c1:7140", Err: "connection refused"}, {Collector: "c2:7140", Status: http.StatusOK, Body: json.RawMessage(body)}}
		if !ok {
			told[1].Status, told[1].Body = http.StatusNotFound, json.RawMessage(`{"error":"nobody is called `+q.Get("instance")+`"}`)
		}
		return told
	}
}

// What only collectors know comes from those that answer, and those that do not are named.
func TestRollFromCollectors(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Views = nil
		c.Ask = asks(map[string]string{
			"/api/v1/roster/guards": `{"guards":[{"scope":"/d/a","peak":20,"held":12,"answering":11,"verdict":"ZooKeeper, not you: 11 of 12 that vanished answer"}]}`,
			"/api/v1/orders":        `{"orders":[{"id":"o1","kind":"freeze","path":"/d"}]}`,
			"/api/v1/roster/paths": `{"paths":[{"path":"/d/a","source":"apps","verified":"2026-01-01T00:00:00Z"},{"path":"/d/b","source":"apps","error":"no answer","verified":"2026-01-01T00:00:00Z"},
				{"path":"/d/a","source":"apps","members":7,"verified":"2026-01-02T00:00:00Z"},{"path":"/d/c","source":"apps","unparsable":1,"verified":"2026-01-01T00:00:00Z"}]}`,
			"/api/v1/collector": `{"sources":[{"source":"apps","connected":true,"live":true}],"delivery":{"scraped":9,"acknowledged":8,"spooled":1,"lanes":{"live":8}}}`,
		})
	})
	for _, tc := range []struct {
		path   string
		status int
		has    []string
	}{
		{"/api/v1/roster/guards", 200, []string{`"known":true`, `{"collector":"c1:7140","error":"connection refused"}`, `"held":12`, `"id":"o1"`}},
		{"/api/v1/roster/paths", 200, []string{`"total":3`, `"paths":[{"source":"apps","path":"/d/b"`, `"members":7`}},
		{"/api/v1/roster/paths?limit=1", 200, []string{`"total":3`, `"/d/b"`}},
		{"/api/v1/roster/why?instance=x", 404, []string{"nobody is called x"}},
		{"/api/v1/collectors", 200, []string{`{"collector":"c1:7140","error":"connection refused"}`, `"collector":"c2:7140","delivery":{"scraped":9,"acknowledged":8`, `"shares":[{"by":"9f3c2a7be01d44c1","instances":85}]`, `"records_seen":`, `"records_lost":0`}},
		{"/api/v1/roster/why", 400, []string{"say who"}},
		{"/api/v1/roster", 200, []string{`"views":[{"source":"apps","connected":true,"live":true`}},
		{"/api/v1/roster?sort=name", 400, []string{"use state, instance"}},
		{"/api/v1/roster?limit=x", 400, []string{"limit"}},
	} {
		res, body := r.get(t, tc.path)
		if res.StatusCode != tc.status {
			t.Errorf("%s: %d %.300s", tc.path, res.StatusCode, body)
		}
		for _, has := range tc.has {
			if !strings.Contains(strings.ReplaceAll(body, `\"`, `"`), has) {
				t.Errorf("%s: no %s in %.600s", tc.path, has, body)
			}
		}
	}
	if _, body := r.get(t, "/api/v1/roster/paths?limit=1"); strings.Contains(body, "/d/c") {
		t.Errorf("more than was asked for: %s", body)
	}
}

func TestRollOfNobody(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Ask = nil })
	for path, has := range map[string]string{"/api/v1/roster/guards": `"known":false`, "/api/v1/roster/paths": `"known":false`, "/api/v1/roster/why?instance=x": "dashboards.collectors"} {
		if _, body := r.get(t, path); !strings.Contains(body, has) {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// The roster is sorted by how grave a state is, not by its letters, and cut where it is asked to be.
func TestRosterOrder(t *testing.T) {
	r := newRig(t, nil)
	weight := func(state string) int {
		if state == "missing" {
			return 7
		}
		return graveness[state]
	}
	states := func(query string) []string {
		_, body := r.get(t, "/api/v1/roster?"+query)
		var a struct {
			Entries []struct {
				State   string
				Missing bool
			}
		}
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range a.Entries {
			if e.Missing {
				e.State = "missing"
			}
			out = append(out, e.State)
		}
		return out
	}
	down := states("sort=-state")
	for i := 1; i < len(down); i++ {
		if weight(down[i]) > weight(down[i-1]) {
			t.Errorf("%s", down)
		}
	}
	if up := states("sort=state"); len(up) != len(down) || len(up) < 2 || weight(up[0]) >= weight(up[len(up)-1]) {
		t.Errorf("%s", up)
	}
	for query, n := range map[string]int{"limit=1&offset=1": 1, "offset=9223372036854775807": 0, "limit=9223372036854775807&offset=1": len(down) - 1, "limit=0": 0} {
		if few := states(query); len(few) != n {
			t.Errorf("%s: %s", query, few)
		}
	}
}

// Of collectors of which one is blind the best view is shown, and says so.
func TestBlindCollector(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Views = nil
		c.Ask = func(context.Context, string, url.Values) []Told {
			said := func(name, view string) Told {
				return Told{Collector: name, Status: http.StatusOK, Body: json.RawMessage(`{"sources":[{"source":"apps",` + view + `}]}`)}
			}
			return []Told{said("c1:7140", `"connected":true,"live":true,"last_heard":"2026-01-02T00:00:00Z"`), said("c2:7140", `"connected":false,"last_heard":"2026-01-01T00:00:00Z"`),
				said("c3:7140", `"connected":true,"live":true,"last_heard":"2026-01-01T23:00:00Z"`)}
		}
	})
	if _, body := r.get(t, "/api/v1/roster"); !strings.Contains(body, `"views":[{"source":"apps","connected":true`) || !strings.Contains(body, "1 of 3 collectors do not see it: c2:7140") {
		t.Errorf("%.800s", body)
	}
}
