package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/trust"
)

// Server serves one handler on one listener.
type Server struct {
	Listener net.Listener
	Handler  http.Handler
	Web      *WebConfig  // TLS and users; nil: neither
	Gate     *trust.Gate // who people are, made of Web; nil: as Web alone says
	Log      *slog.Logger
}

// Run serves until ctx ends, then lets requests finish for two seconds; endless ones (event streams) are cut.
func (s *Server) Run(ctx context.Context) error {
	h := s.Handler
	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	gate := s.Gate
	if gate == nil {
		gate = s.Web.Gate()
	}
	h = gate.Protect(h)
	if s.Web != nil {
		srv.TLSConfig = s.Web.TLS()
	}
	srv.Handler = h
	served := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			served <- srv.ServeTLS(s.Listener, "", "")
		} else {
			served <- srv.Serve(s.Listener)
		}
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", s.Listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); errors.Is(err, context.DeadlineExceeded) {
		return srv.Close()
	} else if err != nil {
		return fmt.Errorf("stop serving on %s: %w", s.Listener.Addr(), err)
	}
	return nil
}
