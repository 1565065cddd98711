package ruletest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes files in a folder of the test's own, and returns the first one's path.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, files[0])
}

const configured = `global: {external_labels: {dc: one}}
scrape_configs:
- job_name: apps
  honor_timestamps: false
  static_configs: [{targets: ['h:1']}]
  relabel_configs:
  - {source_labels: [__meta_status], regex: DEAD, action: drop}
  - {source_labels: [__address__], regex: '(.*):\d+', replacement: '$1:9990', target_label: __address__}
  - {target_label: owner, replacement: us}
- job_name: others
  static_configs: [{targets: ['h:2']}]
  series_limit: 3
  metric_relabel_configs:
  - {source_labels: [__name__], regex: 'go_.*', action: drop}
- job_name: readers
  static_configs: [{targets: ['h:3']}]
  scrape_interval: 5s
  body_size_limit: 100B
  flatten_arrays: ['threads']
  distributions: interval
  tls_config: {ca_file: /it/is/not/there}
  relabel_configs:
  - {source_labels: [__scrape_timeout__], target_label: timeout}
  - {source_labels: [__scrape_interval__], target_label: interval}
enrich:
  tags: {rename: {owner: team}}
  rules:
  - name: 'users/(?P<id>\d+)/(?P<name>.+)'
    drop: [id]
`

func TestRun(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		out        string // a part of what is printed; of failing ones all lines, by " | "
		failed     bool
	}{
		{"inline rules", `
rules: [{name: 'u/(?P<id>\d+)/(?P<name>.+)', drop: [id]}]
tests:
- name: sums
  scrapes:
  - {body: '{"counters":{"u/1/hits":5,"b":1}}', expect: {samples: [b counter 1]}}
  - {at: 10s, body: '{"counters":{"u/1/hits":6,"u/2/hits":2,"b":2}}', expect: {samples: [hits delta 3, b counter 2.0]}}
`, "1 of 1 tests passed", false},
		{"what differs", `
rules: [{name: 'u/(?P<id>\d+)/(?P<name>.+)', drop: [id]}]
tests:
- name: sums
  scrapes:
  - {body: '{"counters":{"u/1/hits":5,"b":1},"gauges":{"c":1}}', expect: {samples: [b counter 3, d gauge 1], tags: {x: y}}}
- name: good
  scrapes: [{body: '{"counters":{"b":1}}', expect: {contains: [b counter 1]}}]
`, `FAIL FILE: sums |   scrape at 0s, line 6: |     - b counter 3 |     + b counter 1 |     + c gauge 1 |     - d gauge 1 |     - tag x="y" |     + no tag x | FILE: 1 of 2 tests passed`, true},
		{"nothing is expected at all", `
metric_relabel_configs: [{source_labels: [__name__], regex: 'a.*', action: drop}]
tests:
- name: dropped
  scrapes: [{body: '{"counters":{"a":1}}', expect: {samples: []}}, {at: 1s, body: '{"counters":{"a":1,"b":1}}', expect: {samples: []}}]
`, "FAIL FILE: dropped |   scrape at 1s, line 5: |     + b counter 1 | FILE: 0 of 1 tests passed", true},
		{"a job of a configuration", `
config: rollcall.yml
job: others
tests:
- name: its metric_relabel_configs, its rules and its limits
  scrapes:
  - {body: "go_x 1\nusers/1/hits 5\nb 1\nc 2\nd 3\n", content_type: text/plain, expect: {samples: [b untyped 1, c untyped 2], tags: {dc: one, owner: ''}}}
`, "1 of 1 tests passed", false},
		{"targets", `
config: rollcall.yml
job: apps
tests:
- {name: dead, target: {meta: {__meta_status: DEAD}}, expect: {dropped: 'drop "DEAD"'}}
- {name: alive, target: {address: 'a:1'}, expect: {address: 'a:9990', path: /stats.json, tags: {owner: us}}, scrapes: [{outcome: refused, expect: {samples: [], tags: {team: us}}}]}
- {name: wrong, target: {address: 'a:1'}, expect: {address: 'a:1', path: /x}}
- {name: not dropped, expect: {dropped: x}}
- {name: dropped, target: {meta: {__meta_status: DEAD}}, expect: {address: 'a:1'}}
`, `FAIL FILE: wrong |   the target, line 7: |     - pulled from a:1 |     + pulled from a:9990 |     - path /x |     + path /stats.json | FAIL FILE: not dropped |   the target, line 8: |     - dropped: x |     + it is scraped | ` +
			`FAIL FILE: dropped |   the target, line 9: |     - it is scraped |     + dropped: relabel_configs[0] of job "apps": drop "DEAD", __meta_status = "DEAD" | FILE: 2 of 5 tests passed`, true},
		{"places, the longest network first", `
rules: [{label: ip, lookup: {as: client, add: [as.number, as.organization.name, geo.country.iso_code, geo.continent.code, geo.region.iso_code, geo.locality.name]}}]
places:
  10.0.0.0/8: {geo.country.iso_code: DE}
  10.1.2.3: {as.number: 7, as.organization.name: Seven, geo.country.iso_code: US, geo.continent.code: NA, geo.region.iso_code: US-CA, geo.locality.name: Town}
tests:
- name: all attributes
  scrapes:
  - content_type: text/plain
    body: |
      # TYPE hits counter
      hits{ip="10.1.2.3"} 1
      hits{ip="10.1.2.4"} 1
      hits{ip="192.0.2.1"} 1
    expect:
      samples:
      - hits{ip="10.1.2.3", client.geo.locality.name="Town", client.as.number="7",client.as.organization.name="Seven",client.geo.country.iso_code="US",client.geo.continent.code="NA",client.geo.region.iso_code="US-CA"} counter 1
      - hits{client.geo.country.iso_code="DE",ip="10.1.2.4"} counter 1
      - hits{ip="192.0.2.1"} counter 1
`, "1 of 1 tests passed", false},
		{"every kind, names in quotes, a body in a file", `
tests:
- name: kinds
  scrapes:
  - body_file: body.json
    expect:
      samples: ['"a name" counter 1', g gauge 1.5, l label "x y", m distribution count=2 sum=3 average=1.5]
`, "1 of 1 tests passed", false},
		{"a body is read as its job has it read", `
config: rollcall.yml
job: readers
tests:
- name: arrays that are to be taken apart
  scrapes: [{body: '{"threads":[1,2],"others":[1,2]}', expect: {samples: [threads gauge 2, threads/0 untyped 1, threads/1 untyped 2, others gauge 2]}}]
- name: times in it are honored
  scrapes: [{body: "now 1 1767225600000\nold 1 1767222000000\n", content_type: text/plain, expect: {samples: [now untyped 1]}}]
- name: interval and timeout of the job
  expect: {tags: {timeout: 5s, interval: 5s}}
`, "3 of 3 tests passed", false},
		{"when a file begins", `
config: rollcall.yml
job: readers
began: 2025-12-31T23:00:00Z
tests:
- name: times in it are honored
  scrapes: [{body: "now 1 1767225600000\nold 1 1767222000000\n", content_type: text/plain, expect: {samples: [old untyped 1]}}]
`, "1 of 1 tests passed", false},
		{"times that are not honored", `
config: rollcall.yml
job: apps
tests:
- name: all of them
  scrapes: [{body: "now 1 1767225600000\nold 1 1767222000000\n", content_type: text/plain, expect: {samples: [now untyped 1, old untyped 1]}}]
`, "1 of 1 tests passed", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name := write(t, "t.yml", tc.text, "rollcall.yml", configured, "body.json", `{"counters":{"a name":1},"gauges":{"g":1.5},"labels":{"l":"x y"},"metrics":{"m":{"count":2,"sum":3,"average":1.5}}}`)
			var out bytes.Buffer
			err := Run(name, &out)
			if tc.failed != errors.Is(err, ErrFailed) || !tc.failed && err != nil {
				t.Fatalf("got %v\n%s", err, out.String())
			}
			text := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(out.String()), name, "FILE"), "\n", " | ")
			if tc.failed && text != tc.out || !strings.Contains(text, tc.out) {
				t.Fatalf("got  %s\nwant %s", text, tc.out)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	const good = "tests:\n- name: a\n  scrapes:\n  - {body: '{\"counters\":{}}'}\n"
	for _, tc := range []struct{ name, text, want string }{
		{"no tests", "rules: []\n", "there is no test in it; add one under tests"},
		{"unknown key", "test: []\n", "unknown field"},
		{"brackets without end", good + "  - " + strings.Repeat("[", 100_000), "line 5: lists and maps are more than 64 deep in each other; close or remove"},
		{"no name", "tests:\n- scrapes: []\n", "line 2: tests[0]: the test has no name"},
		{"two names", good + "- name: a\n  scrapes: [{body: '{}'}]\n", `line 5: tests[1]: two tests are called "a"`},
		{"nothing expected", "tests:\n- name: a\n", "line 2: tests[0]: it expects nothing: add scrapes"},
		{"address", "tests:\n- name: a\n  target: {address: x}\n  expect: {path: /}\n", `line 3: tests[0].target.address: "x" is not HOST:PORT`},
		{"times", good + "  - {at: 0s, body: '{}'}\n", "line 5: tests[0].scrapes[1]: it is at 0s, and the one before at 0s"},
		{"outcome", "tests:\n- name: a\n  scrapes:\n  - outcome: bad\n", `line 4: tests[0].scrapes[0].outcome: "bad" is no outcome; use ok, timeout`},
		{"body of a failure", "tests:\n- name: a\n  scrapes:\n  - {outcome: timeout, body: x}\n", "a scrape that failed has no body"},
		{"two bodies", "tests:\n- name: a\n  scrapes:\n  - {body_file: y, body: x}\n", "keep one"},
		{"body", "tests:\n- name: a\n  scrapes:\n  - body: '{'\n", "line 4: tests[0].scrapes[0]: the body cannot be read: parse"},
		{"too large", "config: rollcall.yml\njob: readers\n" + good + "  - {at: 1s, body: '" + strings.Repeat(" ", 101) + "'}\n", "line 7: tests[0].scrapes[1]: the body has 101 bytes, and body_size_limit is 100"},
		{"no such body", "tests:\n- name: a\n  scrapes:\n  - body_file: gone.json\n", "line 4: tests[0].scrapes[0].body_file: open"},
		{"expectation", "tests:\n- name: a\n  scrapes:\n  - body: '{}'\n    expect:\n      contains:\n      - a counter 1\n      - b\n", `line 8: tests[0].scrapes[0].expect.contains[1]: "b": there is no kind; write it as NAME KIND VALUE`},
		{"kind", "tests:\n- name: a\n  scrapes:\n  - {body: '{}', expect: {samples: [b count 1]}}\n", `"count" is no kind; write it as`},
		{"label", "tests:\n- name: a\n  scrapes:\n  - {body: '{}', expect: {samples: ['b{x=1} counter 1']}}\n", `the value of label "x" is not in quotes`},
		{"labels", "tests:\n- name: a\n  scrapes:\n  - {body: '{}', expect: {samples: ['b{x']}}\n", "the labels do not end"},
		{"place", "places: {nowhere: {as.number: 1}}\n" + good, `"nowhere" is neither an address nor a network`},
		{"attribute", "places: {10.0.0.1: {town: x}}\n" + good, `line 1: places.'10.0.0.1': "town" is no attribute of a place; use as.number`},
		{"no number", "places: {10.0.0.1: {as.number: AS1}}\n" + good, `as.number "AS1" is not a number`},
		{"no country", "places: {10.0.0.1: {geo.locality.name: x}}\n" + good, "give the country too"},
		{"no configuration", "config: gone.yml\n" + good, "line 1: config: read configuration:"},
		{"several jobs", "config: rollcall.yml\n" + good, "line 1: config: it has several jobs: say which one is tested, as `job: apps`; there are apps, others, readers"},
		{"no such job", "config: rollcall.yml\njob: x\n" + good, `line 2: job: no job of rollcall.yml is called "x"`},
		{"rule", "rules:\n- {name: '('}\n" + good, "line 2: rules[0].name: error parsing regexp"},
		{"relabelling", "relabel_configs:\n- {action: explode}\n" + good, "line 2: relabel_configs[0].action: \"explode\" is no action"},
		{"no group", "rules:\n- name: u/(?P<ip>.+)\n  drop: [client_i]\n" + good, `line 3: rules[0].drop[0]: "client_i" is no group of the name's pattern`},
		{"no attribute of a place", "rules:\n- name: u/(?P<ip>.+)\n  lookup: {from: ip, as: client, add: [town]}\n" + good, `rules[0].lookup.add[0]: "town" is no attribute of a place`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name := write(t, "t.yml", tc.text, "rollcall.yml", configured)
			err := Run(name, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), name) {
				t.Fatalf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

// What a distribution speaks of is what the job says.
func TestDistributions(t *testing.T) {
	f, err := load(write(t, "t.yml", "config: rollcall.yml\njob: readers\ntests:\n- name: a\n  scrapes: [{body: '{\"metrics\":{\"m\":{\"count\":1,\"p99\":3}}}'}]\n", "rollcall.yml", configured))
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.snapshot(&f.Tests[0].Scrapes[0], discovery.Instance{}, "$")
	if err != nil || len(s.Samples) != 1 || s.Samples[0].Window != collector.Interval {
		t.Errorf("%+v, %v", s, err)
	}
}

// What docs/enrich.md shows is the example, and the example is true.
func TestDocs(t *testing.T) {
	const file = "../../../docs/examples/rules-test.yml"
	example, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../../docs/enrich.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), "```yaml\n"+string(example)+"```\n") {
		t.Errorf("docs/enrich.md does not show %s as it is", file)
	}
	var out bytes.Buffer
	if err := Run(file, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

func FuzzParseExpected(f *testing.F) {
	for _, s := range []string{`a counter 1`, `a{x="y",z="w"} delta 7`, `"a b" gauge 1`, `l label "x"`, `m distribution count=1`, `a{`, `{} counter 1`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := parseExpected(s)
		if err != nil {
			return
		}
		again, err := parseExpected(l.String())
		if err != nil || again != l {
			t.Fatalf("%q is %+v, and that is %+v, %v", s, l, again, err)
		}
	})
}
