package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/notify"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
)

// hook is a webhook that keeps what it heard of alerts.
type hook struct {
	mu    sync.Mutex
	heard []notify.Message
	url   string
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m notify.Message
		if json.NewDecoder(r.Body).Decode(&m) == nil && m.Alert != nil {
			h.mu.Lock()
			h.heard = append(h.heard, m)
			h.mu.Unlock()
		}
	}))
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// words are what was heard, such as "firing Busy (service-0/prod)", in order of their text.
func (h *hook) words() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, m := range h.heard {
		out = append(out, m.Status+" "+m.Alert.Name())
	}
	slices.Sort(out)
	return out
}

// ids is of how many alerts was heard.
func (h *hook) ids() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := map[string]bool{}
	for _, m := range h.heard {
		ids[m.ID] = true
	}
	return len(ids)
}

// kafkaFor is a broker with the topics of the project.
func kafkaFor(t *testing.T) string {
	t.Helper()
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	<-b.Ready()
	topics := sink.DefaultTopics()
	tr := &kafka.Transport{}
	defer tr.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(b.Addr()), Timeout: 5 * time.Second, Transport: tr}
	for _, name := range []string{topics.Snapshots, topics.Backfill, topics.Roster, topics.Rollups, topics.Findings} {
		if _, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: partitions, ReplicationFactor: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Addr()
}

const busy = `groups:
- name: load
  interval: 1s
  rules:
  - record: job:requests:rate
    expr: sum by (job, env) (rate(requests[30s]))
  - alert: Busy
    expr: job:requests:rate > 10
    labels: {severity: page}
    annotations: {summary: '{{ $labels.job }} has {{ $value | printf "%.0f" }} requests a second in {{ $externalLabels.cloud_region }}'}
`

// Rules of a file, over the values of a topic, to a webhook, Prometheus' API and the page; what a reload changes, and what a bad one does not.
func TestRules(t *testing.T) {
	addr, h := kafkaFor(t), newHook(t)
	feeding(t, addr, []string{"checkout"})
	file := filepath.Join(t.TempDir(), "rules.yml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(busy)
	conf := fmt.Sprintf("global: {external_labels: {cloud.region: eu}}\nkafka: {brokers: ['%s']}\nrule_files: ['%s']\nalerting: {webhooks: [{url: '%s'}]}\n", addr, filepath.Dir(file)+"/*.yml", h.url)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := startReplica(t, l, conf)
	testenv.Eventually(t, "the webhook hears", func() bool { return len(h.words()) > 0 })
	h.mu.Lock()
	m := h.heard[0]
	h.mu.Unlock()
	if m.Status != "firing" || m.Text != "checkout has 20 requests a second in eu" || m.Alert.Labels["severity"] != "page" {
		t.Errorf("%+v", m)
	}
	client, err := api.NewClient(api.Config{Address: r.url, RoundTripper: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	prom := promv1.NewAPI(client)
	as, err := prom.Alerts(t.Context())
	if err != nil || len(as.Alerts) != 1 || as.Alerts[0].State != "firing" || as.Alerts[0].Labels["job"] != "checkout" || as.Alerts[0].Value == "" {
		t.Errorf("%+v %v", as, err)
	}
	rs, err := prom.Rules(t.Context(), nil)
	if err != nil || len(rs.Groups) != 1 || len(rs.Groups[0].Rules) != 2 || rs.Groups[0].File != file {
		t.Fatalf("%+v %v", rs, err)
	}
	if rec, ok := rs.Groups[0].Rules[0].(promv1.RecordingRule); !ok || rec.Health != "ok" || rec.Query != "sum by (job, env) (rate(requests[30s]))" {
		t.Errorf("%+v", rs.Groups[0].Rules[0])
	}
	if al, ok := rs.Groups[0].Rules[1].(promv1.AlertingRule); !ok || al.Health != "ok" || al.State != "firing" || len(al.Alerts) != 1 || al.Labels["severity"] != "page" {
		t.Errorf("%+v", rs.Groups[0].Rules[1])
	}
	for _, query := range []string{`job:requests:rate{job="checkout"} > 19`, `ALERTS{alertname="Busy", alertstate="firing"}`, `ALERTS_FOR_STATE`} {
		v, _, _, err := prom.Query(t.Context(), query, time.Now())
		if err != nil || strings.Count(v.String(), "=>") != 1 {
			t.Errorf("%s: %v %v", query, v, err)
		}
	}
	var page struct {
		Strip struct{ Exceptions []struct{ Text string } }
	}
	if why := r.get("/api/v1/now", &page); why != "" || !strings.Contains(fmt.Sprint(page), "Your rules fire: Busy (checkout/prod)") {
		t.Errorf("%s: %+v", why, page)
	}
	var quiet dashboards.Silence
	if why := r.do(http.MethodPost, "/api/v1/silences", []byte(`{"service":"checkout","by":"ann","why":"test","for":"1h"}`), &quiet); why != "" {
		t.Fatal(why)
	}
	testenv.Eventually(t, "the webhook hears no more of it", func() bool {
		return slices.Equal(h.words(), []string{"firing Busy (checkout/prod)", "resolved Busy (checkout/prod)"})
	})
	if got := r.rules.Active(); len(got) != 1 || got[0].State != dashboards.AlertFiring {
		t.Errorf("an alert that is silent: %+v", got)
	}
	if why := r.do(http.MethodDelete, "/api/v1/silences/"+quiet.ID+"?by=ann", nil, &quiet); why != "" {
		t.Fatal(why)
	}
	testenv.Eventually(t, "it hears that it fires still", func() bool {
		return slices.Equal(h.words(), []string{"firing Busy (checkout/prod)", "firing Busy (checkout/prod)", "resolved Busy (checkout/prod)"})
	})
	write(strings.Replace(busy, "> 10", "> (", 1))
	err = r.Reload(parse(t, conf))
	if r.Apply(); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), `group "load", rule 2, "Busy"`) {
		t.Errorf("a bad file: %v", err)
	}
	if got := r.rules.Active(); len(got) != 1 {
		t.Errorf("the old rules do not run: %+v", got)
	}
	if err := Check(parse(t, conf)); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("the check of it: %v", err)
	}
	write(strings.Replace(busy, "> 10", "> 1000", 1))
	if err := r.Reload(parse(t, conf)); err != nil {
		t.Fatal(err)
	}
	r.Apply()
	testenv.Eventually(t, "the webhook hears that it is over", func() bool {
		return slices.Equal(h.words()[2:], []string{"resolved Busy (checkout/prod)", "resolved Busy (checkout/prod)"})
	})
}
