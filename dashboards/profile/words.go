package profile

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
)

// Bounds of what is said of one service.
const (
	maxText       = 500 // bytes
	maxPatterns   = 50
	maxObjectives = 10
	maxMeasures   = 50
	maxWarmup     = 24 * time.Hour
	// DefaultWindow is how long an error budget lasts unless its objective says otherwise.
	DefaultWindow = 30 * 24 * time.Hour
)

// None stands for metrics in a file: the service has none that mean this.
const none = "none"

func badText(s string) string {
	switch {
	case len(s) > maxText:
		return fmt.Sprintf("%d bytes; at most %d", len(s), maxText)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return "it holds what is no text"
	}
	return ""
}

// patterns reads the metrics that mean a signal.
func patterns(all []string) ([]string, error) {
	if len(all) > maxPatterns {
		return nil, fmt.Errorf("%d patterns; at most %d", len(all), maxPatterns)
	}
	var out []string
	for _, p := range all {
		switch why := badText(p); {
		case strings.TrimSpace(p) == "":
			return nil, errors.New("an empty name matches nothing; remove it, or write none")
		case why != "":
			return nil, errors.New(why)
		case strings.Count(p, "*") > 8:
			return nil, fmt.Errorf("%q has more * than a name needs; give 8 at most", p)
		case p == none && len(all) > 1:
			return nil, errors.New("none stands alone")
		case p == none:
			return []string{dashboards.NoMetric}, nil
		}
		out = append(out, p)
	}
	return out, nil
}

var objectiveName = regexp.MustCompile(`^[0-9a-z_-]{1,40}$`)

// objective reads one promise; field is what the error is about.
func objective(y *sloYAML) (o dashboards.Objective, field string, err error) {
	if o.Target, err = share(y.Objective); err != nil || !(o.Target > 0 && o.Target < 1) || o.Target > 0.99999999 {
		return o, "objective", fmt.Errorf("%q is no share of requests below all of them, such as 99.9%%", y.Objective)
	}
	if y.Latency != "" {
		d, err := duration(y.Latency)
		if err != nil || d <= 0 || d > time.Hour {
			return o, "latency", fmt.Errorf("%q is no duration up to 1h, such as 300ms", y.Latency)
		}
		o.Under = float64(d) / float64(time.Millisecond)
	}
	if o.Window, err = duration(y.Window); err != nil || o.Window != 0 && (o.Window < 24*time.Hour || o.Window > 90*24*time.Hour) {
		return o, "window", fmt.Errorf("%q is no duration within 1d..90d, such as 30d", y.Window)
	}
	o.Window = cmp.Or(o.Window, DefaultWindow)
	o.Name = y.Name
	if o.Name == "" {
		o.Name = "availability"
		if o.Under > 0 {
			o.Name = "latency"
		}
	}
	if !objectiveName.MatchString(o.Name) {
		return o, "name", fmt.Errorf("%q: use up to 40 small letters, digits, - and _", o.Name)
	}
	return o, "", nil
}

// measure reads one metric of a canary; field is what the error is about.
func measure(y *measureYAML) (m canary.Measure, field string, err error) {
	for field, s := range map[string]string{"name": y.Name, "metric": y.Metric, "field": y.Field} {
		if why := badText(s); why != "" {
			return m, field, errors.New(why)
		}
	}
	m = canary.Measure{Name: y.Name, Metric: y.Metric, Field: y.Field, Kind: canary.Gauge, Direction: canary.Increase, Action: canary.Fails, Margin: 0.25, Spread: 0.1}
	golden := canary.Golden()
	if i := slices.IndexFunc(golden, func(g canary.Measure) bool { return g.Name == y.Name }); y.Metric == "" {
		if i < 0 {
			return m, "metric", fmt.Errorf("it is missing; name one, or give name: errors, latency or rate to change how that is judged")
		}
		m = golden[i]
	} else if i >= 0 {
		return m, "name", fmt.Errorf("%s is the golden signal; leave out metric to change how that is judged, or give another name", y.Name)
	}
	if m.Name == "" {
		m.Name = y.Metric
		if y.Field != "" {
			m.Name += "." + y.Field
		}
	}
	switch k := canary.Kind(y.Kind); {
	case k == "":
	case y.Metric == "":
		return m, "kind", errors.New("that of a golden signal is known; remove it")
	case k != canary.Ratio && k != canary.Level && k != canary.Gauge:
		return m, "kind", fmt.Errorf("%q: use ratio (of requests), level (above zero: the change in parts) or gauge (anything)", y.Kind)
	default:
		m.Kind = k
	}
	if m.Kind == canary.Ratio && y.Metric != "" {
		m.Spread, m.Floor = 0.5, 0.002
	}
	switch d := canary.Direction(y.Direction); d {
	case "":
	case canary.Increase, canary.Decrease, canary.Either:
		m.Direction = d
	default:
		return m, "direction", fmt.Errorf("%q: say what is harm: increase, decrease or either", y.Direction)
	}
	switch a := canary.Action(y.Action); a {
	case "":
	case canary.Fails, canary.Warns:
		m.Action = a
	default:
		return m, "action", fmt.Errorf("%q: use fail or warn", y.Action)
	}
	if y.Margin != "" {
		if m.Margin, err = share(y.Margin); err != nil || m.Margin <= 0 || m.Margin > 10 {
			return m, "margin", fmt.Errorf("%q is no share that matters, such as 25%%", y.Margin)
		}
	}
	if y.Floor != "" {
		if m.Floor, err = share(y.Floor); err != nil || m.Floor < 0 || m.Floor >= 1 || m.Kind != canary.Ratio {
			return m, "floor", fmt.Errorf("%q is no share of requests such as 0.2%%, of a ratio", y.Floor)
		}
	}
	return m, "", nil
}

// share reads 99.9%, or 0.999.
func share(s string) (float64, error) {
	text, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	x, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || x != x {
		return 0, fmt.Errorf("%q is no share", s)
	}
	if percent {
		x = math.Round(x*1e9) / 1e11 // 0.999, and not 0.9990000000000001
	}
	return x, nil
}

// duration reads 300ms, 5m, 30d; 0 where nothing is said.
func duration(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = errors.New("it is negative")
	}
	return d, err
}
