package zk

import (
	"bytes"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// wanted is something to be asked of the server.
type wanted struct {
	t     *tree
	epoch uint64
	what  byte
	s     *set
	name  string
	m     *member  // of readMember
	l     *listing // of list and look
	path  string   // of list and look
}

// What a request reads.
const (
	readMember   = 'm' // a member's data
	readVector   = 'v' // the weights beside members
	readDefaults = 'd' // the serverset's own data
	listDefaults = 'D' // the same, in front of a list
	list         = 'c' // the names at a path
	look         = 'e' // whether a path is there; sees its return
)

// request is one that is under way, and then its answer.
type request struct {
	wanted
	at    time.Time
	index int               // in run.pending
	over  bool              // given up
	how   serverset.Options // of readMember, as they were when it was sent

	code  int32
	data  []byte
	names names
	stat  Stat
	got   discovery.Member // of readMember
	no    bool
}

// queue is first in, first out.
type queue struct{ jobs []wanted }

func (q *queue) push(j wanted) {
	j.epoch = j.t.state.epoch
	q.jobs = append(q.jobs, j)
}

// pop passes over what belongs to a connection that is gone.
func (q *queue) pop() (wanted, bool) {
	for len(q.jobs) > 0 {
		j := q.jobs[0]
		q.jobs[0] = wanted{}
		if q.jobs = q.jobs[1:]; len(q.jobs) == 0 {
			q.jobs = nil
		}
		if j.t.state.live && j.epoch == j.t.state.epoch {
			return j, true
		}
	}
	return wanted{}, false
}

// start sends what is wanted, as far as the pace allows, the urgent first and what has time in a part of the window: many requests in one write.
func (r *run) start() {
	now := time.Now()
	open := r.pace.open(now)
	if open == 0 && (len(r.urgent.jobs) > 0 || len(r.refresh.jobs) > 0) && !r.resting {
		r.resting = true
		r.after(time.Until(r.pace.until), func() { r.resting = false })
	}
	var b batch
	for len(r.pending) < open {
		j, ok := r.urgent.pop()
		if !ok {
			break
		}
		r.ask(&b, j, now)
	}
	for r.tokens > 0 && len(r.pending) < (open+7)/8 {
		j, ok := r.refresh.pop()
		if !ok {
			break
		}
		r.tokens--
		r.ask(&b, j, now)
	}
	if len(b.buf) > 0 {
		b.send()
	}
	if len(r.refresh.jobs) > 0 && !r.filling {
		r.filling = true
		r.after(100*time.Millisecond, func() { r.filling, r.tokens = false, r.cfg.RefreshRate/10+1 })
	}
}

// ask adds a request to the batch.
func (r *run) ask(b *batch, j wanted, now time.Time) {
	l := j.t.state.link
	if b.l != l {
		if len(b.buf) > 0 {
			b.send()
		}
		b.l = l
	}
	q := &request{wanted: j, at: now, index: len(r.pending)}
	r.pending = append(r.pending, q)
	path, op, watch := j.path, int32(opGetData), false
	switch j.what {
	case readMember, readVector:
		path = join(j.s.path, j.name)
		if j.what == readMember {
			watch, q.how = j.s.watch(j.m), j.s.options()
		}
	case readDefaults, listDefaults:
		path = j.s.path
	case list:
		op, watch = opChildren, !j.t.state.recursive
	case look:
		op, watch = opExists, true
	}
	b.read(op, path, watch, func(a answer) { r.take(q, a) })
}

// take is called by the link's reading goroutine. It reads members and copies what else is to be kept; the rest is the loop's, which so has a core of its own.
func (r *run) take(q *request, a answer) {
	if q.code = a.code; a.code == 0 {
		body := a.body
		var err error
		switch q.what {
		case readMember:
			var data []byte
			if data, q.stat, err = parseData(body); err == nil {
				q.decode(data)
			}
		case list:
			body = bytes.Clone(body) // names point into it
			q.names, q.stat, err = parseNames(body)
		case look:
			q.stat, err = parseStat(body)
		default:
			q.data, q.stat, err = parseData(body)
			if len(q.data) > serverset.MaxVector { // whatever the server takes, nothing of ours is as large
				q.data = q.data[:serverset.MaxVector]
			}
			q.data = bytes.Clone(q.data)
		}
		if err != nil {
			q.code = codeGarbled
		}
	}
	if q.what == readMember && q.forbidden() {
		q.decode(nil)
	}
	r.amu.Lock()
	r.answers = append(r.answers, q)
	r.amu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// drain handles the answers that have come.
func (r *run) drain() {
	r.amu.Lock()
	got := r.answers
	r.answers = r.spare
	r.amu.Unlock()
	for i, q := range got {
		got[i] = nil
		if !q.over {
			r.remove(q)
			r.handle(q)
		}
	}
	r.spare = got[:0]
}

// remove ends a request.
func (r *run) remove(q *request) {
	last := r.pending[len(r.pending)-1]
	r.pending[q.index], last.index = last, q.index
	r.pending[len(r.pending)-1] = nil
	r.pending = r.pending[:len(r.pending)-1]
	q.over = true
}

// late gives up requests that were not answered in time, so that they are asked again.
func (r *run) late(now time.Time) {
	for i := len(r.pending) - 1; i >= 0; i-- {
		if q := r.pending[i]; now.Sub(q.at) > r.s.cfg.CallTimeout {
			r.remove(q)
			r.handle(&request{wanted: q.wanted, how: q.how, code: codeLate}) // an answer to q may be coming just now
		}
	}
}

func (r *run) handle(q *request) {
	if !q.t.state.live || q.epoch != q.t.state.epoch {
		return
	}
	switch q.code {
	case codeLost:
		return // the feed is about to say so
	case codeThrottled, codeLate, codeGarbled:
		r.m.shed.Inc()
		r.pace.bad(time.Now())
	default:
		r.pace.well()
	}
	switch q.what {
	case readMember:
		q.s.answered(q)
	case readVector:
		q.s.weighed(q)
	case readDefaults:
		switch {
		case q.again():
			r.urgent.push(q.wanted)
		case q.code == 0 && q.t.sets[q.s.path] == q.s:
			q.s.setDefaults(q.data)
		}
	case listDefaults:
		if q.code == 0 && q.s.listing {
			q.l.data, q.l.told = q.data, true
		}
	case list:
		q.t.answered(q)
	case look:
		q.t.looked(q)
	}
}

// again reports an answer that says nothing: it is to be asked for again.
func (q *request) again() bool {
	return q.code == codeThrottled || q.code == codeLate || q.code == codeGarbled
}

// forbidden reports a node that is there and cannot be read.
func (q *request) forbidden() bool { return q.code == codeNoAuth || q.code == codeTooBig }

// err is what the answer says is wrong.
func (q *request) err() error { return errorOf(q.code) }
