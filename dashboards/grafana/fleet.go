package grafana

// Who is looked at: services, and their instances.
const (
	servicesChosen = `env=~"$env",owner=~"$owner"`
	upOfChosen     = `up{env=~"$env"}`
)

var troubles = map[string]Word{"0": {"calm", good}, "1": {"warning", warn}, "2": {"bad", bad}}

// Fleet is all services at a glance, by trouble.
func Fleet() Dashboard {
	ratio := func(by string) string {
		return `sum` + by + `(rollcall_service_errors_per_second{` + servicesChosen + `}) / sum` + by + `(rollcall_service_requests_per_second{` + servicesChosen + `})`
	}
	counted := func(by, state string) string {
		return `sum` + by + `(rollcall_service_instances{` + servicesChosen + `,state="` + state + `"})`
	}
	by := ` by (job, env) `
	worst := func(expr string) string { return `topk(8, ` + expr + `)` }
	return Dashboard{UID: "rollcall-fleet", Title: "rollcall: fleet", About: "All services, those in trouble first, from the live windows", From: "now-15m", Refresh: "5s",
		Vars: []Var{
			{Name: "env", Label: "environment", On: Live, Of: `label_values(rollcall_service_instances, env)`, Many: true},
			{Name: "owner", Label: "owner", On: Live, Of: `label_values(rollcall_service_instances{env=~"$env"}, owner)`, Many: true},
		},
		Rows: []Row{
			{Title: "Now", Panels: []Panel{
				{Kind: Number, Title: "In trouble", On: Live, Steps: wrong(1), About: "Services with a finding that is open and not silenced.",
					Asks: []Ask{{`count(rollcall_service_trouble{` + servicesChosen + `} > 0) or vector(0)`, ""}}},
				{Kind: Number, Title: "Services", On: Live, Asks: []Ask{{`count(rollcall_service_trouble{` + servicesChosen + `})`, ""}}},
				{Kind: Number, Title: "Answering", On: Live, Asks: []Ask{{counted("", "answering"), ""}}},
				{Kind: Number, Title: "Missing or silent", On: Live, Steps: above(1), About: "Instances that should answer and do not.",
					Asks: []Ask{{counted("", "expected") + ` - ` + counted("", "answering"), ""}}},
				{Kind: Number, Title: "Requests", On: Live, Unit: "reqps", Asks: []Ask{{`sum(rollcall_service_requests_per_second{` + servicesChosen + `})`, ""}}},
				{Kind: Number, Title: "Errors", On: Live, Unit: "percentunit", Steps: above(0.01, 0.05), Asks: []Ask{{ratio(""), ""}}},
				{Kind: Number, Title: "Age of what is shown", On: Live, Unit: "s", Steps: above(30, 120), About: "The median age of the newest scrapes.",
					Asks: []Ask{{`quantile(0.5, time() - timestamp(` + upOfChosen + `))`, ""}}},
				{Kind: Number, Title: "Failed scrapes", On: Live, Steps: above(1), Asks: []Ask{{`count(` + upOfChosen + ` == 0) or vector(0)`, ""}}},
				{Kind: Table, Title: "Services by trouble", On: Live, About: "A click on a service opens it.",
					Asks: []Ask{
						{`max` + by + `(rollcall_service_trouble{` + servicesChosen + `})`, ""},
						{counted(by, "expected"), ""},
						{counted(by, "expected") + ` - ` + counted(by, "answering"), ""},
						{`sum` + by + `(rollcall_service_requests_per_second{` + servicesChosen + `})`, ""},
						{ratio(by), ""},
						{`max` + by + `(rollcall_service_latency_ms{` + servicesChosen + `,bound="estimate"})`, ""},
						{`max` + by + `(time() - timestamp(` + upOfChosen + `))`, ""},
					},
					Columns: []Column{
						{Label: "job", Title: "service", Link: "/d/rollcall-service?var-service=${__data.fields.service}&var-env=${__data.fields.environment}&${__url_time_range}"},
						{Label: "env", Title: "environment"},
						{Ask: 1, Title: "trouble", Words: troubles, Steps: above(1, 2), Sorted: true},
						{Ask: 2, Title: "expected"},
						{Ask: 3, Title: "missing or silent", Steps: above(1)},
						{Ask: 4, Title: "requests", Unit: "reqps"},
						{Ask: 5, Title: "errors", Unit: "percentunit", Steps: above(0.01, 0.05)},
						{Ask: 6, Title: "latency", Unit: "ms"},
						{Ask: 7, Title: "oldest scrape", Unit: "s"},
					}},
			}},
			{Title: "Over time", Panels: []Panel{
				{Title: "Services in trouble", On: Live, Stacked: true, Colours: map[string]string{"warning": warn, "bad": bad},
					Asks: []Ask{{`sum(rollcall_service_trouble{` + servicesChosen + `} == bool 2)`, "bad"}, {`sum(rollcall_service_trouble{` + servicesChosen + `} == bool 1)`, "warning"}}},
				{Title: "Missing or silent", On: Live, Asks: []Ask{{worst(counted(by, "expected") + ` - ` + counted(by, "answering") + ` > 0`), "{{job}}/{{env}}"}}},
				{Title: "Failed scrapes", On: Live, Asks: []Ask{{worst(`count` + by + `(` + upOfChosen + ` == 0)`), "{{job}}/{{env}}"}}},
				{Title: "Requests", On: Live, Unit: "reqps", Asks: []Ask{{worst(`sum` + by + `(rollcall_service_requests_per_second{` + servicesChosen + `})`), "{{job}}/{{env}}"}}},
				{Title: "Errors", About: "The share of requests that fail.", On: Live, Unit: "percentunit", Asks: []Ask{{worst(ratio(by)), "{{job}}/{{env}}"}}},
				{Title: "Latency", On: Live, Unit: "ms", About: "Of each service as a whole: the percentile, or the mean, that its applications tell.",
					Asks: []Ask{{worst(`max by (job, env, is) (rollcall_service_latency_ms{` + servicesChosen + `,bound="estimate"})`), "{{job}}/{{env}} {{is}}"}}},
				{Title: "Slowest scrapes", On: Live, Unit: "s", Asks: []Ask{{worst(`max` + by + `(scrape_duration_seconds{env=~"$env"})`), "{{job}}/{{env}}"}}},
				{Title: "Oldest scrapes", On: Live, Unit: "s", Asks: []Ask{{worst(`max` + by + `(time() - timestamp(` + upOfChosen + `))`), "{{job}}/{{env}}"}}},
				{Title: "Versions in force", About: "Services that run more than one version.", On: Live,
					Asks: []Ask{{worst(`count` + by + `(count by (job, env, service_version) (` + upOfChosen + `)) > 1`), "{{job}}/{{env}}"}}},
			}},
		}}
}
