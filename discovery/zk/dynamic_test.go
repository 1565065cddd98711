package zk

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseEnsemble(t *testing.T) {
	for _, tc := range []struct{ name, in, want, err string }{
		{"a voter", "server.1=zk1:2888:3888:participant;2181\nversion=100000000", "1 zk1:2181", ""},
		{"no role, an address for clients", "server.1=zk1:2888:3888;10.0.0.1:2181", "1 10.0.0.1:2181", ""},
		{"a wildcard", "server.2=zk2.example:2888:3888:participant;0.0.0.0:2181", "2 zk2.example:2181", ""},
		{"a wildcard of IPv6", "server.2=[2001:db8::2]:2888:3888:participant;[::]:2181", "2 [2001:db8::2]:2181", ""},
		{"an observer", "server.4=zk4:2888:3888:observer;0.0.0.0:2181", "4 zk4:2181 observer", ""},
		{"a port for TLS", "server.1=zk1:2888:3888;0.0.0.0:2181;0.0.0.0:2281", "1 zk1:2181 zk1:2281", ""},
		{"TLS only", "server.1=zk1:2888:3888;;2281", "1 - zk1:2281", ""},
		{"several addresses", "server.1=a1:2888:3888|b1:2889:3889:observer;2181", "1 a1:2181 observer", ""},
		{"no address for clients", "server.1=zk1:2888:3888:participant", "1 -", ""},
		{"in order", "server.2=b:1:2;3\nserver.1=a:1:2;3", "1 a:3,2 b:3", ""},
		{"broken beside good", "server.1=zk1:2888:3888;x\nserver.2=zk2:1:2;2181", "2 zk2:2181", "client port"},
		{"no number", "server.x=zk1:2888:3888;2181", "", "no number"},
		{"no host", "server.1=:2888:3888;2181", "", "no host"},
		{"a host that is none", "server.1=a/../b:2888:3888;2181", "", "neither an address"},
		{"a client's host that is none", "server.1=a:2888:3888;e vil:2181", "", "neither an address"},
		{"port 0", "server.1=a:2888:3888;0", "", "client port"},
		{"a bracket", "server.1=[::1:2888:3888;1", "", "bracket"},
		{"too long", strings.Repeat("x", maxConfig+1), "", "over the limit"},
		{"too many", strings.Repeat("server.1=a:1:2;3\n", maxPeers+1), strings.TrimSuffix(strings.Repeat("1 a:3,", maxPeers), ","), "more than"},
		{"empty", "", "", ""},
	} {
		peers, err := ParseEnsemble([]byte(tc.in))
		var got []string
		for _, p := range peers {
			s := fmt.Sprint(p.ID, " ", p.Client)
			if p.Client == "" {
				s += "-"
			}
			if p.Secure != "" {
				s += " " + p.Secure
			}
			if p.Observer {
				s += " observer"
			}
			got = append(got, s)
		}
		if want := slices.DeleteFunc(strings.Split(tc.want, ","), func(s string) bool { return s == "" }); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tc.name, got, want)
		}
		if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func FuzzParseEnsemble(f *testing.F) {
	f.Add([]byte("server.1=zk1:2888:3888:participant;0.0.0.0:2181\nserver.4=[::1]:2888:3888|b:1:2:observer;[::]:2181;2281\nversion=0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		peers, _ := ParseEnsemble(data)
		for _, p := range peers {
			for _, a := range []string{p.Client, p.Secure} {
				if a == "" {
					continue
				}
				c := Config{Servers: []string{a}}.withDefaults()
				if err := c.validate(); err != nil {
					t.Fatalf("%q is no server: %v", a, err)
				}
			}
		}
	})
}
