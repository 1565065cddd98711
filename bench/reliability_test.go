package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// One of three brokers dies under load: whatever the times are on this machine, each answer is in the topics, once, and the audit says the same.
func TestReliabilitySmall(t *testing.T) {
	if _, ok := testenv.Classpath(t, testenv.KafkaJars); !ok {
		return
	}
	var out, progress bytes.Buffer
	err := run(t.Context(), []string{"reliability", "-fault=broker", "-targets=60", "-scale=0.2", "-no-targets"}, nil, &out, &progress)
	t.Logf("%s%s", &progress, &out)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(progress.String()) {
		if _, missed, ok := strings.Cut(line, "MISSED "); ok && !strings.Contains(missed, "live") {
			t.Error(missed)
		}
	}
	if !strings.Contains(out.String(), "| `broker` | ") || strings.Contains(out.String(), "not run") {
		t.Errorf("%s", &out)
	}
}

// The counts would be worth nothing if they could not tell.
func TestCountAnswers(t *testing.T) {
	at := func(s float64) time.Time { return time.UnixMilli(int64(1_764_000_000_000 + 1000*s)) }
	rec := func(seq uint64, answer int) landed {
		return landed{id: wire.ID{Collector: 1, Start: 1, Sequence: seq}, instance: "a", outcome: outcomeOK, answer: answer, ts: at(float64(answer)).UnixMilli()}
	}
	failed := func(seq uint64, s float64) landed {
		return landed{id: wire.ID{Collector: 1, Start: 1, Sequence: seq}, instance: "a", outcome: "timeout", ts: at(s).UnixMilli()}
	}
	whole := []life{{began: at(0), gone: at(100)}}
	killed := []life{{began: at(0), gone: at(3.05), killed: true}, {began: at(4), gone: at(100)}}
	for _, tc := range []struct {
		name                       string
		rows                       []landed
		lives                      []life
		lost, early, failed        int
		double, gaps, oldestMillis int
	}{
		{"all is well", []landed{rec(1, 1), rec(2, 2), rec(3, 3)}, whole, 0, 0, 0, 0, 0, 0},
		{"one is lost", []landed{rec(1, 1), rec(2, 3)}, whole, 1, 1, 0, 0, 0, 0},
		{"one is lost, and its id missing", []landed{rec(1, 1), rec(3, 3)}, whole, 1, 1, 0, 0, 1, 0},
		{"an id twice", []landed{rec(1, 1), rec(2, 2), rec(2, 2), rec(3, 3)}, whole, 0, 0, 0, 1, 0, 0},
		{"an answer twice, under two ids", []landed{rec(1, 1), rec(2, 2), rec(3, 2), rec(4, 3)}, whole, 0, 0, 0, 1, 0, 0},
		{"told as failed", []landed{rec(1, 1), failed(2, 1.9), rec(3, 3)}, whole, 0, 0, 1, 0, 0, 0},
		{"a failure long before explains nothing", []landed{failed(1, -20), rec(2, 1), rec(3, 2)}, whole, 1, 1, 0, 0, 0, 0},
		{"lost with a kill", []landed{rec(1, 1), rec(2, 2)}, killed, 1, 0, 0, 0, 0, 50},
		{"lost long before a kill", []landed{rec(1, 1), rec(2, 3)}, killed, 1, 1, 0, 0, 0, 1050},
		{"of nobody", []landed{rec(1, 1), rec(2, 2), rec(3, 3), {instance: "b"}}, whole, 0, 0, 0, 1, 0, 0},
	} {
		rows := tc.rows
		c := count([][]time.Time{{at(1), at(2), at(3)}}, map[string]int{"a": 0}, rows, tc.lives)
		if tc.name == "of nobody" {
			c.gaps = 0
		}
		if c.scraped != 3 || c.lost != tc.lost || c.early != tc.early || c.failed != tc.failed || c.double != tc.double || c.gaps != tc.gaps || c.oldest.Milliseconds() != int64(tc.oldestMillis) {
			t.Errorf("%s: %+v", tc.name, c)
		}
	}
	// Answered, but to one who was gone by then.
	c := count([][]time.Time{{at(1), at(2), at(3.1)}}, map[string]int{"a": 0}, []landed{rec(1, 1), rec(2, 2)}, killed)
	if c.lost != 1 || c.early != 0 || c.oldest != 0 {
		t.Errorf("after a kill: %+v", c)
	}
}

func TestFresh(t *testing.T) {
	at := func(s float64) time.Time { return time.UnixMilli(int64(1_764_000_000_000 + 1000*s)) }
	rec := func(instance string, scraped, came float64) landed {
		return landed{topic: "live", instance: instance, outcome: outcomeOK, ts: at(scraped).UnixMilli(), came: at(came)}
	}
	rows := []landed{rec("a", 1, 1.1), rec("b", 1, 1.1), rec("a", 5, 10.5), rec("a", 10.9, 11), rec("b", 11.2, 11.5), rec("a", 12, 12.1), rec("b", 10.6, 13.1), rec("b", 20, 29)}
	if f := fresh(rows, "live", at(10), at(20), time.Second); f.again != 1500*time.Millisecond || f.worst != 2500*time.Millisecond {
		t.Errorf("%+v", f)
	}
	if f := fresh(rows[:4], "live", at(10), at(20), time.Second); f.again != 10*time.Second {
		t.Errorf("one that never came again: %+v", f)
	}
}

func TestReadLanded(t *testing.T) {
	const head = `{"v":1,"id":"00000000000000aa/2/3/45","ts":1764000000123,"service":"s","env":"e","instance":"127.77.1.1:22000","outcome":"ok","took_us":9,"counters":{"answers":17,"x":1}}`
	l, err := readLanded("live", 3, 9, []byte(head))
	if err != nil || l.answer != 17 || l.ts != 1764000000123 || l.id.Sequence != 45 || l.instance != "127.77.1.1:22000" {
		t.Errorf("%+v: %v", l, err)
	}
	for _, bad := range []string{`{}`, strings.Replace(head, "answers", "others", 1), strings.Replace(head, "ts", "st", 1)} {
		if _, err := readLanded("live", 3, 9, []byte(bad)); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
}
