package zk

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// layouts makes a tree with every layout, and things that are none. It returns what Explore is to say.
func layouts(t *testing.T, w writer) string {
	for i := range 5 {
		w.join("/discovery/checkout/prod", "10.0.0.1", uint16(i+1), "")
		w.join("/us/east/disc/search/prod", "10.0.1.1", uint16(i+1), `{"v":1,"version":"3"}`)
	}
	w.join("/discovery/checkout/dev", "10.0.0.2", 80, "")
	w.join("/discovery/search/prod", "search-1.example", 80, "")
	fin := serverset.FinagleMember{ServiceEndpoint: serverset.FinagleEndpoint{Host: "10.0.2.1", Port: 80}}
	data, err := fin.Encode()
	must(t, err)
	for _, set := range []string{"/aurora/www/prod/web", "/aurora/www/prod/api", "/soa/one", "/soa/two"} {
		w.put(set+"/member_", string(data), EphemeralSequential)
		w.put(set+"/vector_", "{}", EphemeralSequential)
	}
	nerve := serverset.NerveMember{Host: "10.0.3.1", Port: 80, Name: "i-1"}
	data, err = nerve.Encode()
	must(t, err)
	w.put("/nerve/services/mail/services/i-1_", string(data), EphemeralSequential)
	name, err := nerve.Base64Name()
	must(t, err)
	w.put("/nerve/services/chat/services/"+name, "", EphemeralSequential)
	cur := serverset.CuratorMember{Name: "pay", ID: "4455f707-aaaa", Address: "10.0.4.1", Port: 80}
	data, err = cur.Encode()
	must(t, err)
	w.put("/services/pay/4455f707-aaaa", string(data), Ephemeral)
	w.put("/config/manageddata/admin/decider", "1452000000.12", Persistent)
	w.put("/kafka/brokers/ids/1", `{"endpoints":["PLAINTEXT://k1:9092"],"jmx_port":-1,"host":"k1","port":9092,"version":5}`, Ephemeral)
	w.put("/app/nodes/1", `{"host":"k1","port":-1}`, Ephemeral)
	w.put("/empty/folder", "", Persistent)
	return strings.Join([]string{
		"kingpin /discovery/{service}/{env} {service} {env} 3 sets 7 members",
		"kingpin /us/east/disc/{service}/{env} {service} {env} 1 sets 5 members",
		"finagle /aurora/{role}/{env}/{job} {role}.{job} {env} 2 sets 2 members",
		"nerve /nerve/services/{service}/services {service} default 2 sets 2 members",
		"finagle /soa/{service} {service} default 2 sets 2 members",
		"curator /services/{service} {service} default 1 sets 1 members",
	}, "\n")
}

func describe(ls []serverset.Layout) string {
	var out []string
	for _, l := range ls {
		service, env := l.Pattern.Templates()
		out = append(out, fmt.Sprintf("%s %s %s %s %d sets %d members", l.Format, l.Pattern, service, env, l.Sets, l.Members))
	}
	return strings.Join(out, "\n")
}

func TestExplore(t *testing.T) {
	t.Parallel()
	testenv.ZooKeepers(t, func(t *testing.T, srv *testenv.ZooKeeperServer) {
		w := newWriter(t, srv.Addr)
		want := layouts(t, w)
		s := connected(t, Config{Servers: []string{srv.Addr}, ReadOnly: true})
		x, err := Explore(deadline(t), s, ExploreOptions{})
		must(t, err)
		if got := describe(x.Layouts); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		for _, l := range x.Layouts {
			if l.Sample.Err != nil || l.Sample.Port == 0 || l.Sample.Service == "" {
				t.Errorf("%s: sample %+v", l.Pattern, l.Sample)
			}
		}
		if x.Cut != "" || x.Forbidden != 0 {
			t.Errorf("%+v", x)
		}
		// What was found is what a source then follows.
		var rules []Rule
		for _, l := range x.Layouts {
			rules = append(rules, Rule{l.Pattern, serverset.Options{Format: l.Format}})
		}
		f := follow(t, Config{Servers: []string{srv.Addr}}, SourceConfig{Rules: rules})
		eventually(t, "every member present", func() bool { return strings.Count(f.states(), "=present") == 19 })

		if x, err = Explore(deadline(t), s, ExploreOptions{MaxNodes: 4}); err != nil || x.Cut != "after 4 nodes" || x.Nodes != 4 {
			t.Errorf("%+v %v", x, err)
		}
		if x, err = Explore(deadline(t), s, ExploreOptions{MaxDepth: 1}); err != nil || !strings.Contains(x.Cut, "1 level") {
			t.Errorf("%+v %v", x, err)
		}
		if x, err = Explore(deadline(t), s, ExploreOptions{Roots: []string{"/services"}}); err != nil || x.Sets != 1 {
			t.Errorf("%+v %v", x, err)
		}
		if x, err = Explore(deadline(t), s, ExploreOptions{MaxTime: time.Nanosecond}); err != nil || x.Cut == "" {
			t.Errorf("%+v %v", x, err)
		}
	})
	s, _ := runSession(t, Config{Servers: []string{"127.0.0.1:1"}})
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Explore(short, s, ExploreOptions{}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("no server: %v", err)
	}
}
