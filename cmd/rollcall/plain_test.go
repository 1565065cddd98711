package main

import (
	"errors"
	"testing"
)

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1:80":            "10.0.0.1:80",
		"a\x1b[31mb\u009b1m\x07": "a [31mb 1m ",
		"x\u202eevil\u2066y":     "x evil y",
		"größe → 3":              "größe → 3",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := plainLines(errors.New("one \x1b[2J\n\ttwo")); got != "one  [2J\n  two" {
		t.Errorf("%q", got)
	}
}
