package sink

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "storage")
	first, err := OpenIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first.Collector == 0 || first.Start != 1 || len(first.Hex()) != 16 {
		t.Errorf("first = %+v", first)
	}
	for n := uint64(2); n < 5; n++ {
		id, err := OpenIdentity(dir)
		if err != nil || id.Collector != first.Collector || id.Start != n {
			t.Errorf("start %d = %+v, %v", n, id, err)
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, identityFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("2026-11-21T22:39:00Z cut sho"); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	if id, err := OpenIdentity(dir); err != nil || id.Start != 5 {
		t.Errorf("after a line cut short: %+v, %v", id, err)
	}
	other, err := OpenIdentity(t.TempDir())
	if err != nil || other.Collector == first.Collector {
		t.Errorf("another folder's = %+v, %v", other, err)
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
