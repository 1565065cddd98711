package kafka

import (
	"testing"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
)

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Subject {
		addr, _ := embedded(t, broker.Config{DataDir: t.TempDir()})
		return subject(t, addr, nil)
	})
}
