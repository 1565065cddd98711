package expr

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

func TestParse(t *testing.T) {
	p := parser.NewParser(parser.Options{})
	r := strings.Repeat
	for _, tc := range []struct {
		name, text string
		want       error // nil: it is parsed
	}{
		{"plain", `sum by (job) (rate(errors[1m])) / -2`, nil},
		{"signs", r("-", MaxDepth-2) + "a", nil},
		{"more signs", r("-", MaxBytes-1) + "a", errDeep},
		{"signs parted by spaces and comments", r("- #(\n", 600) + "a", errDeep},
		{"parentheses", r("(", MaxDepth-2) + "a" + r(")", MaxDepth-2), nil},
		{"more parentheses", r("(", 8000) + "a" + r(")", 8000), errDeep},
		{"signs before each parenthesis", r(r("-", 31)+"(", 490) + "a" + r(")", 490), errDeep},
		{"one after the other", r("-(a)+", 1000) + "a", errDeep}, // each sum holds the one before it
		{"side by side", "label_join(a, 'b', 'c'" + r(", ')('", 1000) + ")", nil},
		{"strings close nothing", r(`-("\"))"==`, 1000) + "a", errDeep},
		{"nor do raw ones", r("-(`\\`==`))`==", 1000) + "a", errDeep},
		{"nor comments", r("-( #))\n", 1000) + "a", errDeep},
		{"sums", r("1+", 8000) + "1", errDeep},
		{"long", r("a", MaxBytes+1), errLong},
	} {
		if _, err := Parse(p, tc.text); err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if _, err := Parse(p, "sum("); err == nil || !strings.Contains(err.Error(), "unclosed left parenthesis") {
		t.Errorf("the parser's own fault: %v", err)
	}
}

// What the parser takes seconds for is refused before it sees it; what it refuses at once is left to it.
func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       error
	}{
		{"signs", strings.Repeat("+-", MaxBytes/2), errDeep},
		{"parentheses", strings.Repeat("(", MaxBytes), errDeep},
		{"both", strings.Repeat("--(", MaxBytes/3), errDeep},
		{"a string without end", "'" + strings.Repeat("(", 600), nil},
		{"an escape of nothing", `"\`, nil},
		{"closed before it is open", strings.Repeat(")", 600), nil},
	} {
		if err := Check(tc.text); err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}
