package file

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// show is members as text, one a line: key, or what is wrong.
func show(ms []discovery.Member) string {
	var out []string
	for _, m := range ms {
		s := m.Key.String()
		if m.Err != nil {
			s = m.Group() + " " + m.Member + ": " + m.Err.Error()
		}
		for _, p := range [][2]string{{"scheme", m.Scheme}, {"path", m.StatsPath}} {
			if p[1] != "" {
				s += " " + p[0] + "=" + p[1]
			}
		}
		for _, t := range []discovery.Tags{m.Tags, m.Meta} {
			for n, v := range t.All() {
				s += " " + n + "=" + v
			}
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}

func TestServersetName(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"/var/serverset/discovery.checkout.prod", "checkout prod"}, {"discovery.my.service.prod", "my.service prod"}, {"services.checkout.prod", "checkout prod"},
		{"discovery.checkout", "checkout default"}, {"checkout.prod", "checkout prod"}, {"checkout", "checkout default"},
		{"discovery..prod", ""}, {"discovery.checkout.", ""}, {".", ""},
	} {
		s, e, err := serversetName(tc.file)
		if got := strings.TrimSpace(s + " " + e); (err == nil) != (tc.want != "") || err == nil && got != tc.want {
			t.Errorf("%s: %q %v, want %q", tc.file, got, err, tc.want)
		}
	}
}

func TestDecodeServerset(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"as KingPin writes it", "10.0.0.5:8001\n10.0.0.6:8001", "s/e/10.0.0.5:8001\ns/e/10.0.0.6:8001"},
		{"newline at the end, blanks, CRLF", " 10.0.0.5:8001 \r\n\n10.0.0.6:8001\n\n", "s/e/10.0.0.5:8001\ns/e/10.0.0.6:8001"},
		{"names and IPv6", "db-1.example:80\n[2001:db8::1]:80", "s/e/db-1.example:80\ns/e/[2001:db8::1]:80"},
		{"twice", "10.0.0.5:80\n10.0.0.5:80", "s/e/10.0.0.5:80"},
		{"remarks", "# none\n10.0.0.5:80", "s/e/10.0.0.5:80"},
		{"empty", "", ""},
		{"one bad line hurts itself", "10.0.0.5:80\nnonsense\n10.0.0.6:80", "s/e/10.0.0.5:80\ns/e nonsense: line 2: address nonsense: missing port in address\ns/e/10.0.0.6:80"},
		{"bad port", "h:99999", "s/e h:99999: line 1: address h:99999: port is not a number in 1..65535"},
		{"no host", "a/b:80", `s/e a/b:80: line 1: "a/b" is no host`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ms, err := decodeServerset("discovery.s.e", []byte(tc.in))
			if got := show(ms); err != nil || got != tc.want {
				t.Fatalf("got %s %v\nwant %s", got, err, tc.want)
			}
		})
	}
	long, err := decodeServerset("discovery.s.e", []byte(strings.Repeat("x", 10_000)+":80"))
	if err != nil || len(long) != 1 || long[0].Err == nil || len(long[0].Member) > maxLine {
		t.Fatalf("%v %v", long, err)
	}
	if ms, err := decodeServerset("discovery.s.e", []byte(strings.Repeat("h:1\n", 10))); err != nil || len(ms) != 1 || ms[0].Shard != discovery.NoShard {
		t.Fatalf("%v %v", ms, err)
	}
}

func TestDecodeTargets(t *testing.T) {
	for _, tc := range []struct{ name, file, in, want string }{
		{"JSON", "t.json", `[{"targets":["10.0.0.5:9100","10.0.0.6:9100"],"labels":{"job":"node","zone":"a"}}]`, "node/default/10.0.0.5:9100 cloud.availability_zone=a\nnode/default/10.0.0.6:9100 cloud.availability_zone=a"},
		{"YAML", "t.yml", "- targets: ['10.0.0.5:9100']\n  labels: {service: checkout, env: prod, team: pay}\n", "checkout/prod/10.0.0.5:9100 team=pay"},
		{"YAML, numbers as values", "t.yaml", "- targets: ['10.0.0.5:9100']\n  labels:\n    shard: 3\n", "nodes/default/10.0.0.5:9100 shard=3"},
		{"service before job", "t.json", `[{"targets":["h:1"],"labels":{"job":"j","service":"s","deployment.environment.name":"prod"}}]`, "s/prod/h:1"},
		{"the scrape job where none is named", "t.json", `[{"targets":["h:1"]}]`, "nodes/default/h:1"},
		{"a slash is escaped", "t.json", `[{"targets":["h:1"],"labels":{"service":"a/b"}}]`, "a%2Fb/default/h:1"},
		{"what Prometheus honours", "t.json", `[{"targets":["h:1"],"labels":{"__scheme__":"HTTPS","__metrics_path__":"/m?a=1","__meta_x":"y","__param_z":"1","instance":"i-1"}}]`, "nodes/default/h:1 scheme=https path=/m?a=1 service.instance.id=i-1 __meta_x=y __param_z=1"},
		{"ports by scheme", "t.json", `[{"targets":["h","[2001:db8::1]","2001:db8::1"]},{"targets":["h"],"labels":{"__scheme__":"https"}}]`, "nodes/default/h:80\nnodes/default/[2001:db8::1]:80\nnodes/default/[2001:db8::1]:80\nnodes/default/h:443 scheme=https"},
		{"short names of tags", "t.json", `[{"targets":["h:1"],"labels":{"version":"1","az":"b"}}]`, "nodes/default/h:1 cloud.availability_zone=b service.version=1"},
		{"a full name wins over the short", "t.json", `[{"targets":["h:1"],"labels":{"version":"1","service.version":"2"}}]`, "nodes/default/h:1 service.version=2"},
		{"one bad target hurts itself", "t.json", "[{\"targets\":[\"h:1\"]},\n{\"targets\":[\"h:\"]}]", "nodes/default/h:1\nnodes/default h:: t.json:2: target \"h:\": address h:: port is not a number in 1..65535"},
		{"empty list", "t.json", `[]`, ""},
		{"null labels", "t.json", `[{"targets":["h:1"],"labels":null}]`, "nodes/default/h:1"},
		{"empty YAML", "t.yml", "", ""},
		{"YAML list of nothing", "t.yml", "[]\n", ""},
		{"any other name is JSON", "targets", `[{"targets":["h:1"]}]`, "nodes/default/h:1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ms, err := decode(tc.file, []byte(tc.in))
			if got := show(ms); err != nil || got != tc.want {
				t.Fatalf("got %s %v\nwant %s", got, err, tc.want)
			}
			for _, m := range ms {
				if m.Format != "file_sd" || m.Shard != discovery.NoShard || m.Member == "" {
					t.Fatalf("%+v", m)
				}
			}
		})
	}
}

func decode(file string, b []byte) ([]discovery.Member, error) {
	gs, err := decodeTargets(file, b)
	if err != nil {
		return nil, err
	}
	return members(gs, origin{file: file, format: "file_sd", job: "nodes"})
}

func TestDecodeTargetsFaults(t *testing.T) {
	for _, tc := range []struct{ name, file, in, want string }{
		{"cut short", "t.json", "[{\"targets\":[\"h:1\"]},\n{\"targ", "t.json:2: the text ends before the list does"},
		{"cut between groups", "t.json", "[{\"targets\":[\"h:1\"]},\n", "t.json:"},
		{"nothing", "t.json", "", "t.json:1: the text ends"},
		{"no list", "t.json", `{"targets":[]}`, "t.json:1: it begins with {"},
		{"bad syntax", "t.json", "[\n\n{x}]", "t.json:3: invalid character 'x'"},
		{"wrong type", "t.json", "[\n{\"targets\":\"h:1\"}]", "t.json:2: json: cannot unmarshal string"},
		{"misspelt key", "t.json", "[{\"target\":[]}]", `unknown field "target"`},
		{"something behind", "t.json", "[]\n[]", "t.json:2: invalid character"},
		{"scheme", "t.json", "[\n{\"labels\":{\"__scheme__\":\"ftp\"}}]", `t.json:2: __scheme__ "ftp"`},
		{"path", "t.json", "[\n{\"labels\":{\"__metrics_path__\":\"m\"}}]", `t.json:2: __metrics_path__ "m"`},
		{"long label", "t.json", `[{"labels":{"x":"` + strings.Repeat("y", 2000) + `"}}]`, "t.json:1: label \"x\" is longer"},
		{"many labels", "t.json", `[{"labels":{` + manyLabels(100) + `}}]`, "t.json:1: 100 labels, over the limit"},
		{"YAML syntax", "t.yml", "- targets: [a\n", "t.yml:1:"},
		{"YAML type", "t.yml", "- targets:\n  - a:1\n  labels: 5\n", "t.yml:3:"},
		{"YAML misspelt key", "t.yml", "- targets: [a:1]\n  label: {}\n", `t.yml:2: unknown field "label"`},
		{"YAML path", "t.yml", "- labels: {__metrics_path__: m}\n", `t.yml: group 1: __metrics_path__ "m"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ms, err := decode(tc.file, []byte(tc.in))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v %v, want %q", show(ms), err, tc.want)
			}
		})
	}
}

func manyLabels(n int) string {
	var ls []string
	for i := range n {
		ls = append(ls, fmt.Sprintf(`"l%d":"v"`, i))
	}
	return strings.Join(ls, ",")
}

func FuzzServerset(f *testing.F) {
	f.Add([]byte("10.0.0.5:8001\n[::1]:80\nh:1"))
	f.Add([]byte("#\n\n\x00:1\n:80\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ms, err := decodeServerset("discovery.s.e", b)
		if err != nil {
			t.Fatal(err)
		}
		check(t, ms)
	})
}

func check(t *testing.T, ms []discovery.Member) {
	for _, m := range ms {
		if m.Err == nil {
			if h, p, err := discovery.SplitAddr(m.Addr()); err != nil || h != m.Host || p != m.Port {
				t.Fatalf("%+v does not come back from %q: %v", m.Key, m.Addr(), err)
			}
		} else if m.Host != "" || m.Member == "" {
			t.Fatalf("%+v", m)
		}
		if strings.Contains(m.Service+m.Env, "/") {
			t.Fatalf("a slash in %q", m.Group())
		}
	}
}

func FuzzTargetsJSON(f *testing.F) {
	f.Add([]byte(`[{"targets":["10.0.0.5:9100","h"],"labels":{"job":"node","__scheme__":"https","__metrics_path__":"/m","x":"y"}}]`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		ms, err := decode("t.json", b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "t.json:") {
				t.Fatalf("no file and line: %v", err)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatalf("took what is no JSON: %q", b)
		}
		check(t, ms)
	})
}

func FuzzTargetsYAML(f *testing.F) {
	f.Add([]byte("- targets: ['10.0.0.5:9100', h]\n  labels: {job: node, x: 3}\n"))
	f.Add([]byte("- targets:\n  - a:1\n  labels:\n    a: b\n- targets: []\n"))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ms, err := decode("t.yml", b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "t.yml:") {
				t.Fatalf("no file: %v", err)
			}
			return
		}
		check(t, ms)
	})
}
