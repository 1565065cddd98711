package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// TestMain lets the tests' binary be the program itself: the sides that roster measures are this program again.
func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(testenv.Main(m))
}

// A few hundred members, both sides, real ZooKeeper: what the benchmark says of them is true, whatever the times are.
func TestRosterSmall(t *testing.T) {
	if _, ok := testenv.Classpath(t, testenv.ZooKeeperJars); !ok {
		return // with CI=true it has failed
	}
	for _, names := range []string{"-finagle=false", "-finagle"} {
		t.Run(names, func(t *testing.T) {
			var out, progress bytes.Buffer
			err := run(t.Context(), []string{"roster", "-members=400", "-sets=12", "-rate=100", "-churn=2s", "-loads=1", "-heap=128m", "-no-targets", names}, nil, &out, &progress)
			if err != nil {
				t.Fatalf("%v\n%s", err, &progress)
			}
			t.Logf("%s%s", &progress, &out)
			for _, want := range []string{"reached  at most one watch a root: 1", "reached  none lost, none stale, none unseen: 0, 0, 0"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q", want)
				}
			}
		})
	}
}

func TestReconnectSmall(t *testing.T) {
	if _, ok := testenv.Classpath(t, testenv.ZooKeeperJars); !ok {
		return
	}
	svg := filepath.Join(t.TempDir(), "r.svg")
	var out bytes.Buffer
	if err := run(t.Context(), []string{"reconnect", "-sessions=20", "-down=500ms", "-heap=128m", "-svg", svg}, nil, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile(svg)
	if err != nil || strings.Count(out.String(), "half of 20 back") != 4 || strings.Count(string(picture), "rollcall,") != 2 {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"x"}, {"roster", "-members=1"}, {"reconnect", "-sessions=1"}, {"side", "-of=x"}, {"collector", "-scale=2"}, {"collector", "-loads=5001"}, {"collector", "-sides=me"}, {"agent", "-of=x"}} {
		if err := run(context.Background(), args, nil, io.Discard, io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

// When a change counts as seen: it, or a newer one of the same instance, was shown after it was sent.
func TestMatch(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(1_764_000_000_000 + ms)) }
	set := func(seq, acked int) change { return change{"a", false, seq, at(acked - 5), at(acked), false} }
	gone1 := func(seq, acked int) change { return change{"a", true, seq, at(acked - 5), at(acked), false} }
	saw := func(key string, seq, ms int) sighting { return sighting{key, seq, at(ms).UnixNano()} }
	for _, tc := range []struct {
		name    string
		changes []change
		seen    []sighting
		unseen  int
		max     int // ms
	}{
		{"shown", []change{set(1, 100)}, []sighting{saw("a", 1, 130)}, 0, 30},
		{"shown before the server's word reached us", []change{set(1, 100)}, []sighting{saw("a", 1, 98)}, 0, 0},
		{"never", []change{set(1, 100)}, []sighting{saw("b", 1, 130)}, 1, 0},
		{"what was before", []change{set(7, 100)}, []sighting{saw("a", 3, 130)}, 1, 0},
		{"two as one", []change{set(1, 100), set(2, 110)}, []sighting{saw("a", 2, 150)}, 0, 50},
		{"came and went unseen", []change{{"a", false, 1, at(95), at(100), true}, gone1(2, 110)}, nil, 0, 0},
		{"gone", []change{gone1(1, 100)}, []sighting{saw("a", gone, 120)}, 0, 20},
		{"gone, before it was asked for", []change{gone1(1, 100)}, []sighting{saw("a", gone, 20)}, 1, 0},
		{"gone and back, shown as one", []change{gone1(1, 100), set(2, 200)}, []sighting{saw("a", 2, 240)}, 0, 140},
		{"gone and back by paths", []change{gone1(1, 100), set(2, 200)}, []sighting{saw("/p/1", 0, 50), saw("/p/1", gone, 110), saw("/p/2", 2, 220)}, 0, 20},
		{"back under a new name before the old one went", []change{gone1(1, 100), set(2, 101)}, []sighting{saw("/p/1", 0, 50), saw("/p/2", 2, 110), saw("/p/1", gone, 120)}, 0, 10},
	} {
		l := match(tc.changes, tc.seen, map[string]string{"/p/1": "a", "/p/2": "a"})
		if l.Unseen != tc.unseen || l.Max != time.Duration(tc.max)*time.Millisecond {
			t.Errorf("%s: %d unseen, at most %s", tc.name, l.Unseen, l.Max)
		}
	}
}

func TestCompare(t *testing.T) {
	tr := newTree(20, 2, false)
	all := func() (out []held) {
		for _, set := range tr.sets {
			for _, n := range set {
				out = append(out, held{n.path, n.endpoint, n.seq, string(rune('a' + n.seq%3))})
			}
		}
		return out
	}
	if d := compare(tr, all()); !d.none() || tr.count() != 20 {
		t.Errorf("%+v", d)
	}
	has := all()
	has[3].Seq, has[4].Addr, has[5].Zone = 9, "10.0.0.0:1", "c"
	has = append(has[1:], held{"10.9.9.9:1", "10.9.9.9:1", 1, ""})
	if d := compare(tr, has); d.Lost != 1 || d.Stale != 3 || d.Ghosts != 1 {
		t.Errorf("%+v", d)
	}
}

// Every way produces into a real Kafka, and each topic has what was acknowledged, whatever the times are.
func TestSinkSmall(t *testing.T) {
	if _, ok := testenv.Classpath(t, testenv.KafkaJars); !ok {
		return // with CI=true it has failed
	}
	var out, progress bytes.Buffer
	if err := run(t.Context(), []string{"sink", "-runs=1", "-warm=50ms", "-window=150ms", "-no-targets", "-broker=kafka"}, nil, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	if tables, targets := strings.Count(out.String(), "franz-go  "), strings.Count(out.String(), "reached  ")+strings.Count(out.String(), "missed   "); tables != 2 || targets != 5 {
		t.Errorf("%d tables, %d targets\n%s", tables, targets, &out)
	}
}
