// Package near knows which names somebody may have meant who gave one that nobody has.
package near

import (
	"cmp"
	"slices"
	"strings"
)

// Most is how many names are told of at most.
const Most = 10

// longest is how much of a name is said.
const longest = 80

// far is further than any name may be that is meant.
const far = 3

// Names are those of all that may have been meant, the nearest first: those that are two letters away at most, one if the name has no more than two, then those that have the
// text in them or are a part of it, where that is two letters or more. Case does not matter.
func Names(name string, all []string) []string {
	low := strings.ToLower(name)
	type found struct {
		name string
		away int
	}
	var out []found
	for _, n := range all {
		l := strings.ToLower(n)
		away := distance(low, l)
		if away > (len(low)+1)/2 {
			away = far
		}
		if away < far || len(low) > 1 && len(l) > 1 && (strings.Contains(l, low) || strings.Contains(low, l)) {
			out = append(out, found{n, away})
		}
	}
	slices.SortStableFunc(out, func(a, b found) int { return cmp.Compare(a.away, b.away) })
	var names []string
	for _, f := range out[:min(len(out), Most)] {
		names = append(names, f.name)
	}
	return names
}

// There goes on after what is not known: with those that may have been meant, or, where there are none, with otherwise, which says where one finds them.
func There(name string, all []string, otherwise string) string {
	names := Names(name, all)
	for i, n := range names {
		if len(n) > longest {
			names[i] = strings.ToValidUTF8(n[:longest], "") + "…"
		}
	}
	if len(names) > 0 {
		return "; there is " + strings.Join(names, ", ")
	}
	return "; " + otherwise
}

// distance is how many letters must be put in, taken out or changed to make b of a; of long names, and of those whose lengths differ by more than matters, just far.
func distance(a, b string) int {
	if d := len(a) - len(b); d >= far || d <= -far || len(a) > 100 {
		return far
	}
	if a == b {
		return 0
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return min(row[len(b)], far)
}
