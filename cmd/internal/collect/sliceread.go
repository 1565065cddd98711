package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/internal/jsonread"
)

// Bounds of what another collector says of a burst's slice.
const (
	sliceHead    = 64 << 10 // bytes of the answer beside the instances
	sliceEntry   = 2 << 10  // and for each instance that the burst may be of, with its place
	maxSlice     = 32 << 20 // and of all
	maxSliceText = 64 << 10 // bytes of one instance
	maxCovered   = 1_000_000
	longestUsual = time.Hour // that the interval of a job may have
)

func (d *Daemon) readSlice(ctx context.Context, p share.Collector, b *discovery.Burst, order []byte) (w sliceWord, err error) {
	if p.Addr == "" {
		return w, fmt.Errorf("collector %s says no address", p.ID)
	}
	body, err := d.askPeer(ctx, p, slicePath+"?order="+url.QueryEscape(string(order)))
	if err != nil {
		return w, err
	}
	defer body.Close()
	return decodeSlice(ctx, body, b)
}

// decodeSlice reads what another collector says of a burst, as much of it as could be true.
func decodeSlice(ctx context.Context, from io.Reader, b *discovery.Burst) (w sliceWord, err error) {
	r := jsonread.New(ctx, from, min(sliceHead+int64(b.Instances)*sliceEntry, maxSlice), maxSliceText)
	numbers := map[string]any{"taken": &w.Taken, "of": &w.covered.Of, "slow": &w.Slow, "full": &w.Full, "longest_ms": &w.Longest}
	err = r.Object(func(name string) error {
		if n, ok := numbers[name]; ok {
			return r.Value(n)
		}
		switch name {
		case "first":
			return w.readFirst(r, b)
		case "places":
			return r.Array(b.Instances-len(w.Places), func() error {
				var p placeCount
				err := r.Value(&p)
				w.Places = append(w.Places, p)
				return err
			})
		}
		return r.Skip()
	})
	if err == nil {
		err = w.check()
	}
	if err != nil {
		return sliceWord{}, fmt.Errorf("read a slice: %w", err)
	}
	return w, nil
}

// readFirst reads the instances: as many as the burst may be of, and of its service only.
func (w *sliceWord) readFirst(r *jsonread.Reader, b *discovery.Burst) error {
	return r.Array(b.Instances-len(w.First), func() error {
		var c candidate
		if err := r.Value(&c); err != nil {
			return err
		}
		if k := c.Key; k.Service != b.Service || k.Env != b.Env || k.Host == "" || k.Port == 0 {
			return fmt.Errorf("%.200q is not of %s", k.String(), b.Slice())
		}
		w.First = append(w.First, c)
		return nil
	})
}

// check says what cannot be true.
func (w *sliceWord) check() error {
	c := w.covered
	if c.Of < 0 || c.Of > maxCovered || c.Taken < 0 || c.Taken > c.Of || c.Slow < 0 || c.Slow > c.Of || c.Full < 0 || c.Full > c.Of || c.Taken+c.Slow+c.Full > c.Of || len(w.First) > c.Of {
		return fmt.Errorf("%d taken, %d slow and %d without room of %d, and %d to choose from: that cannot be", c.Taken, c.Slow, c.Full, c.Of, len(w.First))
	}
	n := 0
	for _, p := range w.Places {
		if n += p.N; p.N < 1 || p.N > c.Of || n > c.Of {
			return fmt.Errorf("%d instances of one version in one zone, of %d: that cannot be", p.N, c.Of)
		}
	}
	if w.Longest < 0 || w.Longest > longestUsual.Milliseconds() {
		return errors.New("a job's interval is longer than one may be")
	}
	return nil
}
