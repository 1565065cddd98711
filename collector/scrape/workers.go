package scrape

import (
	"sync"
	"time"
)

// workers are the goroutines that pull. The one that rested last is used first, as its stack and its caches are warm; those that nobody needed for a while end.
// All but wait is under the pool's lock.
type workers struct {
	resting []chan *target // each of one worker
	busy    int
	spare   int // the fewest that rested since the last trim
	closed  bool
	wait    sync.WaitGroup
}

const trimEvery = 10 * time.Second

// give hands t to a worker, a new one if none rests. run is what a worker does with its channel.
func (w *workers) give(t *target, run func(chan *target)) {
	w.busy++
	if n := len(w.resting) - 1; n >= 0 {
		ch := w.resting[n]
		w.resting = w.resting[:n]
		w.spare = min(w.spare, n)
		ch <- t // has room: its worker rests
		return
	}
	ch := make(chan *target, 1)
	ch <- t
	w.wait.Go(func() { run(ch) })
}

// rest takes back a worker that has nothing to do.
func (w *workers) rest(ch chan *target) {
	w.busy--
	if w.closed {
		close(ch)
		return
	}
	w.resting = append(w.resting, ch)
}

// trim ends the workers that nobody needed since the last time.
func (w *workers) trim() {
	for _, ch := range w.resting[:w.spare] {
		close(ch)
	}
	n := copy(w.resting, w.resting[w.spare:])
	clear(w.resting[n:])
	w.resting = w.resting[:n]
	w.spare = n
}

// close ends the workers that rest; the others end when they do.
func (w *workers) close() {
	w.closed = true
	for _, ch := range w.resting {
		close(ch)
	}
	w.resting = nil
}

// fifo is a queue of targets.
type fifo struct {
	items []*target
	head  int
}

func (f *fifo) len() int { return len(f.items) - f.head }

func (f *fifo) push(t *target) {
	if f.head > 64 && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, t)
}

// first is the target that waits longest, which goes on waiting, or nil.
func (f *fifo) first() *target {
	if f.len() == 0 {
		return nil
	}
	return f.items[f.head]
}

// pop is the target that waits longest, or nil.
func (f *fifo) pop() *target {
	if f.len() == 0 {
		return nil
	}
	t := f.items[f.head]
	f.items[f.head] = nil
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
	return t
}
