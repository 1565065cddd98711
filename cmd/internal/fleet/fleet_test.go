package fleet

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rollcall-metrics/rollcall/discovery/zk"
	"github.com/rollcall-metrics/rollcall/internal/zkserve"
)

func TestFleet(t *testing.T) {
	f, err := New(Config{Instances: 6, Numbers: 30, Shapes: 3, Services: 2})
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	for _, i := range list {
		res, err := http.Get("http://" + i.Addr + "/stats.json")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		var s struct{ Counters, Gauges map[string]float64 }
		if err := json.Unmarshal(b, &s); err != nil || len(s.Counters) != 20 || len(s.Gauges) != 10 {
			t.Fatalf("%s: %v, %d counters, %d gauges", i.Addr, err, len(s.Counters), len(s.Gauges))
		}
	}
	if n := f.Requests(); n != 6 {
		t.Errorf("%d requests counted, 6 made", n)
	}
	dir := t.TempDir()
	sd := filepath.Join(dir, "t.json")
	if err := f.WriteFileSD(sd); err != nil {
		t.Fatal(err)
	}
	var groups []struct {
		Targets []string
		Labels  map[string]string
	}
	b, _ := os.ReadFile(sd)
	if err := json.Unmarshal(b, &groups); err != nil || len(groups) != 2 || len(groups[0].Targets) != 3 || groups[1].Labels["service"] != "load-1" {
		t.Errorf("file_sd: %v %s", err, b)
	}
	if err := f.WriteServersets(dir); err != nil {
		t.Fatal(err)
	}
	b, _ = os.ReadFile(filepath.Join(dir, "discovery.load-0.load"))
	if n := strings.Count(string(b), "\n"); n != 2 {
		t.Errorf("serverset file: %q", b)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, bad := range []Config{{Instances: -1}, {Numbers: 1 << 30}, {FirstPort: 65000, Instances: 1000}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestRegister(t *testing.T) {
	z, err := zkserve.New(zkserve.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { z.Run(ctx) })
	<-z.Listening()
	f, err := New(Config{Instances: 40, Services: 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Listen(); err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { f.Run(ctx) })
	all := make(chan struct{})
	wg.Go(func() {
		if err := f.Register(ctx, []string{z.Addr()}, slog.New(slog.DiscardHandler), func(n int) {
			if n == 40 {
				close(all)
			}
		}); err != nil {
			t.Error(err)
		}
	})
	<-all
	s, err := zk.NewSession(zk.Config{Servers: []string{z.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { s.Run(ctx) })
	names, _, err := s.Children(ctx, "/discovery/load-3/load")
	if err != nil || len(names) != 10 || !strings.Contains(names[0], "-127.0.0.1:") {
		t.Errorf("%v %v", names, err)
	}
	cancel()
	wg.Wait()
}

// A fleet that is told to end before it has begun to serve ends all the same.
func TestEndsAtOnce(t *testing.T) {
	for range 50 {
		f, err := New(Config{Instances: 20, Numbers: 1, Shapes: 1, Services: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Listen(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
