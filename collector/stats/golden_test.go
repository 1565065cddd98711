package stats

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

var update = flag.Bool("update", false, "write the golden files anew")

// dump writes what a body was taken for, one sample a line.
func dump(p *Parser, s *collector.Snapshot) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %d samples, %d nonfinite, %d duplicates, %d invalid, %d left out\n", p.Format(), len(s.Samples), s.Nonfinite, s.Duplicates, s.Invalid, s.LeftOut)
	for _, x := range s.Samples {
		fmt.Fprintf(&b, "%s %q", x.Kind, x.Name)
		for _, l := range x.Labels {
			fmt.Fprintf(&b, " %s=%q", l.Name, l.Value)
		}
		switch x.Kind {
		case collector.Distribution:
			fmt.Fprintf(&b, " (%s)", x.Window)
			for _, f := range x.Fields {
				fmt.Fprintf(&b, " %s=%s", f.Name, f.Value)
			}
		case collector.Label:
			fmt.Fprintf(&b, " %q", x.Value)
		case collector.Histogram:
			h := x.Hist
			fmt.Fprintf(&b, " (%s) schema=%d zero=%v within %v sum=%v count=%v %v %v %v %v", x.Window, h.Schema, h.ZeroCount, h.ZeroThreshold, h.Sum, h.Count, h.PositiveSpans, h.PositiveCounts, h.NegativeSpans, h.NegativeCounts)
			for _, e := range h.Exemplars {
				fmt.Fprintf(&b, " # %v %v @%d", e.Labels, e.Value, e.Time)
			}
		default:
			fmt.Fprintf(&b, " %s", x.Value)
		}
		if e := x.Exemplar; e != nil {
			fmt.Fprintf(&b, " # %v %v @%d", e.Labels, e.Value, e.Time)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// TestGolden reads each body of testdata twice with one Parser, told by its bytes alone.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	var p Parser
	read := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".golden") {
			continue
		}
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(body)
		var s collector.Snapshot
		for range 2 {
			if err := p.Parse(&s, body, "", Options{}); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
		read++
		got := dump(&p, &s)
		if !bytes.Equal(body, before) || s.BodyBytes != len(body) {
			t.Errorf("%s: the body was changed", file)
		}
		golden := file + ".golden"
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from its golden file; got\n%s", file, got)
		}
	}
	if read < 9 {
		t.Errorf("only %d bodies", read)
	}
}
