package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/collector"
)

type getCmd struct {
	collectorFlags
	Service string   `arg:"" help:"SERVICE or SERVICE/ENV."`
	Metric  []string `arg:"" help:"Names of samples; NAME.FIELD is one of a distribution's numbers, and a * stands for any text."`
	By      string   `enum:"none,version,zone" default:"none" help:"version or zone: quantiles of each apart."`
	Top     int      `default:"30" help:"List so many instances, those with the highest first number first; 0: all."`
	Format  string   `enum:"text,json" default:"text" help:"text, or json: one object a line, as they answer."`
}

// Run asks every instance of a service now, beside its schedule, and tabulates what they say.
func (c *getCmd) Run(e *env) error {
	q := serviceOf(c.Service)
	q["metric"] = c.Metric
	res, err := c.do(e.ctx, http.MethodPost, "/api/v1/ask", q, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	total, _ := strconv.Atoi(res.Header.Get("Rollcall-Instances"))
	progress := terminal(e.stderr) && c.Format == "text"
	var all []collect.Asked
	lines := bufio.NewScanner(io.LimitReader(res.Body, 1<<30))
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var a struct {
			collect.Asked
			Error string
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return fmt.Errorf("read the collector's answer: %w", err)
		}
		if a.Error != "" {
			return fmt.Errorf("the collector could not ask: %s", a.Error)
		}
		if all = append(all, a.Asked); c.Format == "json" {
			fmt.Fprintf(e.stdout, "%s\n", lines.Bytes())
		}
		if progress {
			fmt.Fprintf(e.stderr, "\r%d of %d", len(all), total)
		}
	}
	if progress {
		fmt.Fprint(e.stderr, "\r\x1b[K")
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	if len(all) < total {
		return fmt.Errorf("the collector's answer ends after %d of %d instances", len(all), total)
	}
	t := tabulate(all)
	if c.Format == "text" {
		t.print(e.stdout, c)
	}
	if t.answered == 0 || len(t.columns) == 0 {
		return failure{exitFailure, nil}
	}
	return nil
}

// table is what instances answered.
type table struct {
	rows     []collect.Asked // those who failed first, then by the first column's number, the highest first
	columns  []string        // names of numbers
	answered int
	slowest  float64 // ms
	leftOut  int
}

func tabulate(all []collect.Asked) *table {
	t := &table{rows: all}
	names := map[string]bool{}
	for _, a := range all {
		if a.Outcome == collector.OK.String() {
			t.answered++
			t.slowest = max(t.slowest, a.TookMS)
		}
		t.leftOut = max(t.leftOut, a.LeftOut)
		for n := range a.Values {
			names[n] = true
		}
	}
	t.columns = slices.Sorted(maps.Keys(names))
	slices.SortFunc(t.rows, func(a, b collect.Asked) int {
		if d := cmp.Compare(answered(a), answered(b)); d != 0 {
			return d
		}
		if len(t.columns) > 0 {
			x, _ := t.number(&a, t.columns[0])
			y, _ := t.number(&b, t.columns[0])
			if d := cmp.Compare(y, x); d != 0 {
				return d
			}
		}
		return cmp.Compare(a.Instance, b.Instance)
	})
	return t
}

func answered(a collect.Asked) int {
	if a.Outcome == collector.OK.String() {
		return 1
	}
	return 0
}

// number is a value as a number; without one it is less than all.
func (t *table) number(a *collect.Asked, column string) (float64, bool) {
	f, err := strconv.ParseFloat(a.Values[column], 64)
	if err != nil {
		return math.Inf(-1), false
	}
	return f, true
}

// maxColumns is how many numbers stand side by side; where there are more, each has a line of quantiles alone.
const maxColumns = 6

func (t *table) print(w io.Writer, c *getCmd) {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	wide := len(t.columns) > maxColumns
	if !wide && len(t.columns) > 0 {
		fmt.Fprint(tw, "INSTANCE\tVERSION\tZONE\tTOOK")
		for _, col := range t.columns {
			fmt.Fprint(tw, "\t", plain(col))
		}
		fmt.Fprintln(tw)
	} else {
		fmt.Fprintln(tw, "INSTANCE\tVERSION\tZONE\tTOOK")
	}
	shown := 0
	for i := range t.rows {
		a := &t.rows[i]
		if answered(*a) == 1 && (wide || c.Top > 0 && shown >= c.Top) {
			continue
		}
		shown++
		fmt.Fprintf(tw, "%s\t%s\t%s\t%.0f ms", plain(a.Instance), cmp.Or(plain(a.Version), "–"), cmp.Or(plain(a.Zone), "–"), a.TookMS)
		if answered(*a) == 0 {
			fmt.Fprintf(tw, "\t%s: %s\n", plain(a.Outcome), plain(a.Reason))
			continue
		}
		for _, col := range t.columns {
			fmt.Fprintf(tw, "\t%s", cmp.Or(plain(a.Values[col]), "–"))
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
	if n := len(t.rows) - shown; n > 0 {
		why := "--top=0 lists all"
		if wide {
			why = fmt.Sprintf("%d numbers are too many to stand side by side: name fewer than %d", len(t.columns), maxColumns+1)
		}
		fmt.Fprintf(w, "… and %s more; %s\n", thousands(n), why)
	}
	fmt.Fprintf(w, "\n%s of %s answered, the slowest in %.0f ms\n", thousands(t.answered), thousands(len(t.rows)), t.slowest)
	if t.leftOut > 0 {
		fmt.Fprintf(w, "%s more numbers of an instance fit, and are left out; name fewer\n", thousands(t.leftOut))
	}
	if len(t.columns) == 0 {
		if t.answered > 0 {
			fmt.Fprintf(w, "none of them says anything called %s; `rollcall tap service=… '*'` shows what there is\n", plain(strings.Join(c.Metric, " or ")))
		}
		return
	}
	t.quantiles(w, c.By)
}

// quantiles are those of one number over all instances that said it, or over those of each version or zone.
func (t *table) quantiles(w io.Writer, by string) {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	of := func(a *collect.Asked) string {
		switch by {
		case "version":
			return cmp.Or(a.Version, "–")
		case "zone":
			return cmp.Or(a.Zone, "–")
		}
		return ""
	}
	head := "NUMBER\tOF\tMIN\tP50\tP90\tP99\tMAX\tSUM\t"
	if by != "none" {
		head = strings.ToUpper(by) + "\t" + head
	}
	fmt.Fprintln(tw, "\n"+head)
	for _, col := range t.columns {
		groups := map[string][]float64{}
		for i := range t.rows {
			if f, ok := t.number(&t.rows[i], col); ok {
				g := of(&t.rows[i])
				groups[g] = append(groups[g], f)
			}
		}
		for _, g := range slices.Sorted(maps.Keys(groups)) {
			all := groups[g]
			slices.Sort(all)
			sum := "–"
			if adds(col) {
				total := 0.0
				for _, f := range all {
					total += f
				}
				sum = short(total)
			}
			if by != "none" {
				fmt.Fprintf(tw, "%s\t", plain(g))
			}
			fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", plain(col), len(all), short(all[0]), short(rank(all, .5)), short(rank(all, .9)), short(rank(all, .99)), short(all[len(all)-1]), sum)
		}
	}
	tw.Flush()
}

// adds reports whether the number of several instances may be added up: percentiles and averages of a distribution may not.
func adds(name string) bool {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return true
	}
	field := name[i+1:]
	if len(field) > 1 && field[0] == 'p' && strings.Trim(field[1:], "0123456789") == "" {
		return false
	}
	return !slices.Contains([]string{"average", "mean", "minimum", "maximum", "min", "max", "stddev", "median"}, field)
}

// rank is the value below or at which a share of the instances is: one that an instance said, never something between two.
func rank(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// short is a number with six significant digits.
func short(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', 6, 64)
}
