package collect

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// listed is an http_sd source, and what of its list the others of the group are told. Each collector asks for itself, so the configuration does not say that two of
// them have the same list: an instance that only one has, and that is another's to pull, would be pulled by nobody. So the list counts in the job's digest; but
// only one that has stood for a while, for collectors hear of a change at different moments, and would part over each. Where it never stands, that it moves is what
// they have in common.
type listed struct {
	discovery.Source
	settle time.Duration // how long a list must stand: two rounds of asking
	news   chan struct{} // has a value when the first list is there

	mu      sync.Mutex
	sets    map[string]uint64 // sums of members, by path
	has     string            // of now
	since   time.Time         // when it came to be so
	told    string
	differs time.Time // since when it is not what is told; zero: it is
}

// moves is told of a list that does not stand for so long.
const (
	moves      = "moves"
	movesAfter = 10 * time.Minute
)

func newListed(s discovery.Source, every time.Duration, news chan struct{}) *listed {
	return &listed{Source: s, settle: max(2*every, 10*time.Second), news: news, sets: map[string]uint64{}}
}

// Run passes on what the source says.
func (l *listed) Run(ctx context.Context, out *discovery.Latest) error {
	box := discovery.NewLatest()
	done := make(chan error, 1)
	go func() { done <- l.Source.Run(ctx, box) }()
	for {
		select {
		case err := <-done:
			return err
		case <-box.Ready():
			sets, views := box.Take()
			l.note(sets, views, time.Now())
			for _, s := range sets {
				out.PutSet(s)
			}
			for _, v := range views {
				out.PutView(v)
			}
		}
	}
}

func (l *listed) note(sets []discovery.Set, views []discovery.View, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range sets {
		l.sets[s.Path] = sumOf(s.Members)
	}
	for _, v := range views {
		if v.Complete {
			there := map[string]uint64{}
			for _, p := range v.Paths {
				there[p] = l.sets[p]
			}
			l.sets = there
		}
	}
	var all uint64
	for _, sum := range l.sets {
		all += sum
	}
	if is := fmt.Sprintf("%016x", all); is != l.has && len(sets)+len(views) > 0 {
		l.has, l.since = is, now
	}
	if l.told == "" && len(sets) > 0 {
		l.told = l.has
		select {
		case l.news <- struct{}{}:
		default:
		}
	}
}

// digest is what the others are told; empty: there was no list yet.
func (l *listed) digest(now time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.told == "":
	case l.has == l.told:
		l.differs = time.Time{}
	case now.Sub(l.since) >= l.settle:
		l.told, l.differs = l.has, time.Time{}
	case l.differs.IsZero():
		l.differs = now
	case now.Sub(l.differs) >= movesAfter:
		l.told = moves
	}
	return l.told
}

// sumOf is the same for the same members, in whatever order.
func sumOf(members []*discovery.Member) (sum uint64) {
	for _, m := range members {
		h := fnv.New64a()
		io.WriteString(h, m.Key.String()+"\x00"+m.Scheme+"\x00"+m.StatsPath)
		for n, v := range m.Tags.All() {
			io.WriteString(h, "\x00"+n+"\x00"+v)
		}
		sum += h.Sum64() | 1
	}
	return sum
}
