package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// The ways to produce records.
const (
	wayOurs   = "rollcall"      // the sink as it is delivered: with a spool
	wayMemory = "without spool" // the sink without one
	wayWriter = "kafka-go Writer"
	wayFranz  = "franz-go"
)

var ways = []string{wayOurs, wayMemory, wayWriter, wayFranz}

// The brokers that take them.
const (
	brokerKafka    = "Kafka"
	brokerEmbedded = "embedded broker"
)

// sizes of a record's value, in bytes: a sample on its own, and a scrape of 200 numbers.
var sizes = []int{129, 7 << 10}

// sinkBench is a run of all of it.
type sinkBench struct {
	runs      int
	warm      time.Duration
	window    time.Duration
	only      string
	noTargets bool
	markdown  bool

	core, other int // of what is measured; of the broker
	dir         string
	say         func(string, ...any)
}

func benchSink(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	b := &sinkBench{}
	quick := false
	fs := flag.NewFlagSet("sink", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&b.runs, "runs", 5, "turns of each way; the medians count")
	fs.DurationVar(&b.warm, "warm", time.Second, "how long a way produces before it is measured")
	fs.DurationVar(&b.window, "window", 3*time.Second, "for how long it is given records, as many as it takes; the time until all are acknowledged counts, too")
	fs.StringVar(&b.only, "broker", "", "only this: kafka or embedded")
	fs.BoolVar(&quick, "quick", false, "one short turn of each")
	fs.BoolVar(&b.noTargets, "no-targets", false, "do not fail where a target is missed")
	fs.BoolVar(&b.markdown, "markdown", false, "print tables as docs/performance.md has them")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if quick {
		b.runs, b.warm, b.window = 1, 200*time.Millisecond, time.Second
	}
	if b.runs < 1 || b.window < 100*time.Millisecond || b.warm < 0 || !slices.Contains([]string{"", "kafka", "embedded"}, b.only) {
		return errors.New("sink: at least 1 run, a window of 100ms, and -broker=kafka or embedded")
	}
	began := time.Now()
	b.say = func(format string, args ...any) {
		fmt.Fprintf(stderr, "%5.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	missed, err := b.run(ctx, stdout, stderr)
	if err == nil && len(missed) > 0 && !b.noTargets {
		err = fmt.Errorf("sink: %d of the targets missed", len(missed))
	}
	return err
}

// turn is one way at one broker with records of one size, once.
type turn struct {
	broker string
	size   int
	way    string
	produced
	brokerCPU time.Duration
}

// produced is what a way says of its window.
type produced struct {
	Records int64
	Took    time.Duration // until the last was acknowledged
	CPU     time.Duration
	Mallocs uint64
	Sent    int64 // bytes over its sockets
	Error   string
}

func (t turn) rate() float64        { return float64(t.Records) / t.Took.Seconds() }
func (t turn) cpu() float64         { return float64(t.CPU.Nanoseconds()) / float64(t.Records) }
func (t turn) theirs() float64      { return float64(t.brokerCPU.Nanoseconds()) / float64(t.Records) }
func (t turn) bytes() float64       { return float64(t.Sent) / float64(t.Records) }
func (t turn) allocations() float64 { return float64(t.Mallocs) / float64(t.Records) }

func (b *sinkBench) run(ctx context.Context, stdout, progress io.Writer) (missed []string, err error) {
	if b.dir, err = os.MkdirTemp("", "rollcall-bench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.core, b.other, err = cores(); err != nil {
		return nil, err
	}
	if b.core == b.other {
		b.say("there is one core: what is measured shares it with the broker")
	}
	var turns []turn
	for _, broker := range []string{brokerKafka, brokerEmbedded} {
		if b.only != "" && !strings.HasPrefix(strings.ToLower(broker), b.only) {
			continue
		}
		more, err := b.at(ctx, broker, progress)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", broker, err)
		}
		turns = append(turns, more...)
	}
	return b.report(turns, stdout), nil
}

// at measures all ways at one broker, in turns.
func (b *sinkBench) at(ctx context.Context, broker string, progress io.Writer) (turns []turn, err error) {
	addr, pid, stop, err := b.startSinkBroker(ctx, broker, progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	n := 0
	for _, size := range sizes { // its first turns count for nobody: a JVM is slow at first
		n++
		if _, err := b.turn(ctx, addr, pid, wayOurs, size, fmt.Sprintf("bench-%d", n)); err != nil {
			return nil, fmt.Errorf("warm up, %d bytes: %w", size, err)
		}
	}
	for run := range b.runs {
		for _, size := range sizes {
			for i := range ways {
				way := ways[(i+run)%len(ways)] // nobody is always the first
				n++
				t, err := b.turn(ctx, addr, pid, way, size, fmt.Sprintf("bench-%d", n))
				if err != nil {
					return nil, fmt.Errorf("%s, %d bytes: %w", way, size, err)
				}
				t.broker = broker
				turns = append(turns, t)
				b.say("run %d, %s, %d bytes: %-15s %8.0f records/s, %6.0f ns a record, %5.2f allocations, %5.0f bytes, the broker %6.0f ns", run+1, broker, size, way, t.rate(), t.cpu(), t.allocations(), t.bytes(), t.theirs())
			}
		}
	}
	return turns, nil
}

// startSinkBroker starts a broker on the other core.
func (b *sinkBench) startSinkBroker(ctx context.Context, broker string, progress io.Writer) (addr string, pid int, stop func() error, err error) {
	if broker == brokerKafka {
		k, err := startKafka(ctx, b.dir, b.other, progress)
		if err != nil {
			return "", 0, nil, err
		}
		return k.addr, k.cmd.Process.Pid, k.stop, nil
	}
	p, err := startSelf(ctx, "broker", b.other, "broker", "-keep", fmt.Sprint(256<<20))
	if err != nil {
		return "", 0, nil, err
	}
	if err := p.answer("its address", &addr); err != nil {
		return "", 0, nil, errors.Join(err, p.end())
	}
	return addr, p.pid(), p.end, nil
}

// turn has one way produce into a topic of its own, in a process of its own, and holds what it says against what the topic has.
func (b *sinkBench) turn(ctx context.Context, addr string, broker int, way string, size int, topic string) (t turn, err error) {
	t = turn{size: size, way: way}
	p, err := startSelf(ctx, way, b.core, "producer", "-way", way, "-broker", addr, "-size", fmt.Sprint(size), "-topic", topic, "-dir", b.dir)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	if err := p.answer("being ready", nil); err != nil {
		return t, err
	}
	var warm produced
	if err := p.ask("produce "+b.warm.String(), &warm); err != nil {
		return t, err
	}
	before, err := cpuOf(broker)
	if err != nil {
		return t, err
	}
	if err := p.ask("finish "+b.window.String(), &t.produced); err != nil {
		return t, err
	}
	after, err := cpuOf(broker)
	t.brokerCPU = after - before
	if text := warm.Error + t.Error; err == nil && text != "" {
		err = errors.New(text)
	}
	if err != nil {
		return t, err
	}
	there, err := lengthOf(ctx, addr, topic)
	if err == nil && there != warm.Records+t.Records {
		err = fmt.Errorf("%d records acknowledged, and %d in the topic", warm.Records+t.Records, there)
	}
	return t, errors.Join(err, dropTopic(ctx, addr, topic))
}

// runProducer is the process of one way: it produces for as long as it is told, once or more and then for the last time, and says what that took.
func runProducer(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	var c producerConfig
	fs := flag.NewFlagSet("producer", flag.ContinueOnError)
	fs.StringVar(&c.way, "way", "", "how")
	fs.StringVar(&c.broker, "broker", "", "to whom")
	fs.StringVar(&c.topic, "topic", "", "into which topic")
	fs.StringVar(&c.dir, "dir", "", "folder for a spool")
	fs.IntVar(&c.size, "size", 0, "bytes of a value")
	profile := fs.String("profile", "", "keep a profile of its processor in this file")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if err := makeTopic(ctx, c.broker, c.topic); err != nil {
		return err
	}
	p, err := newProducer(ctx, &c)
	if err != nil {
		return err
	}
	out := json.NewEncoder(stdout)
	if err := out.Encode("ready"); err != nil {
		return err
	}
	values := valuesOf(c.size)
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return eachLine(stdin, func(line string) error {
		what, text, _ := strings.Cut(line, " ")
		d, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		flush := p.flush
		if what == "finish" {
			flush = p.finish
		}
		return out.Encode(produce(p, &c.sent, values, d, flush))
	})
}
