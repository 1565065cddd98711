package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/demo"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

type demoCmd struct {
	Open      bool          `help:"Open the page in the browser, where there is one."`
	Headless  bool          `help:"No page; with --for and --report a measurement."`
	For       time.Duration `help:"Stop after so long; default: when told to."`
	Report    string        `help:"Write a JSON report at the end: a file, or - for standard output."`
	Listen    string        `name:"web.listen-address" default:"127.0.0.1:7150" help:"HOST:PORT of the page; where it is in use the next free port is taken."`
	Collect   string        `name:"collector.listen-address" default:"127.0.0.1:7140" help:"HOST:PORT of the collector; likewise."`
	ZooKeeper string        `name:"embedded.zookeeper-address" default:"127.0.0.1:7181" help:"HOST:PORT of the embedded ZooKeeper; likewise."`
	Broker    string        `name:"embedded.kafka-address" default:"127.0.0.1:7192" help:"HOST:PORT of the embedded broker; likewise."`
	Storage   string        `name:"storage.path" type:"path" help:"Keep everything in this folder; default: a temporary one that goes away."`
	Kafka     []string      `help:"Stream to these brokers instead of the embedded one."`
	Seed      uint64        `help:"Of all chance; default: another each time."`
	NoFaults  bool          `name:"no-faults" help:"Nothing breaks by itself."`
	Interval  time.Duration `default:"1s" help:"Scrape interval."`
}

// Run runs the whole line over a fleet that lives.
func (c *demoCmd) Run(e *env) error {
	if c.Interval < 100*time.Millisecond {
		return usage("interval %s is too short; give 100ms or more", config.Duration(c.Interval))
	}
	dir := c.Storage
	if dir == "" {
		tmp, remove, err := temporary()
		if err != nil {
			return err
		}
		defer remove()
		dir = tmp
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make storage folder: %w", err)
	}
	city, asn, err := demo.WriteGeo(dir)
	if err != nil {
		return err
	}
	conf := &config.Config{}
	conf.Global.ScrapeInterval = config.Duration(c.Interval)
	conf.Kafka.Brokers = c.Kafka
	conf.Enrich.Geo = config.Geo{City: city, ASN: asn}
	conf.Enrich.Rules = []config.Rule{{
		Name:   `client_(?P<name>requests|errors)/client_ip/(?P<client_ip>.+)`,
		Lookup: &config.RuleLookup{From: "client_ip", As: "client", Add: []string{"as.number", "as.organization.name", "geo.country.iso_code"}}, Drop: []string{"client_ip"},
	}}
	say := e.stdout
	if c.Report == "-" {
		say = e.stderr // so that the report is all that standard output holds
	}
	var fleet *demo.Fleet
	u := &upLine{line: line{e: e, conf: conf, storage: dir, demo: true}}
	fleetDone := make(chan error, 1)
	fleetCtx, endFleet := context.WithCancel(context.WithoutCancel(e.ctx))
	defer endFleet()
	began := time.Now()
	return u.run(upOptions{page: c.Listen, collector: c.Collect, zookeeper: c.ZooKeeper, kafka: c.Broker, nextPort: true,
		before: func(l *line) error {
			l.conf.Scrape[0].Distributions = "decaying" // the fleet's summaries speak of the last ten seconds
			l.conf.Scrape = append(l.conf.Scrape, config.Scrape{JobName: "rollcall", Static: []config.StaticConfig{{
				Targets: []string{l.collectOn.Addr().String(), l.serveOn.Addr().String()},
				Labels:  map[string]string{"service": "rollcall", "env": demo.Env, "owner": "rollcall"},
			}}})
			fleet = demo.NewFleet(demo.Config{ZooKeeper: l.conf.ZooKeeper.Servers, Calm: c.NoFaults, Seed: c.Seed, Log: e.log, Announce: func(f demo.Fault) { announce(say, f) }})
			l.fault = fleet.Handler()
			return nil
		},
		ready: func(ctx context.Context, l *line) error {
			awaitReady(ctx, l)
			go func() { fleetDone <- fleet.Run(fleetCtx) }()
			url := "http://" + l.serveOn.Addr().String()
			if !c.Headless {
				fmt.Fprintf(say, "rollcall demo: %s\n", url)
				for _, text := range c.words(fleet.First()) {
					fmt.Fprintln(say, "  "+text)
				}
				fmt.Fprintf(say, "  The collector is at http://%s, its Kafka at %s, its ZooKeeper at %s.\n", l.collectOn.Addr(), strings.Join(u.brokers(), ","), u.servers.ZooKeeper())
				for _, text := range moved([]port{{"page", c.Listen, l.serveOn.Addr().String(), "--url=http://"}, {"collector", c.Collect, l.collectOn.Addr().String(), "--collector=http://"},
					{"Kafka", c.Broker, u.servers.Kafka(), ""}, {"ZooKeeper", c.ZooKeeper, u.servers.ZooKeeper(), ""}}) {
					fmt.Fprintln(say, "  "+text)
				}
			}
			if c.Open && !c.Headless {
				open(url)
			}
			run, stop := withTimeout(ctx, c.For)
			defer stop()
			var early error
			select {
			case early = <-fleetDone:
				fleetDone <- nil
			case <-run.Done():
			}
			if early != nil {
				return early
			}
			var err error
			if c.Report != "" {
				err = c.report(e.stdout, l, fleet, began)
			}
			endFleet()
			if ferr := <-fleetDone; err == nil {
				err = ferr
			}
			if err != nil {
				return err
			}
			return errDone
		}})
}

// port is where something was to listen, and where it does; flag names it to commands.
type port struct{ what, want, is, flag string }

// moved says which ports were in use, so that other ones are taken, and what commands need to find them.
func moved(ports []port) (out []string) {
	var flags []string
	for _, m := range ports {
		_, want, _ := net.SplitHostPort(m.want)
		_, is, _ := net.SplitHostPort(m.is)
		if m.is == "" || want == "" || want == "0" || want == is {
			continue
		}
		out = append(out, fmt.Sprintf("Port %s was in use: the %s is on %s.", want, m.what, m.is))
		if m.flag != "" {
			flags = append(flags, m.flag+m.is)
		}
	}
	if len(flags) > 0 {
		out = append(out, "Commands find it with "+strings.Join(flags, " and ")+".")
	}
	return out
}

// awaitReady returns when the line can see who joins: a fleet that joins earlier would be timed against our own start.
func awaitReady(ctx context.Context, l *line) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(5 * time.Second); l.collector.Ready() != nil || l.dashboards.Ready() != nil; {
		select {
		case <-ctx.Done():
			return
		case <-end:
			return
		case <-tick.C:
		}
	}
}

// words say what the demo does, what is about to break, and how it ends.
func (c *demoCmd) words(what string, in, lasts time.Duration) []string {
	breaks := "Nothing breaks by itself; “Break something” on the page does."
	if what != "" {
		breaks = fmt.Sprintf("In %s %s, for %s; then other things break. Each is told here, and the page should find it within seconds.", config.Duration(in), what, config.Duration(lasts))
	}
	ends := "Ctrl-C ends it, and nothing stays behind."
	if c.Storage != "" {
		ends = "Ctrl-C ends it; what it has kept stays in " + c.Storage + "."
	}
	return []string{fmt.Sprintf("%d applications register in a ZooKeeper, and are scraped every %s; what they say goes through a Kafka to this page.", demo.Size(), config.Duration(c.Interval)), breaks, ends}
}

func announce(w io.Writer, f demo.Fault) {
	const clock = "15:04:05"
	now := time.Now()
	switch {
	case now.Before(f.End):
		fmt.Fprintf(w, "%s  broken until %s: %s\n", now.Format(clock), f.End.Format(clock), f.Text)
	case f.Next != "":
		fmt.Fprintf(w, "%s  healed. At %s %s.\n", now.Format(clock), f.NextAt.Format(clock), f.Next)
	default:
		fmt.Fprintf(w, "%s  healed.\n", now.Format(clock))
	}
}

// report is the shape of --report.
type report struct {
	Instances    int     `json:"instances_registered"`
	Discovered   int     `json:"instances_discovered"`
	Scrapes      uint64  `json:"scrapes"`
	ScrapesOK    uint64  `json:"scrapes_ok"`
	Samples      uint64  `json:"samples_scraped"`
	Acknowledged uint64  `json:"records_acknowledged"`
	Seen         uint64  `json:"records_seen"`
	Lost         uint64  `json:"records_lost"`
	Duplicated   uint64  `json:"records_duplicated"`
	Freshness    spread  `json:"freshness_ms"`
	Join         spread  `json:"join_ms"`
	Seconds      float64 `json:"seconds"`
}

type spread struct {
	P50 dashboards.Num `json:"p50"` // null where nothing was measured
	P99 dashboards.Num `json:"p99"`
}

// report settles what is under way, counts, and writes.
func (c *demoCmd) report(stdout io.Writer, l *line, fleet *demo.Fleet, began time.Time) error {
	l.collector.Pause()
	deadline := time.Now().Add(10 * time.Second)
	var r report
	for {
		s, b := l.collector.Counts(), l.dashboards.Board().Stats()
		r = report{
			Instances: len(fleet.Joined()), Discovered: s.Discovered, Scrapes: s.Scrapes, ScrapesOK: s.ScrapesOK, Samples: s.Samples,
			Acknowledged: s.Acknowledged, Seen: b.Seen, Lost: b.Lost, Duplicated: b.Duplicated,
			Freshness: spread{b.Freshness.P50, b.Freshness.P99}, Seconds: time.Since(began).Seconds(),
		}
		r.Join.P50, r.Join.P99 = l.dashboards.Joins(fleet.Joined())
		if s.Waiting == 0 && r.Seen >= r.Acknowledged || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if r.Acknowledged > r.Seen { // acknowledged, and never seen by the deadline: lost on the way to the page
		r.Lost = max(r.Lost, r.Acknowledged-r.Seen)
	}
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	out = append(out, '\n')
	if c.Report == "-" {
		_, err = stdout.Write(out)
		return err
	}
	if err := os.WriteFile(c.Report, out, 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// open shows a page in the reader's browser, where there is one; the address has been printed either way.
func open(url string) {
	name := "xdg-open"
	if runtime.GOOS == "darwin" {
		name = "open"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return
	}
	cmd := exec.Command(path, url)
	if cmd.Start() == nil {
		go cmd.Wait()
	}
}
