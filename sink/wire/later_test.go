package wire

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

// later gives a record of a later version.
func later(t *testing.T, name string) *Record {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "later", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	if err := Decode([]byte(strings.TrimSpace(string(b))), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// Of what a later version writes all is read that is known.
func TestReadsLater(t *testing.T) {
	r := later(t, "snapshot")
	var got []string
	for _, s := range r.Samples {
		got = append(got, s.Name)
	}
	if g := strings.Join(got, " "); g != "requests heap_mb latency_ms mode hits h" || r.Skipped != 2 || r.Samples[4].Value != "17" || r.Source.Slot != 1764000000120 || r.ID.Sequence != 346 {
		t.Errorf("%s, %d skipped, %+v", g, r.Skipped, r)
	}
	b, err := os.ReadFile(filepath.Join("testdata", "later", "roster.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e RosterRecord
	if err := DecodeRoster(b, &e); err != nil || len(e.Changes) != 2 || e.Changes[0].Excuse == "" || e.Changes[0].Port != 8001 || e.Changes[1].State != "hibernating" || e.Term == 0 {
		t.Errorf("%+v, %v", e, err)
	}
	if r := later(t, "outcome"); r.Outcome != collector.NumOutcomes || r.OutcomeText != "throttled" || r.Reason != "come back later" {
		t.Errorf("%+v", r)
	}
}

// What this version wrote once is read for good: the files are never written again once a later version is out.
func TestReadsEveryVersion(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "v*", "*.json"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%v: %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(f) == "roster.json" {
			err = DecodeRoster([]byte(strings.TrimSpace(string(b))), new(RosterRecord))
		} else {
			err = Decode([]byte(strings.TrimSpace(string(b))), new(Record))
		}
		if err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}
