package sink

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "storage")
	first, err := OpenIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if now := uint64(time.Now().Unix()); first.Collector == 0 || first.Start > now || first.Start+60 < now || len(first.Hex()) != 16 {
		t.Errorf("first = %+v", first)
	}
	last := first
	again := func(what string) {
		t.Helper()
		id, err := OpenIdentity(dir)
		if err != nil || id.Collector != first.Collector || id.Start <= last.Start {
			t.Errorf("%s = %+v, %v, after %+v", what, id, err, last)
		}
		last = id
	}
	for range 3 {
		again("within the same second")
	}
	f, err := os.OpenFile(filepath.Join(dir, identityFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("2026-11-21T22:39:00Z cut sho"); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	again("after a line cut short")
	other, err := OpenIdentity(t.TempDir())
	if err != nil || other.Collector == first.Collector {
		t.Errorf("another folder's = %+v, %v", other, err)
	}
}

// The number of a start by what stands before it: also where the folder came back from a backup, or the clock was set back.
func TestNumberOf(t *testing.T) {
	const head, at = "rollcall collector 9f3c2a7be01d44c1\n", 1_764_000_000
	line := func(t int64) string { return time.Unix(t, 0).UTC().Format(time.RFC3339) + " X\n" }
	for _, tc := range []struct {
		starts string
		want   uint64
	}{
		{line(at), at},
		{line(at) + line(at) + line(at), at + 2},
		{line(at) + line(at+3600), at + 3600},
		{line(at+3600) + line(at), at + 3601},
		{line(at) + "2025-11-24T16:00:00Z cut sho" + line(at+5), at + 1},
		{"cut\n" + "1960-01-01T00:00:00Z X\n", 2},
	} {
		if got := numberOf([]byte(head + tc.starts)); got != tc.want {
			t.Errorf("%q: start %d, want %d", tc.starts, got, tc.want)
		}
	}
}

func TestIdentityNeverTwice(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen, collectors := map[uint64]bool{}, map[uint64]bool{}
	for range 8 {
		wg.Go(func() {
			for range 10 {
				id, err := OpenIdentity(dir)
				mu.Lock()
				if err != nil || seen[id.Start] {
					t.Errorf("%+v twice, or %v", id, err)
				}
				seen[id.Start], collectors[id.Collector] = true, true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 80 || len(collectors) != 1 {
		t.Errorf("%d starts of %d collectors", len(seen), len(collectors))
	}
}

func TestIdentityDamaged(t *testing.T) {
	for _, content := range []string{"", "{\n", "rollcall collector 9f3c2a7be01d44c1", "rollcall collector 9f3c\n", "rollcall collector 0000000000000000\n", "rollcall collector 9f3c2a7be01d44cx\n"} {
		dir := t.TempDir()
		file := filepath.Join(dir, identityFile)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenIdentity(dir)
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v, want an error that names the file", content, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIdentity(file); err == nil {
		t.Error("a file is no folder")
	}
}
