package grafana

// Service is one service: what it does, by version, zone or instance, who is missing, and how well it is seen.
func Service() Dashboard {
	const (
		whole = `job="$service",env="$env"`
		part  = whole + `,cloud_availability_zone=~"$zone",service_version=~"$version"`
		split = "{{$split}}"
	)
	state := func(s string) string { return `sum(rollcall_service_instances{` + whole + `,state="` + s + `"})` }
	share := func(by string) string {
		return `sum` + by + `(rollcall_errors_per_second{` + part + `}) / sum` + by + `(rollcall_requests_per_second{` + part + `})`
	}
	age := `(time() - timestamp(up{` + part + `}))`
	each := ` by (instance, service_version, cloud_availability_zone) `
	return Dashboard{UID: "rollcall-service", Title: "rollcall: service", About: "One service: rate, errors, latency by version and zone, who is missing, and how well it is seen", From: "now-15m",
		Refresh: "5s", Vars: []Var{
			{Name: "env", Label: "environment", On: Live, Of: `label_values(rollcall_service_instances, env)`},
			{Name: "service", Label: "service", On: Live, Of: `label_values(rollcall_service_instances{env="$env"}, job)`},
			{Name: "split", Label: "split by", Choices: []string{"service_version", "cloud_availability_zone", "rollcall_track", "host_name", "instance"}},
			{Name: "version", Label: "version", On: Live, Of: `label_values(up{job="$service",env="$env"}, service_version)`, Many: true},
			{Name: "zone", Label: "zone", On: Live, Of: `label_values(up{job="$service",env="$env"}, cloud_availability_zone)`, Many: true},
			{Name: "metric", Label: "metric", On: Live, Of: `label_values({job="$service",env="$env"}, __name__)`},
		},
		Rows: []Row{
			{Title: "Now", Panels: []Panel{
				{Kind: Number, Title: "Trouble", On: Live, Words: troubles, Steps: above(1, 2), Asks: []Ask{{`max(rollcall_service_trouble{` + whole + `})`, ""}}},
				{Kind: Number, Title: "Answering", On: Live, Asks: []Ask{{state("answering"), ""}}},
				{Kind: Number, Title: "Missing or silent", On: Live, Steps: above(1), Asks: []Ask{{state("expected") + ` - ` + state("answering"), ""}}},
				{Kind: Number, Title: "Versions", On: Live, Asks: []Ask{{`count(count by (service_version) (up{` + whole + `}))`, ""}}},
				{Kind: Number, Title: "Requests", On: Live, Unit: "reqps", Asks: []Ask{{`sum(rollcall_service_requests_per_second{` + whole + `})`, ""}}},
				{Kind: Number, Title: "Errors", On: Live, Unit: "percentunit", Steps: above(0.01, 0.05),
					Asks: []Ask{{`sum(rollcall_service_errors_per_second{` + whole + `}) / sum(rollcall_service_requests_per_second{` + whole + `})`, ""}}},
				{Kind: Number, Title: "Latency", On: Live, Unit: "ms", Asks: []Ask{{`max by (is) (rollcall_service_latency_ms{` + whole + `,bound="estimate"})`, "{{is}}"}}},
				{Kind: Number, Title: "Oldest scrape", On: Live, Unit: "s", Steps: above(30, 120), Asks: []Ask{{`max(time() - timestamp(up{` + whole + `}))`, ""}}},
			}},
			{Title: "Rate, errors, latency, of the chosen versions and zones", Panels: []Panel{
				{Title: "Requests by $split", On: Live, Unit: "reqps", Asks: []Ask{{`sum by ($split) (rollcall_requests_per_second{` + part + `})`, split}}},
				{Title: "Errors by $split", About: "The share of requests that fail.", On: Live, Unit: "percentunit", Asks: []Ask{{share(` by ($split) `), split}}},
				{Title: "Latency of the slowest instance by $split", On: Live, Unit: "ms", About: "Percentiles of instances are no percentile of the service: this is the worst instance's.",
					Asks: []Ask{{`max by ($split, is) (rollcall_latency_ms{` + part + `})`, split + " {{is}}"}}},
				{Title: "Latency of the service", On: Live, Unit: "ms", About: "Over all instances, with the bounds within which it certainly lies.", Band: [2]string{"low", "high"},
					Asks: []Ask{{`max by (is) (rollcall_service_latency_ms{` + whole + `,bound="estimate"})`, "{{is}}"}, {`max(rollcall_service_latency_ms{` + whole + `,bound="low"})`, "low"},
						{`max(rollcall_service_latency_ms{` + whole + `,bound="high"})`, "high"}}},
				{Title: "Busiest instance, beside the mean", On: Live, Unit: "reqps", Asks: []Ask{{`max(rollcall_requests_per_second{` + part + `})`, "busiest"}, {`avg(rollcall_requests_per_second{` + part + `})`, "mean"},
					{`min(rollcall_requests_per_second{` + part + `})`, "idlest"}}},
				{Title: "Instances with most errors", On: Live, Unit: "eps", Asks: []Ask{{`topk(8, rollcall_errors_per_second{` + part + `} > 0)`, "{{instance}} {{service_version}}"}}},
			}},
			{Title: "Instances", Panels: []Panel{
				{Title: "Who should answer, and does", On: Live, Colours: map[string]string{"expected": quiet, "present": plain, "answering": good},
					Asks: []Ask{{state("expected"), "expected"}, {state("present"), "present"}, {state("answering"), "answering"}}},
				{Title: "By version", On: Live, Stacked: true, Asks: []Ask{{`count by (service_version) (up{` + part + `})`, "{{service_version}}"}}},
				{Title: "By zone", On: Live, Stacked: true, Asks: []Ask{{`count by (cloud_availability_zone) (up{` + part + `})`, "{{cloud_availability_zone}}"}}},
				{Kind: Table, Title: "Instances", On: Live, Height: 10,
					Asks: []Ask{
						{`min` + each + `(up{` + part + `})`, ""}, {`sum` + each + `(rollcall_requests_per_second{` + part + `})`, ""}, {`sum` + each + `(rollcall_errors_per_second{` + part + `})`, ""},
						{`max` + each + `(rollcall_latency_ms{` + part + `})`, ""}, {`max` + each + `(scrape_duration_seconds{` + part + `})`, ""}, {`max` + each + age, ""},
					},
					Columns: []Column{
						{Label: "instance", Title: "instance"}, {Label: "service_version", Title: "version"}, {Label: "cloud_availability_zone", Title: "zone"},
						{Ask: 1, Title: "last scrape", Words: map[string]Word{"0": {"failed", bad}, "1": {"good", good}}, Steps: below(1)},
						{Ask: 2, Title: "requests", Unit: "reqps"}, {Ask: 3, Title: "errors a second", Steps: above(0.001), Sorted: true}, {Ask: 4, Title: "latency", Unit: "ms"},
						{Ask: 5, Title: "scrape took", Unit: "s"}, {Ask: 6, Title: "age", Unit: "s"},
					}},
			}},
			{Title: "How well it is seen", Panels: []Panel{
				{Title: "Failed scrapes by $split", On: Live, Asks: []Ask{{`count by ($split) (up{` + part + `} == 0)`, split}}},
				{Title: "How long scrapes take", On: Live, Unit: "s", Asks: []Ask{{`quantile(0.5, scrape_duration_seconds{` + part + `})`, "median"}, {`quantile(0.99, scrape_duration_seconds{` + part + `})`, "99 %"},
					{`max(scrape_duration_seconds{` + part + `})`, "longest"}}},
				{Title: "How old the newest scrapes are", On: Live, Unit: "s", Asks: []Ask{{`quantile(0.5, ` + age + `)`, "median"}, {`max(` + age + `)`, "oldest"}}},
			}},
			{Title: "Any metric: $metric", Panels: []Panel{
				{Title: "As a rate, by $split", About: "For totals.", On: Live, Width: 12, Asks: []Ask{{`sum by ($split) (rate({__name__="$metric",` + part + `}[$__rate_interval]))`, split}}},
				{Title: "As it is: the mean by $split", About: "For what is measured.", On: Live, Width: 12, Asks: []Ask{{`avg by ($split, quantile) ({__name__="$metric",` + part + `})`, split + " {{quantile}}"}}},
			}},
		}}
}
