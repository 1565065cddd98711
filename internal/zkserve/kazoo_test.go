package zkserve_test

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

const kazooSays = `version (3, 9)
members ['10.0.0.1:8001', '10.0.0.2:8001']
member b'10.0.0.1:8001' True 0
exists
left 1
contenders ['me']
second False
then True
bad version
versions None b'1452000000.12'
transaction ['bool', 'str', 'ZnodeStat', 'bool']
transaction ['RolledBackError', 'BadVersionError', 'RuntimeInconsistency'] None
sequence s-0000000003 s-0000000004
secret NoAuthError
election won
gone None
`

// TestKazoo runs KingPin's own client through what KingPin does with it.
func TestKazoo(t *testing.T) {
	python, ok := testenv.Python(t, testenv.Kazoo...)
	if !ok {
		return // said at the end
	}
	testenv.SharedZooKeepers(t, func(t *testing.T, s *testenv.ZooKeeperServer, path string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, python, "-W", "ignore", "testdata/kingpin.py", s.Addr, path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if diff := cmp.Diff(kazooSays, string(out)); diff != "" {
			t.Errorf("kazoo says otherwise (-want +got):\n%s", diff)
		}
	})
}
