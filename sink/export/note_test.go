package export

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// What exports keep with their offsets is read as every version writes it; ours still writes what it wrote once.
func TestNotesOfEveryVersion(t *testing.T) {
	full := note{TS: 1764000000123, Began: 1763996400123, Interval: 10000, Mark: "ANkCgIBA"}
	for file, want := range map[string]note{
		"v1/topic": full, "v1/fresh": {Began: full.Began}, "later/topic": full,
		"v1/ndjson": {TS: full.TS, Began: full.Began, Mark: "snapshots-7-20251124T160000.000000.ndjson.zst@4096"},
	} {
		b, err := os.ReadFile(filepath.Join("testdata", file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var got note
		if err := json.Unmarshal(b, &got); err != nil || got != want {
			t.Errorf("%s: %+v, %v", file, got, err)
		}
		if ours, err := json.Marshal(got); err != nil || filepath.Dir(file) == "v1" && !bytes.Equal(ours, bytes.TrimSpace(b)) {
			t.Errorf("%s is written as %s, %v", file, ours, err)
		}
	}
}
