package register

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"
)

// Flap damps services that come and go, as BGP damps routes: each fall costs 1000 points, which halve every HalfLife. At Suppress a service that passes its
// checks again is not believed; at Reuse it is. So a check that flips for ever costs ZooKeeper a handful of writes, then none.
type Flap struct {
	HalfLife time.Duration // default 5 minutes
	Suppress float64       // default 3000
	Reuse    float64       // default 1500
	Max      float64       // no more than this is held against a service, default 6000: it waits two half-lives at most
}

const pointsPerFall = 1000

func (f Flap) withDefaults() Flap {
	f.HalfLife = cmp.Or(f.HalfLife, 5*time.Minute)
	f.Suppress = cmp.Or(f.Suppress, 3000)
	f.Reuse = cmp.Or(f.Reuse, 1500)
	f.Max = cmp.Or(f.Max, 6000)
	return f
}

func (f Flap) validate() error {
	var errs []error
	if f.HalfLife < time.Second {
		errs = append(errs, fmt.Errorf("flap half-life %v is below 1 s", f.HalfLife))
	}
	if !(0 < f.Reuse && f.Reuse < f.Suppress && f.Suppress <= f.Max) {
		errs = append(errs, fmt.Errorf("flap points: reuse %v, suppress %v and max %v must rise from 0", f.Reuse, f.Suppress, f.Max))
	}
	return errors.Join(errs...)
}

// damper holds the points of one service.
type damper struct {
	points     float64
	at         time.Time // when points were right
	suppressed bool
}

func (d *damper) decay(f *Flap, now time.Time) {
	if age := now.Sub(d.at); age > 0 && d.points > 0 {
		d.points *= math.Exp2(-float64(age) / float64(f.HalfLife))
	}
	d.at = now
	if d.points < f.Reuse {
		d.suppressed = false
	}
}

// fell counts one fall.
func (d *damper) fell(f *Flap, now time.Time) {
	d.decay(f, now)
	d.points = min(d.points+pointsPerFall, f.Max)
	if d.points >= f.Suppress {
		d.suppressed = true
	}
}

// wait is how long the service has to be quiet before it is believed again; 0: it is.
func (d *damper) wait(f *Flap, now time.Time) time.Duration {
	d.decay(f, now)
	if !d.suppressed {
		return 0
	}
	return time.Duration(float64(f.HalfLife)*math.Log2(d.points/f.Reuse)) + time.Millisecond
}
