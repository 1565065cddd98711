package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// inFlight bounds the creates under way at once: enough to be quick, few enough to leave the server to others.
const inFlight = 64

// Register joins every instance as an ephemeral KingPin member of one session, and again after the session expired. progress is called with the number that has
// joined. It returns when ctx ends, leaving nothing behind.
func (f *Fleet) Register(ctx context.Context, servers []string, log *slog.Logger, progress func(n int)) error {
	s, err := zk.NewSession(zk.Config{Name: "fleet", Servers: servers, SessionTimeout: 10 * time.Second, Log: log})
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for joined := int64(0); ; {
		st, changed := s.Changed()
		if st.Connected && st.SessionID != joined {
			if err := f.join(ctx, s, progress); err == nil {
				joined = st.SessionID
			} else if ctx.Err() == nil {
				log.Warn("the fleet is not wholly registered; trying again", "err", err)
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
				continue
			}
		}
		select {
		case <-changed:
		case err := <-done:
			return err
		}
	}
}

func (f *Fleet) join(ctx context.Context, s *zk.Session, progress func(int)) error {
	for n := range f.conf.Services {
		for _, p := range []string{"/discovery", fmt.Sprintf("/discovery/load-%d", n), fmt.Sprintf("/discovery/load-%d/%s", n, f.conf.Env)} {
			if _, err := s.Create(ctx, p, nil, zk.Persistent); err != nil && !errors.Is(err, zk.ErrNodeExists) {
				return err
			}
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	slots := make(chan struct{}, inFlight)
	done := 0
	for _, i := range f.instances {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			host, port, err := discovery.SplitAddr(i.Addr)
			if err == nil {
				_, err = s.Create(ctx, "/discovery/"+i.Service+"/"+f.conf.Env+"/"+serverset.NewKingPinName(host, port), []byte(i.Addr), zk.Ephemeral)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			if done++; done%1000 == 0 || done == len(f.instances) {
				progress(done)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
