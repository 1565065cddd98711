package discovery

import (
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"unique"
)

// Tags is an immutable list of name → value, sorted by name, with unique names. Equal lists share memory and compare equal
// with ==, so a fleet of 150,000 members holds each combination of tags once. The zero Tags is empty.
type Tags struct {
	h unique.Handle[string] // name NUL value NUL …, sorted by name
}

// TagsOf interns the pairs of m. A NUL in a name or value is left out; pairs with an empty name or value are too, as an empty tag says nothing.
func TagsOf(m map[string]string) Tags {
	names := make([]string, 0, len(m))
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
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		b.WriteString(n)
		b.WriteByte(0)
		b.WriteString(m[n])
		b.WriteByte(0)
	}
	return intern(b.String())
}

func intern(s string) Tags {
	if s == "" {
		return Tags{}
	}
	return Tags{unique.Make(s)}
}

func (t Tags) raw() string {
	if t == (Tags{}) {
		return ""
	}
	return t.h.Value()
}

// All walks the tags in the order of their names, without allocating.
func (t Tags) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for s := t.raw(); s != ""; {
			n, rest, _ := strings.Cut(s, "\x00")
			v, rest, _ := strings.Cut(rest, "\x00")
			if !yield(n, v) {
				return
			}
			s = rest
		}
	}
}

// Get is the value of the tag called name, or "".
func (t Tags) Get(name string) string {
	for n, v := range t.All() {
		if n == name {
			return v
		}
	}
	return ""
}

// Len is the number of tags.
func (t Tags) Len() int { return strings.Count(t.raw(), "\x00") / 2 }

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
