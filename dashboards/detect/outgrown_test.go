package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
)

const hostOf = "shared-1"

func onHost(in *sim.Instance) bool { return in.Host == hostOf && in.Service.Env == "prod" }

// hosted is a fleet whose services have one instance each on one host.
func hosted(t *testing.T, seed uint64, every time.Duration) *world {
	w := newWorld(t, sim.New(seed, start, every, service("checkout"), service("search"), service("users")))
	w.Move(hostOf, func(in *sim.Instance) bool { return in.Zone == "us-east-1a" && in.Addr[len(in.Addr)-6] == '1' })
	w.run(30*every, nil)
	return w
}

func placed(fs []dashboards.Finding) (place *dashboards.Finding, own []dashboards.Finding) {
	for i := range fs {
		if fs[i].Place != "" {
			place = &fs[i]
		} else {
			own = append(own, fs[i])
		}
	}
	return place, own
}

// What else goes wrong with a service whose host is in trouble is a finding of its own, since it began; the one about the host is over when the host is well.
func TestOutgrown(t *testing.T) {
	checkoutIn := func(zone string) func(*sim.Instance) bool {
		return func(in *sim.Instance) bool { return checkout(in) && in.Zone == zone && !onHost(in) }
	}
	for _, tc := range []struct {
		name   string
		every  time.Duration
		healed int // seconds or polls after the host broke; 0: it stays broken
		begins int // likewise
		effect sim.Effect
		metric string
		only   string
	}{
		{"as the host heals", time.Second, 28, 28, sim.Effect{Errors: .3, Hits: checkoutIn("us-east-1b")}, "errors", "Only us-east-1b:"},
		{"while the host is ill", time.Second, 60, 25, sim.Effect{Errors: .4, Hits: checkoutIn("us-east-1b")}, "errors", "us-east-1b"},
		{"together with the host, and after it", time.Second, 40, 0, sim.Effect{Errors: .2, Hits: checkoutIn("us-east-1b")}, "errors", ""},
		{"the host stays ill", time.Second, 0, 25, sim.Effect{Errors: .4, Hits: checkoutIn("us-east-1b")}, "errors", "us-east-1b"},
		{"of another metric", time.Second, 60, 25, sim.Effect{Slower: 6, Hits: checkoutIn("us-east-1b")}, "", "us-east-1b"},
		{"pulled each ten seconds", 10 * time.Second, 15, 15, sim.Effect{Errors: .3, Hits: checkoutIn("us-east-1b")}, "errors", "Only us-east-1b:"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := hosted(t, 1, tc.every)
			ill := w.now
			when := func(polls int) time.Time {
				if polls == 0 {
					return time.Time{}
				}
				return ill.Add(time.Duration(polls) * tc.every)
			}
			tc.effect.From = ill.Add(time.Duration(tc.begins) * tc.every)
			w.Effects = append(w.Effects, sim.Effect{From: ill, Until: when(tc.healed), Errors: .5, Slower: 3, Hits: onHost}, tc.effect)
			w.run(max(15*time.Second, 4*tc.every), nil)
			if place, _ := placed(w.open()); place == nil && tc.begins > 0 {
				t.Fatalf("the host is not told:%s", w.show())
			}
			w.run(max(when(tc.healed).Sub(w.now), tc.effect.From.Sub(w.now))+max(40*time.Second, 14*tc.every), nil)
			place, own := placed(w.open())
			if (place != nil) != (tc.healed == 0) {
				t.Errorf("the finding about the host stands: %v%s", place != nil, w.show())
			}
			if len(own) != 1 || own[0].Service != "checkout" || tc.metric != "" && own[0].Metric != tc.metric || !strings.Contains(own[0].Only, tc.only) {
				t.Fatalf("the service's own is not told:%s", w.show())
			}
			if off := time.UnixMilli(own[0].Since).Sub(tc.effect.From); off < -6*tc.every || off > 6*tc.every {
				t.Errorf("it began %s after its fault", off)
			}
			if tc.only != "" && !strings.Contains(own[0].Only, " of 12 instances") {
				t.Errorf("those on the host are of the service, too: %q", own[0].Only)
			}
			all := len(w.b.Findings())
			if all != 2 {
				t.Errorf("%d findings in all:%s", all, w.show())
			}
			w.Effects = nil
			w.run(max(20*time.Second, 10*tc.every), nil)
			if len(w.open()) > 0 || len(w.b.Findings()) != 2 {
				t.Errorf("in the end:%s", w.show())
			}
		})
	}
}

// Who is lost elsewhere while a dead host is told of is told, too.
func TestLostElsewhere(t *testing.T) {
	w := hosted(t, 2, time.Second)
	w.Leave(w.b, w.now, onHost)
	w.run(15*time.Second, nil)
	place, own := placed(w.open())
	if place == nil || len(own) > 0 || !strings.Contains(place.Only, "They left the roster within a second of each other") || len(place.Cleared) != 1 {
		t.Fatalf("a dead host:%s", w.show())
	}
	w.Leave(w.b, w.now, func(in *sim.Instance) bool { return checkout(in) && in.Zone == "us-east-1b" })
	w.run(10*time.Second, nil)
	if place, own = placed(w.open()); place == nil || len(own) != 1 || !strings.Contains(own[0].Title, "all in us-east-1b") {
		t.Fatalf("and a zone of one service:%s", w.show())
	}
	w.Return(w.b, w.now)
	w.run(15*time.Second, nil)
	if len(w.open()) > 0 || len(w.b.Findings()) != 2 {
		t.Errorf("in the end:%s", w.show())
	}
}
