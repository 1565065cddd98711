package zk

import (
	"bytes"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// Sessions and sources that follow one another under one name, as after a reload, share their metrics.
func TestMetrics(t *testing.T) {
	t.Parallel()
	srv, root := testenv.SharedZooKeeper(t)
	w := newWriter(t, srv.Addr)
	w.join(root+"/checkout/prod", "10.0.0.1", 80, "")
	w.put(root+"/checkout/prod/notes", "call Bob", Persistent)
	set := metrics.NewSet()
	for range 2 {
		t.Run("", func(t *testing.T) {
			f := follow(t, Config{Servers: []string{srv.Addr}, Metrics: set}, SourceConfig{Rules: []Rule{rule(t, root+"/{service}/{env}", "", serverset.Options{})}, Metrics: set})
			f.waitFor("checkout/prod/notes=unparsable checkout/prod/10.0.0.1:80=present")
			for _, want := range []string{
				`rollcall_zk_connected{session="reading"} 1`, `rollcall_zk_connects_total{session="reading"} `, `rollcall_zk_received_bytes_total{session="reading"} `,
				`rollcall_zk_calls_total{session="reading"} `, `rollcall_discovery_zk_serversets{source="apps"} 1`, `rollcall_discovery_zk_members{source="apps"} 2`,
				`rollcall_discovery_zk_unparsable_members{source="apps"} 1`, `rollcall_discovery_zk_reads_total{source="apps"} `,
			} {
				eventually(t, "the metric "+want, func() bool {
					var b bytes.Buffer
					set.WritePrometheus(&b)
					return strings.Contains(b.String(), want)
				})
			}
		})
	}
}
