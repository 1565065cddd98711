package wire

import (
	"testing"

	"pgregory.net/rapid"
)

func anyID(t *rapid.T) ID {
	return ID{rapid.Uint64().Draw(t, "collector"), rapid.Uint64().Draw(t, "start"), rapid.Int32Min(0).Draw(t, "partition"),
		rapid.Uint64().Draw(t, "sequence"), int(rapid.Int32Range(0, 1<<31-1).Draw(t, "part"))}
}

func TestIDBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := anyID(t)
		got, err := ParseID(id.String())
		if err != nil || got != id {
			t.Fatalf("ParseID(%q) = %v, %v", id, got, err)
		}
	})
}

func TestParseID(t *testing.T) {
	for _, tc := range []struct {
		s    string
		want ID
		ok   bool
	}{
		{"9f3c2a7be01d44c1/12/7/345", ID{0x9f3c2a7be01d44c1, 12, 7, 345, 0}, true},
		{"9f3c2a7be01d44c1/12/7/345/2", ID{0x9f3c2a7be01d44c1, 12, 7, 345, 2}, true},
		{"0000000000000001/1/0/1", ID{1, 1, 0, 1, 0}, true},
		{"9F3C2A7BE01D44C1/12/7/345", ID{}, false},
		{"9f3c2a7be01d44c1/12/7", ID{}, false},
		{"9f3c2a7be01d44c1/12/7/345/0", ID{}, false},
		{"9f3c2a7be01d44c1/12/7/345/1/1", ID{}, false},
		{"9f3c2a7be01d44c1/12/7/0345", ID{}, false},
		{"9f3c2a7be01d44c1/12/-7/345", ID{}, false},
		{"9f3c2a7be01d44c1/12/7/+345", ID{}, false},
		{"9f3c2a7be01d44c1/12/3000000000/345", ID{}, false},
		{"9f3c2a7be01d44c1/12/7/99999999999999999999", ID{}, false},
		{"9f3c/12/7/345", ID{}, false},
		{"", ID{}, false}, {"////", ID{}, false},
	} {
		got, err := ParseID(tc.s)
		if got != tc.want || (err == nil) != tc.ok {
			t.Errorf("ParseID(%q) = %v, %v", tc.s, got, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("9f3c2a7be01d44c1/12/7/345/2")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseID(s); err == nil && id.String() != s {
			t.Errorf("ParseID(%q) = %q", s, id)
		}
	})
}
