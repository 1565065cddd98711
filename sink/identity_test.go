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
	if old, _ := starts(dir); len(old) != 1 || old[0] != 4 {
		t.Errorf("starts kept: %v", old)
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
	for _, content := range []string{"", "{", `{"v":1}`, `{"v":2,"collector":"00000000000000ff"}`, `{"v":1,"collector":"xyz"}`, `{"v":1,"collector":"0000000000000000"}`} {
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
