package serve

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// What collectors come to stands on the time line, once.
func TestTrouble(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	at := func(s int) time.Time { return now.Add(time.Duration(s-300) * time.Second) }
	with := func(s int, change func(*wire.Own)) *wire.RosterRecord {
		r := own(1, 1, at(s), at(s), true)
		if change != nil {
			change(r.Own)
		}
		return r
	}
	held := func(o *wire.Own) { o.Guards = []discovery.Guard{{Scope: "/a", Source: "zk", Held: 7}} }
	for _, tc := range []struct {
		name string
		in   []*wire.RosterRecord
		want string
	}{
		{"calm", []*wire.RosterRecord{with(0, nil), with(10, nil)}, ""},
		{"the first word", []*wire.RosterRecord{with(0, func(o *wire.Own) { o.Delivery.Dropped = 9 })}, ""},
		{"dropped", []*wire.RosterRecord{with(0, func(o *wire.Own) { o.Delivery.Dropped = 9 }), with(10, func(o *wire.Own) { o.Delivery.Dropped = 12 })}, "dropped 3 records"},
		{"kafka", []*wire.RosterRecord{with(0, nil), with(10, func(o *wire.Own) { o.Kafka = "refused" }), with(20, func(o *wire.Own) { o.Kafka = "refused" }), with(30, nil)},
			"is in trouble with Kafka: refused, is out of its trouble with Kafka"},
		{"silent", []*wire.RosterRecord{with(0, nil), with(100, nil)}, "said nothing for 100 s"},
		{"started", []*wire.RosterRecord{with(0, nil), own(1, 2, at(100), at(100), true)}, "was started anew"},
		{"an old word", []*wire.RosterRecord{with(100, nil), with(0, func(o *wire.Own) { o.Kafka = "refused" })}, ""},
		{"blind", []*wire.RosterRecord{with(0, nil), own(1, 1, at(30), at(-60), false), own(1, 1, at(40), at(-60), false), with(50, nil)}, "hears nothing from apps, hears from apps again"},
		{"reload", []*wire.RosterRecord{with(0, nil), with(10, func(o *wire.Own) { o.ConfigOK = false })}, "runs another configuration than the one on disk: its reload failed"},
		{"guard", []*wire.RosterRecord{with(0, held), with(10, held), own(2, 1, at(11), at(11), true), with(20, nil)}, "7 instances vanished together from /a and are held, nobody is held at /a any more"},
	} {
		var got []string
		x := trouble{say: func(_ time.Time, _, text string) {
			got = append(got, strings.TrimPrefix(text, "collector 0000000000000001 "))
		}}
		for _, r := range tc.in {
			x.hear(r)
		}
		if text := strings.Join(got, ", "); text != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, text, tc.want)
		}
	}
}
