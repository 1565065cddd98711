package web

import (
	"strings"
	"testing"
)

// maxScript is how much script a browser loads at most, compressed: the page is there within a second on a slow line.
const maxScript = 100 << 10

func TestScriptIsSmall(t *testing.T) {
	files, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for name, f := range files {
		if strings.HasSuffix(name, ".js") {
			n += len(f.zipped)
		}
	}
	if n == 0 || n > maxScript {
		t.Errorf("%d bytes of script, at most %d", n, maxScript)
	}
}
