package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Records of every version are shown: whole as they stand in the topic, in words as far as they are known.
func TestTapEveryVersion(t *testing.T) {
	for name, b := range sinktest.Golden(t) {
		var r wire.Record
		if err := wire.Decode(b, &r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var text, whole bytes.Buffer
		for format, w := range map[string]*bytes.Buffer{"text": &text, "json": &whole} {
			if err := (&tap{format: format, w: w}).take(&r, b); err != nil {
				t.Fatal(err)
			}
		}
		if whole.String() != string(b)+"\n" || !strings.Contains(text.String(), plain(r.Instance)) || !strings.Contains(text.String(), r.OutcomeText) {
			t.Errorf("%s: %s%s", name, &text, &whole)
		}
	}
}
