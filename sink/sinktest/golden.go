package sinktest

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Golden is the snapshots that every reader has to read, by folder and file, such as v1/failed: those that each version wrote, and some of a later one.
func Golden(t testing.TB) map[string][]byte { return golden(t, false) }

// GoldenRosters is the same of records of the roster.
func GoldenRosters(t testing.TB) map[string][]byte { return golden(t, true) }

func golden(t testing.TB, rosters bool) map[string][]byte {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "wire", "testdata")
	out, versions := map[string][]byte{}, map[string]bool{}
	files, err := filepath.Glob(filepath.Join(root, "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		dir, name := filepath.Base(filepath.Dir(f)), strings.TrimSuffix(filepath.Base(f), ".json")
		if dir != "later" && !strings.HasPrefix(dir, "v") || strings.HasPrefix(name, "roster") != rosters {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[dir+"/"+name], versions[dir] = bytes.TrimSpace(b), true
	}
	if !versions["later"] || !versions["v1"] {
		t.Fatalf("%s has records of %v only", root, versions)
	}
	return out
}
