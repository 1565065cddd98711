package discovery

import (
	"slices"
	"time"
)

// toldFor is how long the last word of one who was let go as dead is told: others hold it until they hear it.
const toldFor = 5 * time.Minute

// Word is what scrapes say of one whom a guard holds, since it vanished, or held until they had not been answered.
type Word struct {
	Key
	Answers int `json:"answers"` // 1: it answers; below 0: so many scrapes in a row were not answered
}

// Words is what scrapes have said of those whom guards hold, or have let go as dead in the last five minutes, as far as they are this collector's to ask: mine says so
// of a source and a key.
func (r *Roster) Words(mine func(source string, k Key) bool) []Word {
	if r.held.Load() == 0 && r.died.Load() == 0 {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []Word
	for g := range r.guards {
		for rec := range g.members {
			if rec.x.answers != 0 && mine(rec.inst.Source, rec.inst.Key) {
				out = append(out, Word{rec.inst.Key, int(rec.x.answers)})
			}
		}
	}
	for _, d := range r.dead {
		if d.now() && d.rec.x.answers < 0 && mine(d.rec.inst.Source, d.rec.inst.Key) {
			out = append(out, Word{d.rec.inst.Key, int(d.rec.x.answers)})
		}
	}
	return out
}

// now reports whether the departure is its record's last.
func (d *departure) now() bool {
	return !d.rec.gone && d.rec.state == Departed && d.rec.since == d.since
}

// bury forgets the last words of those who have been dead for long, or live.
func (r *Roster) bury(now time.Time) {
	r.dead = slices.DeleteFunc(r.dead, func(d departure) bool { return !d.now() || now.Sub(clock(d.since)) > toldFor })
	r.died.Store(int64(len(r.dead)))
}

// Take hears what other collectors' scrapes say of those whom guards hold; the next Tick lets the dead among them go. Words of others are of no account.
func (r *Roster) Take(words []Word) {
	if r.held.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range words {
		if rec := r.lookup(&Instance{Key: w.Key}); w.Answers != 0 && rec != nil && rec.x != nil && rec.x.guard != nil {
			rec.x.answers = int8(min(max(w.Answers, -100), 1))
		}
	}
}
