package main

import (
	"strings"
	"testing"
)

// Without Java, Maven, Python and root nothing can be had: that fails, or with -try is said.
func TestRun(t *testing.T) {
	t.Setenv("PATH", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, tc := range []struct {
		args, ci string
		fails    bool
		stdout   string
		stderr   string
	}{
		{"-missing", "", false, "not there, so tests ran without: zookeeper-3.9.4, kafka-4.1.1, ", ""},
		{"", "", true, "zookeeper-3.9.4: looking", ""},
		{"-try", "", false, "", "going on without: "},
		{"-try", "true", true, "", ""},
		{"-nonsense", "", true, "", "-missing"},
	} {
		t.Setenv("CI", tc.ci)
		var stdout, stderr strings.Builder
		err := run(t.Context(), strings.Fields(tc.args), &stdout, &stderr)
		if (err != nil) != tc.fails || !strings.Contains(stdout.String(), tc.stdout) || !strings.Contains(stderr.String(), tc.stderr) {
			t.Errorf("%q with CI=%q: %v\n%s%s", tc.args, tc.ci, err, &stdout, &stderr)
		}
	}
}
