package grafana

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"
)

// What Grafana puts in place of its variables, where it does not matter which value is chosen.
var filled = strings.NewReplacer("$__rate_interval", "1m", "$split", "service_version", "$service", "checkout", "$env", "prod", "$owner", ".*", "$version", ".*", "$zone", ".*",
	"$metric", "requests", "$instance", ".*", "$agent", ".*")

// The files are what the descriptions make, and Grafana reads no others.
func TestFiles(t *testing.T) {
	found, err := filepath.Glob("*.json")
	if err != nil || len(found) != len(All()) {
		t.Errorf("%d files, %d dashboards: %v", len(found), len(All()), err)
	}
	for _, d := range All() {
		want, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(d.UID + ".json"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s.json is not what its description makes: run make grafana (%v)", d.UID, err)
		}
	}
}

func TestDescriptions(t *testing.T) {
	uids := map[string]bool{}
	for _, d := range All() {
		b, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Panels     []drawnPanel
			Templating struct{ List []struct{ Name string } }
		}
		if err := json.Unmarshal(b, &read); err != nil {
			t.Fatal(err)
		}
		if uids[d.UID] || d.Title == "" || d.About == "" {
			t.Errorf("%q: its uid, title and description are its own", d.UID)
		}
		uids[d.UID] = true
		names := map[string]bool{"__rate_interval": true, "__data": true, "__url_time_range": true}
		for _, v := range read.Templating.List {
			names[v.Name] = true
		}
		for _, m := range regexp.MustCompile(`\$\{?([a-z_]+)`).FindAllStringSubmatch(string(b), -1) {
			if !names[m[1]] && m[1] != "__all" {
				t.Errorf("%s: nobody knows the variable $%s", d.UID, m[1])
			}
		}
		ids := map[int]bool{}
		var walk func([]drawnPanel)
		walk = func(ps []drawnPanel) {
			taken := map[[2]int]string{}
			for _, p := range ps {
				if ids[p.ID] {
					t.Errorf("%s: two panels are %d", d.UID, p.ID)
				}
				ids[p.ID] = true
				for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
					for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
						if was, ok := taken[[2]int{x, y}]; ok || x >= 24 {
							t.Fatalf("%s: %q lies over %q at %d, %d", d.UID, p.Title, was, x, y)
						}
						taken[[2]int{x, y}] = p.Title
					}
				}
				if p.Type != "row" && len(p.Targets) == 0 {
					t.Errorf("%s: %q asks nothing", d.UID, p.Title)
				}
				walk(p.Panels)
			}
		}
		walk(read.Panels)
	}
}

// Of what has one bound, reaching it is a warning; what is bad at once says so.
func TestSteps(t *testing.T) {
	for _, tc := range []struct {
		name      string
		got, want []Step
	}{
		{"one bound", above(1), []Step{{0, good}, {1, warn}}},
		{"two bounds", above(1, 2), []Step{{0, good}, {1, warn}, {2, bad}}},
		{"wrong", wrong(1), []Step{{0, good}, {1, bad}}},
		{"below", below(1), []Step{{0, bad}, {1, good}}},
	} {
		if !slices.Equal(tc.got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, tc.got, tc.want)
		}
	}
}

type drawnPanel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct{ Expr string }
	Panels  []drawnPanel
}

// Every expression is PromQL, and every legend speaks of labels that its lines have.
func TestExpressions(t *testing.T) {
	p := parser.NewParser(parser.Options{})
	n := 0
	eachAsk(func(d Dashboard, panel Panel, a Ask) {
		n++
		expr, err := p.ParseExpr(filled.Replace(a.Expr))
		if err != nil {
			t.Errorf("%s: %q: %s: %v", d.UID, panel.Title, a.Expr, err)
			return
		}
		by := grouping(expr)
		for _, m := range regexp.MustCompile(`{{([a-z_$]+)}}`).FindAllStringSubmatch(a.Legend, -1) {
			if l := filled.Replace(m[1]); by != nil && !slices.Contains(by, l) {
				t.Errorf("%s: %q: the legend speaks of %s, the lines have %q", d.UID, panel.Title, l, by)
			}
		}
		if panel.On != Live && panel.On != Own {
			t.Errorf("%s: %q asks nobody", d.UID, panel.Title)
		}
	})
	if n < 150 {
		t.Errorf("%d expressions", n)
	}
}

// grouping are the labels that an aggregation leaves; nil: whatever there is.
func grouping(e parser.Expr) []string {
	switch e := e.(type) {
	case *parser.AggregateExpr:
		if e.Op == parser.TOPK {
			return grouping(e.Expr)
		}
		return append([]string{}, e.Grouping...)
	case *parser.BinaryExpr:
		return grouping(e.LHS)
	case *parser.ParenExpr:
		return grouping(e.Expr)
	case *parser.Call:
		if e.Func.Name == "histogram_quantile" {
			return grouping(e.Args[1])
		}
	}
	return nil
}

func eachAsk(fn func(Dashboard, Panel, Ask)) {
	for _, d := range All() {
		for _, r := range d.Rows {
			for _, p := range r.Panels {
				for _, a := range p.Asks {
					fn(d, p, a)
				}
			}
		}
	}
}

// What is provisioned has the names and uids that the dashboards ask for.
func TestProvisioning(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			JSONData                     map[string]any `yaml:"jsonData"`
		}
	}
	read(t, "provisioning/datasources/rollcall.yml", &sources)
	got := map[string]string{}
	for _, s := range sources.Datasources {
		got[s.UID] = s.Name + " " + s.Type + " " + s.Access
		if s.JSONData["httpMethod"] != "POST" || s.JSONData["timeInterval"] == nil {
			t.Errorf("%s: %v", s.Name, s.JSONData)
		}
	}
	if d := cmp.Diff(map[string]string{LiveUID: LiveName + " prometheus proxy", OwnUID: OwnName + " prometheus proxy"}, got); d != "" || sources.APIVersion != 1 {
		t.Error(d)
	}
	var boards struct {
		Providers []struct {
			Name, Type string
			Options    struct{ Path string }
		}
	}
	read(t, "provisioning/dashboards/rollcall.yml", &boards)
	if len(boards.Providers) != 1 || boards.Providers[0].Type != "file" || boards.Providers[0].Options.Path == "" {
		t.Errorf("%+v", boards)
	}
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = yaml.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}
