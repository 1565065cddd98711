# rollcall: everything that people and CI do, by name. Two commands are enough on a fresh machine: `make demo` and `make test`.
GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS    = -s -w -X github.com/rollcall-metrics/rollcall/cmd/internal/ops.version=$(VERSION)
FUZZTIME  ?= 60s
BENCHTIME ?= 1s
UI         = dashboards/web/ui
# Packages whose tests run whole programs against whole ensembles and measure what they do: one after the other, with the machine to themselves.
WHOLE      = /cmd/internal/collect$$|/cmd/rollcall$$
# Built by their pinned version, never @latest.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help build demo test check race fuzz reliability bench bench-roster bench-collector bench-sink bench-serve bench-page flame bench-reconnect bench-analysis ui grafana servers browser pictures pages clean
help:            ## what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' Makefile

build:           ## bin/rollcall and bin/rollcall-agent, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/rollcall ./cmd/rollcall-agent

demo:            ## a fleet in motion on the embedded servers; opens the page. make demo DEMO='--for=1m --no-faults' passes flags on
	@echo 'building bin/rollcall (the first time takes a minute or two)'
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/rollcall
	bin/rollcall demo --open $(DEMO)

servers:         ## fetch the real ZooKeeper, Kafka and the tools that the tests use
	$(GO) run ./internal/testenv/cmd/servers

test:            ## all tests, against the real servers where they can be had (with CI=true they must)
	$(GO) run ./internal/testenv/cmd/servers -try
	$(GO) test -timeout 15m $$($(GO) list ./... | grep -vE '$(WHOLE)')
	$(GO) test -timeout 20m -p 1 $$($(GO) list ./... | grep -E '$(WHOLE)')
	cd bench && $(GO) test ./...
	@$(GO) run ./internal/testenv/cmd/servers -missing

check:           ## format, vet, staticcheck, tidy, the law of imports, the page as built, Grafana's dashboards
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'gofmt: run gofmt -w on the files above'; exit 1; }
	$(GO) vet ./...
	cd bench && $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	cd bench && $(GO) mod tidy -diff
	$(GO) test ./internal/law
	$(MAKE) ui
	cd dashboards/grafana/schema && npm ci --no-audit --no-fund && npm run --silent check
	@test -z "$$(git status --porcelain dashboards/web/dist)" || { git status --porcelain dashboards/web/dist; echo 'dist/ is not what ui/ builds to: commit the result of make ui'; exit 1; }

race: servers    ## all tests under the race detector
	$(GO) test -race -timeout 30m ./...

fuzz:            ## every decoder's fuzz target, FUZZTIME each
	@set -e; for f in $$(git ls-files '*_test.go' | xargs grep -l '^func Fuzz'); do \
	  for t in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$f); do \
	    echo "== $$t in $$(dirname $$f)"; $(GO) test ./$$(dirname $$f) -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x; done; done

reliability:     ## everything that may happen to a collector under load and to its Kafka of three brokers, counted in the topics: 25 minutes; RELIABILITY='-quick' or '-fault=leader'. And one killed 50 times (KILLS=…) at other brokers
	cd bench && $(GO) run . reliability -out ../artefacts/reliability.md $(RELIABILITY)
	ROLLCALL_TEST_KILLS=$(or $(KILLS),50) $(GO) test -count=1 -timeout 30m -v -run 'TestKilled|TestRealKafka/killed' ./sink/kafka

bench:           ## the hot paths beside their floor and the naive way
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./internal/jsonscan ./collector/... ./enrich/... ./sink/... ./discovery/... ./dashboards/... ./internal/zkserve

bench-roster:    ## 150,000 members in a real ZooKeeper, followed by rollcall and by Prometheus: 8 minutes; ROSTER='-members=15000' for a quick one
	cd bench && $(GO) run . roster $(ROSTER)

bench-collector: ## rollcall, a plain collector and the floors scrape one fleet into Kafka, from 1,000 to 15,000 targets and past all they can: 12 minutes; COLLECTOR='-quick' for a short one
	cd bench && $(GO) run . collector $(COLLECTOR)

bench-sink:      ## records into a real Kafka and into the embedded broker: by rollcall, kafka-go's Writer and franz-go: 6 minutes; SINK='-quick' for a short one
	cd bench && $(GO) run . sink $(SINK)

bench-serve:     ## a million live series at 10 s through rollcall serve: bytes, CPU, how soon they are seen; two that share them, and one's death: 15 minutes; SERVE='-quick' for a short one
	cd bench && $(GO) run . serve $(SERVE)

bench-page:      ## the page of 20,000 instances that all change each second, in a real browser: frames, memory, from event to pixel; 10 minutes; PAGE='-for=30m' for a long one
	cd bench && $(GO) run . page $(PAGE)

flame:           ## where the collector's time goes: draws docs/collector-flame.svg, a minute
	cd bench && $(GO) run . collector -flame ../docs/collector-flame.svg

bench-reconnect: ## 500 sessions cut at once, ours and plain ones: when is each back? Draws docs/reconnects.svg
	cd bench && $(GO) run . reconnect -svg ../docs/reconnects.svg

bench-analysis:  ## localisation, detection, canary verdicts on labelled cases, and faults, beside the best published: 10 minutes; CASES=DIR: other cases, and nothing else; OUT=FILE: as JSON
	@abs() { case "$$1" in ''|/*) printf %s "$$1";; *) printf %s "$(CURDIR)/$$1";; esac; }; \
	c=$$(abs '$(CASES)'); o=$$(abs '$(OUT)'); cd bench && $(GO) run . analysis -cases "$$c" -out "$$o"

ui:              ## build the page from dashboards/web/ui into dashboards/web/dist
	cd $(UI) && npm ci --no-audit --no-fund && npm run check && npm test && npm run build

grafana:         ## write Grafana's dashboards from their descriptions, and hold them against its schema
	$(GO) run ./dashboards/grafana/gen dashboards/grafana
	cd dashboards/grafana/schema && npm ci --no-audit --no-fund && npm run --silent check

browser:         ## the page in a real browser, with screenshots in artefacts/
	$(GO) test -count=1 -timeout 10m -run TestBrowser -v ./cmd/rollcall

pictures: pages  ## README's picture, docs/now.png, and those of every page: the demo runs for a quarter of an hour first, so that its charts are full
	ROLLCALL_PICTURE=$(CURDIR)/docs/now.png $(GO) test -count=1 -timeout 40m -run 'TestBrowser$$' ./cmd/rollcall

pages:           ## pictures of every page, docs/pictures: the demo runs for five minutes first
	ROLLCALL_PICTURES=$(CURDIR)/docs/pictures $(GO) test -count=1 -timeout 20m -run TestBrowserLooks ./cmd/rollcall

clean:           ## forget what was built
	rm -rf bin artefacts
