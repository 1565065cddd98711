package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
)

// TestWhichBrokers: what is named counts; else whoever is asked says where it delivers, before anything is taken for granted; and every error names who was asked.
func TestWhichBrokers(t *testing.T) {
	serve := func(at collect.TopicsAt) string {
		mux := http.NewServeMux()
		for _, p := range []string{"/api/v1/collector", "/api/v1/status"} {
			mux.HandleFunc("GET "+p, func(w http.ResponseWriter, _ *http.Request) {
				json.NewEncoder(w).Encode(map[string]any{"topics_at": at})
			})
		}
		s := httptest.NewServer(mux)
		t.Cleanup(s.Close)
		return s.URL
	}
	here := serve(collect.TopicsAt{Brokers: []string{"127.0.0.1:1"}, Snapshots: "a", Backfill: "b"})
	locked := serve(collect.TopicsAt{Brokers: []string{"127.0.0.1:1"}, Secured: true})
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	defer old.Close()
	file := filepath.Join(t.TempDir(), "c.yml")
	if err := os.WriteFile(file, []byte("kafka:\n  brokers: [127.0.0.1:3]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		flags, collector, page string
		brokers, from, topic   string
	}{
		{"", here, "", "127.0.0.1:1", "as the collector at " + here + " says", "a"},
		{"", "", here, "127.0.0.1:1", "as the page at " + here + " says", "a"},
		{"", old.URL, here, "127.0.0.1:1", "as the page at " + here + " says", "a"},
		{"k", here, here, "127.0.0.1:2", "as --kafka says", "rollcall.snapshots"},
		{"f", here, here, "127.0.0.1:3", "as " + file + " says", "rollcall.snapshots"},
		{"", old.URL, old.URL, defaultBroker, "which is the default, for the collector at " + old.URL + " and the page at " + old.URL + " did not say", "rollcall.snapshots"},
	} {
		var c topicFlags
		switch tc.flags {
		case "k":
			c.Kafka = []string{"127.0.0.1:2"}
		case "f":
			c.ConfigFile = file
		}
		w, err := c.way(askPlaces(t.Context(), collectorFlags{Collector: tc.collector}, tc.page)...)
		if err != nil || !slices.Equal(w.kafka.Brokers, []string{tc.brokers}) || w.from != tc.from || w.topics.Snapshots != tc.topic {
			t.Errorf("%+v: %v, %+v", tc, err, w)
		}
	}
	for _, tc := range []struct{ args, want string }{
		{"tap --collector=" + here, "(asked: Kafka at 127.0.0.1:1, as the collector at " + here + " says)"},
		{"tap --url=" + here, "(asked: Kafka at 127.0.0.1:1, as the page at " + here + " says)"},
		{"plan --collector=" + here, "(asked: Kafka at 127.0.0.1:1, as the collector at "},
		{"why 9f3c2a7be01d44c1/1/0/7 --collector=" + here, "(asked: Kafka at 127.0.0.1:1, as the collector at "},
		{"tap --url=" + locked, "want TLS or a login: name the file that has it with --config.file"},
	} {
		if _, bad, code := rollcall(t, strings.Fields(tc.args)...); code != 1 || !strings.Contains(bad, tc.want) {
			t.Errorf("%s: %d %s", tc.args, code, bad)
		}
	}
}

func TestMovedPorts(t *testing.T) {
	got := moved([]port{{"page", "127.0.0.1:7150", "127.0.0.1:7151", "--url=http://"}, {"collector", "127.0.0.1:0", "127.0.0.1:31", "--collector=http://"}, {"Kafka", "127.0.0.1:7192", "127.0.0.1:7193", ""}, {"ZooKeeper", "127.0.0.1:7181", "", ""}})
	want := []string{"Port 7150 was in use: the page is on 127.0.0.1:7151.", "Port 7192 was in use: the Kafka is on 127.0.0.1:7193.", "Commands find it with --url=http://127.0.0.1:7151."}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
