package register

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What the documentation shows is what the agent takes.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml([a-z ]*)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of YAML", len(blocks))
	}
	for _, b := range blocks {
		if strings.Contains(b[1], "services") {
			services, err := ParseServices([]byte(b[2]), Defaults{Host: "h"}, env)
			if err != nil || len(services) != 2 || len(services[0].Checks) != 4 {
				t.Errorf("%d services, %v", len(services), err)
			}
		} else if f, err := ParseFile([]byte(b[2]), Defaults{}, env); err != nil || len(f.Services) != 1 {
			t.Error(err)
		}
	}
	for _, w := range words {
		if w != "server_name" && !strings.Contains(string(text), w) {
			t.Errorf("the key %s is not documented", w)
		}
	}
}
