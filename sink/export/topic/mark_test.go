package topic

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestMark(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ends := rapid.SliceOfN(rapid.Int64Min(0), 1, 50).Draw(t, "ends")
		p := part{ends: ends}
		if got := parseMark(p.mark()); !slices.Equal(got, ends) {
			t.Fatalf("%v, want %v", got, ends)
		}
	})
}

// What was kept with an offset comes from outside: whatever it is, it is read or it is not.
func FuzzMark(f *testing.F) {
	f.Add("AAAAAA")
	f.Add("//////////////8")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if ends := parseMark(s); ends != nil {
			if p := (part{ends: ends}); !slices.Equal(parseMark(p.mark()), ends) {
				t.Errorf("%q: %v", s, ends)
			}
		}
	})
}
