package avro

import (
	"bytes"
	"sync/atomic"
	"testing"

	"github.com/rollcall-metrics/rollcall/sink/export/exporttest"
	"github.com/rollcall-metrics/rollcall/sink/export/flat"
	"github.com/rollcall-metrics/rollcall/sink/export/topic"
)

// What every version of the collector writes goes out as far as it is known, flat and as Avro.
func TestEveryVersion(t *testing.T) {
	addr := exporttest.Broker(t)
	var broken atomic.Bool
	reg := registry(t, &broken)
	defer reg.Close()
	memory := flat.NewMemory(0, "later", nil, nil)
	f, err := topic.New(topic.Config{Brokers: []string{addr}, Topic: "later.flat", Partitions: 1, Codec: func() topic.Codec { return flat.NewEncoder(memory) }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := output(t, addr, "later.avro", reg.URL)
	defer a.Close()
	rs := exporttest.Golden(t)
	for name, o := range map[string]*topic.Output{"later.flat": f, "later.avro": a} {
		p, _, err := o.Open(t.Context(), 7, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write(t.Context(), rs); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		all := bytes.Join(messages(t, addr, name), nil)
		for _, want := range []string{"requests", "heap_mb", "latency_ms", "hits"} {
			if !bytes.Contains(all, []byte(want)) {
				t.Errorf("%s: no %s", name, want)
			}
		}
		if name == "later.avro" && !bytes.Contains(all, []byte("throttled")) {
			t.Error("the outcome is not passed on")
		}
	}
}
