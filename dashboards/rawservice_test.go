package dashboards

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a service's rows said stands in its line until another one says otherwise, and so much of it as a window needs is remembered.
func TestFigurePoints(t *testing.T) {
	b, err := NewBoard(Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := b.service("checkout", "prod")
	row := func(expected, trouble int) *Row {
		return &Row{Expected: expected, Present: expected - 1, Trouble: trouble}
	}
	sec := func(n int64) int64 { return 1_764_000_000_000 + n*1000 }
	for n := range int64(60) {
		expected, trouble := 3, 0
		if n >= 20 {
			expected = 4
		}
		if n >= 35 && n < 40 {
			trouble = 2
		}
		s.remember(row(expected, trouble), sec(n), sec(-3600))
	}
	b.asOf = time.UnixMilli(sec(59))
	seen := 0
	b.RawServices(func(string, string) bool { return true }, func(r *RawService) bool {
		seen++
		for _, tc := range []struct {
			f        Figure
			from, to int64
			want     []RawPoint
		}{
			{FigureExpected, 10, 32, []RawPoint{{sec(10), 3}, {sec(15), 3}, {sec(20), 4}, {sec(30), 4}}},
			{FigurePresent, 16, 21, []RawPoint{{sec(16), 2}, {sec(20), 3}}},
			{FigureTrouble, 33, 100, []RawPoint{{sec(33), 0}, {sec(35), 2}, {sec(40), 0}, {sec(45), 0}}},
			{FigureTrouble, -50, -10, nil},
			{FigureTrouble, 60, 100, nil}, // not known yet
			{FigureRate, 0, 60, nil},
		} {
			if d := cmp.Diff(tc.want, b.FigurePoints(nil, r, tc.f, sec(tc.from), sec(tc.to))); d != "" {
				t.Errorf("figure %d from %d to %d: %s", tc.f, tc.from, tc.to, d)
			}
		}
		return true
	})
	if seen != 1 {
		t.Errorf("%d services", seen)
	}
	for n := range int64(3 * maxHeads) {
		s.remember(row(int(n), 0), sec(n), sec(-3600))
	}
	if len(s.heads) != maxHeads {
		t.Errorf("%d changes are remembered", len(s.heads))
	}
	s.remember(row(1, 0), sec(4*maxHeads), sec(4*maxHeads)-1)
	if len(s.heads) != 2 { // what was in force when the window began, and the new one
		t.Errorf("%d changes are remembered of a window that has one", len(s.heads))
	}
}
