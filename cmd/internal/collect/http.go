package collect

import (
	"encoding/json"
	"html/template"
	"net/http"
	"time"
)

// Routes adds the collector's API.
func (d *Daemon) Routes(mux *http.ServeMux) {
	d.shareRoutes(mux)
	mux.HandleFunc("GET /{$}", d.serveIndex)
	mux.HandleFunc("GET /sd/http", d.serveSD)
	mux.HandleFunc("GET /api/v1/targets", d.serveTargets)
	mux.HandleFunc("GET /api/v1/roster", d.says(d.serveRoster))
	mux.HandleFunc("GET /api/v1/roster/groups", d.serveGroups)
	mux.HandleFunc("GET /api/v1/roster/paths", d.servePaths)
	mux.HandleFunc("GET /api/v1/roster/guards", d.serveGuards)
	mux.HandleFunc("GET /api/v1/roster/why", d.serveWhy)
	mux.HandleFunc("GET /api/v1/roster/events", d.serveEvents)
	mux.HandleFunc("POST /api/v1/ask", d.trusted(d.serveAsk))
	mux.HandleFunc("GET /api/v1/ledger", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.ledger.Report(time.Now())) })
	mux.HandleFunc("GET /api/v1/collector", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Status()) })
	mux.HandleFunc("GET /api/v1/status/config", func(w http.ResponseWriter, _ *http.Request) {
		text, err := d.Config().YAML()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, prometheus{"success", map[string]string{"yaml": text}})
	})
}

// prometheus is the envelope of Prometheus' API.
type prometheus struct {
	Status string `json:"status"`
	Data   any    `json:"data"`
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // a broken connection is the reader's loss
}

// refuse answers with what is wrong with the request and how to mend it.
func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": text})
}

// links are the collector's addresses for people who open it in a browser.
var links = []struct{ Path, Says string }{
	{"/api/v1/roster", "everyone who should answer or lately should have; ?service= ?env= ?state= ?path= ?q= ?limit= ?offset="},
	{"/api/v1/roster/groups", "services in numbers: present, missing, expected"},
	{"/api/v1/roster/paths", "paths, and when each was last verified"},
	{"/api/v1/roster/guards", "guards that hold somebody"},
	{"/api/v1/targets", "targets in Prometheus' JSON"},
	{"/sd/http", "targets for Prometheus' http_sd_configs"},
	{"/api/v1/collector", "this collector's own account; `rollcall status` reads it"},
	{"/api/v1/ledger", "what became of every snapshot"},
	{"/api/v1/status/config", "the configuration in force"},
	{"/metrics", "its own metrics"},
	{"/stats.json", "the same as JSON"},
	{"/-/healthy", "200 while it lives"},
	{"/-/ready", "200 when everybody is known"},
	{"/debug/pprof/", "profiles"},
}

var indexPage = template.Must(template.New("index").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>rollcall collector</title>
<style>:root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:46rem;padding:0 1rem}h1{font-size:18px}dl{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:.3rem 1.2rem}dd{margin:0;opacity:.75}p{opacity:.75}@media(max-width:36rem){dl{display:block}dd{margin:0 0 .5rem}}</style></head>
<body><h1>rollcall collector</h1><p>It discovers, scrapes and streams. Charts and the roster for people are on the page of <code>rollcall serve</code>, by default on port 7150.</p>
<dl>{{range .}}<dt><a href="{{.Path}}">{{.Path}}</a></dt><dd>{{.Says}}</dd>{{end}}</dl></body></html>
`))

func (d *Daemon) serveIndex(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	indexPage.Execute(w, links) // a broken connection is the reader's loss
}
