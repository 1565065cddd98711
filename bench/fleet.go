package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// fleetShapes is how many programs there are; each is a service.
const fleetShapes = 200

// portsEach is how many instances share an address.
const portsEach = 1000

// endpoint is where instance i of a fleet listens: addresses and ports that the kernel gives nobody by itself.
func endpoint(fleet, i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 77, byte(fleet), byte(1 + i/portsEach)}), uint16(22000+i%portsEach))
}

// service is the name of the program that instance i of a fleet runs.
func service(i int) string { return fmt.Sprintf("service-%03d", i%fleetShapes) }

// instance is one application of the fleet. Its listener and its connections are its own.
type instance struct {
	mu       sync.Mutex
	shape    *shape
	head     int    // how long the answer's head is
	date     int    // where its date stands
	answer   []byte // head and body
	seed     uint64
	answered int64 // whole answers
	others   int64 // requests for what it has not
}

var (
	endOfRequest = []byte("\r\n\r\n")
	forStats     = []byte("GET /stats.json ")
	notFound     = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
)

const dateForm = "Mon, 02 Jan 2006 15:04:05 GMT"

// fleetTotals is what a fleet says of itself.
type fleetTotals struct {
	Answered int64
	Least    int64 // by the one that answered least
	Others   int64
	CPU      time.Duration
}

// runFleet is a process of the fleet. It prints "ready" as JSON once it listens, and then a line of JSON for each line of stdin: "totals N" are those of the first N
// instances, "reset 0" sets all of them to nothing.
func runFleet(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	fs := flag.NewFlagSet("fleet", flag.ContinueOnError)
	id := fs.Int("id", 0, "which of the fleet's processes")
	n := fs.Int("instances", 100, "how many")
	if err := fs.Parse(args); err != nil {
		return err
	}
	var shapes [fleetShapes]*shape
	for i := range shapes {
		shapes[i] = newShape(i)
	}
	var date atomic.Pointer[string]
	tell := func() { s := time.Now().UTC().Format(dateForm); date.Store(&s) }
	tell()
	go func() {
		for t := time.NewTicker(time.Second); ; <-t.C {
			tell()
		}
	}()
	rng := rand.New(rand.NewPCG(uint64(*id), 1))
	all := make([]*instance, *n)
	for i := range all {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", endpoint(*id, i).String())
		if err != nil {
			return fmt.Errorf("fleet: instance %d of %d: %w", i+1, *n, err)
		}
		s := shapes[i%fleetShapes]
		body := s.own(rng)
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nDate: ", len(body))
		in := &instance{shape: s, date: len(head), seed: rng.Uint64() | 1}
		in.answer = append([]byte(head), dateForm+"\r\n\r\n"...)
		in.head = len(in.answer)
		in.answer = append(in.answer, body...)
		all[i] = in
		go in.listen(l, &date)
	}
	out := json.NewEncoder(stdout)
	if err := out.Encode("ready"); err != nil {
		return err
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		var what string
		first := len(all)
		if _, err := fmt.Sscanf(lines.Text(), "%s %d", &what, &first); err != nil || first > len(all) {
			return fmt.Errorf("fleet: asked for %q", lines.Text())
		}
		t := totals(all[:first])
		if what == "reset" {
			reset(all)
		}
		if err := out.Encode(t); err != nil {
			return err
		}
	}
	return lines.Err()
}

func totals(of []*instance) fleetTotals {
	t := fleetTotals{Least: 1 << 62, CPU: cpu()}
	for _, in := range of {
		in.mu.Lock()
		t.Answered += in.answered
		t.Others += in.others
		t.Least = min(t.Least, in.answered)
		in.mu.Unlock()
	}
	return t
}

func reset(all []*instance) {
	for _, in := range all {
		in.mu.Lock()
		in.answered, in.others = 0, 0
		in.mu.Unlock()
	}
}

func (in *instance) listen(l net.Listener, date *atomic.Pointer[string]) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // only at the end, or out of files: then those who wait time out, and are missed
		}
		go in.serve(c, date)
	}
}

// serve answers one request after the other; nobody here sends the next one before he has the answer.
func (in *instance) serve(c net.Conn, date *atomic.Pointer[string]) {
	defer c.Close()
	buf := make([]byte, 1024)
	n := 0
	for {
		got, err := c.Read(buf[n:])
		if err != nil {
			return
		}
		if n += got; !bytes.HasSuffix(buf[:n], endOfRequest) {
			if n == len(buf) {
				return
			}
			continue
		}
		if !bytes.HasPrefix(buf[:n], forStats) {
			in.mu.Lock()
			in.others++
			in.mu.Unlock()
			_, err = c.Write(notFound)
		} else {
			err = in.tell(c, *date.Load())
		}
		if err != nil {
			return
		}
		n = 0
	}
}

func (in *instance) tell(c net.Conn, date string) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	copy(in.answer[in.date:], date)
	in.shape.step(in.answer[in.head:], &in.seed)
	_, err := c.Write(in.answer)
	if err == nil {
		in.answered++
	}
	return err
}
