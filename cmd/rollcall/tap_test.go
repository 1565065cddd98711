package main

import (
	"fmt"
	"io"
	"testing"
)

func TestTapWords(t *testing.T) {
	for _, tc := range []struct {
		args    []string
		where   string
		metrics string
	}{
		{nil, "[]", "[]"},
		{[]string{"service=checkout", "errors"}, "[{service checkout}]", `["errors"]`},
		{[]string{"service=checkout zone=us-east-1c", "errors"}, "[{service checkout} {cloud.availability_zone us-east-1c}]", `["errors"]`},
		{[]string{"errors latency*.p99"}, "[]", `["errors" "latency*.p99"]`},
		{[]string{"team=site ops"}, "[{team site ops}]", "[]"},
		{[]string{" team=site ops * ", "errors"}, "[{team site ops *}]", `["errors"]`},
		{[]string{"team=", "args=-a=b"}, "[{team } {args -a=b}]", "[]"},
		{[]string{""}, "[]", "[]"},
	} {
		tap := &tap{w: io.Discard}
		if err := tap.parse(tc.args); err != nil || fmt.Sprint(tap.where) != tc.where || fmt.Sprintf("%q", tap.metrics) != tc.metrics {
			t.Errorf("%q: %v, %q, %v", tc.args, tap.where, tap.metrics, err)
		}
	}
	if err := (&tap{}).parse([]string{"=checkout"}); err == nil {
		t.Error("a condition of nothing is taken")
	}
}
