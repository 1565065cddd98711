package tag

import (
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/enrich/geo"
)

// action is what is done with a series.
type action uint8

const (
	keep   action = iota // it goes on as it is
	rename               // under another name, with other labels
	add                  // into a sum
	refuse               // under a rule that sums, but it cannot be summed: a gauge, a distribution, a text
	drop                 // metric_relabel_configs drop it
)

// def is one series as an application writes it, and what becomes of it. All instances of a service that have it share it, so it never changes.
type def struct {
	hash    uint64
	name    string
	labels  []collector.LabelPair
	kind    collector.Kind // Counter stands for Untyped, too: a number of which it turns out later that it is a counter is the same series
	do      action
	counter bool    // an untyped number is a counter
	tells   bool    // of a version, a track or a start
	quick   bool    // nothing is to be done at all
	out     *output // of rename and add
	unique  uint32  // of what goes on the wire, for the limits of series

	// Guarded by the service.
	refs int32
	day  int32 // the last on which the service counted it; 0: never
	next *def  // of the same hash
}

// output is what goes on the wire instead.
type output struct {
	name   string
	labels []collector.LabelPair
	hash   uint64
	key    string // in book.outputs; "" of those that nobody shares
	refs   int32  // guarded by the service
}

// is reports whether a sample is of this series. It is short, so that it is inlined.
func (d *def) is(s *collector.Sample) bool {
	return s.Name == d.name && max(s.Kind, collector.Counter) == d.kind && len(s.Labels) == len(d.labels) && (len(d.labels) == 0 || sameLabels(s.Labels, d.labels))
}

func sameLabels(a, b []collector.LabelPair) bool {
	for i := range a {
		if a[i].Value != b[i].Value || a[i].Name != b[i].Name {
			return false
		}
	}
	return true
}

func labelBytes(ls []collector.LabelPair) (n int) {
	for i := range ls {
		n += 32 + len(ls[i].Name) + len(ls[i].Value)
	}
	return n
}

// bytes is roughly what a def takes, with its entry in the book.
func (d *def) bytes() int64 {
	n := 160 + len(d.name) + labelBytes(d.labels)
	if d.do == rename {
		n += 80 + len(d.out.name) + labelBytes(d.out.labels)
	}
	return int64(n)
}

func (o *output) bytes() int64 { return int64(160 + 2*len(o.name) + 2*labelBytes(o.labels)) }

// hashSample tells series apart, with a random seed.
func hashSample(seed maphash.Seed, s *collector.Sample) uint64 {
	return hashSeries(seed, s.Name, s.Labels) + uint64(max(s.Kind, collector.Counter))
}

func hashSeries(seed maphash.Seed, name string, labels []collector.LabelPair) uint64 {
	h := maphash.String(seed, name)
	for i := range labels {
		h = (h ^ maphash.String(seed, labels[i].Name)) * 0x9E3779B97F4A7C15
		h = (h<<31 | h>>33) ^ maphash.String(seed, labels[i].Value)
	}
	return h
}

// service is a service in an environment, as one scrape job pulls it: the series that its instances share, and which of them it had today.
type service struct {
	id   serviceID
	text string // for people: with its environment

	mu    sync.Mutex
	books map[bookID]*book
	users int // instances; guarded by the library
	day   int32
	seen  set32
}

type serviceID struct{ source, service, env string }

// book holds what becomes of each series under one set of rules and databases, for instances that the rules cannot tell apart.
type book struct {
	of      *service
	id      bookID
	plan    *plan
	target  []collector.LabelPair // of the instances, as far as rules ask
	salt    uint64                // parts its series from those of other books
	defs    map[uint64]*def
	outputs map[string]*output
	users   int
}

// bookID is what the fate of a series follows from, beside the series.
type bookID struct {
	digest string // of the rules
	target string // the labels of the target that rules ask for
	places uint64 // generation of the databases, where rules ask them
	db     *geo.DB
}

// library has all services.
type library struct {
	mu       sync.Mutex
	services map[serviceID]*service
}

// book opens one for an instance, which gives it back with close.
func (l *library) open(k discovery.Key, source string, id bookID, p *plan, target []collector.LabelPair) *book {
	l.mu.Lock()
	defer l.mu.Unlock()
	sid := serviceID{source, k.Service, k.Env}
	svc := l.services[sid]
	if svc == nil {
		svc = &service{id: sid, text: k.Service + "/" + k.Env, books: map[bookID]*book{}}
		l.services[sid] = svc
	}
	svc.users++
	svc.mu.Lock()
	defer svc.mu.Unlock()
	b := svc.books[id]
	if b == nil {
		b = &book{of: svc, id: id, plan: p, target: target, salt: rand.Uint64(), defs: map[uint64]*def{}, outputs: map[string]*output{}}
		svc.books[id] = b
	}
	b.users++
	return b
}

// close gives a book back; free is told of the memory that goes with the service.
func (l *library) close(b *book, free func(int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	svc := b.of
	svc.mu.Lock()
	if b.users--; b.users == 0 {
		delete(svc.books, b.id)
	}
	svc.mu.Unlock()
	if svc.users--; svc.users == 0 {
		delete(l.services, svc.id)
		free(svc.seen.bytes())
	}
}

// find is the def of a sample, or nil.
func (b *book) find(h uint64, s *collector.Sample) *def {
	d := b.defs[h]
	for d != nil && !d.is(s) {
		d = d.next
	}
	return d
}

// define makes the def of a sample that the book does not have, and does not put it in. With it come texts of its own; like is a neighbour that may share them.
func (b *book) define(seed maphash.Seed, h uint64, s *collector.Sample, like *def) *def {
	f := b.plan.fate(s, b.target, b.id.db)
	d := &def{hash: h, kind: max(s.Kind, collector.Counter), do: f.do, counter: f.counter, tells: tells(s)}
	if like != nil && like.name == s.Name {
		d.name = like.name
	} else {
		d.name = strings.Clone(s.Name)
	}
	if len(s.Labels) > 0 {
		d.labels = make([]collector.LabelPair, len(s.Labels))
		for i, l := range s.Labels {
			if like != nil && i < len(like.labels) && like.labels[i].Name == l.Name {
				d.labels[i].Name = like.labels[i].Name
				if like.labels[i].Value == l.Value {
					d.labels[i].Value = like.labels[i].Value
					continue
				}
			} else {
				d.labels[i].Name = strings.Clone(l.Name)
			}
			d.labels[i].Value = strings.Clone(l.Value)
		}
	}
	switch d.do {
	case keep:
		d.quick = !d.tells
		d.unique = unique(h-uint64(d.kind), d.kind)
	case rename:
		d.out = &output{name: f.name, labels: f.labels}
		d.unique = unique(hashSeries(seed, f.name, f.labels), d.kind)
	case add:
		d.out = b.output(seed, f)
		d.unique = unique(d.out.hash, collector.Delta)
	}
	return d
}

// unique tells apart what goes on the wire.
func unique(h uint64, kind collector.Kind) uint32 { return uint32(h>>32) + uint32(kind)*0x9E3779B9 }

// output is the sum that a fate leads to, shared where the book has it.
func (b *book) output(seed maphash.Seed, f fate) *output {
	var few [256]byte
	key := append(append(few[:0], f.name...), 0)
	for _, l := range f.labels {
		key = append(append(append(append(key, l.Name...), 0), l.Value...), 0)
	}
	if o := b.outputs[string(key)]; o != nil {
		return o
	}
	return &output{name: f.name, labels: f.labels, hash: hashSeries(seed, f.name, f.labels), key: string(key)}
}

// put adds a def and returns the bytes that it takes.
func (b *book) put(d *def) (n int64) {
	n = d.bytes()
	d.next = b.defs[d.hash]
	b.defs[d.hash] = d
	if o := d.out; o != nil && d.do == add {
		if o.refs++; o.refs == 1 {
			b.outputs[o.key] = o
			n += o.bytes()
		}
	}
	return n
}

// release gives back one use of a def, and returns the bytes that it took if that was the last.
func (b *book) release(d *def) (n int64) {
	if d.refs--; d.refs > 0 {
		return 0
	}
	n = d.bytes()
	if first := b.defs[d.hash]; first == d {
		if d.next == nil {
			delete(b.defs, d.hash)
		} else {
			b.defs[d.hash] = d.next
		}
	} else {
		for first.next != d {
			first = first.next
		}
		first.next = d.next
	}
	if o := d.out; o != nil && d.do == add {
		if o.refs--; o.refs == 0 {
			delete(b.outputs, o.key)
			n += o.bytes()
		}
	}
	return n
}
