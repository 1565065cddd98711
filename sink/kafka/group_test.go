package kafka

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The order is that of a stable sort by key, whatever was ordered before.
func TestGroupByKey(t *testing.T) {
	var g grouper
	rapid.Check(t, func(t *rapid.T) {
		var rows []row
		for i := range rapid.IntRange(0, 300).Draw(t, "rows") {
			rows = append(rows, row{key: rapid.StringMatching("[ab]{0,2}").Draw(t, "key"), ts: int64(i)})
		}
		want := slices.Clone(rows)
		slices.SortStableFunc(want, func(a, b row) int { return strings.Compare(a.key, b.key) })
		if got := g.byKey(rows); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}
