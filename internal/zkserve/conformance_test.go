package zkserve_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/internal/zkserve/zktest"
)

var update = flag.Bool("update", false, "take the conformance scripts' answers from the real ZooKeeper")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(testenv.Runner{M: m})
}

// TestConformance runs the same scripts against zkserve and a real ZooKeeper. The answers in testdata/conformance are the real
// one's: go test ./internal/zkserve -run Conformance -update.
func TestConformance(t *testing.T) {
	files, err := filepath.Glob("testdata/conformance/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
				if *update && s.Kind == testenv.KindInProcess {
					return
				}
				script := zktest.Script{Addr: s.Addr, Root: path}
				got, err := script.Run(string(b))
				if err != nil {
					t.Fatalf("%v\n%s", err, got)
				}
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				if diff := cmp.Diff(string(b), got); diff != "" {
					t.Errorf("%s answers otherwise than %s says (-file +got):\n%s", s.Kind, file, diff)
				}
			})
		})
	}
}
