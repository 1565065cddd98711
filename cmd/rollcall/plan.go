package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink/export/flat"
	"github.com/rollcall-metrics/rollcall/sink/kafka"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

type planCmd struct {
	topicFlags
	collectorFlags
	Since       string        `default:"10m" help:"Over how long the topics are measured."`
	Instances   int           `help:"Plan for so many; default: those that the collector scrapes, else those in the topic."`
	Interval    time.Duration `help:"At this interval; default: the one measured."`
	Brokers     int           `help:"Plan for so many brokers; default: those there are."`
	Replication int           `help:"Replicas of each topic; default: 3, or as many as there are brokers."`
	Partitions  int           `help:"Of each topic; default: 12, or more where the stream needs them."`
	Readers     int           `default:"2" help:"How many read the whole stream: pages, exports."`
	Principal   string        `default:"User:rollcall" help:"Whom the commands give their rights."`
	Format      string        `default:"text" enum:"text,json" help:"text or json."`
}

// plan is what is measured and what follows. Bytes are of records, zipped where it says so.
type plan struct {
	Measured struct {
		Seconds    float64 `json:"seconds"`
		Records    int     `json:"records"`
		PerSecond  float64 `json:"records_a_second"`
		Instances  int     `json:"instances"` // that records are of
		Bytes      float64 `json:"bytes_a_record"`
		Zipped     float64 `json:"zipped_bytes_a_record"`
		Samples    float64 `json:"samples_a_record"`
		Interval   float64 `json:"interval_seconds"` // the mean of the records'
		Partitions int     `json:"partitions"`
		Brokers    int     `json:"brokers"`
		CPU        float64 `json:"cpu_us_a_sample,omitempty"`   // of the collector's process since its start; 0: it does not say
		Memory     float64 `json:"bytes_an_instance,omitempty"` // resident, of the same
	} `json:"measured"`
	For struct {
		Instances int     `json:"instances"`
		Interval  float64 `json:"interval_seconds"`
		PerSecond float64 `json:"records_a_second"`
		From      string  `json:"from"` // where the number of instances is from
	} `json:"for"`
	Topics  []plannedTopic `json:"topics"`
	Brokers struct {
		In   float64 `json:"in_bytes_a_second"`  // of each, replication included
		Out  float64 `json:"out_bytes_a_second"` // of each, to replicas and readers
		Disk float64 `json:"disk_bytes"`         // of each, when retention is reached
	} `json:"each_broker"`
	Collectors struct {
		Cores  float64 `json:"cores"`
		Figure float64 `json:"cores_by_the_documentation"` // the same from docs/performance.md
		Memory float64 `json:"memory_bytes"`
		From   string  `json:"from"`
	} `json:"collectors"`
	Commands []string `json:"commands"`
}

type plannedTopic struct {
	Topic       string  `json:"topic"`
	Partitions  int     `json:"partitions"`
	Replication int     `json:"replication"`
	KeepHours   float64 `json:"keep_hours"`
	DayBytes    float64 `json:"bytes_a_day"`
	KeptBytes   float64 `json:"bytes_kept"` // all replicas
	Note        string  `json:"note,omitempty"`
}

// What is estimated where no collector says how it does: docs/performance.md has the measurements.
const (
	usSample     = 0.2 // request, parse, enrich and encode, µs a sample
	usRecord     = 60  // connection, schedule and delivery, µs a record
	memoryBase   = 150 << 20
	memoryTarget = 40 << 10
	headroom     = 2       // times what is used on average: bursts, starts, the others of a machine
	partitionMBs = 5 << 20 // bytes a second, not zipped, that one partition is to take
	planSamples  = 20_000  // records that are kept to be zipped, at most
	planBytes    = 64 << 20
)

// Run measures the stream and says what a fleet needs.
func (c *planCmd) Run(e *env) error {
	back, err := config.ParseDuration(c.Since)
	if err != nil || back < time.Second {
		return usage("--since=%s: give over how long to measure, such as 10m", c.Since)
	}
	if c.Instances < 0 || c.Interval < 0 || c.Brokers < 0 || c.Replication < 0 || c.Partitions < 0 || c.Readers < 0 {
		return usage("no number is negative; 0 means the default")
	}
	w, err := c.way(askPlaces(e.ctx, c.collectorFlags, "")...)
	if err != nil {
		return err
	}
	client, err := w.readback("plan")
	if err != nil {
		return err
	}
	defer client.Close()
	var p plan
	if err := c.measure(e, client, w, back, &p); err != nil {
		return w.asked(err)
	}
	c.scale(e, &p)
	c.size(w, &p)
	if c.Format == "json" {
		out := json.NewEncoder(e.stdout)
		out.SetIndent("", "  ")
		return out.Encode(p)
	}
	p.write(e.stdout, c.Readers)
	return nil
}

// measure reads the last minutes of both lanes and of the roster.
func (c *planCmd) measure(e *env, client *readback.Client, w *way, back time.Duration, p *plan) error {
	m := &p.Measured
	var err error
	if m.Brokers, err = client.Brokers(e.ctx); err != nil {
		return unread(err)
	}
	spans, err := client.Spans(e.ctx, time.Now().Add(-back), w.lanes()...)
	if err != nil {
		return unread(err)
	}
	instances, by := map[string]bool{}, map[string][][]byte{}
	var r wire.Record
	var bytes, samples, kept, interval, oldest, newest int64
	for _, s := range spans {
		if s.Topic == w.topics.Snapshots {
			m.Partitions++
		}
		if err := client.Read(e.ctx, s, func(in readback.Message) error {
			if wire.Decode(in.Value, &r) != nil {
				return nil
			}
			m.Records++
			bytes += int64(len(in.Value))
			samples += int64(len(r.Samples))
			interval += r.Source.Interval.Milliseconds()
			if oldest == 0 || r.TS < oldest {
				oldest = r.TS
			}
			newest = max(newest, r.TS)
			instances[r.Service+"/"+r.Env+"/"+r.Instance] = true
			if kept < planBytes && m.Records <= planSamples {
				kept += int64(len(in.Value))
				by[string(in.Key)] = append(by[string(in.Key)], in.Value)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if m.Records < 2 || newest <= oldest {
		return fmt.Errorf("the topics have %s of the last %v: nothing can be measured; give a longer --since, or let a collector run for a while", many(m.Records, "record", "records"), back)
	}
	n := float64(m.Records)
	m.Instances, m.Bytes, m.Samples, m.Interval = len(instances), float64(bytes)/n, float64(samples)/n, float64(interval)/n/1000
	// The newest begins an interval of its own: of one record an interval there is one interval.
	m.Seconds = float64(newest-oldest)/1000 + m.Interval
	m.PerSecond = n / m.Seconds
	var values [][]byte // in a batch, those of a service stand together
	for _, vs := range by {
		values = append(values, vs...)
	}
	zipped, err := kafka.Zipped(values)
	m.Zipped = m.Bytes * float64(zipped) / float64(max(kept, 1))
	return err
}

// scale finds out for how many instances to plan, and what the collector says of its own costs.
func (c *planCmd) scale(e *env, p *plan) {
	m := &p.Measured
	p.For.Instances, p.For.From = m.Instances, "of which the topics have records"
	var s collect.Status
	if err := c.get(e.ctx, "/api/v1/collector", nil, &s); err == nil {
		n := 0
		for _, state := range []discovery.State{discovery.Present, discovery.Unconfirmed, discovery.Quarantined, discovery.Failing} {
			n += s.Roster[state]
		}
		if n > 0 {
			p.For.Instances, p.For.From = n, "on the collector's roster"
		}
	}
	c.costs(e, m.Samples, &m.CPU, &m.Memory)
	if c.Instances > 0 {
		p.For.Instances, p.For.From = c.Instances, "as --instances says"
	}
	p.For.Interval = m.Interval
	if c.Interval > 0 {
		p.For.Interval = c.Interval.Seconds()
	}
	p.For.PerSecond = float64(p.For.Instances) / math.Max(p.For.Interval, 0.001)
}

// costs asks a collector what it has used since its start.
func (c *planCmd) costs(e *env, samples float64, cpu, memory *float64) {
	res, err := c.do(e.ctx, "GET", "/metrics", nil, nil)
	if err != nil {
		return
	}
	defer res.Body.Close()
	sums := map[string]float64{}
	s := bufio.NewScanner(io.LimitReader(res.Body, 64<<20))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		name, value, ok := strings.Cut(s.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		if v, err := strconv.ParseFloat(strings.TrimSpace(value), 64); ok && err == nil {
			switch name {
			case "process_cpu_seconds_total", "process_resident_memory_bytes", "rollcall_scrape_pulls_total", "rollcall_scrape_targets":
				sums[name] += v
			}
		}
	}
	if pulls := sums["rollcall_scrape_pulls_total"]; pulls > 100 && samples > 0 {
		*cpu = sums["process_cpu_seconds_total"] * 1e6 / (pulls * samples)
	}
	if n := sums["rollcall_scrape_targets"]; n > 0 {
		*memory = sums["process_resident_memory_bytes"] / n
	}
}

// size makes topics, brokers and collectors of the rate.
func (c *planCmd) size(w *way, p *plan) {
	m, rate := &p.Measured, p.For.PerSecond
	brokers := c.Brokers
	if brokers == 0 {
		brokers = m.Brokers
	}
	partitions := c.Partitions
	if partitions == 0 {
		partitions = max(12, int(math.Ceil(rate*m.Bytes/partitionMBs)))
		if over := partitions % max(brokers, 1); over > 0 {
			partitions += brokers - over
		}
	}
	const frame = 24 // bytes of a record beside its value, zipped
	second := rate * (m.Zipped + frame)
	wanted := kafka.Wanted(w.topics, partitions, c.Replication, brokers)
	replication := wanted[0].ReplicationFactor
	for _, t := range wanted {
		keep := kafka.Keep(w.topics, t.Topic)
		one := plannedTopic{Topic: t.Topic, Partitions: t.NumPartitions, Replication: t.ReplicationFactor, KeepHours: keep.Hours()}
		switch t.Topic {
		case w.topics.Snapshots:
			one.DayBytes = second * 86400
		case w.topics.Backfill:
			one.Note = "what is late, in place of the live lane: it has as much as outages take"
		case w.topics.Roster:
			// Every service whole every five minutes: some 300 bytes an instance, a fifth of it when zipped.
			one.DayBytes, one.Note = float64(p.For.Instances)*300/5*288, "estimated"
		default:
			one.Note = "small beside these"
		}
		one.KeptBytes = one.DayBytes * keep.Hours() / 24 * float64(replication)
		p.Topics = append(p.Topics, one)
		p.Brokers.Disk += one.KeptBytes / float64(brokers)
		p.Commands = append(p.Commands, kafka.Command(w.kafka.Brokers[0], t))
	}
	p.Brokers.In = second * float64(replication) / float64(brokers)
	p.Brokers.Out = second * float64(replication-1+c.Readers) / float64(brokers)
	p.Collectors.Figure = headroom * rate * (m.Samples*usSample + usRecord) / 1e6
	p.Collectors.From, p.Collectors.Cores = "estimated from docs/performance.md", p.Collectors.Figure
	if m.CPU > 0 {
		p.Collectors.From, p.Collectors.Cores = "measured at the collector", headroom*rate*m.Samples*m.CPU/1e6
	}
	p.Collectors.Memory = memoryBase + float64(p.For.Instances)*memoryTarget
	p.Commands = append(p.Commands, c.rights(w)...)
}

// rights are the commands that let us in where somebody else makes the topics.
func (c *planCmd) rights(w *way) (out []string) {
	acl := func(resource string, operations ...string) {
		out = append(out, fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal %s --operation %s %s", w.kafka.Brokers[0], c.Principal, strings.Join(operations, " --operation "), resource))
	}
	t := w.topics
	for _, name := range []string{t.Snapshots, t.Backfill, t.Roster} {
		acl("--topic "+name, "Read", "Write", "Describe", "DescribeConfigs")
	}
	for _, name := range []string{t.Rollups, t.Findings} {
		acl("--topic "+name, "Read", "Write", "Describe")
	}
	acl("--group rollcall-export- --resource-pattern-type prefixed", "Read", "Describe")
	acl("--topic "+flat.Topic, "Read", "Write", "Describe")
	return out
}

// amount writes bytes for people.
func amount(b float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for b >= 1000 && i < len(units)-1 {
		b, i = b/1000, i+1
	}
	if b >= 100 || i == 0 {
		return fmt.Sprintf("%.0f %s", b, units[i])
	}
	return fmt.Sprintf("%.1f %s", b, units[i])
}

func (p *plan) write(to io.Writer, readers int) {
	say := func(format string, args ...any) { fmt.Fprintf(to, format+"\n", args...) }
	m := &p.Measured
	say("Measured over %.0f s: %.1f records a second of %s, %s each, %s zipped, %.0f samples, every %.3g s; %s, %s",
		m.Seconds, m.PerSecond, many(m.Instances, "instance", "instances"), amount(m.Bytes), amount(m.Zipped), m.Samples, m.Interval, many(m.Partitions, "partition", "partitions"), many(m.Brokers, "broker", "brokers"))
	say("Planned for %s (%s) every %.3g s: %.1f records a second, %s samples a second", many(p.For.Instances, "instance", "instances"), p.For.From, p.For.Interval, p.For.PerSecond, thousands(int64(p.For.PerSecond*m.Samples)))
	say("\nTopics")
	for _, t := range p.Topics {
		size := fmt.Sprintf("%s a day, %s kept", amount(t.DayBytes), amount(t.KeptBytes))
		if t.DayBytes == 0 {
			size = "-"
		}
		if t.Note != "" {
			size += " (" + t.Note + ")"
		}
		say("  %-28s %3d partitions × %d, %4.0f h   %s", t.Topic, t.Partitions, t.Replication, t.KeepHours, size)
	}
	say("\nEach broker, on average: %s a second in, %s out (%s), %s of disk", amount(p.Brokers.In), amount(p.Brokers.Out), many(readers, "reader", "readers"), amount(p.Brokers.Disk))
	say("Collectors together: %.2g cores, %s of memory; estimates: %d times the CPU %s", p.Collectors.Cores, amount(p.Collectors.Memory), headroom, p.Collectors.From)
	if m.CPU > 0 {
		say("  the collector's process has used %.2g µs a sample since its start, and %s an instance, with all that runs in it: a page or a broker beside it counts as well", m.CPU, amount(m.Memory))
		say("  by docs/performance.md a collector alone would take %.2g cores", p.Collectors.Figure)
	}
	say("\nWhere we may not make topics ourselves, and where rights are given:")
	for _, text := range p.Commands {
		say("  %s", text)
	}
}
