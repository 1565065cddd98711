package discovery

// Word is what scrapes say of one whom a guard holds, since it vanished.
type Word struct {
	Key
	Answers int `json:"answers"` // 1: it answers; below 0: so many scrapes in a row were not answered
}

// Words is what scrapes have said of those whom guards hold, as far as they are this collector's to ask: mine says so of a source and a key.
func (r *Roster) Words(mine func(source string, k Key) bool) []Word {
	if r.held.Load() == 0 {
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
	return out
}

// Take hears what other collectors' scrapes say of those whom guards hold. Words of others are of no account.
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
