package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/internal/fetch"
)

// watcher follows the cluster: which partitions there are, where they end, and whether anybody answers.
type watcher struct {
	f       *Feed
	topics  []string
	client  *kafka.Client
	records *fetch.Client
	behind  map[partition]int // looks in a row at which a partition ended before where we are
}

// run looks at the cluster until ctx ends, starts a reader for every partition that appears, and stops them all.
func (w *watcher) run(ctx context.Context, wg *sync.WaitGroup) {
	w.behind = map[partition]int{}
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		pause := lookEvery
		if err := w.look(ctx, wg); err != nil && ctx.Err() == nil {
			w.f.unreachable(time.Now(), err)
			pause = lookEvery / 4
		} else if err == nil {
			w.f.reachable(time.Now())
		}
		if w.f.cfg.Owns != nil {
			pause = min(pause, lookEvery/4) // whose is whose may have changed
		}
		if w.f.waiting() {
			pause = lookEvery / 10 // topics are about to be made
		}
		t.Reset(pause)
	}
}

// look asks for the partitions and their ends.
func (w *watcher) look(ctx context.Context, wg *sync.WaitGroup) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	md, err := w.client.Metadata(ctx, &kafka.MetadataRequest{Topics: w.topics})
	if err != nil {
		return err
	}
	if w.f.Partitions() == 0 {
		for _, t := range md.Topics { // whose partitions are whose hangs on how many there are
			if t.Name == w.f.cfg.Snapshots && t.Error == nil {
				w.f.count.Store(int64(len(t.Partitions)))
			}
		}
	}
	missing := ""
	ask := map[string][]kafka.OffsetRequest{}
	fresh := map[partition]bool{}
	read := map[partition]int64{} // how far each reader is before the ends are asked for: readers go on while the answer is on its way
	for _, t := range md.Topics {
		if t.Error != nil || len(t.Partitions) == 0 {
			if t.Error != nil && !w.f.optional(t.Name) && !errors.Is(t.Error, kafka.UnknownTopicOrPartition) && !errors.Is(t.Error, kafka.LeaderNotAvailable) {
				return fmt.Errorf("topic %q: %w", t.Name, t.Error)
			}
			if !w.f.optional(t.Name) {
				missing = t.Name
			}
			continue
		}
		if t.Name == w.f.cfg.Snapshots {
			w.f.count.Store(int64(len(t.Partitions)))
		}
		for _, p := range t.Partitions {
			key := partition{t.Name, p.ID}
			if !w.owns(key) {
				w.leave(key)
				continue
			}
			ask[t.Name] = append(ask[t.Name], kafka.LastOffsetOf(p.ID))
			if r := w.f.reader(key); r != nil {
				read[key] = r.next.Load()
			} else {
				fresh[key] = true
				ask[t.Name] = append(ask[t.Name], kafka.FirstOffsetOf(p.ID), kafka.TimeOffsetOf(p.ID, w.from(t.Name)))
			}
		}
	}
	w.f.missing(missing)
	if len(ask) == 0 {
		return nil
	}
	offsets, err := w.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: ask})
	if err != nil {
		return err
	}
	for topic, ps := range offsets.Topics {
		for _, o := range ps {
			key := partition{topic, o.Partition}
			if o.Error != nil {
				if errors.Is(o.Error, kafka.UnknownTopicOrPartition) || errors.Is(o.Error, kafka.LeaderNotAvailable) || errors.Is(o.Error, kafka.NotLeaderForPartition) {
					continue // the next look knows more
				}
				return fmt.Errorf("ask for the end of %s/%d: %w", topic, o.Partition, o.Error)
			}
			if fresh[key] {
				from := start(o)
				r := w.start(ctx, wg, key, from, o.LastOffset)
				wg.Go(func() { w.fill(r.ctx, r, from) })
				continue
			}
			w.check(ctx, wg, key, read[key], o.LastOffset)
		}
	}
	return nil
}

// owns reports whether a partition is this process's to read.
func (w *watcher) owns(p partition) bool {
	if w.f.cfg.Owns == nil || p.topic != w.f.cfg.Snapshots && p.topic != w.f.cfg.Backfill {
		return true
	}
	return w.f.Partitions() > 0 && w.f.cfg.Owns(p.n, w.f.Partitions())
}

// leave stops reading a partition that is another's now.
func (w *watcher) leave(p partition) {
	r := w.f.reader(p)
	if r == nil {
		return
	}
	r.cancel()
	<-r.done
	w.f.forget(p)
	if p.topic == w.f.cfg.Snapshots {
		w.f.cfg.Board.Forget(int32(p.n))
		w.f.cfg.Log.Info("a partition is another's now", "partition", p.n)
	}
}

// optional reports the topics that nobody waits for.
func (f *Feed) optional(topic string) bool { return topic == f.cfg.Findings || topic == f.cfg.Rollups }

// from is the time at which reading a topic begins.
func (w *watcher) from(topic string) time.Time {
	back := w.f.cfg.Window
	switch topic {
	case w.f.cfg.Roster:
		back = max(back, rosterBack)
	case w.f.cfg.Findings:
		back = max(back, notesBack)
	default:
		back = w.f.steps(topic)[0]
	}
	return time.Now().Add(-back)
}

// start is where to begin: the first record of that time or after; where there is none, the end.
func start(o kafka.PartitionOffsets) int64 {
	from := o.LastOffset
	for offset := range o.Offsets {
		if offset >= 0 {
			from = min(from, offset)
		}
	}
	return max(from, o.FirstOffset, 0)
}

// check restarts a reader whose partition ended before where it stood when the end was asked for: the topic was made anew.
func (w *watcher) check(ctx context.Context, wg *sync.WaitGroup, p partition, read, end int64) {
	r := w.f.reader(p)
	if r == nil {
		return
	}
	if end >= read {
		r.end.Store(end)
		w.behind[p] = 0
		return
	}
	if w.behind[p]++; w.behind[p] < 3 {
		return
	}
	w.behind[p] = 0
	w.f.cfg.Log.Warn("the partition ends before what was read: it was made anew, and is read from its beginning", "topic", p.topic, "partition", p.n, "end", end, "read", read)
	w.f.restarts.Inc()
	r.cancel()
	<-r.done
	w.f.forget(p)
	w.start(ctx, wg, p, 0, end)
}

// start runs a reader of a partition. It lives as long as the feed, not as the look that found it.
func (w *watcher) start(ctx context.Context, wg *sync.WaitGroup, p partition, from, end int64) *reader {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &reader{f: w.f, p: p, ctx: ctx, cancel: cancel, done: make(chan struct{}), goal: end, begun: time.Now()}
	r.next.Store(from)
	r.end.Store(end)
	w.f.mu.Lock()
	w.f.readers[p] = r
	if w.f.cfg.Owns != nil && p.topic == w.f.cfg.Snapshots && w.f.state.told.State == dashboards.FeedLive {
		w.f.state.taking = true // nothing is judged before it is read
	}
	w.f.mu.Unlock()
	wg.Go(func() { r.run(ctx, w, from) })
	return r
}

func (f *Feed) reader(p partition) *reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readers[p]
}

func (f *Feed) forget(p partition) {
	f.mu.Lock()
	delete(f.readers, p)
	f.mu.Unlock()
}

// state is what is known of the way to the brokers.
type state struct {
	answered time.Time // when the cluster last answered
	failing  time.Time // since when it does not; zero: it does
	err      error
	missing  string // a topic that is not there
	looked   bool
	taking   bool      // partitions were taken over and are not read yet
	silent   time.Time // since when it has waited for the first record that is not history
	told     dashboards.Feed
}

func (f *Feed) reachable(now time.Time) {
	f.mu.Lock()
	f.state.answered, f.state.failing, f.state.err, f.state.looked = now, time.Time{}, nil, true
	f.mu.Unlock()
}

func (f *Feed) unreachable(now time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.failing.IsZero() {
		f.state.failing = now
	}
	f.state.err = err
}

func (f *Feed) missing(topic string) {
	f.mu.Lock()
	f.state.missing = topic
	f.mu.Unlock()
}

// waiting reports that topics are not there yet.
func (f *Feed) waiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.missing != ""
}

const (
	stateEvery = 250 * time.Millisecond
	// unreachableFor is how long the cluster may be silent before it is called dead: a leader's move takes less.
	unreachableFor = 3 * time.Second
	leastSilence   = 3 * time.Second
)

// watchState tells the Board how the feed is until ctx ends.
func (f *Feed) watchState(ctx context.Context) {
	t := time.NewTicker(stateEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			s, why := f.judge(now)
			f.tell(now, s, why)
		}
	}
}

// stop ends all readers.
func (f *Feed) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.readers {
		r.cancel()
	}
}

// judge says how the feed is.
func (f *Feed) judge(now time.Time) (dashboards.FeedState, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := &f.state
	if !st.failing.IsZero() && now.Sub(st.failing) > unreachableFor {
		return dashboards.FeedDead, fmt.Sprintf("Kafka at %s does not answer: %v", f.cfg.Brokers[0], st.err)
	}
	switch {
	case !st.looked && st.err != nil:
		return dashboards.FeedConnecting, fmt.Sprintf("Kafka at %s does not answer yet: %v", f.cfg.Brokers[0], st.err)
	case !st.looked:
		return dashboards.FeedConnecting, ""
	case st.missing != "":
		return dashboards.FeedConnecting, fmt.Sprintf("topic %s is not there yet; a collector makes it", st.missing)
	}
	read, all := 0, 0
	var lag int64
	for _, r := range f.readers {
		if r.p.topic == f.cfg.Backfill || r.p.topic == f.cfg.Rollups {
			continue // the present does not wait for the past
		}
		if all++; r.caughtUp() {
			read++
		}
		lag += max(r.end.Load()-r.next.Load(), 0)
	}
	if st.taking {
		if read < all {
			return dashboards.FeedConnecting, "partitions are being taken over"
		}
		st.taking = false
	}
	if read < all && st.told.State != dashboards.FeedLive && st.told.State != dashboards.FeedDead {
		return dashboards.FeedConnecting, ""
	}
	if was := st.told; was.State != dashboards.FeedLive && lag > 0 {
		// Some partitions are read before others: what those hold must not look like silence.
		why := fmt.Sprintf("%d records are there and not read yet", lag)
		if was.State != dashboards.FeedDead && was.Error == "" {
			why = "" // a beginning is no trouble
		}
		return dashboards.FeedConnecting, why
	}
	expected, interval := f.cfg.Board.Pulse() // of one's own services
	if expected == 0 {
		return dashboards.FeedLive, "" // nobody is there to hear of
	}
	newest := time.UnixMilli(f.seen.Load())
	if f.seen.Load() == 0 {
		// Only history so far: the silence counts from when it was read.
		newest = f.silent(now)
	}
	quiet := now.Sub(newest)
	switch {
	case quiet <= max(3*interval, leastSilence):
		return dashboards.FeedLive, ""
	case st.err != nil:
		return dashboards.FeedDead, fmt.Sprintf("Kafka at %s does not answer: %v", f.cfg.Brokers[0], st.err)
	case lag > 0:
		return dashboards.FeedConnecting, fmt.Sprintf("%d records are there and not read yet", lag)
	}
	return dashboards.FeedDead, fmt.Sprintf("no snapshot has come for %d s although %s expected; Kafka answers, so the collector is away or cannot deliver",
		int(quiet.Seconds()), instances(expected))
}

func instances(n int) string {
	if n == 1 {
		return "1 instance is"
	}
	return fmt.Sprintf("%d instances are", n)
}

// silent is since when the feed has been waiting for its first live record. The caller holds the lock.
func (f *Feed) silent(now time.Time) time.Time {
	if f.state.silent.IsZero() {
		f.state.silent = now
	}
	return f.state.silent
}

// tell gives the Board the state, with the time at which it began. For a dead feed that is the time of its newest snapshot.
func (f *Feed) tell(now time.Time, s dashboards.FeedState, why string) {
	f.mu.Lock()
	told := &f.state.told
	if told.State != s {
		old := told.State
		told.Since = now.UnixMilli()
		if n := f.scraped.Load(); s == dashboards.FeedDead && n > 0 && n < told.Since {
			told.Since = n
		}
		told.State = s
		if old != "" {
			f.cfg.Log.Info("feed changed", "from", old, "to", s, "why", why)
		}
	}
	told.Error = why
	told.History, told.Filling, told.Note = f.history(now)
	out := *told
	f.mu.Unlock()
	f.cfg.Board.SetFeed(out)
}
