package zk

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

func zooKeepers(t *testing.T, run func(*testing.T, *testenv.ZooKeeperServer)) {
	run(t, testenv.ZooKeeper(t))
}
