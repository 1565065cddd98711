package discovery

import (
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
)

// Tags is an immutable list of name → value, sorted by name, with unique names. Equal lists compare equal with ==. The zero Tags is empty.
//
// Lists that recur share their memory: a fleet of 150,000 members holds each combination of tags about once. One that holds what only one member has (the name
// of its host) costs its text and nothing beside it, which is why unique.Handle is not used: 200 bytes and a weak pointer for each would be more than the text.
type Tags struct {
	s string // name NUL value NUL …, sorted by name; names as appendName writes them
}

// TagsOf takes the pairs of m. A NUL in a name or value is left out; pairs with an empty name or value are too, as an empty tag says nothing.
func TagsOf(m map[string]string) Tags {
	var few [24]string
	names, size := few[:0], 0
	for n, v := range m {
		if strings.IndexByte(n, 0) >= 0 || strings.IndexByte(v, 0) >= 0 { // rare, so it may be slow
			mended := make(map[string]string, len(m))
			for n, v := range m {
				mended[strings.ReplaceAll(n, "\x00", "")] = strings.ReplaceAll(v, "\x00", "")
			}
			return TagsOf(mended)
		}
		if n != "" && v != "" {
			names = append(names, n)
			size += len(n) + len(v) + 2
		}
	}
	slices.Sort(names)
	var short [512]byte
	b := short[:0]
	if size > len(short) {
		b = make([]byte, 0, size)
	}
	for _, n := range names {
		b = append(appendName(b, n), 0)
		b = append(append(b, m[n]...), 0)
	}
	return recentTags.share(b)
}

// recentTags has the lists that were made last, so that those which recur share their memory. It is the process' own, as unique's table would be: it holds nothing
// that anybody could see but by what is saved.
var recentTags tagCache

// tagCache holds one list a slot, the last that fell there.
type tagCache [8192]atomic.Pointer[string]

func (c *tagCache) share(b []byte) Tags {
	if len(b) == 0 {
		return Tags{}
	}
	h := uint32(2166136261) // FNV-1a
	for _, x := range b {
		h = (h ^ uint32(x)) * 16777619
	}
	slot := &c[(h^h>>16)%uint32(len(c))]
	if was := slot.Load(); was != nil && *was == string(b) {
		return Tags{*was}
	}
	s := string(b)
	slot.Store(&s)
	return Tags{s}
}

// All walks the tags in the order of their names, without allocating.
func (t Tags) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for s := t.s; s != ""; {
			n, rest, _ := strings.Cut(s, "\x00")
			v, rest, _ := strings.Cut(rest, "\x00")
			if !yield(nameOf(n), v) {
				return
			}
			s = rest
		}
	}
}

// Get is the value of the tag called name, or "".
func (t Tags) Get(name string) string {
	var few [64]byte
	if name == "" {
		return ""
	}
	want := append(appendName(few[:0], name), 0)
	for s := t.s; s != ""; {
		if len(s) >= len(want) && s[:len(want)] == string(want) {
			v, _, _ := strings.Cut(s[len(want):], "\x00")
			return v
		}
		s = s[strings.IndexByte(s, 0)+1:]
		s = s[strings.IndexByte(s, 0)+1:]
	}
	return ""
}

// Len is the number of tags.
func (t Tags) Len() int { return strings.Count(t.s, "\x00") / 2 }

// Map is a copy of the tags as a map; never nil.
func (t Tags) Map() map[string]string {
	m := make(map[string]string, t.Len())
	for n, v := range t.All() {
		m[n] = v
	}
	return m
}

// With is t and over, where over wins. An empty value in over deletes the tag.
func (t Tags) With(over map[string]string) Tags {
	if len(over) == 0 {
		return t
	}
	m := t.Map()
	for n, v := range over {
		m[n] = v
	}
	return TagsOf(m)
}

// MarshalJSON writes an object with the tags in order.
func (t Tags) MarshalJSON() ([]byte, error) { return json.Marshal(t.Map()) }

// UnmarshalJSON reads an object of strings.
func (t *Tags) UnmarshalJSON(b []byte) error {
	var m map[string]string
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	*t = TagsOf(m)
	return nil
}

// IsZero reports an empty list, for omitzero.
func (t Tags) IsZero() bool { return t == Tags{} }
