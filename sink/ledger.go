package sink

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Lane is one of the two ways to Kafka.
type Lane uint8

// The lanes.
const (
	Live     Lane = iota // what is fresh
	Backfill             // what was late: the live lane never waits for it
	NumLanes
)

func (l Lane) String() string {
	if l == Live {
		return "live"
	}
	return "backfill"
}

// The reasons for which what was scraped is dropped. A sink adds "refused_…" for what the broker refused for good.
const (
	DroppedBudget   = "budget"           // over the memory budget: the oldest that was never attempted
	DroppedShutdown = "shutdown"         // never attempted when the time to drain ended
	DroppedUnclear  = "shutdown_unclear" // attempted, but not answered when the time to drain ended: it may be in the topic
	DroppedOversize = "oversize"         // no record holds it
	DroppedClosed   = "closed"           // put after the sink had ended
	DroppedTopic    = "unknown_topic"    // published to a topic that is none of ours
	DroppedDamaged  = "spool_damaged"    // what the disk gave back was not what was written
	DroppedAside    = "aside_budget"     // set aside, and then too many were
)

// DroppedReasons are all of these.
var DroppedReasons = [...]string{DroppedBudget, DroppedShutdown, DroppedUnclear, DroppedOversize, DroppedClosed, DroppedTopic, DroppedDamaged, DroppedAside}

// Ledger accounts for every snapshot of one start, by service and lane, at every instant:
//
//	scraped + inherited = in memory + spooled + acknowledged + set aside + dropped
//
// where inherited is what earlier starts left on disk, as far as that has been looked through: it is complete some moments after the start;
// and for every record of the other topics likewise. It is safe for concurrent use.
type Ledger struct {
	id    Identity
	began time.Time

	mu       sync.Mutex
	services map[serviceKey]*Account
	topics   map[string]*Account
	losses   []Loss
	unlisted uint64 // dropped in losses that are no longer listed
	unclean  *Unclean
}

type serviceKey struct{ service, env string }

// Account is one service's, or one other topic's, part of the ledger. Its numbers are read by Report only.
type Account struct {
	key       string
	scraped   uint64
	inherited uint64
	memory    uint64
	spooled   uint64
	acked     [NumLanes]uint64
	aside     map[string]uint64 // by reason
	dropped   map[string]uint64
}

// Key is the key of the service's records in Kafka, or the other topic's name.
func (a *Account) Key() string { return a.key }

// Count says how many snapshots or records of an account a batch holds.
type Count struct {
	Account *Account
	N       uint64
	Disk    bool // the batch is on disk
}

// leave takes a count out of where it waits.
func (c Count) leave() {
	if c.Disk {
		c.Account.spooled -= c.N
	} else {
		c.Account.memory -= c.N
	}
}

// Loss is a run of sequences of one partition that will not be in the topic, or of drops without a sequence. Times are Unix milliseconds.
type Loss struct {
	At        int64             `json:"at"` // when it was decided, last
	Reason    string            `json:"reason"`
	Topic     string            `json:"topic,omitempty"` // of records that are no snapshots
	Start     uint64            `json:"start,omitempty"` // that gave the sequences, where it is not the ledger's own
	Partition int32             `json:"partition"`       // -1 where no sequence was given
	First     uint64            `json:"first,omitempty"` // sequences
	Last      uint64            `json:"last,omitempty"`
	Oldest    int64             `json:"oldest,omitempty"` // scrape times
	Newest    int64             `json:"newest,omitempty"`
	N         uint64            `json:"n"`                  // snapshots or records
	Services  map[string]uint64 `json:"services,omitempty"` // by record key
}

// Unclean says that the start before this one did not end in order.
type Unclean struct {
	Start uint64 `json:"start"`
	Saved int64  `json:"saved"` // its last sign of life, Unix milliseconds: it gave one every second
	// Unrecorded is how many milliseconds before its end what was scraped may be lost, unrecorded: what it had not yet written to disk. 0: it had no
	// disk, and all that was not acknowledged is lost.
	Unrecorded int64 `json:"unrecorded_ms,omitempty"`
	PowerLoss  bool  `json:"power_loss,omitempty"` // the machine went down with it: what was written but not synced may be lost, too
}

const maxLosses = 1000 // listed; older ones are in the sums only

// NewLedger begins the ledger of one start.
func NewLedger(id Identity, now time.Time) *Ledger {
	return &Ledger{id: id, began: now, services: map[serviceKey]*Account{}, topics: map[string]*Account{}}
}

// Identity is the start that the ledger accounts for.
func (l *Ledger) Identity() Identity { return l.id }

// MarkUnclean notes how the start before ended.
func (l *Ledger) MarkUnclean(u Unclean) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unclean = &u
}

// Scraped takes one snapshot in: it is in memory from now on.
func (l *Ledger) Scraped(service, env string) *Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.service(service, env)
	a.scraped++
	a.memory++
	return a
}

func (l *Ledger) service(service, env string) *Account {
	k := serviceKey{service, env}
	a := l.services[k]
	if a == nil {
		k = serviceKey{strings.Clone(service), strings.Clone(env)}
		a = &Account{key: Key(k.service, k.env)}
		l.services[k] = a
	}
	return a
}

// Service is the account of a service by the key of its records, whether or not anything of it was scraped.
func (l *Ledger) Service(key string) *Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := max(0, strings.LastIndexByte(key, '/'))
	return l.service(key[:i], strings.TrimPrefix(key[i:], "/"))
}

// Topic is the account of another topic.
func (l *Ledger) Topic(topic string) *Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.topic(topic)
}

func (l *Ledger) topic(topic string) *Account {
	a := l.topics[topic]
	if a == nil {
		a = &Account{key: strings.Clone(topic)}
		l.topics[a.key] = a
	}
	return a
}

// Published takes one record of another topic in.
func (l *Ledger) Published(topic string) *Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.topic(topic)
	a.scraped++
	a.memory++
	return a
}

// Inherited takes in what an earlier start left on disk.
func (l *Ledger) Inherited(counts ...Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range counts {
		c.Account.inherited += c.N
		c.Account.spooled += c.N
	}
}

// InheritedAside takes in what an earlier start set aside.
func (l *Ledger) InheritedAside(reason string, counts ...Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range counts {
		c.Account.inherited += c.N
		c.Account.putAside(reason, c.N)
	}
}

func (a *Account) putAside(reason string, n uint64) {
	if a.aside == nil {
		a.aside = map[string]uint64{}
	}
	a.aside[reason] += n
}

// Spooled moves counts from memory to disk and says so in them.
func (l *Ledger) Spooled(counts []Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range counts {
		c := &counts[i]
		c.leave()
		c.Account.spooled += c.N
		c.Disk = true
	}
}

// SetAside moves counts from where they wait to what was set aside, for a reason.
func (l *Ledger) SetAside(reason string, counts ...Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range counts {
		c.leave()
		c.Account.putAside(reason, c.N)
	}
}

// Unaside moves counts that were set aside for a reason back to disk, where they wait to be dropped.
func (l *Ledger) Unaside(reason string, counts ...Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range counts {
		if c.Account.aside[reason] -= c.N; c.Account.aside[reason] == 0 {
			delete(c.Account.aside, reason)
		}
		c.Account.spooled += c.N
	}
}

// Acknowledged moves counts from where they wait to acknowledged.
func (l *Ledger) Acknowledged(lane Lane, counts ...Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range counts {
		c.leave()
		c.Account.acked[lane] += c.N
	}
}

// Dropped moves counts from where they wait to dropped and lists the loss; its N and Services are filled in. A loss that continues the last one listed
// of its partition joins it, so that an outage of hours is one line a partition.
func (l *Ledger) Dropped(loss Loss, counts ...Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	loss.N, loss.Services = 0, map[string]uint64{}
	for _, c := range counts {
		c.leave()
		if c.Account.dropped == nil {
			c.Account.dropped = map[string]uint64{}
		}
		c.Account.dropped[loss.Reason] += c.N
		loss.N += c.N
		if loss.Topic == "" {
			loss.Services[c.Account.key] += c.N
		}
	}
	for i := len(l.losses) - 1; i >= 0; i-- {
		o := &l.losses[i]
		if o.Reason != loss.Reason || o.Partition != loss.Partition || o.Start != loss.Start || o.Topic != loss.Topic {
			continue
		}
		if loss.First != 0 && o.Last+1 != loss.First {
			break
		}
		o.join(loss)
		return
	}
	if len(l.losses) == maxLosses {
		l.unlisted += l.losses[0].N
		l.losses = slices.Delete(l.losses, 0, 1)
	}
	l.losses = append(l.losses, loss)
}

func (o *Loss) join(n Loss) {
	o.At, o.N = n.At, o.N+n.N
	if n.First != 0 {
		o.Last = n.Last
	}
	if n.Oldest != 0 && (o.Oldest == 0 || n.Oldest < o.Oldest) {
		o.Oldest = n.Oldest
	}
	o.Newest = max(o.Newest, n.Newest)
	for k, v := range n.Services {
		o.Services[k] += v
	}
}

// Sums are the numbers of an account, or of several.
type Sums struct {
	Scraped      uint64            `json:"scraped"`
	Inherited    uint64            `json:"inherited,omitempty"` // what earlier starts left on disk
	InMemory     uint64            `json:"in_memory"`
	Spooled      uint64            `json:"spooled,omitempty"` // on disk
	Acknowledged uint64            `json:"acknowledged"`
	Lanes        map[string]uint64 `json:"lanes,omitempty"` // acknowledged, by lane
	SetAside     uint64            `json:"set_aside,omitempty"`
	Aside        map[string]uint64 `json:"set_aside_reasons,omitempty"` // set aside, by reason
	Dropped      uint64            `json:"dropped"`
	Reasons      map[string]uint64 `json:"reasons,omitempty"` // dropped, by reason
}

func (s *Sums) add(a *Account) {
	s.Scraped += a.scraped
	s.Inherited += a.inherited
	s.InMemory += a.memory
	s.Spooled += a.spooled
	for reason, n := range a.aside {
		if s.Aside == nil {
			s.Aside = map[string]uint64{}
		}
		s.SetAside += n
		s.Aside[reason] += n
	}
	for lane, n := range a.acked {
		if n > 0 {
			if s.Lanes == nil {
				s.Lanes = map[string]uint64{}
			}
			s.Acknowledged += n
			s.Lanes[Lane(lane).String()] += n
		}
	}
	for reason, n := range a.dropped {
		if s.Reasons == nil {
			s.Reasons = map[string]uint64{}
		}
		s.Dropped += n
		s.Reasons[reason] += n
	}
}

// Balanced reports whether nothing is unaccounted for.
func (s Sums) Balanced() bool {
	return s.Scraped+s.Inherited == s.Waiting()+s.Acknowledged+s.SetAside+s.Dropped
}

// Waiting is what is to be delivered yet, in memory or on disk.
func (s Sums) Waiting() uint64 { return s.InMemory + s.Spooled }

// ServiceSums are the sums of one service.
type ServiceSums struct {
	Service string `json:"service"`
	Env     string `json:"env"`
	Sums
}

// TopicSums are the sums of one other topic; "scraped" counts what was published.
type TopicSums struct {
	Topic string `json:"topic"`
	Sums
}

// Report is the ledger at one instant, as /api/v1/ledger serves it. Times are Unix milliseconds.
type Report struct {
	Collector string        `json:"collector"`
	Start     uint64        `json:"start"`
	Began     int64         `json:"began"`
	AsOf      int64         `json:"as_of"`
	Unclean   *Unclean      `json:"unclean,omitempty"` // the start before ended without order
	Total     Sums          `json:"total"`
	Services  []ServiceSums `json:"services"`
	Topics    []TopicSums   `json:"topics"`
	Losses    []Loss        `json:"losses"`          // oldest first
	Unlisted  uint64        `json:"unlisted_losses"` // snapshots and records of losses too many to list
}

// Report takes the ledger at this instant: all its numbers belong together.
func (l *Ledger) Report(now time.Time) Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Report{Collector: l.id.Hex(), Start: l.id.Start, Began: l.began.UnixMilli(), AsOf: now.UnixMilli(), Unclean: l.unclean, Unlisted: l.unlisted,
		Services: make([]ServiceSums, 0, len(l.services)), Topics: make([]TopicSums, 0, len(l.topics)), Losses: make([]Loss, 0, len(l.losses))}
	for k, a := range l.services {
		s := ServiceSums{Service: k.service, Env: k.env}
		s.add(a)
		r.Total.add(a)
		r.Services = append(r.Services, s)
	}
	for topic, a := range l.topics {
		s := TopicSums{Topic: topic}
		s.add(a)
		r.Topics = append(r.Topics, s)
	}
	for _, o := range l.losses {
		o.Services = maps.Clone(o.Services)
		r.Losses = append(r.Losses, o)
	}
	slices.SortFunc(r.Services, func(a, b ServiceSums) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Env, b.Env))
	})
	slices.SortFunc(r.Topics, func(a, b TopicSums) int { return strings.Compare(a.Topic, b.Topic) })
	return r
}
