// Package grafana describes the dashboards that come with rollcall, and writes them as Grafana's JSON.
//
// It owns what stands on them, and nothing else: the files beside it are made from it by gen, and Grafana reads those alone.
package grafana

// Dashboard is one of them. UID is its name in addresses, and its file's.
type Dashboard struct {
	UID, Title, About string
	From, Refresh     string // how far back it looks, such as now-15m, and how often anew
	Vars              []Var
	Rows              []Row
}

// All are the dashboards, in the order in which people come to them.
func All() []Dashboard { return []Dashboard{Fleet(), Service(), Collector(), ZooKeeper()} }

// Source is where answers come from: the variable of the dashboard that names the data source.
type Source string

// The two data sources, by the names and uids that provisioning/datasources gives them.
const (
	Live Source = "live" // rollcall's windows
	Own  Source = "own"  // a Prometheus that scrapes rollcall's daemons

	LiveUID, LiveName = "rollcall-live", "rollcall live"
	OwnUID, OwnName   = "rollcall-prometheus", "Prometheus of rollcall"
)

// Var is a variable: the values of a label, or, with Choices, one of these. Of is asked of On.
type Var struct {
	Name, Label string
	On          Source
	Of          string // label_values(SERIES, LABEL)
	Choices     []string
	Many        bool // several may be chosen, and all are at first
}

// Row is a row of panels below a title.
type Row struct {
	Title  string
	Folded bool
	Panels []Panel
}

// Kind is how a panel draws.
type Kind string

// The kinds of panels, as Grafana calls them.
const (
	Lines  Kind = "timeseries"
	Number Kind = "stat"
	Table  Kind = "table"
	States Kind = "state-timeline"
)

// Panel is one picture. Its zero values: lines, a third of the width, 8 high.
type Panel struct {
	Kind         Kind
	Title, About string
	On           Source
	Asks         []Ask
	Unit         string // as Grafana names units
	Width        int    // of 24
	Height       int
	Stacked      bool
	Steps        []Step            // where colours change; the first one's From is not looked at
	Colours      map[string]string // of lines, by their legends
	Band         [2]string         // legends of a lower and an upper bound: what is between them is shaded
	Columns      []Column          // of a table
	Words        map[string]Word   // what values mean
	Max          float64           // of the axis; 0: by itself
}

// Ask is a query. Legend may have {{label}}.
type Ask struct{ Expr, Legend string }

// Step is a colour from a value on.
type Step struct {
	From   float64
	Colour string
}

// Word is what a value is called and coloured.
type Word struct{ Text, Colour string }

// Column is a column of a table: a label, or, where Ask is given, what Asks[Ask-1] answers.
type Column struct {
	Label  string
	Ask    int
	Title  string
	Unit   string
	Width  int
	Steps  []Step
	Words  map[string]Word
	Link   string // where a click leads
	Sorted bool   // the greatest first
}

// Colours that mean something.
const (
	good, warn, bad, quiet, plain = "green", "orange", "red", "text", "blue"
)

// above makes steps: calm below the first bound, a warning from there on, bad from the second one on, if there is one.
func above(bounds ...float64) []Step {
	out := []Step{{0, good}}
	for i, b := range bounds {
		out = append(out, Step{b, []string{warn, bad}[i]})
	}
	return out
}

// wrong makes steps for what is bad as soon as there is any: calm, then bad from the bound on.
func wrong(bound float64) []Step { return []Step{{0, good}, {bound, bad}} }

// below makes steps for what ought to be high: bad, then calm from the bound on.
func below(bound float64) []Step { return []Step{{0, bad}, {bound, good}} }
