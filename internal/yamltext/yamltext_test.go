package yamltext

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

func TestCheck(t *testing.T) {
	many := strings.Repeat
	stairs := func(n int) (s string) {
		for i := range n {
			s += many(" ", i) + "a:\n"
		}
		return s
	}
	for _, tc := range []struct {
		name, text string
		line       int // that is too deep; 0: none
	}{
		{"brackets", "a: " + many("[", 100_000), 1},
		{"braces", "x: y\na: " + many("{a: ", 100_000), 2},
		{"brackets over lines", "a:\n" + many(" [\n", 200), 64},
		{"brackets of keys", "a: " + many("[a: ", 100), 1},
		{"keys as JSON has them", many(`{"a":`, 100), 1},
		{"dashes", "a:\n" + many("- ", 100_000), 2},
		{"question marks", many("? ", 100_000), 1},
		{"pairs", many("a: ", 1000), 1},
		{"anchors", "a: " + many("&a ", 1000), 1},
		{"tags", "a: " + many("!!a ", 1000), 1},
		{"stairs", stairs(100), 65},
		{"a document's beginning", "--- " + many("[", 100), 1},
		{"behind a text", "a: |\n [\nb: 'it''s ['\nc: \"\\\"[\"\nd: " + many("[", 65), 5},
		{"behind a comment", "# it's [\na: # [ \"\n  " + many("[", 65), 3},
		{"as deep as may be", stairs(MaxDepth), 0},
		{"many beside each other", many("- [a, {b: c}]\n", 1000), 0},
		{"a list a line", "a:\n" + many("- b:\n  - c: {d: [e]}\n", 1000), 0},
		{"in single quotes", "a: '" + many("[", 100) + "'", 0},
		{"in double quotes, over lines", "a: \"\n" + many("[\n", 100) + "\"", 0},
		{"in a text of lines", "a:\n- |\n" + many("  [{\n", 100) + "b: c\n", 0},
		{"in a folded text", "a: >-  # so\n" + many(" [{\n\n", 100), 0},
		{"in a text of a key in a list", "- a: |2\n" + many("     [{\n", 100) + "  b: c\n", 0},
		{"in a comment", "a: b # " + many("[", 100), 0},
		{"within a word", many("a: b[[[[{{{{\n", 100), 0},
		{"brackets of expressions", many("- regex: ([^[]+)[[].*\n", 100), 0},
		{"an apostrophe", many("- it's [\n", 100), 0},
		{"an address", "a: [" + many("h:1, '[::1]:2', ", 100) + "]", 0},
		{"quotes in brackets", "a: {" + many(`b: "[[", c: '{{', `, 100) + "}", 0},
		{"nothing", "", 0},
	} {
		err := Check([]byte(tc.text))
		switch want := fmt.Sprintf("line %d: lists and maps are more than 64 deep", tc.line); {
		case tc.line == 0 && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.line > 0 && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%s: %v, want %s", tc.name, err, want)
		}
	}
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yml")
	for _, tc := range []struct{ text, want string }{
		{"a: b\n", ""},
		{strings.Repeat("a\n", MaxBytes), file + ": line 524289: the text is longer than 1048576 bytes"},
		{strings.Repeat("[", 1000), file + ": line 1: lists and maps are more than 64 deep"},
	} {
		if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := Read(file); (err == nil) != (tc.want == "") || err == nil && string(b) != tc.text || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%d bytes and %v, want %q", len(b), err, tc.want)
		}
	}
	if _, err := Read(file + ".none"); err == nil {
		t.Error("there is a file that is not there")
	}
}

// deepest is how many lists and maps of a tree are in each other.
type deepest struct {
	depth int
	most  *int
}

func (d deepest) Visit(n ast.Node) ast.Visitor {
	switch n.(type) {
	case *ast.MappingNode, *ast.SequenceNode:
		d.depth++
		*d.most = max(*d.most, d.depth)
	}
	return d
}

// FuzzCheck: what passes is not much deeper for the library, either.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"a: [b, {c: d}]\n- e: |\n  [[\n", strings.Repeat("- ", 70), strings.Repeat("a: ", 70), "a: '" + strings.Repeat("[", 70), "? a\n: [b]\n", "--- [[\n", "&a !b [*a]", "\"a\\\"[\": b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 2000 || CheckDepth([]byte(s)) != nil {
			return
		}
		defer func() { _ = recover() }() // the library falls over some texts; whoever reads one knows
		tree, err := parser.ParseBytes([]byte(s), 0)
		if err != nil {
			return
		}
		most := 0
		for _, d := range tree.Docs {
			if d.Body != nil {
				ast.Walk(deepest{0, &most}, d.Body)
			}
		}
		if most > 3*MaxDepth {
			t.Errorf("%d deep: %q", most, s)
		}
	})
}
