// The test parses every package's imports and names the reason for each refusal.
package law

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/rollcall-metrics/rollcall"

// stages in the order of the data: each root may import the standard library and the roots before it.
var stages = []string{"discovery", "collector", "enrich", "sink", "dashboards"}

// contracts may be imported by every stage: they are formats on the wire, both ways.
var contracts = []string{"discovery/serverset", "sink/wire"}

// thirdParty says which modules a folder (and what is below it) may import, and why. What is not here may import none but metrics.
var thirdParty = map[string]map[string]string{
	"discovery/zk":       {"github.com/go-zookeeper/zk": "the ZooKeeper client"},
	"discovery/register": {"github.com/go-zookeeper/zk": "the ZooKeeper client", "github.com/goccy/go-yaml": "services.d/*.yml"},
	"discovery/file":     {"github.com/goccy/go-yaml": "file_sd in YAML"},
	"collector/stats":    {"github.com/prometheus/prometheus": "takes the empty buckets out of native histograms; textparse is the fuzzers' oracle", "github.com/prometheus/common": "the kinds of families as that oracle calls them"},
	"collector/scrape":   {"github.com/valyala/fasthttp": "22 KB a target against net/http's 93", "github.com/klauspost/compress": "bodies in zstd"},
	"collector/expose":   {"github.com/prometheus/client_golang": "any Gatherer as /stats.json", "github.com/prometheus/client_model": "what a Gatherer returns"},
	"enrich/geo":         {"github.com/oschwald/geoip2-golang": "MaxMind's own types", "github.com/oschwald/maxminddb-golang": "lookups on the hot path"},
	"enrich/tag":         {"github.com/prometheus/prometheus": "relabelling with Prometheus' semantics", "github.com/prometheus/common": "label names as relabelling has them"},
	"sink/kafka":         {"github.com/segmentio/kafka-go": "RawProduce", "github.com/klauspost/compress": "zstd"},
	"sink/export":        {"github.com/segmentio/kafka-go": "the consumer group, and RawProduce into other topics", "github.com/klauspost/compress": "zstd, gzip and snappy, as the outputs have them"},
	"sink/readback":      {"github.com/segmentio/kafka-go": "reads the topics once"},
	"dashboards/feed":    {"github.com/segmentio/kafka-go": "reads the topics, and writes findings and roll-ups"},
	"dashboards/profile": {"github.com/goccy/go-yaml": "services.d/*.yml"},
	"dashboards/promql":  {"github.com/prometheus/prometheus": "the engine, its labels, and rules as Prometheus has them", "github.com/prometheus/common": "durations and names as Prometheus reads them"},
	"dashboards/rules":   {"github.com/prometheus/prometheus": "rule files as Prometheus reads them, and the engine's answers", "github.com/prometheus/common": "names, durations and what templates do with numbers", "go.yaml.in/yaml/v3": "what Prometheus reads them with, to look at sizes first"},
	"internal/fetch":     {"github.com/segmentio/kafka-go": "its transport, and a request that it cannot make itself"},
	"internal/login":     {"github.com/segmentio/kafka-go": "its mechanisms of logging in"},
	"internal/broker":    {"github.com/twmb/franz-go": "kfake, the Kafka protocol in process"},
	"internal/testenv":   {"github.com/Shopify/toxiproxy": "what networks do to connections", "github.com/rs/zerolog": "toxiproxy's log, to throw it away"},
	"internal/zkserve":   {},
	"cmd":                {"charm.land/bubbletea/v2": "the terminal of rollcall top", "github.com/charmbracelet/x/ansi": "how many columns a text takes there", "github.com/charmbracelet/x/term": "whether there is one", "github.com/alecthomas/kong": "command line", "github.com/VictoriaMetrics/metrics": "own metrics", "github.com/prometheus/client_model": "own metrics as a Gatherer", "github.com/goccy/go-yaml": "configuration", "github.com/prometheus/client_golang": "process metrics", "github.com/prometheus/prometheus": "relabel_configs in the configuration", "github.com/prometheus/common": "web-config", "golang.org/x/crypto": "bcrypt of web-config", "github.com/maxmind/mmdbwriter": "the demo's geo database", "github.com/segmentio/kafka-go": "status and demo count the topic", "github.com/go-zookeeper/zk": "explore", "github.com/valyala/fasthttp": "the load-test fleet costs less than what it loads"},
}

// everywhere lists modules that any sub-package may import.
var everywhere = []string{"github.com/VictoriaMetrics/metrics"}

// testOnly lists modules that any test may import.
var testOnly = []string{"pgregory.net/rapid", "go.uber.org/goleak", "github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "github.com/chromedp", "github.com/maxmind/mmdbwriter", "github.com/oschwald/geoip2-golang", "github.com/segmentio/kafka-go", "github.com/go-zookeeper/zk", "github.com/twmb/franz-go", "github.com/klauspost/compress", "github.com/prometheus/client_golang", "github.com/prometheus/prometheus", "github.com/goccy/go-yaml", "github.com/alecthomas/kong"}

type imports struct {
	dir  string // relative to the module, with slashes
	test bool
	file string
	path string
}

func walk(t *testing.T) []imports {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []imports
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			switch d.Name() {
			case "testdata", "node_modules", ".git", "artefacts", "bin", ".cache":
				return filepath.SkipDir
			}
			if rel == "sql" || rel == "bench" { // modules of their own
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			ip, _ := strconv.Unquote(i.Path.Value)
			out = append(out, imports{path.Dir(rel), strings.HasSuffix(rel, "_test.go"), rel, ip})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("only %d imports found below %s: the walk is broken", len(out), root)
	}
	return out
}

// refuse gives the reason why the import breaks the law, or "".
func refuse(i imports) string {
	stage, _, inSub := strings.Cut(i.dir, "/")
	isRoot := !inSub
	n := slices.Index(stages, stage)
	own, inModule := strings.CutPrefix(i.path, module+"/")
	switch {
	case inModule && n >= 0:
		other, _, sub := strings.Cut(own, "/")
		m := slices.Index(stages, other)
		switch {
		case other == "cmd":
			return "wiring lives in cmd only: nothing below it knows cmd"
		case isRoot && !i.test && (sub || m < 0 || m >= n):
			return "a stage root imports the standard library and earlier stage roots, nothing else: it holds the nouns that everybody shares"
		case m == n || m < 0:
			return ""
		case sub && !slices.Contains(contracts, own) && !i.test:
			return "across stages only roots and the contracts " + strings.Join(contracts, ", ") + " are importable: hand the thing over in cmd"
		case m > n && !sub && !i.test:
			return "data flows from left to right: an earlier stage must not know a later one"
		}
		return ""
	case inModule:
		if strings.HasPrefix(own, "cmd/") && !strings.HasPrefix(i.dir, "cmd") {
			return "wiring lives in cmd only: nothing below it knows cmd"
		}
		return ""
	case !strings.Contains(strings.SplitN(i.path, "/", 2)[0], "."):
		return "" // the standard library
	case n >= 0 && isRoot && !i.test:
		return "a stage root imports no module: it holds nouns"
	}
	allowed := slices.Clone(everywhere)
	if i.test {
		allowed = append(allowed, testOnly...)
	}
	for dir := range thirdParty {
		if i.dir == dir || strings.HasPrefix(i.dir, dir+"/") {
			allowed = slices.AppendSeq(allowed, maps.Keys(thirdParty[dir]))
		}
	}
	for _, a := range allowed {
		if i.path == a || strings.HasPrefix(i.path, a+"/") {
			return ""
		}
	}
	return "the module is not in the law's table for this folder: add it there with the reason, or do without"
}

func TestLawOfImports(t *testing.T) {
	for _, i := range walk(t) {
		if why := refuse(i); why != "" {
			t.Errorf("%s imports %s: %s", i.file, i.path, why)
		}
	}
}

func TestAgentIsSmall(t *testing.T) {
	all := map[string][]string{}
	for _, i := range walk(t) {
		if !i.test {
			all[i.dir] = append(all[i.dir], i.path)
		}
	}
	seen := map[string]bool{}
	var visit func(dir string, by []string)
	visit = func(dir string, by []string) {
		if seen[dir] {
			return
		}
		seen[dir] = true
		for _, p := range all[dir] {
			if strings.HasPrefix(p, "github.com/segmentio/kafka-go") || strings.HasPrefix(p, module+"/dashboards") {
				t.Errorf("rollcall-agent links %s (by %s): it runs on every host and stays small: no Kafka, no pages", p, strings.Join(append(by, dir), " → "))
			}
			if own, ok := strings.CutPrefix(p, module+"/"); ok {
				visit(own, append(slices.Clone(by), dir))
			}
		}
	}
	visit("cmd/rollcall-agent", nil)
}

// The law is worth nothing if it lets everything pass.
func TestLawRefuses(t *testing.T) {
	for _, tc := range []struct{ dir, path string }{
		{"discovery", module + "/collector"},
		{"collector", "github.com/valyala/fasthttp"},
		{"collector/scrape", module + "/discovery/zk"},
		{"enrich/geo", module + "/collector/stats"},
		{"discovery/zk", module + "/sink"},
		{"sink/kafka", module + "/cmd/internal/ops"},
		{"discovery/file", "github.com/valyala/fasthttp"},
		{"dashboards", module + "/dashboards/feed"},
	} {
		if refuse(imports{dir: tc.dir, file: tc.dir + "/x.go", path: tc.path}) == "" {
			t.Errorf("%s may import %s", tc.dir, tc.path)
		}
	}
	for _, tc := range []struct{ dir, path string }{
		{"collector", module + "/discovery"},
		{"dashboards/feed", module + "/sink/wire"},
		{"sink/kafka", "github.com/segmentio/kafka-go/protocol"},
		{"discovery/zk", module + "/discovery/serverset"},
		{"discovery/zk", "context"},
	} {
		if why := refuse(imports{dir: tc.dir, file: tc.dir + "/x.go", path: tc.path}); why != "" {
			t.Errorf("%s may not import %s: %s", tc.dir, tc.path, why)
		}
	}
}
