package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/feed"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const partitions = 6

// replica is one serve with its page.
type replica struct {
	*Daemon
	url  string
	stop func()
}

func startReplica(t *testing.T, l net.Listener, conf string) *replica {
	t.Helper()
	d, err := New(parse(t, conf), Options{Log: slog.New(slog.DiscardHandler), Metrics: ops.NewMetrics(ops.Build{}), Listen: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	srv := &http.Server{Handler: d.Handler()}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	wg.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	r := &replica{Daemon: d, url: "http://" + l.Addr().String(), stop: sync.OnceFunc(func() { srv.Close(); cancel(); wg.Wait() })}
	t.Cleanup(r.stop)
	return r
}

func (r *replica) get(path string, into any) string {
	return r.do(http.MethodGet, path, nil, into)
}

// do gives what is wrong with an answer, or "".
func (r *replica) do(method, path string, body []byte, into any) string {
	req, err := http.NewRequest(method, r.url+path, bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %s", res.StatusCode, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return err.Error()
	}
	return ""
}

// whole says what the page of the replica lacks: each service with both of its instances answering.
func (r *replica) whole(services []string) string {
	var n struct{ Services []dashboards.Row }
	if why := r.get("/api/v1/now", &n); why != "" {
		return why
	}
	var out []string
	for _, x := range n.Services {
		if x.Answering == 2 && x.Expected == 2 && float64(x.Rate) > 15 {
			out = append(out, x.Service)
		}
	}
	if len(out) != len(services) {
		return fmt.Sprintf("only %s of %d rows", out, len(n.Services))
	}
	return ""
}

// Two replicas divide the services; each shows all and answers for all; the death of one loses nothing.
func TestReplicas(t *testing.T) {
	addr := kafkaFor(t)
	var services []string
	for i := range 6 {
		services = append(services, "service-"+strconv.Itoa(i))
	}
	feeding(t, addr, services)
	var ls []net.Listener
	var urls []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ls, urls = append(ls, l), append(urls, "http://"+l.Addr().String())
	}
	h, file := newHook(t), filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(busy), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("kafka: {brokers: ['%s']}\ndashboards: {peers: ['%s', '%s']}\nrule_files: ['%s']\nalerting: {webhooks: [{url: '%s'}]}\n", addr, urls[0], urls[1], file, h.url)
	one, two := startReplica(t, ls[0], conf), startReplica(t, ls[1], conf)

	why := map[*replica]string{}
	testenv.Eventually(t, "both pages are whole, and each owns some", func() bool {
		why[one], why[two] = one.whole(services), two.whole(services)
		return why[one]+why[two] == ""
	})
	owned := map[*replica][]string{}
	for _, s := range services {
		a, b := one.peers.ownsService(s, "prod"), two.peers.ownsService(s, "prod")
		if a == b {
			t.Fatalf("%s is owned by both or none", s)
		}
		owned[map[bool]*replica{true: one, false: two}[a]] = append(owned[map[bool]*replica{true: one, false: two}[a]], s)
	}
	for r, name := range map[*replica]string{one: "the first", two: "the second"} {
		for _, s := range services {
			var d dashboards.Detail
			if why := r.get("/api/v1/service?service="+s+"&env=prod", &d); why != "" || len(d.Instances) != 2 {
				t.Errorf("%s does not answer for %s: %s, %d instances", name, s, why, len(d.Instances))
			}
			testenv.Eventually(t, name+" has the history of "+s, func() bool { return historyOf(r, s) >= 3 })
		}
	}
	var silence dashboards.Silence
	if why := one.do(http.MethodPost, "/api/v1/silences", []byte(`{"service":"service-1","metric":"errors","by":"ann","why":"test","for":"1h"}`), &silence); why != "" {
		t.Fatal(why)
	}
	testenv.Eventually(t, "the other knows the silence", func() bool { return len(two.Board().Silences()) == 1 })

	// A rule fires once for each service, at its owner; each replica tells of all.
	var fires []string
	for _, s := range services {
		fires = append(fires, "firing Busy ("+s+"/prod)")
	}
	testenv.Eventually(t, "the webhook hears of each service once", func() bool { return slices.Equal(h.words(), fires) })
	for _, r := range []*replica{one, two} {
		testenv.Eventually(t, "each tells of all alerts", func() bool { return alertsOf(r) == len(services) })
	}

	// Any of them answers PromQL of all services, and says nothing of its own.
	for _, r := range []*replica{one, two} {
		testenv.Eventually(t, "each answers of all", func() bool {
			n, warnings := answers(r, "count(up)")
			rate, more := answers(r, "sum(rate(requests[30s]))")
			rules, evenMore := answers(r, "sum(job:requests:rate) + sum(ALERTS)")
			return n == 12 && math.Abs(rate-120) < 1 && math.Abs(rules-126) < 1 && len(warnings)+len(more)+len(evenMore) == 0
		})
		for _, s := range services {
			if n, warnings := answers(r, fmt.Sprintf(`count(count_over_time(up{job=%q}[1m]))`, s)); n != 2 || len(warnings) > 0 {
				t.Errorf("of %s: %v, %s", s, n, warnings)
			}
		}
		if why := r.do(http.MethodPost, queryPath, []byte(`{"what":"names"}`), nil); !strings.HasPrefix(why, "403") {
			t.Errorf("who is no replica is told %s", why)
		}
	}
	if one.rules.evaluates() == two.rules.evaluates() {
		t.Error("both evaluate the group, or none does")
	}

	// Kill the one that owns more, so that there is something to lose.
	stays, dies := one, two
	if len(owned[one]) > len(owned[two]) {
		stays, dies = two, one
	}
	before := map[string]int{}
	for _, s := range services {
		before[s] = historyOf(stays, s)
	}
	dies.stop()
	sums, waits := 0, time.Now()
	testenv.Eventually(t, "what is missing is said until all is there again", func() bool {
		n, warnings := answers(stays, "count(count_over_time(up[1m]))") // on a busy machine scrapes may be late
		switch {
		case len(warnings) > 0:
			sums++
			return false
		case n != 12:
			t.Errorf("%s after the death %v instances are counted, and nothing is said of the others", time.Since(waits), n)
		}
		return true
	})
	if sums == 0 {
		t.Error("nobody was told that something is missing")
	}
	testenv.Eventually(t, "one owns all, live and whole", func() bool {
		for _, s := range services {
			var d dashboards.Detail
			if !stays.peers.ownsService(s, "prod") || stays.get("/api/v1/service?service="+s+"&env=prod", &d) != "" || len(d.Instances) != 2 {
				return false
			}
		}
		return stays.Ready() == nil && stays.whole(services) == ""
	})
	testenv.Eventually(t, "the alerts are the other's now", func() bool { return len(stays.rules.Alerts()) == len(services) && alertsOf(stays) == len(services) })
	if slices.ContainsFunc(h.words(), func(w string) bool { return strings.HasPrefix(w, "resolved") }) || h.ids() != len(services) {
		t.Errorf("the death of a replica is told as %s, of %d alerts", h.words(), h.ids())
	}
	for _, s := range services {
		if n := historyOf(stays, s); n < before[s] {
			t.Errorf("%s: %d slots of history, %d before the death", s, n, before[s])
		}
		var d dashboards.Detail
		if why := stays.get("/api/v1/service?service="+s+"&env=prod", &d); why != "" || len(d.Instances) != 2 {
			t.Errorf("nobody answers for %s: %s", s, why)
		}
	}
	if st := stays.Board().Stats(); st.Duplicated != 0 {
		t.Errorf("%+v", st)
	}
	if len(stays.Board().Silences()) != 1 {
		t.Error("the silence died with a server")
	}
	for _, f := range stays.Board().Findings() {
		if f.Ended == nil {
			t.Errorf("the death of a replica is told as %s", f.Title)
		}
	}
}

// alertsOf is how many alerts fire by the API of rules, and by that of alerts; -1: they do not say the same.
func alertsOf(r *replica) int {
	var as struct{ Data struct{ Alerts []any } }
	var rs struct {
		Data struct {
			Groups []struct{ Rules []struct{ Alerts []any } }
		}
	}
	if r.get("/api/v1/alerts", &as) != "" || r.get("/api/v1/rules?type=alert", &rs) != "" || len(rs.Data.Groups) != 1 || len(rs.Data.Groups[0].Rules[0].Alerts) != len(as.Data.Alerts) {
		return -1
	}
	return len(as.Data.Alerts)
}

// answers is what an instant query of one number gives, and the warnings beside it; -1: there is none.
func answers(r *replica, query string) (float64, []string) {
	var a struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
		Warnings []string
	}
	if why := r.get("/api/v1/query?query="+url.QueryEscape(query), &a); why != "" {
		return -1, []string{why}
	}
	if len(a.Data.Result) != 1 {
		return -1, a.Warnings
	}
	v, _ := strconv.ParseFloat(fmt.Sprint(a.Data.Result[0].Value[1]), 64)
	return v, a.Warnings
}

// evaluates reports whether the group of the test is this replica's.
func (r *ruling) evaluates() bool {
	for _, a := range r.Alerts() {
		if a.Rule == "Busy" {
			return true
		}
	}
	return false
}

// historyOf is how many slots are known of a service.
func historyOf(r *replica, s string) (n int) {
	var a struct {
		Series []dashboards.Line `json:"series"`
	}
	if r.get("/api/v1/history?service="+s+"&env=prod&signal=rate&by=zone&from="+strconv.FormatInt(time.Now().Add(-10*time.Minute).UnixMilli(), 10), &a) != "" || len(a.Series) == 0 {
		return 0
	}
	for _, v := range a.Series[0].Values {
		if v.Known() {
			n++
		}
	}
	return n
}

// feeding writes snapshots of two instances of each service: of the last two minutes at once, then as time goes.
func feeding(t *testing.T, addr string, services []string) {
	t.Helper()
	p, err := feed.NewPublisher(feed.PublisherConfig{Brokers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	topic := sink.DefaultTopics().Snapshots
	seq := map[int32]uint64{}
	put := func(at time.Time) {
		for _, s := range services {
			for i := range 2 {
				n := wire.Partition(sink.Key(s, "prod"), partitions)
				seq[n]++
				count := strconv.FormatInt(at.UnixMilli()/100, 10)
				x := &collector.Snapshot{Instance: discovery.Instance{Key: discovery.Key{Service: s, Env: "prod", Host: "10.0.0." + strconv.Itoa(i), Port: 80}, Shard: discovery.NoShard}, Time: at, Took: time.Millisecond, Interval: time.Second,
					Tags: discovery.TagsOf(map[string]string{dashboards.TagZone: "a"}), Samples: []collector.Sample{{Name: "requests", Kind: collector.Counter, Value: count}}}
				id := wire.ID{Collector: 7, Start: 1, Partition: n, Sequence: seq[n]}
				p.Put(topic, sink.Key(s, "prod"), fmt.Sprint(seq[n]), wire.AppendSnapshot(nil, x, id, wire.Provenance{}), at)
			}
		}
	}
	begin := time.Now().Truncate(time.Second)
	for s := -120; s < 0; s++ {
		put(begin.Add(time.Duration(s) * time.Second))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(ctx) })
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		next := begin
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				for ; !next.After(now); next = next.Add(time.Second) {
					put(next)
				}
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func TestRendezvous(t *testing.T) {
	urls := []string{"http://a:1", "http://b:1", "http://c:1"}
	p, err := newPeers(urls, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	share := func(alive ...int) (out []int) {
		p.alive.Store(&alive)
		for i := range 120 {
			out = append(out, p.ownerOf(i))
		}
		return out
	}
	all := share(0, 1, 2)
	n := map[int]int{}
	for _, o := range all {
		n[o]++
	}
	if n[0] < 25 || n[1] < 25 || n[2] < 25 {
		t.Errorf("divided as %v", n)
	}
	for i, o := range share(0, 2) {
		if all[i] != 1 && o != all[i] {
			t.Errorf("partition %d moved from %d to %d, though %d is there", i, all[i], o, all[i])
		}
	}
	if o := share(); o[0] != -1 {
		t.Error("nobody answers, and somebody owns")
	}
	if !strings.Contains(p.at(1, peerPath), "http://b:1/api/v1/peer") {
		t.Error(p.at(1, peerPath))
	}
}
