package ensemble

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// fields are a summary's parts as ZooKeeper names them, before the summary's own name, and as distributions have them.
var fields = [...][2]string{{"cnt_", "count"}, {"sum_", "sum"}, {"avg_", "average"}, {"min_", "minimum"}, {"max_", "maximum"},
	{"p50_", "p50"}, {"p95_", "p95"}, {"p99_", "p99"}, {"p999_", "p999"}}

// counterNames are the values that only grow while the server lives, sorted, as ServerMetrics and ServerStats of ZooKeeper 3.9 make them. All others are gauges: a
// name does not tell (watch_count is how many there are, diff_count how often it happened).
var counterNames = []string{
	"add_dead_watcher_stall_time", "auth_failed_count", "bytes_received_count", "cnxn_closed_without_zk_server_running", "commit_count",
	"connection_drop_count", "connection_rejected", "connection_request_count", "connection_revalidate_count", "dead_watchers_cleared",
	"dead_watchers_queued", "diff_count", "digest_mismatches_count", "ensemble_auth_fail", "ensemble_auth_skip", "ensemble_auth_success",
	"insecure_admin_count", "large_requests_rejected", "learner_commit_received_count", "learner_proposal_received_count", "looking_count",
	"outstanding_changes_queued", "outstanding_changes_removed", "packets_received", "packets_sent", "prep_processor_request_queued",
	"proposal_count", "quit_leading_due_to_disloyal_voter", "request_commit_queued", "request_throttle_wait_count",
	"requests_not_forwarded_to_commit_processor", "response_bytes", "response_packet_cache_hits", "response_packet_cache_misses",
	"response_packet_get_children_cache_hits", "response_packet_get_children_cache_misses", "restore_error_count",
	"restore_rate_limited_count", "revalidate_count", "sessionless_connections_expired", "skip_learner_request_to_next_processor_count",
	"snap_count", "snapshot_error_count", "snapshot_rate_limited_count", "stale_replies", "stale_requests", "stale_requests_dropped",
	"stale_sessions_expired", "sync_processor_request_queued", "throttled_ops", "tls_handshake_exceeded", "unrecoverable_error_count",
	"unsuccessful_handshake", "watch_bytes",
}

// render makes /stats.json of a reading: counters and gauges with mntr's names, summaries as distributions, texts as labels.
func (r *reading) render() []byte {
	type object = map[string]json.RawMessage
	metrics := map[string]object{}
	of := func(name string) (summary, field string, ok bool) {
		for _, f := range fields {
			if s, is := strings.CutPrefix(name, f[0]); is {
				if _, counted := r.numbers["cnt_"+s]; counted { // min_latency is of no summary
					return "zk_" + s, f[1], true
				}
			}
		}
		return "", "", false
	}
	flat := map[string]object{"counters": {}, "gauges": {}}
	for name, value := range r.numbers {
		if summary, field, ok := of(name); ok {
			if metrics[summary] == nil {
				metrics[summary] = object{}
			}
			metrics[summary][field] = json.RawMessage(value)
			continue
		}
		section := "gauges"
		if isCounter(name) {
			section = "counters"
		}
		flat[section]["zk_"+name] = json.RawMessage(value)
	}
	labels := map[string]string{"zk_server_state": r.role}
	if r.version != "" {
		labels["zk_version"] = r.version
	}
	for name, value := range r.texts {
		labels["zk_"+name] = value
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(map[string]any{"counters": flat["counters"], "gauges": flat["gauges"], "metrics": metrics, "labels": labels}) // numbers were checked, texts are strings
	return b.Bytes()
}

func isCounter(name string) bool {
	_, known := slices.BinarySearch(counterNames, name)
	return known || strings.HasSuffix(name, "_error_per_namespace")
}
