package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// A few dozen targets, every side and the overload, over real sockets into a real broker: what the benchmark counts agrees, whatever the times are.
func TestCollectorSmall(t *testing.T) {
	var out, progress bytes.Buffer
	err := run(t.Context(), []string{"collector", "-loads=1000,overload", "-scale=0.03", "-runs=1", "-warm=200ms", "-window=1s", "-steps=1", "-no-targets"}, nil, &out, &progress)
	t.Logf("%s%s", &progress, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"30 targets x 200 numbers every 1s", "plain collector",
		"reached  at most 0 slots of which nothing is told, in all runs together at 30 targets: 0",
		"reached  at most 0 records more or less than the fleet's answers, or wrong at 30 targets: 0",
		"300 targets x 200 numbers, asked for ever more often",
		"reached  every answer is a record, every slot is accounted for: 0 are not",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q", want)
		}
	}
}

// The counts would be worth nothing if they could not tell.
func TestTally(t *testing.T) {
	record := func(seq, slot, outcome string) []byte {
		return []byte(`{"v":1,"id":"00000000000000aa/1/3/` + seq + `","ts":1,"service":"s","env":"e","instance":"127.0.0.1:1","outcome":"` + outcome + `","took_us":1,"src":{"slot":` + slot + `,"interval_ms":1000}}`)
	}
	for _, tc := range []struct {
		name                                    string
		records                                 [][]byte
		good, doubles, missing, untold, skipped int
	}{
		{"all is well", [][]byte{record("1", "1000", "timeout"), record("2", "2000", "timeout")}, 0, 0, 0, 0, 0},
		{"an id twice", [][]byte{record("1", "1000", "timeout"), record("1", "2000", "timeout")}, 0, 1, 0, 0, 0},
		{"an id missing", [][]byte{record("2", "1000", "timeout"), record("4", "2000", "timeout")}, 0, 0, 2, 0, 0},
		{"a slot untold", [][]byte{record("1", "1000", "timeout"), record("3", "4000", "timeout"), record("2", "2000", "timeout")}, 0, 0, 0, 1, 0},
		{"the slot after the first", [][]byte{record("1", "1000", "timeout"), record("2", "3000", "timeout")}, 0, 0, 0, 0, 0},
		{"skipped", [][]byte{record("1", "1000", "skipped"), record("2", "2000", "skipped")}, 0, 0, 0, 0, 2},
	} {
		tl := newTally(1000)
		for _, r := range tc.records {
			if err := tl.record(r); err != nil {
				t.Fatal(err)
			}
		}
		tl.sum()
		if tl.Records != tc.good || tl.Doubles != tc.doubles || tl.Missing != tc.missing || tl.Untold != tc.untold || tl.Most != tc.skipped {
			t.Errorf("%s: %+v", tc.name, tl)
		}
	}
	tl := newTally(1000)
	for _, r := range [][]byte{record("1", "1000", "timeout"), record("2", "2000", "skipped")} {
		if err := tl.record(r); err != nil {
			t.Fatal(err)
		}
	}
	if tl.off(0) != 0 || tl.off(1) != 0 || tl.off(2) != 1 || tl.words() != ", 1 skipped, 1 timeout" {
		t.Errorf("%d, %d, %d off%s", tl.off(0), tl.off(1), tl.off(2), tl.words())
	}
	// Failures that were answered make up for no answer that was lost, nor do those that never had one.
	tl = newTally(1000)
	for _, r := range [][]byte{record("1", "1000", "status"), record("2", "2000", "refused"), record("3", "3000", "parse")} {
		if err := tl.record(r); err != nil {
			t.Fatal(err)
		}
	}
	if tl.off(2) != 0 || tl.off(3) != 1 || tl.off(1) != 1 {
		t.Errorf("%d, %d, %d off", tl.off(2), tl.off(3), tl.off(1))
	}
	if wholeRecord(record("1", "1000", "ok")) {
		t.Error("a record without a number is taken for whole")
	}
	if err := newTally(1000).record([]byte(`{"v":1}`)); err == nil {
		t.Error("what is no record is taken")
	}
}

// Each shape is a body of 200 numbers of its own names, whose digits change and stay numbers.
func TestShapes(t *testing.T) {
	seen := map[string]bool{}
	for i := range fleetShapes {
		s := newShape(i)
		if seen[string(s.body)] {
			t.Fatalf("shape %d is another's", i)
		}
		seen[string(s.body)] = true
		body, seed := s.own(rand.New(rand.NewPCG(1, uint64(i)))), uint64(7)
		before := bytes.Clone(body)
		var counters [2]float64
		for step := range 300 {
			s.step(body, &seed)
			var v struct {
				Counters, Gauges map[string]float64
				Metrics          map[string]map[string]float64
			}
			if err := json.Unmarshal(body, &v); err != nil {
				t.Fatal(err)
			}
			if n := len(v.Counters) + len(v.Gauges) + 11*len(v.Metrics); n != numbersEach {
				t.Fatalf("shape %d: %d numbers", i, n)
			}
			counters[step%2] = 0
			for _, c := range v.Metrics {
				counters[step%2] += c["count"]
			}
			if step > 0 && counters[step%2] <= counters[1-step%2] {
				t.Fatalf("shape %d: what counts does not grow", i)
			}
			if i > 3 && step > 3 {
				break
			}
		}
		if bytes.Equal(before, body) {
			t.Errorf("shape %d stands still", i)
		}
	}
}

func TestFlames(t *testing.T) {
	f := func(id uint64, name string) *profile.Location {
		return &profile.Location{ID: id, Line: []profile.Line{{Function: &profile.Function{ID: id, Name: name}}}}
	}
	work, parse, grow, gc, start := f(1, ours+"collector/scrape.(*Pool).work"), f(2, ours+"collector/stats.(*Parser).Parse"), f(3, "runtime.growslice"), f(4, "runtime.gcBgMarkWorker"), f(5, "runtime.goexit")
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples"}, {Type: "cpu"}}, Sample: []*profile.Sample{
		{Location: []*profile.Location{grow, parse, work, start}, Value: []int64{1, 30}},
		{Location: []*profile.Location{work, start}, Value: []int64{1, 50}},
		{Location: []*profile.Location{gc}, Value: []int64{1, 20}},
	}}
	root := flames(p)
	all, kernel := make([]int64, len(stages)), make([]int64, len(stages))
	root.byStage(all, kernel)
	for i, want := range []int64{0, 50, 30, 0, 0, 0, 0, 20, 0} {
		if all[i] != want {
			t.Errorf("%s: %d, want %d", stages[i].name, all[i], want)
		}
	}
	svg := string(flameSVG(root, "a < b", 10))
	if !strings.Contains(svg, "a &lt; b") || !strings.Contains(svg, "runtime.growslice: 30.0 %, 3.00 µs a scrape") || strings.Contains(svg, "goexit") || strings.Count(svg, "<g>") != strings.Count(svg, "</g>") {
		t.Error(svg)
	}
}

func TestTargetList(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.json")
	if err := writeTargets(file, 1001, 2); err != nil {
		t.Fatal(err)
	}
	list, err := readTargets(file)
	seen := map[string]bool{}
	for _, l := range list {
		seen[l.Addr] = true
	}
	if err != nil || len(list) != 1001 || len(seen) != 1001 || list[0].Service != "service-000" {
		t.Errorf("%v: %d targets, %d addresses", err, len(list), len(seen))
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readTargets(file); err == nil {
		t.Error("half a list is taken")
	}
}
