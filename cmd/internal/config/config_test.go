package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func env(name string) (string, bool) {
	v, ok := map[string]string{"ZK": "zk-1:2181"}[name]
	return v, ok
}

func TestParse(t *testing.T) {
	c, err := Parse([]byte(`
global: {scrape_interval: 1m30s, external_labels: {cloud.region: us-east-1}}
zookeeper: {servers: ["${ZK}"], digest: "user:hunter2"}
scrape_configs:
- job_name: apps
  body_size_limit: 10MB
  allow: {networks: [10.0.0.0/8], ports: [1024-65535, "80"]}
  serverset_sd_configs:
  - paths: ['/discovery/{service}/{env}']
  relabel_configs:
  - {source_labels: [__meta_serverset_status], regex: ALIVE, action: keep}
`), env)
	if err != nil {
		t.Fatal(err)
	}
	if d := c.Global.ScrapeInterval.Std(0); d != 90*time.Second {
		t.Errorf("interval %v", d)
	}
	if s := c.ZooKeeper.Servers[0]; s != "zk-1:2181" {
		t.Errorf("server %q", s)
	}
	if n := c.Scrape[0].BodySizeLimit; n != 10<<20 {
		t.Errorf("body limit %d", n)
	}
	y, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(y+fmt.Sprintf("%v %+v %#v", c.ZooKeeper, c, c.ZooKeeper), "hunter2") {
		t.Errorf("a secret was printed:\n%s", y)
	}
	if _, err := Parse([]byte(strings.ReplaceAll(y, `"<secret>"`, "x:y")), env); err != nil {
		t.Errorf("what we write we do not read: %v\n%s", err, y)
	}
	for _, empty := range []string{"", "# nothing\n", "global: {}\n"} {
		if _, err := Parse([]byte(empty), env); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

// What is wrong is told in the order in which it stands in the file, each time.
func TestFaultsInOrder(t *testing.T) {
	text := "dashboards: {peers: [a, b], collectors: [c]}\nalerting: {webhooks: [{url: d}], alertmanagers: [{url: e}]}\nspool: {fsync: always}\nglobal: {scrape_interval: 1ms}\n"
	var was string
	for range 20 {
		_, err := Parse([]byte(text), nil)
		if err == nil {
			t.Fatal("it is taken")
		}
		if was != "" && err.Error() != was {
			t.Fatalf("%v\nwas\n%s", err, was)
		}
		was = err.Error()
	}
	line := 0
	for l := range strings.Lines(was) {
		if n := 0; strings.Contains(l, "line ") {
			if _, err := fmt.Sscanf(l[strings.Index(l, "line "):], "line %d", &n); err != nil || n < line {
				t.Errorf("%d comes after %d:\n%s", n, line, was)
			}
			line = n
		}
	}
	if line != 4 {
		t.Errorf("the last is of line %d:\n%s", line, was)
	}
}

func TestFaults(t *testing.T) {
	const job = "scrape_configs:\n- job_name: a\n  static_configs: [{targets: ['h:1']}]\n"
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", "global:\n  scrape_intervall: 1s\n", "[2:3]"},
		{"a header that is reserved", job + "  http_headers: {authorization: {values: [a]}}\n", "line 4: scrape_configs[0].http_headers.authorization: this header is set elsewhere: use basic_auth"},
		{"a header of the request's frame", job + "  http_headers: {Content-Length: {values: [a]}}\n", "http_headers.Content-Length: this header frames the request"},
		{"a header that is none", job + "  http_headers: {'a b': {values: [a]}}\n", "is no name of a header"},
		{"a header twice", job + "  http_headers: {a: {values: [a]}, A: {files: [a]}}\n", "A is there twice"},
		{"a header of nothing", job + "  http_headers: {a: {}}\n", "it has no value; give values, secrets or files"},
		{"a header of two lines", job + "  http_headers: {a: {secrets: [\"a\\r\\nb: c\"]}}\n", "a value has a control character"},
		{"OAuth without anything", job + "  oauth2: {}\n", "oauth2.client_id: it is missing"},
		{"OAuth without a secret", job + "  oauth2: {client_id: x, token_url: 'http://a/'}\n", "oauth2.client_secret: there is none; give client_secret or client_secret_file"},
		{"OAuth with two secrets", job + "  oauth2: {client_id: x, client_secret: a, client_secret_file: b, token_url: 'http://a/'}\n", "both client_secret and client_secret_file are given"},
		{"OAuth nowhere", job + "  oauth2: {client_id: x, client_secret: a, token_url: 'ftp://a/'}\n", "is not an http or https URL"},
		{"OAuth and a user", job + "  basic_auth: {username: a}\n  oauth2: {client_id: x, client_secret: a, token_url: 'http://a/'}\n", "basic_auth, authorization and oauth2 exclude each other"},
		{"OAuth's other way", job + "  oauth2: {grant_type: x}\n", "it is client_credentials, and cannot be set"},
		{"no proxy of none", job + "  no_proxy: a\n", "there is no proxy; give proxy_url"},
		{"two proxies", job + "  proxy_url: 'http://a'\n  proxy_from_environment: true\n", "proxy_url is given, too; keep one"},
		{"the environment's, and others", job + "  no_proxy: a\n  proxy_from_environment: true\n", "takes it from NO_PROXY"},
		{"a header for no proxy", job + "  proxy_connect_header: {a: [b]}\n", "there is no proxy; give proxy_url or proxy_from_environment"},
		{"a certificate in place", job + "  tls_config: {cert: x, key: y}\n", "name that in cert_file"},
		{"a version of TLS", job + "  tls_config: {min_version: TLS13}\n", "TLS 1.2 at least"},
		{"not YAML", "global: [", "1"},
		{"brackets without end", "global: {}\nkafka: " + strings.Repeat("[", 100_000), "line 2: lists and maps are more than 64 deep in each other; close or remove"},
		{"a text without end", strings.Repeat("# x\n", 1<<19), "line 262145: the text is longer than 1048576 bytes; is it the right file?"},
		{"two documents", "global: {}\n---\nglobal: {}\n", "keep one"},
		{"duration", "global:\n  scrape_interval: fast\n", `line 2: duration "fast": write it as`},
		{"interval too short", "global:\n  scrape_interval: 1ms\n", "line 2: global.scrape_interval: 1ms is not within"},
		{"timeout above interval", "global:\n  scrape_interval: 1s\n  scrape_timeout: 2s\n", "line 3: global.scrape_timeout"},
		{"environment", "zookeeper:\n  servers: ['${NOPE}:1']\n", "line 2: the environment has no NOPE"},
		{"server", "zookeeper:\n  servers: [zk]\n", `line 2: zookeeper.servers[0]: "zk" is not HOST:PORT`},
		{"job without name", "scrape_configs:\n- metrics_path: /x\n  static_configs: []\n", "job_name is missing"},
		{"job twice", job + "- job_name: a\n  static_configs: [{targets: ['h:1']}]\n", `line 4: scrape_configs[1].job_name: "a" is also the name of job 0`},
		{"job with #", "scrape_configs:\n- job_name: a#2\n  static_configs: [{targets: ['h:1']}]\n", `line 2: scrape_configs[0].job_name: "a#2" has a #`},
		{"no targets", "scrape_configs:\n- job_name: a\n", "the job has no targets; add one of serverset_sd_configs"},
		{"series limit", job + "  series_limit: -1\n", "line 4: scrape_configs[0].series_limit: -1 is negative; 0 lets any number"},
		{"service's series limit", job + "  service_series_limit: -5\n", "line 4: scrape_configs[0].service_series_limit: -5 is negative"},
		{"lookup.add", "enrich:\n  rules:\n  - label: ip\n    lookup: {as: client, add: [as.number, geo.town]}\n", `line 4: enrich.rules[0].lookup.add[1]: "geo.town" is no attribute of a place; use as.number,`},
		{"period", job + "  ostrich_period: 1500ms\n", "scrape_configs[0].ostrich_period: 1s500ms is not a number of whole seconds up to 1h"},
		{"long period", job + "  ostrich_period: 2h\n", "scrape_configs[0].ostrich_period: 2h is not"},
		{"two periods", job + "  ostrich_period: 10s\n  params: {period: ['5']}\n", "scrape_configs[0].params.period: every answer has a period already"},
		{"arrays", job + "  flatten_arrays: [a, '(']\n", "line 4: scrape_configs[0].flatten_arrays[1]: error parsing regexp: missing closing"},
		{"namespace", job + "  params: {namespace: [x]}\n", "line 4: scrape_configs[0].params.namespace: Ostrich resets"},
		{"relabel action", job + "  relabel_configs:\n  - {action: kep}\n", `"kep" is no action`},
		{"relabel regex", job + "  relabel_configs:\n  - {action: keep, regex: '('}\n", "missing closing"},
		{"network", job + "  allow: {networks: [ten]}\n", `"ten" is not a network`},
		{"ports", job + "  allow: {ports: ['9-1']}\n", `"9-1" is not a port or a range`},
		{"two secrets", job + "  basic_auth: {username: u, password: p, password_file: f}\n", "keep one"},
		{"state_bytes", "enrich:\n  state_bytes: 4KB\n", "line 2: enrich.state_bytes: 4096 bytes hold no fleet's series; give 1MB or more"},
		{"rule without group", "enrich:\n  rules:\n  - name: '^x/(?P<ip>.+)$'\n    drop: [ips]\n", `line 4: enrich.rules[0].drop[0]: "ips" is no group`},
		{"sasl", "kafka:\n  sasl: {mechanism: GSSAPI}\n", "use PLAIN, SCRAM"},
		{"pattern", "scrape_configs:\n- job_name: a\n  serverset_sd_configs:\n  - paths: ['discovery/x']\n", "line 4: scrape_configs[0].serverset_sd_configs[0].paths[0]"},
		{"template", "scrape_configs:\n- job_name: a\n  serverset_sd_configs:\n  - paths: ['/d/{service}']\n    env: '{zone}'\n", "zone"},
		{"map for text", "kafka: {brokers: [a: 1]}\n", "[1:20] want text, and this is a map"},
		{"text for bool", "guard: {off: maybe}\n", "want true or false, and this is text"},
		{"shrink", "guard: {shrink: 2}\n", "line 1: guard.shrink: 2 is not a share"},
		{"release", "guard: {flap: {release: 9, quarantine: 5}}\n", "guard.flap.release: 9 is not below quarantine"},
		{"a burst below zero", "burst: {max_scrapes_per_second: -1}\n", "0..100000"},
		{"expected twice", "expected: {file: a, url: 'http://x'}\n", "keep one"},
		{"window", "dashboards: {window: 1s}\n", "not within 1m..24h"},
		{"spool", "spool: {max_bytes: 1MB}\n", "line 1: spool.max_bytes: less than 16MB"},
		{"spool's fsync", "spool: {fsync: always}\n", `line 1: spool.fsync: "always": use never, interval or each`},
		{"budget", "dashboards: {max_bytes: 10KB}\n", "line 1: dashboards.max_bytes"},
		{"alerts", "dashboards: {max_alerts: -1}\n", "line 1: dashboards.max_alerts: -1 is negative"},
		{"size", job + "  body_size_limit: 8 apples\n", `line 4: size "8 apples"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse([]byte(tc.text), env)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant %q in it", err, tc.want)
			}
		})
	}
}

// All that is wrong with a file is said at once, and nothing that is only so because something else is.
func TestAllFaults(t *testing.T) {
	const text = `global: {scrape_interval: soon, scrape_timeout: 20s}
zookeeper: {servers: ["${NOPE}:1"], group: "a b"}
scrape_configs:
- job_name: apps
  scrape_timeout: 30s
  serverset_sd_config: []
  relabel_configs:
  - {action: explode}
- job_name: [apps]
  static_configs: [{targets: [h]}]
guard: {shrink: 2, off: maybe}
spool: {fsync: always}
`
	_, err := Parse([]byte(text), env)
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, want := range []string{
		`duration "soon"`, "the environment has no NOPE", `unknown field "serverset_sd_config"`, "[9:13] want text", "want true or false, and this is text",
		`line 8: scrape_configs[0].relabel_configs[0].action: "explode"`, `line 10: scrape_configs[1].static_configs[0].targets[0][0]: "h" is not HOST:PORT`, "line 12: spool.fsync",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not said", want)
		}
	}
	for _, not := range []string{"is longer than the interval", "the job has no targets", "job_name is missing"} {
		if strings.Contains(err.Error(), not) {
			t.Errorf("it is said that %s, which follows from something else", not)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

// A host and its port in a flow sequence are no map, whatever the library takes them for.
func TestAddresses(t *testing.T) {
	c, err := Parse([]byte("kafka: {brokers: [k-1.x:9092, 'b:2', \"c:3\"]}\nzookeeper: {servers: [z1:2181]}\n"), env)
	if err != nil || strings.Join(c.Kafka.Brokers, " ") != "k-1.x:9092 b:2 c:3" || strings.Join(c.ZooKeeper.Servers, " ") != "z1:2181" {
		t.Errorf("%v: %+v", err, c)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	f := filepath.Join(t.TempDir(), "x.yml")
	os.WriteFile(f, []byte("nope: 1\nspool: {fsync: x}\n"), 0o600)
	if _, err := Load(f); err == nil || !strings.Contains(err.Error(), f+": [1:1]") || !strings.Contains(err.Error(), f+": line 2: spool.fsync") {
		t.Errorf("got %v", err)
	}
}

func TestDuration(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want time.Duration
		out  string
	}{{"15s", 15 * time.Second, "15s"}, {"1h30m", 90 * time.Minute, "1h30m"}, {"2d", 48 * time.Hour, "2d"}, {"500ms", 500 * time.Millisecond, "500ms"}, {"0", 0, "0s"}, {"0s", 0, "0s"}} {
		if d, err := ParseDuration(tc.in); err != nil || d != tc.want || Duration(d).String() != tc.out {
			t.Errorf("%s: %v %v %s", tc.in, d, err, Duration(d))
		}
	}
	for _, bad := range []string{"", "s", "1", "1s1h", "1s1s", "-1s", "1.5h", "1x", "99999999999999y", "100000y"} {
		if d, err := ParseDuration(bad); err == nil {
			t.Errorf("%q was read as %v", bad, d)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("global: {scrape_interval: 1m}\n")
	f.Add("scrape_configs:\n- job_name: a\n  static_configs: [{targets: ['h:1']}]\n")
	f.Add("a: &x [*x]\n")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse([]byte(s), env)
		if err == nil {
			if _, err := c.YAML(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A file is mended in one go: all keys that nobody knows, and all values of the wrong type, are named at once.
func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Parse([]byte("global: {scrape_interval: 10, evaluation_interval: 15s}\nrule_files: [a.yml]\nremote_read: []\nscrape_configs:\n- job_name: a\n  scrape_intervall: 5s\n  honor_timestamps: maybe\n  static_configs: [{targets: ['h:1'], lables: {}}]\n- job_name: b\n  metric_path: /x\n  static_configs: x\n"),
		func(string) (string, bool) { return "", false })
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"10", `"remote_read"`, `"scrape_intervall"`, "want true or false", `"lables"`, `"metric_path"`, "sequence is expected"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in\n%v", want, err)
		}
	}
	// With keys that are unknown, what else is wrong is named, too.
	_, err = Parse([]byte("nonsense: 1\nscrape_configs:\n- job_name: a\n  more: 2\n  scrape_interval: 1ms\n"), func(string) (string, bool) { return "", false })
	if text := fmt.Sprint(err); !strings.Contains(text, `"nonsense"`) || !strings.Contains(text, `"more"`) || !strings.Contains(text, "100ms") {
		t.Errorf("%v", err)
	}
}
