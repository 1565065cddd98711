package collect

import (
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Each end of an order is told once, whoever ended it; where who speaks for the group goes before it has told, its successor does.
func TestOrderEnds(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		gone    int // the second after which the first is there no more
		back    int // and is there again, with what it knew
		removed int // the second at which somebody ends the order, who is asked at the last of the three
		want    int // how often the three tell its end, beside what is told where it was ended
	}{
		"by itself":                              {gone: 300, want: 1},
		"somebody ended it":                      {gone: 300, removed: 20, want: 0},
		"the first is gone before":               {gone: 10, want: 1},
		"the first is gone, and nobody knows it": {gone: 59, want: 1},
		"the first goes after it has told":       {gone: 75, want: 2},
		"the first goes long after":              {gone: 200, want: 1},
		"the first is back":                      {gone: 40, back: 70, want: 2},
	} {
		logs := [3]orderLog{newOrderLog(), newOrderLog(), newOrderLog()}
		o := share.Placed{Order: orderOf("a", time.Second, 0), Scope: share.ScopeGroup}
		o.Until = begin.Add(time.Minute)
		ends := 0
		for s := range 300 {
			now := begin.Add(time.Duration(s) * time.Second)
			var orders []share.Placed
			if removed := tc.removed > 0 && s >= tc.removed; !removed && now.Before(o.Until) {
				orders = append(orders, o)
			}
			if s == tc.removed && s > 0 {
				logs[2].withdrawn("a")
			}
			away := s > tc.gone && (tc.back == 0 || s < tc.back)
			for i := range logs {
				if i == 0 && away {
					continue
				}
				first := 0
				if s > tc.gone+8 && away { // a session's length passes until the others see it
					first = 1
				}
				for _, w := range logs[i].look(orders, now, func(*share.Placed) bool { return i == first }) {
					if w.Event == wire.OrderEnded {
						ends++
					}
				}
			}
		}
		if ends != tc.want {
			t.Errorf("%s: its end is told %d times, want %d", name, ends, tc.want)
		}
	}
}
