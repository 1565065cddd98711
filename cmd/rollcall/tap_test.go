package main

import "testing"

func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"errors", "errors", true}, {"errors", "errors/5xx", false}, {"errors*", "errors/5xx", true}, {"*", "", true}, {"", "", true}, {"", "a", false},
		{"*.p99", "latency_ms.p99", true}, {"*.p99", "latency_ms.p999", false}, {"a*b*c", "abc", true}, {"a*b*c", "a-b-b-c", true}, {"a*b*c", "acb", false},
		{"a*a", "a", false}, {"a*a", "aa", true}, {"**", "x", true}, {"us-*", "us-east-1c", true}, {"us-*", "eu-us-1", false}, {"*ab*ab", "ab", false},
	} {
		if got := like(c.pattern, c.text); got != c.want {
			t.Errorf("%q is like %q: %v", c.text, c.pattern, got)
		}
	}
}
