package embed

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Both servers listen where they say, keep what they have below the storage folder, and end with the context; a port in use is passed over where that is allowed.
func TestServers(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := Config{ZooKeeper: true, Kafka: true, Storage: t.TempDir(), ZooKeeperAddr: taken.Addr().String(), KafkaAddr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)}
	if _, err := New(c); err == nil {
		t.Error("a port in use was taken")
	}
	c.NextPort = true
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	wait, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	if err := s.Wait(wait); err != nil {
		t.Fatal(err)
	}
	for name, addr := range map[string]string{"ZooKeeper": s.ZooKeeper(), "Kafka": s.Kafka()} {
		conn, err := net.Dial("tcp", addr)
		if err != nil || addr == taken.Addr().String() {
			t.Errorf("%s at %q: %v", name, addr, err)
			continue
		}
		conn.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, dir := range []string{"zookeeper", "broker"} {
		if _, err := os.Stat(filepath.Join(c.Storage, dir)); err != nil {
			t.Error(err)
		}
	}
	none, err := New(Config{Log: c.Log})
	if err != nil || none.ZooKeeper() != "" || none.Kafka() != "" {
		t.Errorf("no servers: %q %q %v", none.ZooKeeper(), none.Kafka(), err)
	}
}
