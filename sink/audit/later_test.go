package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Records of a later version are audited like ours: their ids are all that counts.
func TestLaterRecords(t *testing.T) {
	a := New(Config{})
	var rs []*wire.Record
	for _, name := range []string{"snapshot", "outcome"} {
		b, err := os.ReadFile(filepath.Join("..", "wire", "testdata", "later", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		r := new(wire.Record)
		if err := wire.Decode(bytes.TrimSpace(b), r); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	feed(t, a, rs)
	if r := a.Report(); !r.Sound() {
		t.Errorf("%s", told(r))
	}
	feed(t, a, rs[:1])
	if r := a.Report(); r.Sound() {
		t.Error("a double is not found")
	}
}
