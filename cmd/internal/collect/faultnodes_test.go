package collect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// whatRegistrantsWrite: whoever may write a serverset may not choose where we connect or write, nor hurt the others in it.
func whatRegistrantsWrite(t *testing.T, f *faults) {
	s := f.site(t, 5, f.observer())
	s.steady()

	// An address at which clouds serve credentials, by name and by data. In hexadecimal, as /proc/net/tcp has it: FEA9FEA9.
	dialled := func() bool {
		b, err := os.ReadFile("/proc/net/tcp")
		return err == nil && strings.Contains(string(b), " FEA9FEA9:")
	}
	s.member(serverset.NewKingPinName("169.254.169.254", 80), `{"v":1,"stats_path":"/latest/meta-data/iam/security-credentials/"}`)
	s.member("member_0000000001", `{"serviceEndpoint":{"host":"169.254.169.254","port":81},"additionalEndpoints":{}}`)
	forbidden := func(port uint16) int {
		n := 0
		for _, st := range s.d.pool.Status() {
			if st.Instance.Host == "169.254.169.254" && st.Instance.Port == port && st.Outcome == collector.Forbidden {
				n++
			}
		}
		return n
	}
	s.until("pulling from them is forbidden", func() bool {
		if dialled() {
			t.Error("the metadata address was dialled")
		}
		return forbidden(80) == 1 && forbidden(81) == 1
	})

	// Names that lead elsewhere. ZooKeeper itself refuses the plain ones; what comes past it is a member that cannot be read, by its name.
	for _, name := range []string{"..", "../../etc/passwd"} {
		_, err := s.agent.Create(s.root+"/"+s.service+"/prod/"+name, nil, gozk.FlagEphemeral, gozk.WorldACL(gozk.PermAll))
		if err == nil || errors.Is(err, gozk.ErrConnectionClosed) {
			t.Errorf("ZooKeeper took %q: %v", name, err)
		}
	}
	for _, name := range []string{"..-..", `..\..\etc\passwd-10.0.0.1:80`, "..%2f..%2fetc%2fpasswd", strings.Repeat("x", 32) + "-../../etc/passwd"} {
		if strings.Contains(name, "/") {
			s.member("member_0000000002", fmt.Sprintf(`{"serviceEndpoint":{"host":%q,"port":80}}`, name))
		} else {
			s.member(name, "")
		}
	}
	s.until("they are named", func() bool { return s.states()[discovery.Unparsable] >= 3 })
	for _, e := range s.entries() {
		if strings.ContainsAny(e.Host, `/\%`) {
			t.Errorf("an instance at %q", e.Host)
		}
	}

	// Twice as much as ZooKeeper takes by default, and far more than a member has to say.
	big := s.member(serverset.NewKingPinName("10.0.0.9", 80), strings.Repeat("x", 2<<20))
	s.until("it is named, with what is wrong", func() bool {
		for _, e := range s.entries() {
			if e.State == discovery.Unparsable && strings.HasSuffix(big, e.Member) && strings.Contains(e.Reason, "over the limit") {
				return true
			}
		}
		return false
	})
	for _, a := range s.apps {
		if e := s.entry(a); e.State != discovery.Present {
			t.Errorf("%s is %s: %s", a.addr, e.State, e.Reason)
		}
	}
	if !s.view().Connected || dialled() {
		t.Errorf("view %+v", s.view())
	}
	s.nobodyLost(5, s.apps...)

	outside := filepath.Dir(s.dir)
	filepath.WalkDir(outside, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (strings.Contains(path, "etc") || strings.Contains(d.Name(), "passwd")) {
			t.Errorf("a file at %s", path)
		}
		return nil
	})
}

// oneBrokenAmongThousands: one member that cannot be read costs itself.
func oneBrokenAmongThousands(t *testing.T, f *faults) {
	s := f.site(t, 3, f.observer())
	s.steady()
	const n = 10_000
	dir := s.root + "/big/prod"
	s.mkdirs(dir)
	name := func(i int) string {
		return serverset.NewKingPinName(fmt.Sprintf("203.0.113.%d", i%250+1), uint16(1000+i/250))
	}
	for i := 0; i < n; i += 500 {
		var ops []any
		for j := i; j < i+500; j++ {
			op := &gozk.CreateRequest{Path: dir + "/" + name(j), Acl: gozk.WorldACL(gozk.PermAll), Flags: gozk.FlagEphemeral}
			if j == 4321 {
				op.Path = dir + "/" + strings.Repeat("0", 32) + "-nobody's endpoint"
			}
			ops = append(ops, op)
		}
		_, err := s.agent.Multi(ops...)
		s.must(err)
	}
	s.until("all are known, and the one is named", func() bool {
		return slices.ContainsFunc(s.d.roster.Groups(), func(g discovery.Group) bool { return g.Service == "big" && g.Present == n-1 && g.Unparsable == 1 })
	})
	for _, e := range s.d.roster.Of("big", "prod") {
		if e.State == discovery.Unparsable && (!strings.HasSuffix(e.Member, "nobody's endpoint") || e.Reason == "") {
			t.Errorf("%q: %q", e.Member, e.Reason)
		}
	}
	if !s.only(3, discovery.Present) {
		t.Errorf("beside it: %v", s.states())
	}
	s.nobodyLost(3, s.apps...)
}

// aMemberThatFlaps is quarantined: pulled on, and kept out of alarms.
func aMemberThatFlaps(t *testing.T, f *faults) {
	s := f.site(t, 6, f.observer())
	s.steady()
	flapper := s.apps[0]
	for range 5 {
		s.remove(flapper)
		s.until("it has left", func() bool { return s.entry(flapper).State == discovery.Departed })
		s.register(flapper)
		s.until("it is back", func() bool { return s.entry(flapper).State != discovery.Departed })
	}
	s.until("it is quarantined", func() bool { return s.entry(flapper).State == discovery.Quarantined })
	if e := s.entry(flapper); e.Flaps < 4 || e.Reason == "" {
		t.Errorf("%+v", e)
	}
	if m := s.states(); m[discovery.Present] != 5 || m[discovery.Quarantined] != 1 {
		t.Errorf("states %v", m)
	}
	s.count()
	s.nobodyLost(5, s.apps...)
}
