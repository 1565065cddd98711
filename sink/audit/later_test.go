package audit

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Records of every version are audited alike: their ids are all that counts.
func TestEveryVersion(t *testing.T) {
	ids := map[wire.ID]*wire.Record{}
	for name, b := range sinktest.Golden(t) {
		r := new(wire.Record)
		if err := wire.Decode(b, r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ids[r.ID] = r
	}
	if len(ids) < 3 {
		t.Fatalf("%d ids", len(ids))
	}
	for _, r := range ids { // one of each sequence there is
		a := New(Config{})
		feed(t, a, []*wire.Record{r})
		if r := a.Report(); !r.Sound() {
			t.Errorf("%s", told(r))
		}
		feed(t, a, []*wire.Record{r})
		if r := a.Report(); r.Sound() {
			t.Error("a double is not found")
		}
	}
}
