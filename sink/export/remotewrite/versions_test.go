package remotewrite

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/sink/export/exporttest"
)

// Of records of every version all is sent that is known of them, and what is not known holds nothing up.
func TestEveryVersion(t *testing.T) {
	r := receive(t, nil)
	o := output(t, func(c *Config) { c.URL, c.Late = r.URL, true })
	p, _, err := o.Open(t.Context(), 7, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(t.Context(), exporttest.Golden(t)); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range r.series() {
		names[valueOf(s.Labels, "__name__")] = true
	}
	for _, want := range []string{"requests", "heap_mb", "hits_delta", "h"} {
		if !names[want] {
			t.Errorf("no %s among %v", want, names)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
