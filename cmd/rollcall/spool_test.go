package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/kafka"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/spool"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// lost makes the spool of a collector that never saw Kafka: n snapshots wait in it. While hold runs the collector still does.
func lost(t *testing.T, dir string, n int, hold func()) {
	t.Helper()
	ledger := sink.NewLedger(sink.Identity{Collector: 0x9f3c2a7be01d44c1, Start: 1}, time.Now())
	s, err := kafka.New(kafka.Config{Brokers: []string{"127.0.0.1:1"}, Ledger: ledger, Partitions: 3, Drain: time.Millisecond, Spool: &spool.Config{Path: dir, MaxBytes: 64 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for i := range n {
		s.Put(sinktest.Snapshot(fmt.Sprint("service-", i%10), i))
	}
	testenv.Eventually(t, "all is on disk", func() bool { return ledger.Report(time.Now()).Total.Spooled == uint64(n) })
	hold()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestSpoolCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	look := func() {
		t.Helper()
		out, stderr, code := rollcall(t, "spool", "ls", "--path="+dir)
		if code != exitOK || !strings.Contains(out, "batches wait") || !strings.Contains(out, "snapshots  ") || strings.Contains(out, "aside") {
			t.Errorf("ls: %d\n%s%s", code, out, stderr)
		}
		out, stderr, code = rollcall(t, "spool", "cat", "all", "--path="+dir)
		if lines := strings.Split(strings.TrimSpace(out), "\n"); code != exitOK || len(lines) != 200 {
			t.Fatalf("cat: %d, %d lines\n%s", code, len(lines), stderr)
		}
		var r wire.Record
		if err := wire.Decode([]byte(out[:strings.Index(out, "\n")]), &r); err != nil || r.ID.Start != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	lost(t, dir, 200, func() {
		look()
		if _, stderr, code := rollcall(t, "spool", "drop", "all", "--path="+dir); code != exitFailure || !strings.Contains(stderr, "stop the collector first") {
			t.Errorf("drop while the collector runs: %d %s", code, stderr)
		}
	})
	look()

	// One batch is set aside by hand, as a sink does what Kafka refuses.
	sp, err := spool.Open(spool.Config{Path: dir, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	es, _ := sp.Next(0, wire.Partition("service-1/prod", 3), spool.Pos{}, 1, func(spool.Entry) {})
	if len(es) != 1 {
		t.Fatal("no batch waits")
	}
	b, err := sp.Read(es[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sp.SetAside(es[0], b, "rollcall.snapshots", "timestamp", time.Now().UnixMilli()); err != nil {
		t.Fatal(err)
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	list := func(more ...string) (l struct {
		Batches int
		List    []waiting
	}) {
		t.Helper()
		out, stderr, code := rollcall(t, append([]string{"spool", "ls", "--json", "--path=" + dir}, more...)...)
		if err := json.Unmarshal([]byte(out), &l); code != exitOK || err != nil {
			t.Fatalf("ls --json: %d, %v\n%s%s", code, err, out, stderr)
		}
		return l
	}
	l := list()
	aside := l.List[len(l.List)-1]
	if aside.State != "aside" || aside.Reason != "timestamp" || aside.Records != es[0].Records || aside.Name == "" {
		t.Errorf("%+v", aside)
	}
	if out, stderr, code := rollcall(t, "spool", "cat", aside.Name, "--path="+dir); code != exitOK || strings.Count(out, "\n") != aside.Records {
		t.Errorf("cat: %d\n%s%s", code, out, stderr)
	}
	if out, stderr, code := rollcall(t, "spool", "retry", "all", "--path="+dir); code != exitOK || !strings.Contains(out, "waits again") {
		t.Errorf("retry: %d\n%s%s", code, out, stderr)
	}
	l = list("--batches")
	victim := l.List[0]
	if l.Batches != len(l.List) || victim.Name == "" || victim.Records == 0 {
		t.Errorf("%+v", l)
	}
	if out, stderr, code := rollcall(t, "spool", "drop", victim.Name, "--path="+dir); code != exitOK || !strings.Contains(out, "is gone") {
		t.Errorf("drop: %d\n%s%s", code, out, stderr)
	}
	for _, args := range [][]string{{"cat", "7-7"}, {"retry", "nothing.batch"}, {"drop", "999-20"}, {"drop", "../lock"}} {
		if _, stderr, code := rollcall(t, append([]string{"spool", "--path=" + dir}, args...)...); code == exitOK {
			t.Errorf("%v: %s", args, stderr)
		}
	}
	if _, stderr, code := rollcall(t, "spool", "ls", "--path="+t.TempDir()); code != exitFailure || !strings.Contains(stderr, "it is none") {
		t.Errorf("ls of no spool: %d %s", code, stderr)
	}

	// The host is lost; what its spool holds is sent from elsewhere.
	br, err := broker.New(broker.Config{Addr: "127.0.0.1:0", DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- br.Run(ctx) }()
	defer func() { cancel(); <-done }()
	<-br.Ready()
	out, stderr, code := rollcall(t, "spool", "send", "--path="+dir, "--kafka="+br.Addr())
	if want := fmt.Sprintf("%d delivered, 0 set aside, 0 dropped, 0 left\n", 200-victim.Records); code != exitOK || out != want {
		t.Errorf("send: %d, %q, want %q\n%s", code, out, want, stderr)
	}
	if l := list(); l.Batches != 0 || len(l.List) != 0 {
		t.Errorf("left: %+v", l)
	}
}
