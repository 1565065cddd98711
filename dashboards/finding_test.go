package dashboards

import (
	"slices"
	"testing"
	"time"
)

func TestWeight(t *testing.T) {
	for _, tc := range []struct {
		f    Finding
		want int
	}{
		{Finding{Level: LevelBad}, 2}, {Finding{Level: LevelWarn}, 1}, {Finding{Level: LevelInfo}, 0},
		{Finding{Level: LevelBad, Ack: &Ack{By: "anna"}}, 2}, // somebody looks after it: it fails as before
		{Finding{Level: LevelBad, Silenced: &Silence{}}, 0},
	} {
		if got := tc.f.weight(); got != tc.want {
			t.Errorf("%+v weighs %d, want %d", tc.f, got, tc.want)
		}
	}
}

// A canary that stands failed is told where nothing else tells of its service: what a page, a command and the strip say is one thing.
func TestUntold(t *testing.T) {
	ended := int64(1)
	fails := func(service, env string) Finding {
		return Finding{ID: service + env, Metric: MetricCanary, Service: service, Env: env, Level: LevelBad, Canary: &CanaryTold{Version: "2", Verdict: "fail"}}
	}
	held, over := fails("held", "prod"), fails("over", "prod")
	held.Canary.Verdict, over.Ended = "hold", &ended
	all := []Finding{held, over, fails("told", "prod"), {Service: "told", Env: "prod"}, fails("part", "prod"), {Service: "x", Services: []string{"part", "x"}, Env: "prod"},
		fails("was", "prod"), {Service: "was", Env: "prod", Ended: &ended}, fails("told", "load")}
	var got []string
	for i := range all {
		if all[i].untold(all) {
			got = append(got, all[i].ID)
		}
	}
	if want := []string{"wasprod", "toldload"}; !slices.Equal(got, want) {
		t.Errorf("untold are %v, want %v", got, want)
	}
}

// One is known by its id while it is open, when it is over, and when another tells it.
func TestFindingByID(t *testing.T) {
	var topic []Note
	a := newReplica(t, &topic, nil)
	other := found("f2", "errors", 1)
	other.Service = "cart"
	a.judged = []Finding{found("f1", "errors", 0), other}
	a.tick(2)
	place := found("f1", "errors", 0)
	place.Services = []string{"cart", "checkout"}
	a.judged = []Finding{place}
	a.tick(3)
	a.judged = nil
	a.tick(4)
	for id, part := range map[string]string{"f1": "", "f2": "f1"} {
		if f, ok := a.b.Finding(id); !ok || f.ID != id || f.PartOf != part || f.Ended == nil || *f.Ended > t0.Add(time.Hour).UnixMilli() {
			t.Errorf("%s: %+v, %v", id, f, ok)
		}
	}
	if f, ok := a.b.Finding("f3"); ok {
		t.Errorf("nobody has told of %+v", f)
	}
}
