package scrape

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// scrape pulls t once and hands the snapshot over, after those of the slots that it missed. Only one goroutine at a time does so for one target.
func (p *Pool) scrape(t *target, missed []miss, late time.Duration) collector.Outcome {
	s := t.spec.Load()
	for _, m := range missed {
		p.tell(t, s, m)
	}
	p.m.stages[started].Update(late.Seconds())
	if late > s.interval/10 {
		s.run.m.late.Inc()
	}
	now := time.Now()
	every := cmp.Or(t.wanted.every, s.interval) // the slot is counted out as it was when it began, though the interval may be another since
	// By when it was taken up, not by now: a process that waits for its processor in between is in the same slot.
	snap := collector.Snapshot{Instance: s.Instance, Time: now, Interval: every, Slot: t.slotOf(t.started.Add(-late), every), Term: p.c.Term(), Tags: s.tags}
	e := p.exchange(exchange{p: p, t: t, s: s, started: now, deadline: now.Add(s.timeout), reached: now})
	defer e.over()
	err := e.stats(&snap)
	switch {
	case err == nil:
		e.good(&snap)
	case t.left():
		return e.unheard(err)
	case t.isAborted():
		if !p.stopped.Load() {
			return e.unheard(err)
		}
		snap.Outcome, snap.Reason = collector.Skipped, "the collector stopped before the answer was whole"
	default:
		snap.Outcome, snap.Reason = classify(err, e.at)
		switch {
		case e.x != nil: // the next one will need as much
			t.lastBody, t.proven = max(len(e.x.raw), len(e.x.decoded)), 0
		case t.scale.broken > 0:
			t.lastBody = 0
		}
		if snap.Outcome == collector.Refused {
			t.info.again() // it may come back as something else
		}
	}
	e.hand(&snap)
	if err == nil && !s.job.NoServerInfo && !t.left() && t.info.due(s) && !p.stopped.Load() && !p.load.crowded.Load() {
		e.info(now.Add(s.interval - late)) // its snapshot does not wait for it: the next one has it
	}
	return snap.Outcome
}

// good takes in what a good answer says of the process.
func (e *exchange) good(snap *collector.Snapshot) {
	t := e.t
	t.lastBody, t.proven = snap.BodyBytes, snap.BodyBytes
	restarted := t.info.watch(snap.Samples)
	if restarted {
		t.period.of = nil // it may be another program
	}
	t.windows.See(snap.Samples, e.s.run.limits.Window, restarted)
}

// hand notes how the pull ended and hands it over. Its samples are not the exchange's any more.
func (e *exchange) hand(snap *collector.Snapshot) {
	t := e.t
	if snap.Outcome != collector.OK || !t.info.stale {
		snap.Info = t.info.tags
	}
	snap.Skew = e.skew
	t.status.store(result{snap.Time, snap.Took, snap.Outcome, snap.Reason, len(snap.Samples), snap.BodyBytes, e.skew, e.periodNote})
	e.s.run.m.note(snap)
	x := e.x
	if x == nil { // there is no body
		x = e.p.pulls.get(0)
	}
	snap.OnRelease = x.release
	x.snap = *snap
	e.x = nil
	e.turn()
	e.p.c.Handle(&x.snap)
	e.endTurn()
}

// turn waits until the pull is one of the few that are worked on. Where a machine stood still, the bodies of all targets are there at once; what it takes to work on each, which is
// more than the body, is then taken by few.
func (e *exchange) turn() {
	if !e.atWork {
		e.p.hands <- struct{}{}
		e.atWork = true
	}
}

// endTurn lets another one be worked on.
func (e *exchange) endTurn() {
	if e.atWork {
		e.atWork = false
		<-e.p.hands
	}
}

// exchange is one scrape on its way.
type exchange struct {
	p        *Pool
	t        *target
	s        *spec
	x        *pull // once there is a body: a target that hangs holds none
	started  time.Time
	deadline time.Time
	sent     time.Time
	at       stage
	atWork   bool      // it holds one of the pool's hands
	reached  time.Time // the end of the last stage that was measured; zero: none is

	skew       time.Duration // of the target's clock, by its last answer
	periodNote string        // why the distributions are not those of the job's period
}

// exchange is x in memory that lasts: one scrape after the other uses it.
func (p *Pool) exchange(x exchange) *exchange {
	e, _ := p.exchanges.Get().(*exchange)
	if e == nil {
		e = new(exchange)
	}
	*e = x
	return e
}

// over ends the exchange. What asks by net/http may be told of a connection later than that: its exchange is nobody else's.
func (e *exchange) over() {
	e.endTurn()
	if p := e.p; e.s.run.client == nil {
		*e = exchange{}
		p.exchanges.Put(e)
	}
}

// reach notes that a stage of the pull has ended: one request is measured, not what is asked besides.
func (e *exchange) reach(s measured, now time.Time) {
	if !e.reached.IsZero() && !now.IsZero() {
		e.p.m.stages[s].Update(now.Sub(e.reached).Seconds())
		e.reached = now
	}
}

// room is the memory for a body of about n bytes. What an answer announces is believed as far as it resembles the last one.
func (e *exchange) room(n int) *pull {
	if e.x == nil {
		last := e.t.proven // unzipped: what it takes to hold one like it
		e.x = e.p.pulls.get(min(max(n, last), max(free, 2*last)))
		e.x.trusted = max(free, 2*last)
	}
	return e.x
}

// stats pulls the statistics into snap.
func (e *exchange) stats(snap *collector.Snapshot) error {
	if e.s.bad != "" {
		return fail(collector.Forbidden, "%s", e.s.bad)
	}
	r := e.p.readers.Get().(*reader)
	defer e.p.readers.Put(r)
	body, contentType, err := e.get(r, e.s.path, e.s.job.bodyLimit(), &e.t.scale)
	if !e.sent.IsZero() {
		snap.Time = e.sent
	}
	now := time.Now()
	snap.Took = now.Sub(snap.Time)
	if err != nil {
		return err
	}
	e.reach(bodyRead, now)
	e.turn()
	if err = e.x.parse(snap, body, contentType, e.s.job.ReadBy(snap.Time.Add(e.skew))); err == nil {
		err = e.x.charge() // samples of short names are larger than the body
	}
	e.reach(parsed, time.Now())
	if e.reached = (time.Time{}); err != nil || e.s.period == "" {
		return err
	}
	e.endTurn() // while it waits for another answer
	err = e.period(snap, r)
	snap.Took = time.Since(snap.Time)
	return err
}

// get asks for a path and returns the body, decoded, which is in e.x. contentType is valid as long as r is.
func (e *exchange) get(r *reader, path string, limit int, s *scale) (body []byte, contentType string, err error) {
	if e.s.run.client != nil {
		return e.viaClient(path, limit, s)
	}
	request, err := e.request(path, s.suspects(limit))
	if err != nil {
		return nil, "", err
	}
	for {
		conn, kept, err := e.connect()
		if err != nil {
			return nil, "", err
		}
		if kept && r.unasked.on(e.t.raw) {
			e.t.drop()
			continue // once, as below
		}
		e.sent = time.Now()
		e.reach(connected, e.sent)
		a, err := r.ask(conn, request, kept, &e.at)
		e.reach(firstByte, r.first)
		e.clock(a.date)
		if err == nil && a.status == 200 {
			body, err = e.take(incoming{r.body(&a, limit), a.encoding, a.length, limit}, s)
			// Where more came than was asked for, the next answer would begin with it.
			a.close = a.close || a.length == toTheEnd || !r.framed.whole() || r.br.Buffered() > 0
		}
		if err != nil && a.status != 200 || a.close {
			e.t.drop()
		}
		switch {
		case err == errStale:
			continue // once: the next connection is not kept from before
		case err != nil:
			return nil, "", err
		case a.status != 200:
			return nil, "", e.s.job.statusError(a.status, string(a.location))
		}
		return body, view(a.contentType), nil
	}
}

// credentials are those of the job. Only where a token may have to be fetched there is something to wait for.
func (e *exchange) credentials() (credentials, error) {
	if e.s.run.tokens == nil {
		return e.s.run.credentials(e.p.ctx, &e.p.secrets)
	}
	ctx, cancel := context.WithDeadline(e.p.ctx, e.deadline)
	defer cancel()
	if !e.t.begin(cancel) {
		return credentials{}, net.ErrClosed
	}
	defer e.t.begin(nil)
	return e.s.run.credentials(ctx, &e.p.secrets)
}

// statusError is an answer other than 200.
func (j *Job) statusError(status int, location string) error {
	switch {
	case status >= 300 && status < 400 && location != "":
		return fail(collector.Status, "status %d: it points to %.100q, and redirects are not followed", status, shown(location))
	case status == 401 || status == 403:
		return fail(collector.Status, "status %d: %s", status, j.unauthorized())
	}
	return fail(collector.Status, "status %d", status)
}

// request is the head to send for path. Those of the statistics are kept from pull to pull, but for bodies that are weighed.
func (e *exchange) request(path string, weighed bool) ([]byte, error) {
	auth, err := e.credentials()
	if err != nil {
		return nil, err
	}
	t := e.t
	if t.reqSpec != e.s || t.reqAuth != auth {
		t.request, t.period.request, t.reqSpec, t.reqAuth = nil, nil, e.s, auth
	}
	var kept *[]byte
	switch {
	case weighed:
		return e.s.head(path, auth, e.p.c.UserAgent, weighEncoding), nil
	case path == e.s.path:
		kept = &t.request
	case path == t.period.path:
		kept = &t.period.request
	default:
		return e.s.head(path, auth, e.p.c.UserAgent, acceptEncoding), nil
	}
	if *kept == nil {
		*kept = e.s.head(path, auth, e.p.c.UserAgent, acceptEncoding)
	}
	return *kept, nil
}

// maxAge is how long a connection to a host with a name is kept: the name may have moved.
const maxAge = 5 * time.Minute

// connect is the connection kept from before, or a new one, with the deadline of the pull on it.
func (e *exchange) connect() (conn net.Conn, kept bool, err error) {
	e.at = connecting
	t, s := e.t, e.s
	if t.conn != nil {
		_, notAddr := netip.ParseAddr(s.host)
		if t.link == s.link && (notAddr == nil || e.started.Sub(t.opened) < maxAge) {
			if err := t.deadline(e.deadline); err == nil {
				return t.conn, true, nil
			}
		}
		t.drop()
	}
	ctx, cancel := context.WithDeadline(e.p.ctx, e.deadline)
	defer cancel()
	if !t.begin(cancel) {
		return nil, false, net.ErrClosed
	}
	defer t.begin(nil)
	if s.job.Dial != nil {
		conn, err = s.job.Dial(ctx, "tcp", discovery.Key{Host: s.host, Port: s.port}.Addr())
	} else {
		conn, err = e.p.dial.open(ctx, s.host, s.port, s.run.allow)
	}
	if err != nil {
		return nil, false, err
	}
	s.run.m.connections.Inc()
	if s.secure {
		if conn, err = secure(ctx, conn, s.job.TLS, s.host); err != nil {
			return nil, false, err
		}
	}
	if !t.keep(conn, s.link, e.started) {
		return nil, false, net.ErrClosed
	}
	return conn, false, t.deadline(e.deadline)
}
