package rules

import (
	"context"
	"errors"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promtemplate "github.com/prometheus/prometheus/template"
)

var t0 = time.Unix(1764000000, 0).UTC()

// nobody answers nothing.
func nobody(context.Context, string, time.Time) (promql.Vector, error) { return nil, nil }

func answer(_ context.Context, q string, _ time.Time) (promql.Vector, error) {
	if q == "bad" {
		return nil, errors.New("no such query")
	}
	return promql.Vector{{Metric: labels.FromStrings("a", "z", "__name__", "m", "__value__", "text"), F: 2}, {Metric: labels.FromStrings("a", "b"), F: 1}}, nil
}

// Templates give what Prometheus' own expander gives.
func TestTemplates(t *testing.T) {
	ls := map[string]string{"job": "check out", "instance": "web-1.example.com:80", "ip": "10.0.0.1:80"}
	external := map[string]string{"region": "eu"}
	base := "http://page.example/rollcall"
	u, _ := url.Parse(base)
	m := newMachine(Options{ExternalLabels: external, ExternalURL: base})
	m.begin(t.Context(), t0, answer)
	for _, v := range []float64{0, 1, -1, 0.123456, 1234.5678, 1e9, 1e-9, 90061.5, 1764000000.25, math.NaN(), math.Inf(1)} {
		for _, text := range []string{
			"plain", "{{ $labels.job }} {{ $value }} {{ $externalLabels.region }} {{ $externalURL }}", "{{ .Labels.none }}|{{ $labels }}", "{{ .Value | printf `%.2f` }}",
			"{{ humanize $value }} {{ humanize1024 $value }} {{ humanizeDuration $value }} {{ humanizePercentage $value }}", "{{ humanizeTimestamp $value }}", "{{ toTime $value }}", "{{ (toTime $value).Year }}",
			"{{ $t := toTime $value }}{{ $t.Format `2006-01-02T15:04:05Z07:00` }} {{ ($t.Add (toDuration 60)).Hour }} {{ $t.Before ($t.AddDate 0 0 1) }} {{ $t.Month }} {{ $t.UTC.Unix }} {{ $t | printf `%v` }}",
			"{{ toDuration $value }}", "{{ title $labels.job }} {{ toUpper $labels.job }} {{ toLower `ABC` }} {{ title `it's a-b_c 1st ünder` }}", "{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }} {{ stripDomain $labels.ip }} {{ stripPort `x` }} {{ stripDomain `a.b` }}",
			"{{ reReplaceAll `(.*) (.*)` `$2-$1` $labels.job }}", "{{ reReplaceAll `(` `` `x` }}", "{{ match `o.t$` $labels.job }} {{ match `^x` $labels.job }}", "{{ graphLink `up == 0` }} {{ tableLink `a+b` }} {{ pathPrefix }} {{ externalURL }}",
			"{{ range query `up` | sortByLabel `a` }}{{ .Labels.a }}={{ .Value }} {{ end }}", "{{ with query `up` }}{{ . | first | value }} {{ . | first | label `a` }} {{ . | first | strvalue }}{{ end }}", "{{ query `bad` }}",
			"{{ define `x` }}<{{ .arg0 }} {{ .arg1 }}>{{ end }}{{ template `x` (args 1 $value) }}", "{{ safeHtml `<b>` }} {{ html `<b>` }} {{ js `'` }} {{ urlquery `a b` }} {{ urlQueryEscape `a/b c` }}",
			"{{ parseDuration `1h30m` }} {{ parseDuration `-5m` }} {{ now }}", "{{ parseDuration `x` }}", "{{ range $i, $x := query `up` }}{{ if eq $i 1 }}{{ break }}{{ end }}{{ $i }}{{ end }}", "{{ range 3 }}{{ . }}{{ end }}",
			"{{ first (query `up`) | value | humanize }}", "{{ if gt $value 1.0 }}high{{ else if lt $value 0.0 }}negative{{ else }}low{{ end }}", "{{ print 1 `a` 2 3 }}{{ println `x` }}", "{{ index $labels `job` }} {{ len $labels }} {{ slice $labels.job 1 3 }}",
			"{{ humanize `12345` }} {{ humanize `x` }}", "{{ template `none` }}", "{{ printf `%s %d %q` `a` 3 `b` }}", "{{ `{{` }}", "{{- /* comment */ -}} x", "{{ with $x := 3 }}{{ $x }}{{ end }}",
		} {
			want, err := promtemplate.NewTemplateExpander(t.Context(), definitions+text, "__alert_A", promtemplate.AlertTemplateData(ls, external, base, promql.Sample{F: v}), model.TimeFromUnixNano(t0.UnixNano()), answer, u, nil).Expand()
			if err != nil {
				want = "<error expanding template: " + clip(err.Error()) + ">"
			}
			c, err := m.compile("__alert_A", text)
			if err != nil {
				t.Fatal(text, err)
			}
			if got, _ := m.expand(c, ls, v); got != want {
				t.Errorf("%s of %g:\n%s, Prometheus:\n%s", text, v, got, want)
			}
		}
	}
}

// No template takes long, or much memory, whatever it says.
func TestHostileTemplates(t *testing.T) {
	ls := map[string]string{"a": strings.Repeat("x", 1000)}
	m := newMachine(Options{})
	m.begin(t.Context(), t0, answer)
	for _, tc := range []struct{ name, text, want string }{
		{"a loop without end", "{{ range 9223372036854775807 }}{{ end }}", "does too much"},
		{"that says something", "{{ range 9223372036854775807 }}hello{{ end }}", "longer than 65536"},
		{"loops within loops", "{{ range 10000 }}{{ range 10000 }}{{ range 10000 }}{{ end }}{{ end }}{{ end }}", "does too much"},
		{"that end at once", "{{ range 9223372036854775807 }}{{ continue }}{{ end }}", "does too much"},
		{"in the else of one", "{{ range 0 }}{{ else }}{{ range 9223372036854775807 }}{{ end }}{{ end }}", "does too much"},
		{"a template of itself", "{{ define `x` }}{{ template `x` . }}{{ end }}{{ template `x` . }}", "error expanding"},
		{"two of themselves", "{{ define `x` }}{{ if lt (len .) 60 }}{{ template `x` (printf `%s1` .) }}{{ template `x` (printf `%s1` .) }}{{ end }}{{ end }}{{ template `x` `` }}", "does too much"},
		{"a text that doubles", "{{ $x := $labels.a }}{{ range 60 }}{{ $x = printf `%s%s` $x $x }}{{ end }}{{ len $x }}", "longer than 65536"},
		{"by print", "{{ $x := $labels.a }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}{{ len $x }}", "longer than 65536"},
		{"by a pattern", "{{ $x := $labels.a }}{{ range 60 }}{{ $x = reReplaceAll `x` `yyyyyyyyyyyyyyyyyyyyyyyyx` $x }}{{ end }}", "longer than 65536"},
		{"a time's layout", "{{ $t := toTime 0 }}{{ $x := `x2006-01-02` }}{{ range 60 }}{{ $x = $t.Format $x }}{{ $x = print $x $x }}{{ end }}{{ len $x }}", "longer than 256"},
		{"many times", "{{ $t := toTime 0 }}{{ range 100000 }}{{ $x := $t.Format `January January January` }}{{ end }}", "does too much"},
		{"a way around", "{{ (toTime 0).AppendFormat nil `x` }}", "AppendFormat"},
		{"a width", "{{ printf `%999999d` 1 }}", "width"},
		{"a width of an argument", "{{ printf `%*d` 999999 1 }}", "width"},
		{"one text many times", "{{ printf `" + strings.Repeat("%[1]s", 5000) + "` $labels.a }}", "longer than 65536"},
		{"queries", "{{ range 1000 }}{{ query `up` }}{{ end }}", "more than 20 queries"},
		{"args within args", "{{ $a := args 1 }}{{ range 40 }}{{ $a = args $a $a }}{{ end }}{{ $a }}", "args within args"},
		{"patterns", "{{ range 100000 }}{{ match `(a{1000}){5}` $labels.a }}{{ end }}", "invalid repeat count"},
		{"slow patterns", "{{ range 100000 }}{{ match `((a|b|c|x)*){300}` $labels.a }}{{ end }}", "does too much"},
		{"a panic", "{{ index $labels 1 2 3 }}", "error expanding"},
		{"nil", "{{ (first (query `none`)).Labels.a.b }}", "error expanding"},
		{"a nil sample", "{{ strvalue nil }}", "error expanding"},
	} {
		c, err := m.compile("__alert_A", tc.text)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		begun := time.Now()
		got, err := m.expand(c, ls, 1)
		if err == nil || !strings.Contains(got, tc.want) || len(got) > 1000 {
			t.Errorf("%s: %.300s, want %q", tc.name, got, tc.want)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s took %s", tc.name, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m.begin(ctx, t0, answer)
	c, _ := m.compile("x", "{{ range 100 }}{{ end }}")
	if got, _ := m.expand(c, ls, 1); !strings.Contains(got, "canceled") {
		t.Errorf("it goes on when nobody waits: %s", got)
	}
}
