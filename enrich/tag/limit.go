package tag

// Limits are how many different series may go on the wire in a day, UTC; 0: any number. What is new past one is left out, and counted; what was let through
// keeps flowing, also past midnight, and so does the rest.
type Limits struct {
	Target  int // of one instance
	Service int // of a service in an environment, over all its instances: a series that several have is one
}

// past is why a series is left out.
type past uint8

const (
	onTheWire past = iota
	targetLimit
	serviceLimit
	noMemory // to tell what is new
)

var pastNames = [...]string{"", "target", "service", "memory"}

func (p past) String() string { return pastNames[p] }

// seen reports whether something of the series goes on the wire.
func (a action) seen() bool { return a == keep || a == rename || a == add }

// admit decides of a series that the instance did not have whether it goes on the wire. The service is locked.
func (e *Enricher) admit(sh *shape, svc *service, d *def, l Limits) past {
	if sh.gone.has(d.unique) { // it had it today, or another series with the same name on the wire
		e.carryService(svc, d, sh.day, l)
		return onTheWire
	}
	if l.Target > 0 && sh.seen+sh.extra >= l.Target {
		return targetLimit
	}
	svc.turn(sh.day, e)
	known := d.day != 0 && d.day >= svc.day-1 || svc.seen.has(d.unique)
	if !known && l.Service > 0 {
		if svc.seen.n >= l.Service {
			return serviceLimit
		}
		if !e.roomFor(&svc.seen, serviceSmall) {
			return noMemory
		}
	}
	if d.do != keep && l.Target > 0 {
		switch {
		case e.roomFor(&sh.gone, targetSmall):
			e.note(sh, d.unique)
		case d.do == rename:
			sh.seen--
			sh.extra++
		default:
			return noMemory
		}
	}
	sh.seen++
	e.carryService(svc, d, sh.day, l)
	return onTheWire
}

// Sets of these bytes are always had, so that whoever has few series is not left out because somebody else has many.
const (
	targetSmall  = 256
	serviceSmall = 4 << 10
)

// roomFor reports whether a set may take one more.
func (e *Enricher) roomFor(s *set32, small int64) bool {
	more, then := s.growth()
	return more == 0 || then <= small || e.room(more, true)
}

// unrowed counts a series that was admitted and that no row will stand for: in the set, or where there is no room, in this body alone. The others were by admit.
func (e *Enricher) unrowed(sh *shape, d *def, l Limits) {
	switch {
	case l.Target == 0 || d.do != keep || sh.gone.has(d.unique):
	case e.roomFor(&sh.gone, targetSmall):
		e.note(sh, d.unique)
	default:
		sh.seen--
		sh.extra++
	}
}

// note puts a series into the set of an instance.
func (e *Enricher) note(sh *shape, unique uint32) {
	was := sh.gone.bytes()
	sh.gone.add(unique)
	more := sh.gone.bytes() - was
	sh.bytes += more
	e.states.bytes.Add(more)
}

// carry counts a series that goes on the wire and did before. The service is locked.
func (e *Enricher) carry(sh *shape, svc *service, d *def, l Limits) {
	if d.do == keep {
		sh.seen++
	} else if !sh.gone.has(d.unique) {
		e.note(sh, d.unique)
		sh.seen++
	}
	e.carryService(svc, d, sh.day, l)
}

func (e *Enricher) carryService(svc *service, d *def, day int32, l Limits) {
	svc.turn(day, e)
	if d.day == svc.day {
		return
	}
	d.day = svc.day
	if l.Service > 0 && !svc.seen.has(d.unique) && e.roomFor(&svc.seen, serviceSmall) {
		was := svc.seen.bytes()
		svc.seen.add(d.unique)
		e.states.bytes.Add(svc.seen.bytes() - was)
	}
}

// countedOn is the day on which the service has counted a series. The service is locked.
func (svc *service) countedOn(d *def) int32 {
	if svc.seen.has(d.unique) {
		return svc.day
	}
	return d.day
}

// turn begins a new day. Instances are not all asked in the same moment: one that was asked before midnight does not bring yesterday back.
func (svc *service) turn(day int32, e *Enricher) {
	if day > svc.day || day < svc.day-1 {
		e.free(svc.seen.bytes())
		svc.day, svc.seen = day, set32{}
	}
}

// turn begins a new day for an instance, or takes up other limits: what went on the wire still does, and is counted first; then what was left out gets its chance.
func (e *Enricher) turn(sh *shape, day int32, l Limits) {
	svc := sh.book.of
	svc.mu.Lock()
	if day != sh.day {
		sh.day, sh.seen, sh.extra, sh.gone = day, 0, 0, set32{}
		e.weigh(sh)
		if l != (Limits{}) {
			for i, d := range sh.rows {
				if d.do.seen() && sh.why(i) == onTheWire {
					e.carry(sh, svc, d, l)
				}
			}
		}
	}
	some := false
	for i, why := range sh.left {
		if why != onTheWire {
			sh.left[i] = e.admit(sh, svc, sh.rows[i], l)
			some = some || sh.left[i] != onTheWire
		}
	}
	if !some {
		sh.left = nil
	}
	sh.limits = l
	svc.mu.Unlock()
	e.weigh(sh)
}
