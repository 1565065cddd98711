package register

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestStateOnDisk(t *testing.T) {
	now := time.Unix(1_764_000_000, 0)
	file := filepath.Join(t.TempDir(), "register.json")
	s := newState(file)
	if err := s.load(now); err != nil {
		t.Fatalf("no file is no state: %v", err)
	}
	s.put("/d/a/prod/h:1", remembered{Members: []string{"m-h:1"}, Points: 1000, At: now.UTC(), Damped: true})
	s.put("/d/b/prod/h:2", remembered{})
	s.forget("/d/b/prod/h:2")
	s.sizes.add("/d/a/prod", 12, now)
	if err := s.save(now); err != nil {
		t.Fatal(err)
	}
	again := newState(file)
	if err := again.load(now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if r, known := again.get("/d/a/prod/h:1"); !known || !r.equal(remembered{Members: []string{"m-h:1"}, Points: 1000, At: now.UTC(), Damped: true}) {
		t.Errorf("%+v, %v", r, known)
	}
	if _, known := again.get("/d/b/prod/h:2"); known {
		t.Error("what was forgotten is remembered")
	}
	if n := again.sizes.peak("/d/a/prod", now.Add(time.Minute)); n != 12 {
		t.Errorf("the peak is %d", n)
	}
	late := newState(file)
	if err := late.load(now.Add(2 * time.Hour)); err != nil || late.sizes.peak("/d/a/prod", now.Add(2*time.Hour)) != 0 {
		t.Errorf("sizes of two hours ago count (%v)", err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, bad := range []string{"", "{", `{"v":2}`, `[]`} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := newState(file).load(now); err == nil {
			t.Errorf("%q was taken for a state", bad)
		}
	}
	if err := newState(filepath.Join(file, "x")).save(now); err == nil {
		t.Error("saved below a file")
	}
}

// A damaged state is an error or a state that can be used; never a panic.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"v":1,"services":{"/d/a/prod/h:1":{"members":["m-h:1",""],"points":1e300,"at":"2026-01-01T00:00:00Z"}},"sizes":{"/d/a/prod":[{"m":29400000,"n":-5}]}}`))
	f.Add([]byte(`{"v":1,"services":null,"sizes":{"":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeState(b)
		if err != nil {
			return
		}
		flap := Flap{}.withDefaults()
		now := time.Unix(1_764_000_000, 0)
		for _, r := range d.Services {
			damp := damper{r.Points, r.At, r.Damped}
			damp.fell(&flap, now)
			if w := damp.wait(&flap, now); w < 0 || w > 3*flap.HalfLife {
				t.Fatalf("%+v: damped for %v", r, w)
			}
		}
		if _, err := json.Marshal(d); err != nil {
			t.Fatal(err)
		}
	})
}
