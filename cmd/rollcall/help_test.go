package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestHelpHasExamples: every command's help shows how it is given, and a group's how its commands are; no example is of a command that there is not.
func TestHelpHasExamples(t *testing.T) {
	p, err := kong.New(&cli{}, kong.Vars{"version": "v"})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"": true}
	var walk func(n *kong.Node, path []string)
	walk = func(n *kong.Node, path []string) {
		for _, c := range n.Children {
			if c.Type == kong.CommandNode {
				walk(c, append(path[:len(path):len(path)], c.Name))
			}
		}
		name := strings.Join(path, " ")
		known[name] = true
		var out, errs bytes.Buffer
		shown := "  rollcall " + strings.TrimSuffix(name, "findings list") // which need not be named
		code := run(context.Background(), append(path[:len(path):len(path)], "--help"), strings.NewReader(""), &out, &errs)
		_, text, found := strings.Cut(out.String(), "\nExamples:\n")
		if code != exitOK || errs.Len() > 0 || !found || !strings.Contains(text, strings.TrimRight(shown, " ")) {
			t.Errorf("rollcall %s --help: %d, %q, its examples: %q", name, code, &errs, text)
		}
	}
	walk(p.Model.Node, nil)
	for name := range examples {
		if !known[name] {
			t.Errorf("there are examples of %q, which is no command", name)
		}
	}
}
