package ensemble

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stats is /stats.json as a reader takes it.
type stats struct {
	Counters, Gauges map[string]json.Number
	Metrics          map[string]map[string]json.Number
	Labels           map[string]string
}

func decode(t testing.TB, body []byte) (s stats) {
	t.Helper()
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return s
}

func TestReadings(t *testing.T) {
	if !slices.IsSorted(counterNames) {
		t.Error("counterNames are not sorted")
	}
	for _, tc := range []struct {
		name          string
		read          func([]byte) (*reading, error)
		text          []byte
		role, version string
		want          string // name=value, of the sections in turn, that must be among what is rendered
		err           string
	}{
		{"mntr of a leader", readMntr, file(t, "mntr"), "leader", "3.9.4", "c zk_packets_received=2 c zk_commit_count=0 g zk_watch_count=0 g zk_avg_latency=0.0 g zk_znode_count=5 g zk_synced_followers=2 g zk_serving=1 m zk_proposal_latency", ""},
		{"monitor of an observer", readMonitor, file(t, "monitor.json"), "observer", "3.9.4", "c zk_packets_received=4 g zk_watch_count=0 g zk_min_latency=0 m zk_readlatency", ""},
		{"srvr of a leader", readSrvr, file(t, "srvr"), "leader", "3.9.4", "c zk_packets_received=3 c zk_packets_sent=4 g zk_num_alive_connections=1 g zk_outstanding_requests=0 g zk_max_latency=0 g zk_znode_count=5", ""},
		{"mntr without a quorum", readMntr, []byte("This ZooKeeper instance is not currently serving requests\n"), notServing, "", "g zk_serving=0", ""},
		{"monitor without a quorum", readMonitor, []byte(`{"command":"monitor","error":"This ZooKeeper instance is not currently serving requests"}`), notServing, "", "g zk_serving=0", ""},
		{"an old one", readMntr, []byte("zk_version\t3.4.14-4c25d480e66aadd371de8bd2fd8da255ac140bcf, built on 03/06/2019 16:18 GMT\nzk_server_state\tfollower\nzk_watch_count\t7\nzk_odd\tNaN\n"), "follower", "3.4.14", "g zk_watch_count=7 l zk_odd=NaN", ""},
		{"hostile", readMntr, []byte("zk_\"},{\t1\nzk_a\t\"x\"\nzk_b\t0x1p4\nzk_cnt_\t1\nzk_version\t" + strings.Repeat("v", 500) + "\n"), "unknown", "", "l zk_b=0x1p4", ""},
		{"nothing", readMntr, []byte("nobody home\n"), "", "", "", "no numbers"},
		{"no JSON", readMonitor, []byte("<html>"), "", "", "", "AdminServer"},
		{"an error", readMonitor, []byte(`{"error":"out of order"}`), "", "", "", "out of order"},
	} {
		r, err := tc.read(tc.text)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: %v, want %q in it", tc.name, err, tc.err)
			}
			continue
		}
		if err != nil || r.role != tc.role || r.version != tc.version {
			t.Errorf("%s: %v, %+v", tc.name, err, r)
			continue
		}
		s := decode(t, r.render())
		words := strings.Fields(tc.want)
		for i := 0; i < len(words); i += 2 {
			name, value, _ := strings.Cut(words[i+1], "=")
			got := ""
			switch words[i] {
			case "c":
				got = s.Counters[name].String()
			case "g":
				got = s.Gauges[name].String()
			case "l":
				got = s.Labels[name]
			case "m":
				if m := s.Metrics[name]; m["count"] == "" || m["sum"] == "" || m["maximum"] == "" || m["average"] == "" {
					t.Errorf("%s: %s is %v", tc.name, name, m)
				}
			}
			if got != value {
				t.Errorf("%s: %s is %q, want %q", tc.name, name, got, value)
			}
		}
		if s.Labels["zk_server_state"] != tc.role {
			t.Errorf("%s: labels %v", tc.name, s.Labels)
		}
	}
}

func FuzzReadings(f *testing.F) {
	for _, name := range []string{"mntr", "monitor.json", "srvr"} {
		f.Add(file(f, name))
	}
	f.Add([]byte("zk_server_state\tleader\nzk_cnt_x\t1\nzk_p50_x\t-0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, read := range []func([]byte) (*reading, error){readMntr, readMonitor, readSrvr} {
			r, err := read(text)
			if err != nil {
				continue
			}
			if r.role == "" || len(r.numbers) == 0 {
				t.Errorf("%+v", r)
			}
			decode(t, r.render())
		}
	})
}

func TestPeersOf(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		secure     bool
		want       []peer
	}{
		{"dynamic", "server.2=zk-2:2888:3888:observer;0.0.0.0:2181\nserver.1=zk-1:2888:3888:participant;10.0.0.1:2182\nversion=100000000", false, []peer{{"1", "10.0.0.1", 2182}, {"2", "zk-2", 2181}}},
		{"port alone", "server.1=zk-1:2888:3888;2181", false, []peer{{"1", "zk-1", 2181}}},
		{"static: no port for clients", "server.1=127.0.0.1:2888:3888:participant\nversion=0", false, []peer{{"1", "127.0.0.1", 0}}},
		{"IPv6", "server.1=[2001:db8::1]:2888:3888:participant;[::]:2181\nserver.2=[2001:db8::2]:2888:3888;[2001:db8::3]:2181", false, []peer{{"1", "2001:db8::1", 2181}, {"2", "2001:db8::3", 2181}}},
		{"several addresses", "server.1=a:1:2|b:1:2:participant;2181", false, []peer{{"1", "a", 2181}}},
		{"a port for TLS, without", "server.1=a:1:2;10.0.0.1:2181;10.0.0.1:2281", false, []peer{{"1", "10.0.0.1", 2181}}},
		{"a port for TLS, with", "server.1=a:1:2;10.0.0.1:2181;10.0.0.1:2281", true, []peer{{"1", "10.0.0.1", 2281}}},
		{"one number twice", "server.1=a:1:2;1\nserver.1=b:1:2;1", false, []peer{{"1", "a", 1}}},
		{"none", "group.1=1:2\nweight.1=1\nserver.x=a:1:2\nserver.3=\nserver.4=/etc:1:2;2181\n\x00=", false, nil},
	} {
		got, _ := peersOf([]byte(tc.text), tc.secure)
		if d := cmp.Diff(tc.want, got, cmp.AllowUnexported(peer{})); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
}
