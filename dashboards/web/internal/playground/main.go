// Command playground serves the page over a made-up fleet, for those who work on the page: go run ./dashboards/web/internal/playground
package main

import (
	"encoding/json"
	"flag"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
	"github.com/rollcall-metrics/rollcall/dashboards/web"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:7155", "where to serve")
	flag.Parse()
	d, err := detect.New(detect.Config{Log: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	b, err := dashboards.NewBoard(dashboards.Options{Percentile: quantile.Over, Judge: d.Judge})
	if err != nil {
		log.Fatal(err)
	}
	// A quarter of an hour has passed already.
	now := time.Now()
	begin := now.Add(-16 * time.Minute)
	f := sim.Demo(1, begin, time.Second)
	f.Day = 20 * time.Minute
	f.Register(b)
	at := begin
	faults := make(chan string)
	go func() {
		for ; ; time.Sleep(200 * time.Millisecond) {
			select {
			case kind := <-faults:
				breakSomething(f, b, kind)
			default:
			}
			to := time.Now().Add(-150 * time.Millisecond)
			f.Scrape(b, at, to)
			at = to
			b.SetFeed(dashboards.Feed{State: dashboards.FeedLive, Since: begin.UnixMilli()})
			if to.Unix() != to.Add(-200*time.Millisecond).Unix() {
				b.Tick(time.Now())
			}
		}
	}()
	s, err := web.New(web.Config{Board: b, Demo: true, Version: "playground", Fault: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kinds := []string{"canary", "as", "host", "deploy", "deregister"}
		kind := r.FormValue("kind")
		if kind == "" {
			kind = kinds[rand.IntN(len(kinds))]
		}
		faults <- kind
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"fault": kind, "text": "a fault of kind " + kind + " for a minute"})
	})})
	if err != nil {
		log.Fatal(err)
	}
	log.Print("the page is at http://", *addr)
	log.Fatal((&http.Server{Addr: *addr, Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second}).ListenAndServe())
}

func breakSomething(f *sim.Fleet, b *dashboards.Board, kind string) {
	now := time.Now()
	e := sim.Effect{From: now, Until: now.Add(time.Minute), Errors: .5}
	checkout := func(in *sim.Instance) bool { return in.Service.Name == "checkout" }
	switch kind {
	case "canary":
		e.Hits = func(in *sim.Instance) bool { return checkout(in) && in.Track == "canary" }
	case "as":
		e.Hits, e.Client = checkout, "3320"
	case "host":
		e.Hits, e.Slower = func(in *sim.Instance) bool { return in.Host == "ip-10-1-0-1" }, 4
	case "deploy":
		f.Deploy(b, "1.43.0", now, checkout)
		e.Hits, e.Errors = checkout, .1
	case "deregister":
		f.Leave(b, now, func(in *sim.Instance) bool { return in.Service.Name == "search" && in.Zone == "us-east-1b" })
		return
	default:
		e.Hits, e.Outcome = checkout, collector.Timeout
	}
	f.Effects = append(f.Effects, e)
}
