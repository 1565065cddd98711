package dashboards

// Lines is what one instance did, step by step, as a service's spark is: point k speaks for [T0+k·Step, T0+(k+1)·Step).
type Lines struct {
	T0         int64 `json:"t0"`
	Step       int64 `json:"step"`
	Rate       Nums  `json:"rate"`
	ErrorRatio Nums  `json:"error_ratio"`
	Latency    Nums  `json:"latency"`
}

// LinesOf is the last 15 minutes of some of a service's instances, by name.
func (b *Board) LinesOf(name, env string, instances []string) map[string]*Lines {
	s := b.find(name, env)
	if s == nil {
		return nil
	}
	now := b.AsOf().UnixMilli()
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[string]*Lines{}
	for _, who := range instances {
		if in := s.instances[who]; in != nil {
			out[who] = s.lines15(in, now)
		}
	}
	return out
}

// lines15 adds each cell to the step in which it ends, and to those after that it alone speaks for. The caller holds the lock.
func (s *service) lines15(in *instance, now int64) *Lines {
	last := now / sparkStep
	first := last - sparkPoints + 1
	var steps [sparkPoints]Lately
	p := &s.golden
	s.cells(in, p, p.find(in, nil), first*sparkStep, now, func(c *cell) {
		for k := c.to / sparkStep; k <= last && (k == c.to/sparkStep || k*sparkStep+sparkStep/2 < c.until); k++ {
			if k >= first {
				l := &steps[k-first]
				if l.Seconds == 0 {
					*l = Lately{Requests: Unknown(), Errors: Unknown(), ErrorRatio: Unknown(), Latency: Unknown()}
				}
				l.add(c)
			}
		}
	})
	out := &Lines{T0: first * sparkStep, Step: sparkStep}
	for i := range steps {
		rate, ratio, latency := Unknown(), Unknown(), Unknown()
		if l := &steps[i]; l.Seconds > 0 {
			rate, ratio, latency = l.Requests/Num(l.Seconds), l.ErrorRatio, l.Latency
		}
		if len(s.golden.set.errors) == 0 {
			ratio = Unknown()
		}
		out.Rate, out.ErrorRatio, out.Latency = append(out.Rate, rate), append(out.ErrorRatio, ratio), append(out.Latency, latency)
	}
	return out
}
