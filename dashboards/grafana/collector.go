package grafana

// Collector is rollcall itself, from what its daemons say of themselves: the stages of a scrape, delivery, the page, exports and agents.
func Collector() Dashboard {
	const on = `{instance=~"$instance"}`
	with := func(labels string) string { return `{instance=~"$instance",` + labels + `}` }
	rate := func(of, by string) string { return `sum` + by + `(rate(` + of + `[$__rate_interval]))` }
	quantile := func(q, of, by string) string {
		return `histogram_quantile(` + q + `, sum by (le` + by + `) (rate(` + of + `[$__rate_interval])))`
	}
	everyone := ` by (instance) `
	return Dashboard{UID: "rollcall-collector", Title: "rollcall: collector", About: "Collectors and what is beside them: stages, missed slots, delivery to Kafka, the page, exports, agents", From: "now-1h", Refresh: "10s",
		Vars: []Var{{Name: "instance", Label: "daemon", On: Own, Of: `label_values(rollcall_build_info, instance)`, Many: true}},
		Rows: []Row{
			{Title: "Now", Panels: []Panel{
				{Kind: Number, Title: "Daemons up", On: Own, Asks: []Ask{{`count(rollcall_build_info` + on + `)`, ""}}},
				{Kind: Number, Title: "Targets", On: Own, Asks: []Ask{{`sum(rollcall_scrape_targets` + on + `)`, ""}}},
				{Kind: Number, Title: "Pulls", On: Own, Unit: "reqps", Asks: []Ask{{rate(`rollcall_scrape_pulls_total`+with(`outcome!="skipped"`), ""), ""}}},
				{Kind: Number, Title: "Failed pulls", On: Own, Unit: "percentunit", Steps: above(0.01, 0.1),
					Asks: []Ask{{rate(`rollcall_scrape_pulls_total`+with(`outcome!~"ok|skipped"`), "") + ` / ` + rate(`rollcall_scrape_pulls_total`+with(`outcome!="skipped"`), ""), ""}}},
				{Kind: Number, Title: "Missed slots", On: Own, Unit: "percentunit", Steps: above(0.001, 0.01), About: "Pulls that were due and not begun.",
					Asks: []Ask{{rate(`rollcall_scrape_skipped_total`+on, "") + ` / (` + rate(`rollcall_scrape_skipped_total`+on, "") + ` + ` + rate(`rollcall_scrape_pulls_total`+with(`outcome!="skipped"`), "") + `)`, ""}}},
				{Kind: Number, Title: "Oldest undelivered", On: Own, Unit: "s", Steps: above(10, 60), Asks: []Ask{{`max(rollcall_sink_oldest_seconds` + on + `)`, ""}}},
				{Kind: Number, Title: "Dropped in an hour", On: Own, Steps: wrong(1), Asks: []Ask{{`sum(increase(rollcall_sink_dropped_total` + on + `[1h]))`, ""}}},
				{Kind: Number, Title: "Bad configuration", On: Own, Steps: above(1), About: "Daemons whose file on disk is not what runs.", Asks: []Ask{{`count(rollcall_config_last_reload_successful` + on + ` == 0) or vector(0)`, ""}}},
			}},
			{Title: "Scraping", Panels: []Panel{
				{Title: "Pulls by outcome", On: Own, Unit: "reqps", Stacked: true, Colours: map[string]string{"ok": good, "skipped": quiet},
					Asks: []Ask{{rate(`rollcall_scrape_pulls_total`+on, ` by (outcome) `) + ` > 0`, "{{outcome}}"}}},
				{Title: "Missed slots by reason", On: Own, Unit: "cps", Asks: []Ask{{rate(`rollcall_scrape_skipped_total`+on, ` by (reason) `), "{{reason}}"}, {rate(`rollcall_scrape_late_total`+on, ""), "begun late"}}},
				{Title: "Stages, 99 %", On: Own, Unit: "s", About: "Each begins where the one before it ends: started (it waited for a worker), connected, first_byte, body, parsed, enriched, encoded, handed_over.",
					Asks: []Ask{{quantile("0.99", `rollcall_scrape_stage_seconds_bucket`+on, ", stage"), "{{stage}}"}}},
				{Title: "Stages, mean", On: Own, Unit: "s", Stacked: true,
					Asks: []Ask{{rate(`rollcall_scrape_stage_seconds_sum`+on, ` by (stage) `) + ` / ` + rate(`rollcall_scrape_stage_seconds_count`+on, ` by (stage) `), "{{stage}}"}}},
				{Title: "Pulls, whole", On: Own, Unit: "s", Asks: []Ask{{quantile("0.5", `rollcall_scrape_duration_seconds_bucket`+on, ""), "median"}, {quantile("0.95", `rollcall_scrape_duration_seconds_bucket`+on, ""), "95 %"},
					{quantile("0.99", `rollcall_scrape_duration_seconds_bucket`+on, ""), "99 %"}}},
				{Title: "Workers", On: Own, Asks: []Ask{{`sum(rollcall_scrape_in_flight` + on + `)`, "under way"}, {`sum(rollcall_scrape_waiting` + on + `)`, "waiting"}, {`sum(rollcall_scrape_workers` + on + `)`, "workers"}}},
				{Title: "Samples", On: Own, Unit: "cps", Asks: []Ask{{rate(`rollcall_scrape_samples_total`+on, everyone), "{{instance}}"}}},
				{Title: "Bodies", On: Own, Unit: "Bps", Asks: []Ask{{rate(`rollcall_scrape_body_bytes_total`+on, everyone), "{{instance}}"}}},
				{Title: "Held for bodies", On: Own, Unit: "bytes", Asks: []Ask{{`rollcall_scrape_held_bytes` + on, "{{instance}}"}}},
				{Title: "Targets by collector", On: Own, Stacked: true, Asks: []Ask{{`sum` + everyone + `(rollcall_scrape_targets` + on + `)`, "{{instance}}"}}},
				{Title: "New connections", On: Own, Unit: "cps", Asks: []Ask{{rate(`rollcall_scrape_connections_total`+on, everyone), "{{instance}}"}}},
				{Title: "Samples left out, series unremembered", On: Own, Unit: "cps", Asks: []Ask{{rate(`rollcall_rules_left_out_samples_total`+on, ""), "by rules"},
					{rate(`rollcall_metric_relabel_dropped_samples_total`+on, ""), "by relabelling"}, {rate(`rollcall_series_unremembered_samples_total`+on, ""), "unremembered"},
					{rate(`rollcall_series_left_out_samples_total`+on, ` by (service) `), "too many series: {{service}}"}}},
			}},
			{Title: "Delivery", Panels: []Panel{
				{Title: "Acknowledged by Kafka", On: Own, Unit: "cps", Stacked: true, Asks: []Ask{{rate(`rollcall_sink_acknowledged_total`+on, ` by (lane) `), "{{lane}}"}}},
				{Title: "How far lanes are behind", On: Own, Unit: "s", Asks: []Ask{{`max by (lane) (rollcall_sink_lane_oldest_seconds` + on + `)`, "{{lane}}"}}},
				{Title: "Time to acknowledge, 99 %", On: Own, Unit: "s", Asks: []Ask{{quantile("0.99", `rollcall_sink_produce_seconds_bucket`+on, ", lane"), "{{lane}}"}}},
				{Title: "Waiting in memory", On: Own, Unit: "bytes", Colours: map[string]string{"budget": bad},
					Asks: []Ask{{`rollcall_sink_memory_bytes` + on, "{{instance}}"}, {`max(rollcall_sink_memory_budget_bytes` + on + `)`, "budget"}}},
				{Title: "Waiting in the spool", On: Own, Unit: "bytes", Colours: map[string]string{"budget": bad},
					Asks: []Ask{{`rollcall_sink_spool_bytes` + on, "{{instance}}"}, {`max(rollcall_sink_spool_budget_bytes` + on + `)`, "budget"}}},
				{Title: "Dropped, by reason", On: Own, About: "In five minutes; the ledger names services, times and sequences.", Asks: []Ask{{`sum by (reason) (increase(rollcall_sink_dropped_total` + on + `[5m]))`, "{{reason}}"}}},
				{Title: "Requests to Kafka, by how they ended", On: Own, Unit: "reqps", Asks: []Ask{{rate(`rollcall_sink_produce_requests_total`+on, ` by (lane, result) `), "{{lane}} {{result}}"}}},
				{Title: "Set aside, sent again, maybe doubled", On: Own, About: "In five minutes.", Asks: []Ask{{`sum by (reason) (increase(rollcall_sink_set_aside_total` + on + `[5m]))`, "set aside: {{reason}}"},
					{`sum(increase(rollcall_sink_batches_resent_total` + on + `[5m]))`, "batches sent again"}, {`sum(increase(rollcall_sink_maybe_double_records_total` + on + `[5m]))`, "maybe doubled"},
					{`sum(increase(rollcall_sink_retimed_records_total` + on + `[5m]))`, "clock ahead"}}},
				{Title: "Disk", On: Own, Asks: []Ask{{`sum(rollcall_sink_spool_failing` + on + `)`, "collectors whose disk takes nothing"}, {`sum(rollcall_sink_spool_damaged_batches` + on + `)`, "damaged batches"}}},
				{Title: "Bytes out", On: Own, Unit: "Bps", Asks: []Ask{{rate(`rollcall_sink_batch_bytes_total`+on, ""), "as records"}, {rate(`rollcall_sink_batch_compressed_bytes_total`+on, ""), "compressed"}}},
				{Title: "Who divides the work", On: Own, Asks: []Ask{{`max(rollcall_share_members` + on + `)`, "collectors of the group"}, {`rollcall_share_weight` + on, "weight of {{instance}}"}}},
				{Title: "Closer looks", On: Own, Unit: "reqps", Asks: []Ask{{`rollcall_burst_added_scrapes_per_second` + on, "{{instance}}"}}},
			}},
			{Title: "The page (serve)", Panels: []Panel{
				{Title: "Records read", On: Own, Unit: "cps", Stacked: true, Asks: []Ask{{rate(`rollcall_feed_records_total`+on, ` by (lane) `), "{{lane}}"}}},
				{Title: "How late records are read, 99 %", On: Own, Unit: "s", Asks: []Ask{{quantile("0.99", `rollcall_feed_lag_seconds_bucket`+on, ", instance"), "{{instance}}"}}},
				{Title: "Behind the topics", On: Own, Asks: []Ask{{`rollcall_feed_lag_records` + on, "{{instance}}"}}},
				{Title: "Scrape to page, 99 %", On: Own, Unit: "s", Asks: []Ask{{`rollcall_board_freshness_p99_seconds` + on, "{{instance}}"}}},
				{Title: "Windows", On: Own, Unit: "bytes", Asks: []Ask{{`rollcall_board_window_bytes` + on, "{{instance}}"}}},
				{Title: "Lost or doubled on the way", On: Own, Asks: []Ask{{`sum(rollcall_board_records_lost` + on + `)`, "lost"}, {`sum(rollcall_board_records_duplicated` + on + `)`, "doubled"}, {`sum(rollcall_board_evicted_values` + on + `)`, "values out of the budget"},
					{`sum(rollcall_feed_undecodable_total` + on + `)`, "unreadable"}}},
				{Title: "PromQL", On: Own, Unit: "reqps", Asks: []Ask{{rate(`rollcall_promql_queries_total`+on, ` by (outcome) `), "{{outcome}}"}}},
				{Title: "PromQL, 99 %", On: Own, Unit: "s", Asks: []Ask{{quantile("0.99", `rollcall_promql_query_seconds_bucket`+on, ""), "99 %"}}},
				{Title: "Open pages", On: Own, Asks: []Ask{{`rollcall_web_streams` + on, "{{instance}}"}}},
				{Title: "Findings, and who is told", On: Own, About: "In five minutes.", Asks: []Ask{{`sum(increase(rollcall_detect_findings_opened_total` + on + `[5m]))`, "opened"}, {`sum by (receiver) (increase(rollcall_notify_sent_total` + on + `[5m]))`, "told: {{receiver}}"},
					{`sum by (receiver) (increase(rollcall_notify_failures_total` + on + `[5m]))`, "not taken: {{receiver}}"}}},
			}},
			{Title: "Exports", Folded: true, Panels: []Panel{
				{Title: "Records", On: Own, Unit: "cps", Asks: []Ask{{rate(`rollcall_export_records_total`+on, ` by (export, lane) `), "{{export}} {{lane}}"}}},
				{Title: "Behind", On: Own, Asks: []Ask{{`sum by (export) (rollcall_export_lag_records` + on + `)`, "{{export}}"}}},
				{Title: "Age of the newest", On: Own, Unit: "s", Asks: []Ask{{`time() - max by (export) (rollcall_export_newest_timestamp_seconds` + on + ` > 0)`, "{{export}}"}}},
				{Title: "Time to write, 99 %", On: Own, Unit: "s", Asks: []Ask{{quantile("0.99", `rollcall_export_write_duration_seconds_bucket`+on, ", export"), "{{export}}"}}},
				{Title: "Write errors", On: Own, Unit: "cps", Asks: []Ask{{rate(`rollcall_export_write_errors_total`+on, ` by (export) `), "{{export}}"}}},
				{Title: "Passed over", On: Own, Unit: "cps", Asks: []Ask{{rate(`rollcall_export_skipped_total`+on, ` by (export, reason) `), "{{export}} {{reason}}"}}},
				{Title: "Held up", On: Own, Max: 1, Asks: []Ask{{`max by (export) (rollcall_export_held_up` + on + `)`, "{{export}}"}}},
			}},
			{Title: "Processes", Folded: true, Panels: []Panel{
				{Title: "Processor", On: Own, About: "Cores in use.", Asks: []Ask{{rate(`process_cpu_seconds_total`+on, everyone), "{{instance}}"}}},
				{Title: "Memory", On: Own, Unit: "bytes", Asks: []Ask{{`process_resident_memory_bytes` + on, "{{instance}}"}}},
				{Title: "Goroutines", On: Own, Asks: []Ask{{`go_goroutines` + on, "{{instance}}"}}},
				{Title: "Open files, of those allowed", On: Own, Unit: "percentunit", Asks: []Ask{{`process_open_fds` + on + ` / process_max_fds` + on, "{{instance}}"}}},
				{Title: "Heap", On: Own, Unit: "bytes", Asks: []Ask{{`go_memstats_heap_inuse_bytes` + on, "{{instance}}"}}},
				{Title: "Builds", On: Own, Asks: []Ask{{`count by (version) (rollcall_build_info` + on + `)`, "{{version}}"}}},
			}},
		}}
}
