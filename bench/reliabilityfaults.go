package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
)

// fault is one thing that happens to a collector under load, or to its Kafka.
type fault struct {
	name string
	does func(b *reliability) string
	run  func(ctx context.Context, r *trial) error
}

// always says what a fault does that is the same in each run.
func always(text string) func(*reliability) string { return func(*reliability) string { return text } }

// faults in the order of their turns: those that leave the brokers as they are first.
var faults = []fault{
	{"leader", always("every partition of both lanes is given another leader, ten times, 2 s apart"), moveLeaders},
	{"acks", always("of 60 spans of 500 ms, 150 ms each: what the brokers answer is lost and the connections break"), cutAcks},
	{"latency", always("30 s of 300 ms latency; of what the brokers say, 1 in 100 pieces breaks its connection"), slowNetwork},
	{"kill", func(b *reliability) string {
		return fmt.Sprintf("kill -9 of the collector at %d random moments, every second one with its acknowledgements cut for 100 ms", b.kills)
	}, killAtRandom},
	{"term", func(b *reliability) string {
		return fmt.Sprintf("SIGTERM for the collector at %d random moments", b.terms)
	}, endAtRandom},
	{"disk", always("Kafka away for 45 s, and for 20 s of them something else fills the disk of the spool"), fillDisk},
	{"partitions", always("12 partitions become 24 under load, and 48 while 15 s of scrapes wait"), doublePartitions},
	{"recreate", always("both topics deleted under load and made again by the collector"), recreateTopics},
	{"quota", always("producer_byte_rate of half of what is sent, for 30 s"), throttle},
	{"clock-back", always("the collector's clock set back by two hours, and right again after 20 s"), setClock(-2 * time.Hour)},
	{"clock-forward", always("the collector's clock set forward by two hours, and right again after 20 s"), setClock(2 * time.Hour)},
	{"host", always("Kafka away for 20 s, then the collector's host lost; its spool sent from elsewhere: rollcall spool send"), loseHost},
	{"broker", always("one of three brokers killed, back after 20 s"), killBroker},
	{"down", func(b *reliability) string { return fmt.Sprintf("all brokers killed, back after %v", b.down) }, killKafka},
}

func faultNames() (names []string) {
	for _, f := range faults {
		names = append(names, f.name)
	}
	return names
}

// ended notes that the fault is over: when Kafka is whole and takes what is sent.
func (r *trial) ended(ctx context.Context) (err error) {
	whole, err := r.admin.whole(ctx, r.lanes()...)
	if err != nil {
		return err
	}
	if r.over, err = r.admin.taken(ctx); err == nil {
		if d := r.over.Sub(whole); d > time.Second {
			r.say("%s: Kafka was whole %.1f s before it took records", r.name, d.Seconds())
		}
	}
	return err
}

// span waits for as long as a fault lasts.
func (r *trial) span(ctx context.Context, d time.Duration) error {
	return sleep(ctx, time.Duration(float64(d)*r.scale))
}

// away has nobody reach Kafka for a while.
func (r *trial) away(ctx context.Context, d time.Duration) error {
	for _, p := range r.cluster.Proxies() {
		p.Down()
	}
	return r.span(ctx, d)
}

func (r *trial) back() {
	for _, p := range r.cluster.Proxies() {
		p.Up()
	}
}

func (r *trial) heal() {
	for _, p := range r.cluster.Proxies() {
		p.Heal()
	}
}

func moveLeaders(ctx context.Context, r *trial) error {
	if err := r.warm(ctx); err != nil {
		return err
	}
	moved := 0
	for range 10 {
		was, err := r.admin.leaders(ctx, r.topic("snapshots"))
		if err != nil {
			return err
		}
		for _, topic := range r.lanes() {
			if err := r.admin.moveLeaders(ctx, topic); err != nil {
				return err
			}
		}
		if err := r.span(ctx, 2*time.Second); err != nil {
			return err
		}
		is, err := r.admin.leaders(ctx, r.topic("snapshots"))
		if err != nil {
			return err
		}
		for i := range is {
			if is[i] != was[i] {
				moved++
			}
		}
	}
	r.say("%s: leaders moved %d times", r.name, moved)
	if moved < 60 {
		return fmt.Errorf("leaders moved only %d times", moved)
	}
	return r.ended(ctx)
}

func killBroker(ctx context.Context, r *trial) error {
	if err := r.warm(ctx); err != nil {
		return err
	}
	leaders, err := r.admin.leaders(ctx, r.topic("snapshots"))
	if err != nil {
		return err
	}
	victim := leaders[0]
	for _, k := range r.cluster.Nodes {
		if k.ID == victim {
			k.Kill()
		}
	}
	err = r.await(ctx, time.Minute, "the other two to lead", func() (bool, error) {
		leaders := []int{}
		for _, topic := range r.lanes() {
			of, err := r.admin.leaders(ctx, topic)
			if err != nil {
				return false, nil // it has none for a moment
			}
			leaders = append(leaders, of...)
		}
		return !slices.Contains(leaders, victim), nil
	})
	if err != nil {
		return err
	}
	if err := r.ended(ctx); err != nil {
		return err
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	if err := r.span(ctx, 20*time.Second); err != nil {
		return err
	}
	r.cluster.Start()
	return r.span(ctx, 5*time.Second)
}

func killKafka(ctx context.Context, r *trial) error {
	if err := r.warm(ctx); err != nil {
		return err
	}
	r.cluster.Kill()
	if err := r.span(ctx, r.down); err != nil {
		return err
	}
	whole := make(chan error, 1)
	go func() { whole <- r.ended(ctx) }() // Kafka may be whole before each broker has said that it is up
	r.cluster.Start()
	return <-whole
}

func cutAcks(ctx context.Context, r *trial) error {
	if err := r.warm(ctx); err != nil {
		return err
	}
	for range 60 {
		for _, p := range r.cluster.Proxies() {
			p.Mute()
		}
		if err := r.span(ctx, 150*time.Millisecond); err != nil {
			return err
		}
		r.heal()
		if err := r.span(ctx, 350*time.Millisecond); err != nil {
			return err
		}
	}
	resent, err := r.metric(ctx, "rollcall_sink_batches_resent_total")
	if err != nil {
		return err
	}
	if r.say("%s: %.0f batches were acknowledged at a later attempt", r.name, resent); resent == 0 {
		return errors.New("no acknowledgement was lost")
	}
	return r.ended(ctx)
}

func slowNetwork(ctx context.Context, r *trial) error {
	if err := r.warm(ctx); err != nil {
		return err
	}
	for _, p := range r.cluster.Proxies() {
		p.Latency(300 * time.Millisecond)
		p.Resets(0.01)
	}
	if err := r.span(ctx, 30*time.Second); err != nil {
		return err
	}
	r.heal()
	return r.ended(ctx)
}

func killAtRandom(ctx context.Context, r *trial) error {
	return r.lifeAfterLife(ctx, r.kills, func(i int) error {
		if i%2 == 1 {
			for _, p := range r.cluster.Proxies() {
				p.Mute()
			}
			if err := r.span(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			defer r.heal()
		}
		return r.end(syscall.SIGKILL)
	})
}

func endAtRandom(ctx context.Context, r *trial) error {
	return r.lifeAfterLife(ctx, r.terms, func(int) error { return r.end(syscall.SIGTERM) })
}

// lifeAfterLife ends the collector at random moments, and starts it again.
func (r *trial) lifeAfterLife(ctx context.Context, times int, end func(i int) error) error {
	if err := r.warm(ctx); err != nil {
		return err
	}
	for i := range times {
		if err := sleep(ctx, 300*time.Millisecond+rand.N(2200*time.Millisecond)); err != nil {
			return err
		}
		if err := end(i); err != nil {
			return err
		}
		if err := r.begin(ctx); err != nil {
			return err
		}
	}
	return r.ended(ctx)
}

// fillDisk has the spool on a small disk of its own.
func fillDisk(ctx context.Context, r *trial) error {
	if err := os.MkdirAll(r.spool, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("rollcall-spool", r.spool, "tmpfs", 0, "size=48m"); err != nil {
		return fmt.Errorf("a small disk for the spool needs root: mount tmpfs: %w", err)
	}
	r.onEnd(func(context.Context) error { return syscall.Unmount(r.spool, syscall.MNT_DETACH) })
	b, err := os.ReadFile(r.conf)
	if err == nil { // more than there is, so that the disk is the bound
		err = os.WriteFile(r.conf, []byte(strings.Replace(string(b), "spool: {", "spool: {max_bytes: 1GB, ", 1)), 0o600)
	}
	if err != nil {
		return err
	}
	if err := r.warm(ctx); err != nil {
		return err
	}
	if err := r.away(ctx, 15*time.Second); err != nil {
		return err
	}
	filler := filepath.Join(r.spool, "filler")
	f, err := os.Create(filler)
	if err != nil {
		return err
	}
	defer f.Close()
	for began := time.Now(); time.Since(began) < time.Duration(20*r.scale*float64(time.Second)); {
		if _, err := f.Write(make([]byte, 4<<10)); err != nil && !errors.Is(err, syscall.ENOSPC) {
			return err
		} else if err != nil {
			if err := r.span(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
	failing, err := r.metric(ctx, "rollcall_sink_spool_failing")
	if err != nil {
		return err
	}
	if failing != 1 {
		return errors.New("the disk was full, and the collector does not say so")
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	if err := errors.Join(f.Close(), r.span(ctx, 10*time.Second)); err != nil {
		return err
	}
	r.back()
	return r.ended(ctx)
}

func doublePartitions(ctx context.Context, r *trial) error {
	if err := r.warm(ctx); err != nil {
		return err
	}
	ps, err := r.admin.partitions(ctx, r.topic("snapshots"))
	if err != nil {
		return err
	}
	if err := r.admin.enlarge(ctx, r.topic("snapshots"), 2*len(ps)); err != nil {
		return err
	}
	if err := r.span(ctx, 20*time.Second); err != nil {
		return err
	}
	if err := r.away(ctx, 15*time.Second); err != nil {
		return err
	}
	if err := r.admin.enlarge(ctx, r.topic("snapshots"), 4*len(ps)); err != nil {
		return err
	}
	r.back()
	if err := r.ended(ctx); err != nil {
		return err
	}
	return r.await(ctx, 30*time.Second, "the collector to enlarge the backfill topic", func() (bool, error) {
		late, err := r.admin.partitions(ctx, r.topic("backfill"))
		return err == nil && len(late) == 4*len(ps), nil
	})
}

// recreateTopics holds the collector still until what it has delivered was read, for that goes with the topics; then they are deleted, and it goes on.
func recreateTopics(ctx context.Context, r *trial) error {
	if err := r.warm(ctx); err != nil {
		return err
	}
	if err := r.span(ctx, 5*time.Second); err != nil {
		return err
	}
	if err := r.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	defer r.cmd.Process.Signal(syscall.SIGCONT) // where the trial fails meanwhile
	if err := r.span(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	err := r.await(ctx, 10*time.Second, "all that was delivered to be read", func() (bool, error) { return r.reader.caughtUp(ctx) })
	if err == nil {
		err = r.reader.close()
	}
	if err != nil {
		return err
	}
	r.earlier = r.reader.seen()
	if err := r.admin.remove(ctx, r.lanes()...); err != nil {
		return err
	}
	if err := r.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	// Brokers may know a deleted topic for some moments.
	err = r.await(ctx, 30*time.Second, "the topics to be gone", func() (bool, error) {
		ends, err := endsOf(ctx, r.admin.client, r.lanes()[:1])
		sum := int64(0)
		for _, end := range ends {
			sum += end
		}
		_, missing := r.admin.partitions(ctx, r.lanes()[0])
		return errors.Is(missing, kafka.UnknownTopicOrPartition) || err == nil && missing == nil && sum < int64(len(r.earlier))/2, nil
	})
	if err != nil {
		return err
	}
	if err := r.ended(ctx); err != nil {
		return err
	}
	r.reader = follow(ctx, r.cluster.Brokers(), r.lanes()...)
	return nil
}

func throttle(ctx context.Context, r *trial) error {
	if err := r.warm(ctx); err != nil {
		return err
	}
	const packed = "rollcall_sink_batch_compressed_bytes_total"
	was, err := r.metric(ctx, packed)
	if err != nil {
		return err
	}
	if err := r.span(ctx, 5*time.Second); err != nil {
		return err
	}
	is, err := r.metric(ctx, packed)
	if err != nil {
		return err
	}
	rate := int((is - was) / 5 / float64(len(r.cluster.Nodes)) / 2)
	r.say("%s: %d bytes a second a broker", r.name, rate)
	if err := r.admin.quota(ctx, rate); err != nil {
		return err
	}
	r.onEnd(func(ctx context.Context) error { return r.admin.quota(ctx, 0) })
	if err := r.span(ctx, 30*time.Second); err != nil {
		return err
	}
	late, err := r.metric(ctx, "rollcall_sink_lane_oldest_seconds")
	if err != nil {
		return err
	}
	r.say("%s: the lanes are %.1f s behind", r.name, late)
	if err := r.admin.quota(ctx, 0); err != nil {
		return err
	}
	return r.ended(ctx)
}

func setClock(by time.Duration) func(context.Context, *trial) error {
	return func(ctx context.Context, r *trial) error {
		r.say("%s: building a collector whose clock can be set", r.name)
		c, err := newClock(ctx, r.folder)
		if err != nil {
			return err
		}
		r.onEnd(func(context.Context) error { return c.close() })
		r.program, r.env = c.program, []string{clockEnv + "=" + c.file}
		if err := r.warm(ctx); err != nil {
			return err
		}
		c.set(by)
		if err := r.span(ctx, 20*time.Second); err != nil {
			return err
		}
		off := 0
		for _, l := range r.reader.seen() {
			if d := l.came.Sub(time.UnixMilli(l.ts)); d.Abs() > time.Hour {
				off++
			}
		}
		r.say("%s: %d records have come that say it is another hour", r.name, off)
		c.set(0)
		return r.ended(ctx)
	}
}

func loseHost(ctx context.Context, r *trial) error {
	if err := r.warm(ctx); err != nil {
		return err
	}
	if err := r.away(ctx, 20*time.Second); err != nil {
		return err
	}
	if err := r.end(syscall.SIGKILL); err != nil {
		return err
	}
	elsewhere := filepath.Join(r.folder, "elsewhere")
	if err := os.Rename(r.spool, elsewhere); err != nil {
		return err
	}
	r.back()
	if err := r.ended(ctx); err != nil {
		return err
	}
	r.still = true
	send := exec.CommandContext(ctx, r.reliability.program, "spool", "send", "--path="+elsewhere, "--config.file="+r.conf, "--kafka="+strings.Join(r.cluster.Brokers(), ","))
	out, err := send.CombinedOutput()
	r.say("%s: %s", r.name, strings.TrimSpace(string(out)))
	r.drained = time.Since(r.over)
	if err != nil {
		return fmt.Errorf("send the spool: %w", err)
	}
	return nil
}
