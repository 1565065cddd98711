package feed

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/sink/sinktest"
)

// Records of every version are taken in, as far as they are known.
func TestEveryVersion(t *testing.T) {
	r := &rig{t: t, addr: "127.0.0.1:1"} // where nobody is
	r.newBoard()
	f, err := New(Config{Board: r.board, Brokers: []string{r.addr}})
	if err != nil {
		t.Fatal(err)
	}
	for topic, records := range map[string]map[string][]byte{topics.Snapshots: sinktest.Golden(t), topics.Backfill: sinktest.Golden(t), topics.Roster: sinktest.GoldenRosters(t)} {
		for name, b := range records {
			if err := (&reader{f: f, p: partition{topic, 0}}).decoder(false)(b, time.Now()); err != nil {
				t.Errorf("%s: %s: %v", topic, name, err)
			}
		}
	}
	if s, n := r.board.Stats(), 2*len(sinktest.Golden(t)); int(s.Seen+s.Duplicated) != n || s.Seen < 2 { // some have one id
		t.Errorf("%d records, stats %+v", n, s)
	}
}
