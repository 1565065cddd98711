package kafka

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/spool"
)

const killedEnv, killsEnv = "ROLLCALL_TEST_KILLED", "ROLLCALL_TEST_KILLS"

// victim is what a process that will be killed is told.
type victim struct {
	Dir    string
	Addr   string
	Start  uint64
	Topics sink.Topics
	From   int // number of its first snapshot
	Lose   bool
}

// killed is a collector's way out in a process of its own: it puts a snapshot every millisecond, writes down which and when, and every so often loses
// an acknowledgement, until it is killed.
func killed(text string) {
	var v victim
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	var cut cutter
	c := Config{Brokers: []string{v.Addr}, Topics: v.Topics, StoragePath: v.Dir, Partitions: 3, Dial: cut.dial, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Ledger: sink.NewLedger(sink.Identity{Collector: 7, Start: v.Start}, time.Now()), Spool: &spool.Config{Path: filepath.Join(v.Dir, "spool"), MaxBytes: 64 << 20}}
	s, err := New(c)
	if err != nil {
		panic(err)
	}
	go func() { panic(s.Run(context.Background())) }()
	said, err := os.OpenFile(filepath.Join(v.Dir, "said"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	tick := time.NewTicker(time.Millisecond)
	for s.Behind() {
		<-tick.C
	}
	fmt.Println("ready")
	for n := v.From; ; n++ {
		<-tick.C
		if v.Lose && n%50 == 0 {
			cut.lose.Store(1)
		}
		s.Put(sinktest.Snapshot(fmt.Sprint("service-", n%11), n))
		fmt.Fprintf(said, "%d %d %d\n", v.Start, n, time.Now().UnixMilli())
	}
}

// word is what a killed process says it has put, and when.
type word struct {
	start, n int
	at       int64
}

func said(t *testing.T, dir string) (all []word) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var w word
		if _, err := fmt.Sscanf(string(line), "%d %d %d\n", &w.start, &w.n, &w.at); err == nil {
			all = append(all, w)
		}
	}
	return all
}

// kills has a process killed again and again at random moments, and a last one end in order: each snapshot is in the topics once, but for those of the last 100 ms
// before a kill, which may not be.
func kills(t *testing.T, addr string, topics sink.Topics, outage func(i int)) {
	times := 6
	if text := os.Getenv(killsEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		times = n
	}
	dir := t.TempDir()
	var ends []int64 // of the processes, as close before as can be said
	var gone int64   // after the last one's
	for i := range times {
		from := 0
		if i > 0 {
			if all := said(t, dir); len(all) > 0 {
				from = all[len(all)-1].n + 1
			}
		}
		text, err := json.Marshal(victim{dir, addr, uint64(i + 1), topics, from, i%2 == 1})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killedEnv+"="+string(text))
		var log bytes.Buffer
		cmd.Stderr = &log
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("it says %q, %v\n%s", line, err, &log)
		}
		<-time.After(rand.N(1200 * time.Millisecond)) // the random moment
		ends = append(ends, time.Now().UnixMilli())
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || bytes.Contains(log.Bytes(), []byte("panic")) {
			t.Fatalf("it was not killed, but ended: %v\n%s", err, &log)
		}
		gone = time.Now().UnixMilli()
		outage(i)
	}
	last := subject(t, addr, func(c *Config) {
		c.Topics, c.StoragePath, c.Partitions = topics, dir, 3
		c.Spool = &spool.Config{Path: filepath.Join(dir, "spool"), MaxBytes: 64 << 20}
		c.Ledger = sink.NewLedger(sink.Identity{Collector: 7, Start: uint64(times + 1)}, time.Now())
	})
	end := last.Go(t)
	until(t, "what the killed ones left to be delivered", func() bool {
		sp := last.Sink.(*Sink).backlog.store()
		return sp != nil && sp.Status().Batches == 0 && last.Ledger.Report(time.Now()).Total.Waiting() == 0
	})
	end()
	r := last.Ledger.Report(time.Now())
	all := said(t, dir)
	// stood is how long at a time a process wrote nothing, from its k-th word on: one that the machine does not let run does nothing else, either.
	stood := func(k int) (most int64) {
		j := k + 1
		for ; j < len(all) && all[j].start == all[k].start; j++ {
			most = max(most, all[j].at-all[j-1].at)
		}
		return max(most, ends[all[k].start-1]-all[j-1].at)
	}
	if u := r.Unclean; u == nil || u.Start < uint64(times-1) || u.Start > uint64(times) || u.Unrecorded != 100 || u.Saved > gone {
		t.Errorf("the last start says of the one before: %+v, killed at %d", u, ends[len(ends)-1])
	} else if k := slices.IndexFunc(all, func(w word) bool { return w.start == len(ends) }); k >= 0 && u.Saved < ends[len(ends)-1]-3000-2*stood(k) {
		t.Errorf("the last start says of the one before: %+v, killed at %d, and it stood still for %d ms", u, ends[len(ends)-1], stood(k))
	}
	if !r.Total.Balanced() || r.Total.Dropped != 0 {
		t.Errorf("ledger %+v", r.Total)
	}
	seen := once(t, both(t, last), 3)
	lost, oldest := 0, int64(0)
	for k, w := range all {
		if _, ok := seen[fmt.Sprint(w.n)]; ok {
			continue
		}
		lost++
		age := ends[w.start-1] - w.at
		oldest = max(oldest, age)
		if still := stood(k); age > 100+2*still { // what stood still since then does not count
			t.Errorf("snapshot %d, put %d ms before the process was killed, is lost; it stood still for %d ms", w.n, age, still)
		}
	}
	t.Logf("%d kills, %d snapshots, %d of the last moments lost, the oldest put %d ms before its process was killed, %d may be double", times, len(all), lost, oldest,
		last.Sink.(*Sink).metrics.maybeDouble.Get())
}

func TestKilled(t *testing.T) {
	addr, _ := embedded(t, broker.Config{DataDir: t.TempDir()})
	kills(t, addr, sink.DefaultTopics(), func(int) {})
}
