package share

import (
	"fmt"
	"testing"
	"time"
)

// A folder full of rubbish keeps nobody out who shares already.
func TestKnownFirst(t *testing.T) {
	m, err := New(Config{Self: Collector{ID: "zz"}})
	if err != nil {
		t.Fatal(err)
	}
	m.div.Store(NewDivision("zz", nil, []Collector{{ID: "yy", Weight: 1}, {ID: "zz", Weight: 1}}, 1, FromZooKeeper, time.Now()))
	names := []string{"zz", "yy", "new"}
	for i := range maxMembers {
		names = append(names, fmt.Sprintf("a%d", i))
	}
	if got := m.knownFirst(names)[:maxMembers]; got[0] != "zz" || got[1] != "yy" || got[2] != "a0" {
		t.Errorf("%v …", got[:3])
	}
}
