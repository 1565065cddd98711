package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// TestTapWaits: what is asked for and does not come is said, with what came instead; what comes is not talked about.
func TestTapWaits(t *testing.T) {
	records := []wire.Record{
		{Service: "checkout", Env: "prod", Outcome: collector.OK, OutcomeText: "ok", Samples: []collector.Sample{{Name: "requests"}, {Name: "errors"}}},
		{Service: "cart", Env: "test", Outcome: collector.OK, OutcomeText: "ok"},
	}
	for _, tc := range []struct {
		args []string
		come bool
		want string // empty: nothing is said
	}{
		{[]string{"service=chekout"}, true, "waiting for service=chekout: 2 records have come within 2s, none with service=chekout; there is checkout"},
		{[]string{"service=chekout"}, false, "waiting for service=chekout: no record at all has come within 2s; `rollcall status`"},
		{[]string{"service=billing"}, true, "none with service=billing; there is cart, checkout"},
		{[]string{"service=Check*"}, true, "none with service=Check*; there is checkout"},
		{[]string{"service=checkout env=test"}, true, "each condition fits some of them, and all of them together none"},
		{[]string{"zone=us-east-1c"}, true, "none with cloud.availability_zone=us-east-1c"},
		{[]string{"service=checkout", "error"}, true, "1 of them such, without a sample like error; there is errors"},
		{nil, false, "waiting for records: no record at all"},
		{nil, true, ""},
		{[]string{"service=checkout", "errors"}, true, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			tap := &tap{w: io.Discard}
			if err := tap.parse(tc.args); err != nil {
				t.Fatal(err)
			}
			var said []string
			for i := range records {
				if !tc.come {
					break
				}
				if err := tap.take(&records[i], nil); err != nil {
					t.Fatal(err)
				}
			}
			tap.watch(t.Context(), func(err error) { said = append(said, err.Error()) })
			switch {
			case tc.want == "" && len(said) > 0:
				t.Errorf("%q: %q", tc.args, said)
			case tc.want != "" && (len(said) != len(waitsFor) || !strings.Contains(said[0], tc.want)):
				t.Errorf("%q: %q, want %q", tc.args, said, tc.want)
			}
		})
	}
}

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
