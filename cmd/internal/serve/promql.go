package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/promql"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const (
	// queryPath is where a replica answers others' questions of PromQL, of what it knows alone.
	queryPath = "/api/v1/peer/query"
	// expects names the partitions that who asks takes for those of who is asked.
	expects = "X-Rollcall-Expects"
)

// promql answers PromQL over the windows of all replicas, with what change makes different.
func (d *Daemon) promql(c *config.Config, change func(*promql.Config)) (*promql.API, error) {
	p := c.Dashboards.PromQL
	pc := promql.Config{Board: d.board, MaxSamples: p.MaxSamples, MaxSeries: p.MaxSeries, Timeout: p.Timeout.Std(0), Concurrent: p.Concurrent,
		Version: d.o.Build.Version, Log: d.o.Log.With("part", "promql"), Metrics: d.o.Metrics.NewSet()}
	if d.peers != nil {
		pc.Owns, pc.Others = d.peers.ownsService, d.others
	}
	change(&pc)
	return promql.New(pc)
}

// others says which other replicas may know of what matchers select: the owner of the service that they name, or all. lack is what is not here of what is this one's.
func (d *Daemon) others(ms []*labels.Matcher, from int64) (out []promql.Other, lack string) {
	p := d.peers
	self, of := int(p.self.Load())-1, p.count()
	if of == 0 {
		return nil, "the partitions of the snapshots are not known yet"
	}
	job, env := exactly(ms, "job"), exactly(ms, "env")
	wanted := d.partitions(ms, job, env, of)
	by := map[int][]int{}
	if wanted == nil {
		for _, i := range *p.alive.Load() { // what rules gave stands with any of them
			by[i] = nil
		}
		for n := range of {
			wanted = append(wanted, n)
		}
	}
	for _, n := range wanted {
		by[p.ownerOf(n)] = append(by[p.ownerOf(n)], n)
	}
	for i, parts := range by {
		switch i {
		case self:
			lack = d.lacks(parts, from)
		case -1:
			lack = "no replica answers"
		default:
			out = append(out, promql.Other{Name: p.urls[i].Host, Missing: func() string { return d.theirs(i, job, env) }, Ask: func(ctx context.Context, q []byte) (io.ReadCloser, error) {
				return p.query(ctx, i, parts, q)
			}})
		}
	}
	return out, lack
}

// exactly is the value that matchers want of a label, or "".
func exactly(ms []*labels.Matcher, name string) string {
	for _, m := range ms {
		if m.Name == name && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// partitions are those of the services that matchers name; nil: it may be any.
func (d *Daemon) partitions(ms []*labels.Matcher, job, env string, of int) (out []int) {
	if job == "" || d.rules.mayGive(ms) {
		return nil
	}
	add := func(env string) {
		if n := int(wire.Partition(sink.Key(job, env), of)); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	if env != "" {
		add(env)
		return out
	}
	for _, r := range d.board.Rows() {
		if r.Service == job {
			add(r.Env)
		}
	}
	return out
}

// lacks says what is not here of partitions that somebody takes for this replica's, from a time (Unix ms) on; "": all is.
func (d *Daemon) lacks(parts []int, from int64) string {
	of := d.peers.count()
	others, unread := 0, 0
	for _, n := range parts {
		switch {
		case !d.peers.owns(n, of):
			others++
		case !d.feed.Has(n):
			unread++
		}
	}
	f := d.board.Feed()
	switch {
	case others > 0:
		return fmt.Sprintf("%d of %d partitions are just being handed over", others, of)
	case unread > 0:
		return fmt.Sprintf("%d of %d partitions are not read yet", unread, of)
	case len(parts) > 0 && f.State != dashboards.FeedLive:
		return fmt.Sprintf("the feed is %s: %s", f.State, f.Error)
	case len(parts) > 0 && f.Filling && (f.History == 0 || from < f.History):
		if f.History == 0 {
			return "history is being read"
		}
		return "history is being read, and is there from " + time.UnixMilli(f.History).UTC().Format("15:04:05 UTC")
	}
	return ""
}

// theirs says how many services of those that were asked for another replica owns.
func (d *Daemon) theirs(i int, job, env string) string {
	n, all := 0, 0
	for _, r := range d.board.Rows() {
		if job != "" && r.Service != job || env != "" && r.Env != env {
			continue
		}
		if all++; d.peers.owner(r.Service, r.Env) == i {
			n++
		}
	}
	return fmt.Sprintf("%d of %d services, and what rules gave there, are", n, all)
}

// query asks another replica a question of PromQL.
func (p *peers) query(ctx context.Context, i int, parts []int, q []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.at(i, queryPath), bytes.NewReader(q))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, n := range parts {
		all = append(all, strconv.Itoa(n))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(forwardedBy, p.id)
	req.Header.Set(expects, strings.Join(all, ","))
	p.sign(req, i)
	res, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("%s", res.Status)
	}
	return res.Body, nil
}

// answering is the page of queryPath: other replicas alone ask there.
func (d *Daemon) answering(prom *promql.API) http.Handler {
	answer := prom.Peer(func(r *http.Request, from int64) string {
		var parts []int
		for s := range strings.SplitSeq(r.Header.Get(expects), ",") {
			if n, err := strconv.Atoi(s); err == nil {
				parts = append(parts, n)
			}
		}
		return d.lacks(parts, from)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(forwardedBy) == "" {
			http.Error(w, "this page is for replicas of serve; ask /api/v1/query", http.StatusForbidden)
			return
		}
		answer.ServeHTTP(w, r)
	})
}
