package register

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

func env(name string) (string, bool) {
	v, ok := map[string]string{"VERSION": "1.42.0", "ZK": "zk-1:2181"}[name]
	return v, ok
}

func TestParseServices(t *testing.T) {
	got, err := ParseServices([]byte(`# the shop
service: checkout
env: prod
port: 8001
version: ${VERSION}
track: canary
owner: payments
tags: {rack: r7}
stats_port: 9990
stats_path: /admin/metrics.json
shard: 3
expected: 40
checks:
- http: /health
  interval: 1s
  rise: 1
  status: 200-299
- tcp: 8002
- https:/deep
---
service: cart
host: 10.0.0.6
port: 80
tags: {rack: r8}
`), Defaults{Host: "10.0.0.5", Env: "staging", HostName: "ip-10-0-0-5", Zone: "us-east-1c", Tags: map[string]string{"rack": "r0", "cell": "a"}}, env)
	if err != nil {
		t.Fatal(err)
	}
	want := []Service{
		{Name: "checkout", Env: "prod", Host: "10.0.0.5", Port: 8001,
			Metadata: serverset.Metadata{Version: "1.42.0", Zone: "us-east-1c", Track: "canary", Host: "ip-10-0-0-5", Owner: "payments",
				Tags: map[string]string{"rack": "r7", "cell": "a"}, StatsPort: 9990, StatsPath: "/admin/metrics.json", Shard: new(3), Expected: 40},
			Checks: []Check{
				{Kind: "http", Path: "/health", ExpectFrom: 200, ExpectTo: 299, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 3},
				{Kind: "tcp", Addr: ":8002", Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
				{Kind: "https", Path: "/deep", ExpectFrom: 200, ExpectTo: 399, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
			}},
		{Name: "cart", Env: "staging", Host: "10.0.0.6", Port: 80,
			Metadata: serverset.Metadata{Zone: "us-east-1c", Host: "ip-10-0-0-5", Tags: map[string]string{"rack": "r8", "cell": "a"}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseFile(t *testing.T) {
	f, err := ParseFile([]byte(`
zookeeper:
  servers: ['${ZK}', 'zk-2:2181']
  session_timeout: 8s
  digest_file: /etc/digest
root: /services
verify_interval: 1m
flap: {half_life: 1m}
defaults: {zone: a, tags: {x: y}}
services:
- {service: a, port: 1}
- {service: b, port: 2, zone: c}
service_files: ['services.d/*.yml']
`), Defaults{Host: "h", Zone: "z"}, env)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"zk-1:2181", "zk-2:2181"}, f.ZooKeeper.Servers); d != "" {
		t.Error(d)
	}
	if f.ZooKeeper.SessionTimeout != 8*time.Second || f.Root != "/services" || f.Verify != time.Minute || f.Flap.HalfLife != time.Minute || len(f.ServiceFiles) != 1 {
		t.Errorf("%+v", f)
	}
	if len(f.Services) != 2 || f.Services[0].Metadata.Zone != "a" || f.Services[1].Metadata.Zone != "c" || f.Services[0].Host != "h" || f.Services[0].Env != "default" {
		t.Errorf("%+v", f.Services)
	}
	if f, err = ParseFile(nil, Defaults{Host: "h"}, env); err != nil || f.Defaults.Host != "h" {
		t.Errorf("an empty file: %+v, %v", f, err)
	}
}

func TestFaultsHaveLinesAndRemedies(t *testing.T) {
	const ok = "service: a\nhost: h\nport: 1\n"
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", ok + "prot: 2\n", `line 4: nothing is called "prot" here; is it port?`},
		{"unknown key, nothing near", ok + "colour: red\n", `line 4: nothing is called "colour" here; remove it`},
		{"unknown key of a check", ok + "checks:\n- http: /x\n  intervall: 1s\n", `line 6: nothing is called "intervall" here; is it interval?`},
		{"not YAML", "service: [\n", "line 1: "},
		{"wrong type", ok + "tags: [a]\n", "line 4: "},
		{"empty", "", "line 1: no service in it"},
		{"comment alone", "# later\n", "no service in it"},
		{"no name", "host: h\nport: 1\n", "line 1: service: is missing"},
		{"slash", "service: a/b\nhost: h\nport: 1\n", `line 1: service: "a/b" holds a /`},
		{"space", "service: a\nenv: p d\nhost: h\nport: 1\n", "line 2: env: "},
		{"no port", "service: a\nhost: h\n", "line 1: port: is missing or 0"},
		{"port too high", "service: a\nhost: h\nport: 70000\n", "line 3: port: 70000 is not within 1..65535"},
		{"no host", "service: a\nport: 1\n", "host: is missing"},
		{"listening host", "service: a\nhost: 0.0.0.0\nport: 1\n", "line 2: host: 0.0.0.0 is where a program listens"},
		{"odd host", "service: a\nhost: a b\nport: 1\n", "line 2: host: "},
		{"track", ok + "track: new\n", `line 4: track: "new" is not canary, baseline or production`},
		{"stats path", ok + "stats_path: stats\n", "line 4: stats_path: "},
		{"scheme", ok + "scheme: ftp\n", "line 4: scheme: "},
		{"shard", ok + "shard: -1\n", "line 4: shard: "},
		{"expected", ok + "expected: -1\n", "line 4: expected: "},
		{"long tag", ok + "tags:\n  a: " + strings.Repeat("x", 2000) + "\n", "line 5: tags: "},
		{"check of no kind", ok + "checks:\n- interval: 1s\n", "line 5: checks[0]: give it one of http, https and tcp"},
		{"check of two kinds", ok + "checks:\n- {http: /, tcp: 1}\n", "line 5: checks[0]: give it one"},
		{"check in words", ok + "checks: [ping]\n", `checks[0]: check "ping": write it as`},
		{"interval", ok + "checks:\n- http: /\n  interval: often\n", `line 6: checks[0].interval: "often" is not a time`},
		{"interval too short", ok + "checks:\n- http: /\n  interval: 1ms\n", "line 6: checks[0].interval: 1ms is not within"},
		{"timeout over interval", ok + "checks:\n- http: /\n  interval: 1s\n  timeout: 2s\n", "line 7: checks[0].timeout: "},
		{"rise", ok + "checks:\n- http: /\n  rise: 1000\n", "line 6: checks[0].rise: "},
		{"fall", ok + "checks:\n- http: /\n  fall: -1\n", "line 6: checks[0].fall: "},
		{"status", ok + "checks:\n- http: /\n  status: good\n", "line 6: checks[0].status: "},
		{"status of tcp", ok + "checks:\n- tcp: 1\n  status: 200\n", "line 6: checks[0].status: a tcp check has no status"},
		{"status backwards", ok + "checks:\n- http: /\n  status: 399-200\n", "line 6: checks[0].status: "},
		{"certificates of http", ok + "checks:\n- http: /\n  insecure_skip_verify: true\n", "line 6: checks[0].insecure_skip_verify: "},
		{"environment", ok + "version: ${NOPE}\n", "line 4: the environment has no NOPE; set it"},
		{"tag", "service: !!binary a\n", "line 1: !!binary is a YAML tag; remove it"},
		{"second document", ok + "---\n" + "service: b\nhost: h\n", "line 5: port: is missing"},
	} {
		_, err := ParseServices([]byte(tc.text), Defaults{}, env)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q in it", tc.name, err, tc.want)
		}
	}
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", "zookeper: {}\n", `line 1: nothing is called "zookeper" here; is it zookeeper?`},
		{"two documents", "root: /a\n---\nroot: /b\n", "line 3: a second YAML document"},
		{"session timeout", "zookeeper:\n  session_timeout: 1ms\n", "line 2: zookeeper.session_timeout: 1ms is not within"},
		{"root", "services: []\nroot: discovery/\n", "line 2: root: "},
		{"verify", "verify_interval: 1ms\n", "line 1: verify_interval: "},
		{"half-life", "flap:\n  half_life: 1ms\n", "line 2: flap.half_life: "},
		{"pattern", "service_files:\n- '*/x.yml'\n", "line 2: service_files[0]: "},
		{"service", "services:\n- service: a\n  host: h\n- service: b\n  host: h\n  port: 70000\n", "line 6: services[1].port: 70000"},
		{"all of them", "root: x\nservices:\n- {service: a/b, host: h, port: 1}\n", "holds a /"},
	} {
		_, err := ParseFile([]byte(tc.text), Defaults{}, env)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q in it", tc.name, err, tc.want)
		}
	}
}

// Whatever the text, an error or services that the agent takes; never a panic.
func FuzzParseServices(f *testing.F) {
	for _, s := range []string{"", "service: a\nhost: h\nport: 1\n", "service: a\nchecks: [{http: /x, interval: 1s}, tcp]\n---\nservice: b\n", "a: &a [*a]", "? {a: b}", "- !!set {}",
		"service: ${VERSION}\nhost: '::1'\nport: 0x10\ntags: {a: b, <<: {c: d}}", "service: |\n a\nhost: >\n b", "\xff", "checks: {}", "port: 1e3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseServices([]byte(s), Defaults{Host: "h"}, env)
		if err == nil && len(got) == 0 {
			t.Fatal("neither services nor an error")
		}
		for i := range got {
			if err := got[i].Validate(); err != nil {
				t.Fatalf("taken, but: %v", err)
			}
			if _, err := got[i].data(true); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ParseFile([]byte(s), Defaults{Host: "h"}, env); err != nil && err.Error() == "" {
			t.Fatal("an error that says nothing")
		}
	})
}
