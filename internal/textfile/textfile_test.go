package textfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"plain": "a: 1\n", "empty": "", "marked": "\ufeffa: 1\n", "marked within": "a: \ufeff1\n", "full": strings.Repeat("x", 10), "long": strings.Repeat("x", 11)} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(at("plain"), at("link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, want, err string }{
		{"plain", "a: 1\n", ""}, {"empty", "", ""}, {"marked", "a: 1\n", ""}, {"marked within", "a: \ufeff1\n", ""}, {"full", "xxxxxxxxxx", ""}, {"link", "a: 1\n", ""},
		{"long", "", `long" is longer than 10 bytes`},
		{"pipe", "", `pipe" is no regular file`},
		{"", "", "is no regular file"}, // the folder
		{"none", "", "no such file"},
	} {
		switch got, err := Read(at(tc.name), 10); {
		case tc.err == "" && (err != nil || string(got) != tc.want):
			t.Errorf("%s: %q, %v", tc.name, got, err)
		case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("%s: %q, %v, want %q", tc.name, got, err, tc.err)
		}
	}
}
