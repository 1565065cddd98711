package near

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNames(t *testing.T) {
	all := []string{"cart", "checkout", "checkout-batch", "search", "Users"}
	for _, tc := range []struct{ name, want string }{
		{"chekout", "[checkout]"},
		{"checkout-", "[checkout checkout-batch]"},
		{"check", "[checkout checkout-batch]"},
		{"checkouts", "[checkout]"},
		{"user", "[Users]"},
		{"the cart of today", "[cart]"},
		{"saerch", "[search]"},
		{"billing", "[]"},
		{"x", "[]"},
		{"zz", "[]"},
	} {
		if got := fmt.Sprint(Names(tc.name, all)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	if got := Names("xy", slices.Repeat([]string{"xyz"}, 100)); len(got) != Most {
		t.Errorf("%d are told of", len(got))
	}
	if got := There("xé", []string{strings.Repeat("xé", 500)}, ""); len(got) > longest+20 || !utf8.ValidString(got) {
		t.Errorf("%q is much of a name", got)
	}
	for name, want := range map[string]string{"serch": "; there is search", "billing": "; `rollcall ls` lists everyone"} {
		if got := There(name, all, "`rollcall ls` lists everyone"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Distances are those of the textbook, as far as they matter; and the same both ways.
func FuzzDistance(f *testing.F) {
	f.Add("checkout", "chekout")
	f.Add("", "ab")
	f.Add("größe", "grösse")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 8 || len(b) > 8 { // the textbook's way takes long
			return
		}
		if got, want := distance(a, b), min(textbook(a, b), far); got != want || got != distance(b, a) {
			t.Errorf("%q, %q: %d, want %d", a, b, got, want)
		}
		if len(Names(a, []string{b, strings.ToUpper(a)})) == 0 && a != "" && strings.EqualFold(strings.ToUpper(a), a) {
			t.Errorf("%q is not near itself", a)
		}
	})
}

func textbook(a, b string) int {
	switch {
	case a == "":
		return len(b)
	case b == "":
		return len(a)
	case a[0] == b[0]:
		return textbook(a[1:], b[1:])
	}
	return 1 + min(textbook(a[1:], b), textbook(a, b[1:]), textbook(a[1:], b[1:]))
}
