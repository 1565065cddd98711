package tag

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// sight is a fleet as it is from a moment on: "v1*9 v2*1" are instances 0..8 on v1 and instance 9 on v2. With a + behind, the instances are new ones.
type sight struct {
	at    time.Duration
	fleet string
	want  string // tracks by version, of the last round before the next sight
	age   time.Duration
}

func TestTracks(t *testing.T) {
	const day = 24 * time.Hour
	for _, tc := range []struct {
		name string
		seen []sight
	}{
		{"one version is production", []sight{{0, "v1*3", "v1=production", 0}}},
		{"nothing is said at once", []sight{{0, "v1*3", "v1=", 0}, {15 * time.Second, "v1*3", "v1=", 0}, {25 * time.Second, "v1*3", "v1=production", 0}}},
		{"a canary comes", []sight{{0, "v1*10", "v1=production", 0}, {time.Hour, "v1*9 v2*1", "v1=production v2=canary", 0}}},
		{"a minority that was there before us is not called anything", []sight{{0, "v1*9 v2*1", "v1=production v2=", 0}}},
		{"unless its process is young", []sight{{0, "v1*9 v2*1", "v1=production v2=canary", time.Hour}}},
		{"or old", []sight{{0, "v1*9 v2*1", "v1=production v2=production", 30 * time.Hour}}},
		{"and after a day it is old anyway", []sight{{0, "v1*9 v2*1", "v1=production v2=", 0}, {day, "v1*9 v2*1", "v1=production v2=production", 0}}},
		{"a canary grows old", []sight{{0, "v1*10", "v1=production", 0}, {time.Hour, "v1*9 v2*1", "v1=production v2=canary", 0}, {day, "v1*9 v2*1", "v1=production v2=canary", 0}, {day + time.Hour, "v1*9 v2*1", "v1=production v2=production", 0}}},
		{"no majority, nothing known", []sight{{0, "v1*4 v2*3 v3*3", "v1= v2= v3=", 0}}},
		{"half is no majority", []sight{{0, "v1*10", "v1=production", 0}, {time.Hour, "v1*5 v2*5", "v1=production v2=canary", 0}, {2 * time.Hour, "v1*4 v2*6", "v1=production v2=production", 0}}},
		{"a rolling deploy flips once, the old stays production", []sight{
			{0, "v1*10", "v1=production", 0}, {time.Hour, "v1*9 v2*1", "v1=production v2=canary", 0}, {time.Hour + time.Minute, "v1*6 v2*4", "v1=production v2=canary", 0},
			{time.Hour + 2*time.Minute, "v1*4 v2*6", "v1=production v2=production", 0}, {time.Hour + 3*time.Minute, "v1*6 v2*4", "v1=production v2=production", 0},
			{time.Hour + 4*time.Minute, "v1*1 v2*9", "v1=production v2=production", 0}, {time.Hour + 5*time.Minute, "v2*10", "v2=production", 0}}},
		{"two deploys in a day", []sight{
			{0, "v1*10", "v1=production", 0}, {time.Hour, "v2*10", "v2=production", 0}, {2 * time.Hour, "v2*8 v3*2", "v2=production v3=canary", 0}, {2*time.Hour + time.Minute, "v2*1 v3*9", "v2=production v3=production", 0}}},
		{"a canary that was taken back may come again", []sight{
			{0, "v1*10", "v1=production", 0}, {time.Hour, "v1*9 v2*1", "v1=production v2=canary", 0}, {2 * time.Hour, "v1*10", "v1=production", 0}, {26 * time.Hour, "v1*9 v2*1", "v1=production v2=canary", 0}}},
		{"a deploy on new endpoints", []sight{
			{0, "v1*10", "v1=production", 0}, {time.Hour, "v1*10 v2*2+", "v1=production v2=canary", 0}, {time.Hour + time.Minute, "v2*10+", "v2=canary", 0}, {time.Hour + 4*time.Minute, "v2*10+", "v2=production", 0}, {time.Hour + 10*time.Minute, "v2*10+", "v2=production", 0}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := NewTracks(0)
			for i, s := range tc.seen {
				until := s.at + 40*time.Second
				if i+1 < len(tc.seen) {
					until = tc.seen[i+1].at
				}
				if got := watch(tr, s, until); got != s.want {
					t.Fatalf("from %v: got %s, want %s", s.at, got, s.want)
				}
			}
		})
	}
}

// watch scrapes the fleet each 10 s until until, and gives the tracks of the last round.
func watch(tr *Tracks, s sight, until time.Duration) string {
	var out []string
	for at := s.at; at < until; at += 10 * time.Second {
		out = out[:0]
		port := uint16(1)
		now := t0.Add(at)
		for _, part := range strings.Fields(s.fleet) {
			var n int
			v, rest, _ := strings.Cut(part, "*")
			fmt.Sscanf(rest, "%d", &n)
			if strings.HasSuffix(rest, "+") {
				port = 1000
			}
			got := ""
			for range n {
				var started time.Time
				if s.age > 0 && v != "v1" {
					started = now.Add(-s.age)
				}
				got = tr.Observe(now, discovery.Key{Service: "s", Env: "e", Host: "h", Port: port}, 10*time.Second, v, started)
				port++
			}
			out = append(out, v+"="+got)
		}
	}
	return strings.Join(out, " ")
}

func TestTracksOverRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tracks.json")
	a := NewTracks(0)
	if err := a.Load(file, t0); err != nil {
		t.Fatalf("no file is no error: %v", err)
	}
	watch(a, sight{at: 0, fleet: "v1*10"}, time.Minute)
	watch(a, sight{at: time.Hour, fleet: "v1*9 v2*1"}, time.Hour+time.Minute)
	if err := a.Save(file, t0.Add(time.Hour+time.Minute)); err != nil {
		t.Fatal(err)
	}
	b := NewTracks(0)
	if err := b.Load(file, t0.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := watch(b, sight{at: 2 * time.Hour, fleet: "v1*8 v2*1 v3*1"}, 2*time.Hour+time.Minute); got != "v1=production v2=canary v3=canary" {
		t.Fatalf("after a restart: %s", got)
	}
	if got := watch(b, sight{at: 25*time.Hour + 10*time.Second, fleet: "v1*8 v2*1 v3*1"}, 25*time.Hour+50*time.Second); got != "v1=production v2=production v3=canary" {
		t.Fatalf("ages over a restart: %s", got)
	}
	for _, bad := range []string{`{"v":1,"serv`, `{"v":2}`} {
		if err := os.WriteFile(file, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := b.Load(file, t0); err == nil || !strings.Contains(err.Error(), file) {
			t.Fatalf("%s: %v", bad, err)
		}
	}
}

func TestTracksAreBounded(t *testing.T) {
	tr := NewTracks(0)
	for i := range 1000 {
		tr.Observe(t0, discovery.Key{Service: "s", Host: fmt.Sprint(i), Port: 1}, time.Second, fmt.Sprint("v", i), time.Time{})
	}
	if n := len(tr.groups[group{"s", ""}].releases); n != maxReleases {
		t.Fatalf("%d versions are kept, want %d", n, maxReleases)
	}
	tr.Forget(discovery.Key{Service: "s", Host: "0", Port: 1})
	tr.Forget(discovery.Key{Service: "none"})
	for i := range 4 {
		tr.Sweep(t0.Add(time.Duration(i+1) * 20 * time.Minute))
	}
	if len(tr.groups) != 0 {
		t.Fatal("a service of which nobody is left is kept")
	}
	if got := tr.Observe(t0, discovery.Key{}, 0, "", time.Time{}); got != "" || len(tr.groups) != 0 {
		t.Fatal("no version, no track")
	}
}
