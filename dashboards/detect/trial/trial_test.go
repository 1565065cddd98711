package trial

import (
	"flag"
	"testing"
	"time"
)

var each = flag.Uint64("each", 1, "fleets that are broken in each way; make bench-analysis breaks 50")

// A fault of each kind is found in time, in the right place, as one finding, and it is over when the fault is.
func TestBreak(t *testing.T) {
	for i, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for seed := range *each {
				r, err := Break(kind, seed+uint64(i%2)+1)
				if err != nil {
					t.Fatal(err)
				}
				if !r.Within() || !r.Right || r.Count != 1 || r.Early > 0 || !r.Ended {
					t.Errorf("seed %d: found after %s (%d polls), right %v, %d findings, %d before, ended %v\n%s", r.Seed, r.Took, r.Polls, r.Right, r.Count, r.Early, r.Ended, r.Text)
				}
			}
		})
	}
	if _, err := Break("flood", 1); err == nil {
		t.Error("a fault that is not known is no error")
	}
}

var calm = flag.Duration("calm", 30*time.Minute, "how long the calm fleet lives, in its own time; make bench-analysis lets it live 24h")

func TestCalm(t *testing.T) {
	found, err := Calm(t.Context(), 5, 10*time.Second, *calm)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}
