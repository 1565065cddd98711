package collect

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/cmd/internal/fleet"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// Two collectors share a service whose members are all wiped. Each asks one half of them, and both say that it is ZooKeeper, and let the same four go that do not
// answer the one or the other.
func TestWordsOfPeers(t *testing.T) {
	w := newWorld(t, fleet.Config{Instances: 20, Numbers: 10, Services: 1})
	var ds []*Daemon
	for range 2 {
		mux := http.NewServeMux()
		srv := httptest.NewServer(mux)
		t.Cleanup(srv.Close)
		c := w.config(t, "")
		c.ZooKeeper.Advertise = strings.TrimPrefix(srv.URL, "http://")
		d, stop := start(t, c, t.TempDir())
		t.Cleanup(stop)
		d.Routes(mux)
		ds = append(ds, d)
	}
	c, events, err := gozk.Connect([]string{w.zk.Addr()}, 10*time.Second, gozk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		for range events { // closed when the library's loops have ended
		}
	})
	eventually(t, "the service is known", func() bool { return len(ds[0].roster.Groups()) == 1 })
	path := "/discovery/" + w.list[0].Service + "/" + ds[0].roster.Groups()[0].Env
	dead := map[uint16]bool{}
	for range 4 {
		port := uint16(testenv.Port(t)) // nobody listens there
		dead[port] = true
		if _, err := c.Create(path+"/"+serverset.NewKingPinName("127.0.0.1", port), nil, gozk.FlagEphemeral, gozk.WorldACL(gozk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range ds {
		eventually(t, "both know of each other, and each pulls its share", func() bool {
			div := d.sharing.now.Load().Division()
			n := len(d.pool.Status())
			return div != nil && len(div.Members) == 2 && d.roster.Counts()[discovery.Present] == 24 && n > 0 && n < 24
		})
	}
	names, _, err := c.Children(path)
	if err != nil || len(names) != 24 {
		t.Fatal(names, err)
	}
	var wipe []any
	for _, n := range names {
		wipe = append(wipe, &gozk.DeleteRequest{Path: path + "/" + n, Version: -1})
	}
	if _, err := c.Multi(wipe...); err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		eventually(t, "all of them answer one collector or the other", func() bool {
			g := d.roster.Guards()
			return len(g) == 1 && g[0].Held == 20 && g[0].Answering == 20 && strings.HasPrefix(g[0].Verdict, "ZooKeeper, not you")
		})
		for _, e := range d.roster.Entries() {
			if want := map[bool]discovery.State{true: discovery.Departed, false: discovery.Unconfirmed}[dead[e.Port]]; e.State != want || want == discovery.Departed && e.Cause != discovery.Dead {
				t.Errorf("%s is %s %s, want %s", e.Addr(), e.State, e.Cause, want)
			}
		}
	}
}

// A peer that lies about whom it scrapes costs no more than one that does not.
func TestLyingWords(t *testing.T) {
	for body, want := range map[string]int{
		`[]`: 0,
		`[{"service":"a","env":"b","host":"h","port":80,"answers":1},{"host":"i","answers":-3}]`: 2,
		`[{},{}]`: 0,
		`[` + strings.Repeat("{},", maxWords) + `{}]`:       -1,
		`[{"host":"` + strings.Repeat("h", 200<<10) + `"}]`: -1,
		`[{"host":"h"},`:                    -1,
		`{}`:                                -1,
		`[{"answers":9223372036854775808}]`: -1,
	} {
		words, err := decodeWords(t.Context(), strings.NewReader(body))
		if len(words) != max(want, 0) || (err != nil) != (want < 0) {
			t.Errorf("%.80s: %d words, %v", body, len(words), err)
		}
	}
}
