package grafana

// ZooKeeper is the ensemble, what rollcall hears of it, and what it does where it cannot believe it.
func ZooKeeper() Dashboard {
	const (
		on    = `{instance=~"$instance"}`
		agent = `{instance=~"$agent"}`
		zk    = `{job="zookeeper"}`
	)
	rate := func(of, by string) string { return `sum` + by + `(rate(` + of + on + `[$__rate_interval]))` }
	own := ` by (instance, session) `
	return Dashboard{UID: "rollcall-zookeeper", Title: "rollcall: ZooKeeper", About: "Who answers, how fast, what is watched; rollcall's sessions, guards and the age of its roster; agents", From: "now-1h", Refresh: "10s",
		Vars: []Var{
			{Name: "instance", Label: "collector", On: Own, Of: `label_values(rollcall_scrape_workers, instance)`, Many: true},
			{Name: "agent", Label: "agent", On: Own, Of: `label_values(rollcall_register_services, instance)`, Many: true},
		},
		Rows: []Row{
			{Title: "Now", Panels: []Panel{
				{Kind: Number, Title: "Servers that answer", On: Live, Asks: []Ask{{`sum(up` + zk + `)`, ""}}},
				{Kind: Number, Title: "Servers that do not", On: Live, Steps: above(1), Asks: []Ask{{`count(up` + zk + ` == 0) or vector(0)`, ""}}},
				{Kind: Number, Title: "Without a quorum", On: Live, Steps: wrong(1), About: "Servers that are up and do not serve.", Asks: []Ask{{`count(zk_serving` + zk + ` == 0) or vector(0)`, ""}}},
				{Kind: Number, Title: "Slowest server", On: Live, Unit: "ms", Steps: above(20, 200), Asks: []Ask{{`max(zk_avg_latency` + zk + `)`, ""}}},
				{Kind: Number, Title: "Sessions cut off", On: Own, Steps: wrong(1), About: "Of collectors, without a connection now.", Asks: []Ask{{`count(rollcall_zk_connected` + on + ` == 0) or vector(0)`, ""}}},
				{Kind: Number, Title: "Roster's oldest path", On: Own, Unit: "s", Steps: above(60, 600), About: "How long ago the least sure path was verified.", Asks: []Ask{{`max(rollcall_roster_oldest_path_seconds` + on + `)`, ""}}},
				{Kind: Number, Title: "Held by guards", On: Own, Steps: above(1), About: "Instances that vanished from ZooKeeper together and that nobody believes to be gone.", Asks: []Ask{{`max(rollcall_roster_held_instances` + on + `)`, ""}}},
				{Kind: Number, Title: "Missing", On: Own, Steps: above(1), About: "Left without an excuse in the last 15 minutes.", Asks: []Ask{{`max(rollcall_roster_missing_instances` + on + `)`, ""}}},
			}},
			{Title: "The ensemble, asked by the collectors", Panels: []Panel{
				{Title: "Who answers", On: Live, Max: 1, Asks: []Ask{{`up` + zk, "{{instance}} {{zookeeper_role}}"}}},
				{Title: "Mean latency", On: Live, Unit: "ms", Asks: []Ask{{`zk_avg_latency` + zk, "{{instance}}"}}},
				{Title: "Latency, 99 %", On: Live, Unit: "ms", Asks: []Ask{{`zk_readlatency{job="zookeeper",quantile="0.99"}`, "reads: {{instance}}"}, {`zk_updatelatency{job="zookeeper",quantile="0.99"}`, "updates: {{instance}}"}}},
				{Title: "Requests that wait", On: Live, Asks: []Ask{{`zk_outstanding_requests` + zk, "{{instance}}"}}},
				{Title: "Connections", On: Live, Asks: []Ask{{`zk_num_alive_connections` + zk, "{{instance}}"}}},
				{Title: "Sessions", On: Live, About: "Of the whole ensemble, as its servers know them.", Asks: []Ask{{`max(zk_global_sessions` + zk + `)`, "sessions"}}},
				{Title: "Watches", On: Live, Asks: []Ask{{`zk_watch_count` + zk, "{{instance}}"}}},
				{Title: "Nodes, and those that sessions hold", On: Live, Asks: []Ask{{`max(zk_znode_count` + zk + `)`, "nodes"}, {`max(zk_ephemerals_count` + zk + `)`, "ephemerals"}}},
				{Title: "Packets", On: Live, Unit: "pps", Asks: []Ask{{`rate(zk_packets_received` + zk + `[$__rate_interval])`, "to {{instance}}"}, {`rate(zk_packets_sent` + zk + `[$__rate_interval])`, "from {{instance}}"}}},
				{Title: "How long they take to answer a scrape", On: Live, Unit: "s", Asks: []Ask{{`scrape_duration_seconds` + zk, "{{instance}}"}}},
			}},
			{Title: "What collectors hear", Panels: []Panel{
				{Title: "Sessions that are connected", On: Own, Max: 1, Asks: []Ask{{`rollcall_zk_connected` + on, "{{instance}} {{session}}"}}},
				{Title: "Silence", On: Own, Unit: "s", About: "Time since the server was last heard.", Asks: []Ask{{`rollcall_zk_silence_seconds` + on, "{{instance}} {{session}}"}}},
				{Title: "Connections made, lost, sessions expired", On: Own, About: "In five minutes.", Asks: []Ask{{`sum(increase(rollcall_zk_connects_total` + on + `[5m]))`, "made"}, {`sum(increase(rollcall_zk_connection_losses_total` + on + `[5m]))`, "lost"},
					{`sum(increase(rollcall_zk_session_expiries_total` + on + `[5m]))`, "expired"}}},
				{Title: "Calls", On: Own, Unit: "reqps", Asks: []Ask{{rate(`rollcall_zk_calls_total`, own), "{{instance}} {{session}}"}, {rate(`rollcall_zk_call_failures_total`, own) + ` > 0`, "failed: {{instance}} {{session}}"}}},
				{Title: "Watch events", On: Own, Unit: "cps", Asks: []Ask{{rate(`rollcall_zk_events_total`, own), "{{instance}} {{session}}"}}},
				{Title: "Bytes received", On: Own, Unit: "Bps", Asks: []Ask{{rate(`rollcall_zk_received_bytes_total`, own), "{{instance}} {{session}}"}}},
				{Title: "Members found", On: Own, Asks: []Ask{{`rollcall_discovery_zk_members` + on, "{{instance}} {{source}}"}, {`rollcall_discovery_zk_unparsable_members` + on + ` > 0`, "unparsable: {{instance}} {{source}}"}}},
				{Title: "Serversets", On: Own, Asks: []Ask{{`rollcall_discovery_zk_serversets` + on, "{{instance}} {{source}}"}}},
				{Title: "Lists and reads", On: Own, Unit: "reqps", Asks: []Ask{{rate(`rollcall_discovery_zk_lists_total`, ""), "lists"}, {rate(`rollcall_discovery_zk_reads_total`, ""), "reads"}, {rate(`rollcall_discovery_zk_walks_total`, ""), "whole trees"},
					{rate(`rollcall_discovery_zk_shed_requests_total`, ""), "shed"}}},
			}},
			{Title: "The roster", Panels: []Panel{
				{Title: "Instances by state", On: Own, About: "Of the collector that knows most.", Stacked: true, Colours: map[string]string{"present": good, "unconfirmed": warn, "failing": bad, "departed": quiet},
					Asks: []Ask{{`max by (state) (rollcall_roster_instances` + on + `) > 0`, "{{state}}"}}},
				{Title: "Held by guards", On: Own, About: "Where most answer it was ZooKeeper; where they do not, it was the hosts.", Colours: map[string]string{"held": warn, "answer": good, "silent": bad},
					Asks: []Ask{{`max(rollcall_roster_held_instances` + on + `)`, "held"}, {`max(rollcall_roster_held_answering_instances` + on + `)`, "answer"}, {`max(rollcall_roster_held_silent_instances` + on + `)`, "silent"}}},
				{Title: "Age of the oldest path", On: Own, Unit: "s", Asks: []Ask{{`rollcall_roster_oldest_path_seconds` + on, "{{instance}}"}}},
				{Title: "Proof of one's share", On: Own, Unit: "s", About: "How long ago a collector could last prove that its share is its own.", Asks: []Ask{{`rollcall_share_proof_age_seconds` + on, "{{instance}}"}}},
				{Title: "New divisions", On: Own, About: "In five minutes.", Asks: []Ask{{`sum(increase(rollcall_share_divisions_total` + on + `[5m]))`, "divisions"}, {`sum(increase(rollcall_share_joins_total` + on + `[5m]))`, "joins"}, {`sum(increase(rollcall_share_failures_total` + on + `[5m]))`, "failures"}}},
				{Title: "On disk", On: Own, Max: 1, About: "0: the roster cannot be written, a restart would not know it.", Asks: []Ask{{`rollcall_roster_saved` + on, "{{instance}}"}}},
			}},
			{Title: "Agents", Folded: true, Panels: []Panel{
				{Title: "Services by state", On: Own, Stacked: true, Asks: []Ask{{`sum by (state) (rollcall_register_services` + agent + `)`, "{{state}}"}}},
				{Title: "Checks", On: Own, Unit: "cps", Asks: []Ask{{`sum by (result) (rate(rollcall_register_checks_total` + agent + `[$__rate_interval]))`, "{{result}}"}}},
				{Title: "How long checks take, 99 %", On: Own, Unit: "s", Asks: []Ask{{`histogram_quantile(0.99, sum by (le) (rate(rollcall_register_check_duration_seconds_bucket` + agent + `[$__rate_interval])))`, "99 %"}}},
				{Title: "Joins and leaves", On: Own, About: "In five minutes.", Asks: []Ask{{`sum(increase(rollcall_register_joins_total` + agent + `[5m]))`, "joins"}, {`sum(increase(rollcall_register_leaves_total` + agent + `[5m]))`, "leaves"},
					{`sum(increase(rollcall_register_takeovers_total` + agent + `[5m]))`, "taken over"}, {`sum(increase(rollcall_register_renewals_total` + agent + `[5m]))`, "renewed"}, {`sum(increase(rollcall_register_falls_total` + agent + `[5m]))`, "turned bad"}}},
				{Title: "Proofs of ownership", On: Own, Unit: "cps", Asks: []Ask{{`sum(rate(rollcall_register_proofs_total` + agent + `[$__rate_interval]))`, "made"}, {`sum(rate(rollcall_register_proofs_failed_total` + agent + `[$__rate_interval]))`, "failed"}}},
				{Title: "Files with errors", On: Own, Asks: []Ask{{`sum(rollcall_register_files_with_errors` + agent + `)`, "files"}, {`sum(rollcall_register_kept_failing_total` + agent + `)`, "kept though failing"}}},
			}},
		}}
}
