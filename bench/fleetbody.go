package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// numbersEach is how many numbers a body has: 100 counters, 56 gauges, 4 distributions of 11.
const numbersEach = 200

// shape is one set of names, as one program has it: all its instances say the same things with other digits.
type shape struct {
	body []byte
	runs []digits
}

// digits is where digits stand in a body that change: a number, or what a number has after its point. They keep their width.
type digits struct {
	at, width int
	gauge     bool // goes up and down; else it grows
}

// newShape makes up a program. Names are as long as they are in the wild: with digits and punctuation 34 bytes a number.
func newShape(n int) *shape {
	rng := rand.New(rand.NewPCG(uint64(n), 200))
	s := &shape{}
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	add := func(text string) { s.body = append(s.body, text...) }
	put := func(width int, gauge bool) {
		s.runs = append(s.runs, digits{len(s.body), width, gauge})
		add("1") // what it is comes with the instance
		for range width - 1 {
			add("0")
		}
	}
	section := func(open string, count int, name, value func(i int)) {
		add(open)
		for i := range count {
			if i > 0 {
				add(",")
			}
			add(`"`)
			name(i)
			add(`":`)
			value(i)
		}
		add("}")
	}
	section(`{"counters":{`, 100, func(i int) {
		add(fmt.Sprintf("%s/%s_%02d/%s", pick("http", "thrift", "cache", "kafka", "mysql"), pick("user_timeline", "board_detail", "pin_details", "home_feed", "search_query", "ad_auction"), i, pick("requests", "success", "failures", "retries", "timeouts", "status_200", "status_503")))
	}, func(int) { put(4+rng.IntN(6), false) })
	section(`,"gauges":{`, 56, func(i int) {
		add(fmt.Sprintf("%s/%s_%02d_%s", pick("jvm", "executor", "queue", "connections"), pick("eden_space", "worker_threads", "client_sessions", "direct_buffers"), i, pick("used", "size", "max", "depth")))
	}, func(i int) {
		put(2+rng.IntN(4), true)
		if i%4 == 0 { // not all are whole
			add(".")
			put(2, true)
		}
	})
	add(`,"labels":{},"metrics":{`)
	for i := range 4 {
		if i > 0 {
			add(",")
		}
		add(`"` + pick("latency", "request_latency", "response_size") + "_" + strconv.Itoa(i) + pick("_ms", "_us") + `":{"average":`)
		put(3, true)
		add(`,"count":`)
		put(8, false)
		for _, p := range []string{"maximum", "minimum", "p50", "p90", "p95", "p99", "p999", "p9999"} {
			add(`,"` + p + `":`)
			put(2+rng.IntN(3), true)
		}
		add(`,"sum":`)
		put(9, false)
		add("}")
	}
	add("}}")
	return s
}

// own is one instance's own, with digits of its own.
func (s *shape) own(rng *rand.Rand) []byte {
	b := append([]byte(nil), s.body...)
	for _, n := range s.runs {
		b[n.at] = byte('1' + rng.IntN(4))
		for i := 1; i < n.width; i++ {
			b[n.at+i] = byte('0' + rng.IntN(10))
		}
	}
	return b
}

// step moves every number of an instance's body on: counters grow by up to 99, gauges get other last digits. It costs half a microsecond.
func (s *shape) step(b []byte, seed *uint64) {
	x := *seed
	for _, n := range s.runs {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		last := n.at + n.width - 1
		ones, tens := byte(x>>8)%10, byte(x>>16)%10
		if n.gauge {
			b[last] = '0' + ones
			if n.width > 2 {
				b[last-1] = '0' + tens
			}
			continue
		}
		ones += b[last]
		tens += b[last-1]
		if ones > '9' {
			ones, tens = ones-10, tens+1
		}
		b[last] = ones
		carry := tens > '9'
		if carry {
			tens -= 10
		}
		b[last-1] = tens
		for i := last - 2; carry && i >= n.at; i-- {
			if carry = b[i] == '9'; carry {
				b[i] = '0'
			} else {
				b[i]++
			}
		}
		if b[n.at] == '0' { // past its width: it starts anew, as after a restart
			b[n.at] = '1'
		}
	}
	*seed = x
}
