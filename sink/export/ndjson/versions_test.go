package ndjson

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rollcall-metrics/rollcall/sink/export/exporttest"
	"github.com/rollcall-metrics/rollcall/sink/export/flat"
)

// Records of every version are lines as they stand in the topic, whatever else a later one says in them; flat, as far as they are known.
func TestEveryVersion(t *testing.T) {
	for _, asFlat := range []bool{false, true} {
		c := Config{Dir: filepath.Join(t.TempDir(), "out")}
		if asFlat {
			c.Flat = flat.NewMemory(0, "test", nil, nil)
		}
		o, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := o.Open(t.Context(), 7, "")
		if err != nil {
			t.Fatal(err)
		}
		rs := exporttest.Golden(t)
		if _, err := p.Write(t.Context(), rs); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(c.Dir, "*"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		got, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		want := [][]byte{[]byte(`"name":"hits"`), []byte(`"name":"heap_mb"`)}
		if !asFlat {
			want = nil
			for _, r := range rs {
				want = append(want, append(slices.Clone(r.Raw), '\n'))
			}
		}
		for _, w := range want {
			if !bytes.Contains(got, w) {
				t.Errorf("flat %v: %s is missing in\n%s", asFlat, w, got)
			}
		}
	}
}
