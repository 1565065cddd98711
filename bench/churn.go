package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// change is one write and when the server had acknowledged it.
type change struct {
	endpoint string
	gone     bool
	seq      int // of all changes; also the member's shard from now on
	sent     time.Time
	acked    time.Time
	made     bool // it was not there before
}

// churn changes the tree at a rate for a while: of ten changes four write a member's data, two and a half make a new member, two and a half take one away, and
// one belongs to a rolling restart of the big set, in which a member goes and comes back two seconds later under a new name, as KingPin's do.
type churn struct {
	t    *tree
	s    sessions
	rng  *rand.Rand
	seq  int
	busy map[*node]bool // being changed, or away in the restart
	size []int          // members that each set had at first: none falls below four fifths
	live []int
	made bool // the change being made is of a new member
	roll int  // how far the rolling restart has come

	mu   sync.Mutex
	done []change
	errs []error
}

// spot is a member in its set.
type spot struct {
	set int
	n   *node
}

func newChurn(t *tree, s sessions, seed uint64) *churn {
	c := &churn{t: t, s: s, rng: rand.New(rand.NewPCG(seed, 1)), busy: map[*node]bool{}, size: make([]int, len(t.sets)), live: make([]int, len(t.sets))}
	for i, set := range t.sets {
		for _, n := range set {
			if n.path != "" {
				c.size[i]++
			}
			c.seq = max(c.seq, n.seq)
		}
		c.live[i] = c.size[i]
	}
	return c
}

const restartGap = 2 * time.Second

// run makes rate changes a second for d, evenly, and returns them in order once every one is acknowledged.
func (c *churn) run(ctx context.Context, rate int, d time.Duration) ([]change, error) {
	type task struct {
		do   func(*zk.Conn) error
		n    *node
		note change
	}
	work := make(chan task, 256)
	free := make(chan *node, 1024)
	var wg sync.WaitGroup
	for i := range 32 {
		conn := c.s[i%len(c.s)]
		wg.Go(func() {
			for t := range work {
				t.note.sent = time.Now()
				err := t.do(conn)
				t.note.acked = time.Now()
				c.mu.Lock()
				if err != nil {
					c.errs = append(c.errs, fmt.Errorf("change %s: %w", t.note.endpoint, err))
				} else {
					c.done = append(c.done, t.note)
				}
				c.mu.Unlock()
				if t.n != nil {
					free <- t.n
				}
			}
		})
	}
	type back struct {
		at time.Time
		spot
	}
	var returns []back
	begin := time.Now()
	total := int(d.Seconds() * float64(rate))
	put := func(s spot, gone bool, release bool, do func(*zk.Conn) error) {
		c.busy[s.n] = true
		note := change{endpoint: s.n.endpoint, gone: gone, seq: c.seq, made: c.made}
		c.made = false
		t := task{do: do, note: note}
		if release {
			t.n = s.n
		}
		work <- t
	}
	for i := 0; i < total || len(returns) > 0; i++ {
		at := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		for wait := time.Until(at); wait > 0; wait = time.Until(at) {
			select {
			case n := <-free:
				delete(c.busy, n)
			case <-time.After(wait):
			case <-ctx.Done():
				close(work)
				return nil, ctx.Err()
			}
		}
		c.drain(free)
		c.seq++
		if len(returns) > 0 && !returns[0].at.After(time.Now()) {
			s := returns[0].spot
			returns = returns[1:]
			put(s, false, true, c.create(s))
			continue
		}
		if i >= total { // only returns are left
			continue
		}
		switch x := c.rng.IntN(200); {
		case x < 10 && c.live[0] > c.size[0]*4/5: // half of a twentieth, as each comes back
			if s, ok := c.nextRestart(); ok {
				returns = append(returns, back{time.Now().Add(restartGap), s})
				put(s, true, false, c.remove(s))
				continue
			}
			fallthrough
		case x < 60:
			if s, ok := c.pick(true); ok {
				put(s, true, true, c.remove(s))
				continue
			}
			fallthrough
		case x < 110:
			set := c.rng.IntN(len(c.t.sets))
			s := spot{set, c.t.newNode()}
			c.t.sets[set] = append(c.t.sets[set], s.n)
			put(s, false, true, c.create(s))
		default:
			s, ok := c.pick(false)
			if !ok {
				continue
			}
			s.n.seq = c.seq
			at, data := s.n.path, s.n.data()
			put(s, false, true, func(conn *zk.Conn) error {
				_, err := conn.Set(at, data, -1)
				return err
			})
		}
	}
	close(work)
	go func() {
		wg.Wait()
		close(free)
	}()
	for range free { // workers may wait to hand theirs back
	}
	return c.done, errors.Join(c.errs...)
}

func (c *churn) drain(free chan *node) {
	for {
		select {
		case n := <-free:
			delete(c.busy, n)
		default:
			return
		}
	}
}

// create and remove change the tree now and the server when what they return is called.
func (c *churn) create(s spot) func(*zk.Conn) error {
	c.t.place(s.n, s.set)
	s.n.seq = c.seq
	c.live[s.set]++
	c.made = true
	at, data := s.n.path, s.n.data()
	return func(conn *zk.Conn) error {
		_, err := conn.Create(at, data, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		return err
	}
}

func (c *churn) remove(s spot) func(*zk.Conn) error {
	at := s.n.path
	s.n.path, s.n.seq = "", c.seq
	c.live[s.set]--
	return func(conn *zk.Conn) error { return conn.Delete(at, -1) }
}

// pick is a member that is there and that nobody is changing, of any set; with leave, of one that can spare it.
func (c *churn) pick(leave bool) (spot, bool) {
	for range 1000 {
		set := c.rng.IntN(len(c.t.sets))
		if c.rng.IntN(10) == 0 {
			set = 0
		}
		if len(c.t.sets[set]) == 0 || leave && c.live[set]-1 < c.size[set]*4/5 {
			continue
		}
		n := c.t.sets[set][c.rng.IntN(len(c.t.sets[set]))]
		if n.path != "" && !c.busy[n] {
			return spot{set, n}, true
		}
	}
	return spot{}, false
}

// nextRestart is the next member of the big set.
func (c *churn) nextRestart() (spot, bool) {
	for range len(c.t.sets[0]) {
		n := c.t.sets[0][c.roll%len(c.t.sets[0])]
		c.roll++
		if n.path != "" && !c.busy[n] {
			return spot{0, n}, true
		}
	}
	return spot{}, false
}
