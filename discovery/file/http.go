package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// HTTPConfig says where to ask for targets. Only Name and URL must be given.
type HTTPConfig struct {
	Name     string        // of the source
	URL      string        // answers with a JSON list of groups; always the full list, [] when there is nobody
	Every    time.Duration // default 60 s
	Timeout  time.Duration // of one request; default 30 s, at most Every
	MaxBytes int64         // of an answer, decoded; default 64 MiB
	Client   *http.Client  // nil: one of our own, which follows no redirects and uses no proxy
	Log      *slog.Logger  // nil: nothing is logged
	Metrics  *metrics.Set  // nil: a private set
}

func (c *HTTPConfig) validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("the source has no name"))
	}
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		errs = append(errs, fmt.Errorf("url %q is no http:// or https:// address", redact(c.URL)))
	}
	if c.Every < 0 || c.Timeout < 0 || c.MaxBytes < 0 {
		errs = append(errs, errors.New("a duration or size is negative"))
	}
	return errors.Join(errs...)
}

// redact is a URL for people to read: without its password, and without its query, where others keep theirs.
func redact(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(not a URL)"
	}
	u.RawQuery = ""
	return u.Redacted()
}

// HTTP is a discovery.Source that asks a URL, by Prometheus' http_sd contract. While no good answer is to be had, the last one stands.
type HTTP struct {
	cfg    HTTPConfig
	log    *slog.Logger
	client *http.Client
	shown  string // the URL for people

	good, bad *metrics.Counter
}

// NewHTTP makes a source that has asked nobody yet.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("http_sd: %w", err)
	}
	cfg.Every = cmp.Or(cfg.Every, time.Minute)
	cfg.Timeout = min(cmp.Or(cfg.Timeout, 30*time.Second), cfg.Every)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, maxBytes)
	h := &HTTP{cfg: cfg, log: cfg.Log, client: cfg.Client, shown: redact(cfg.URL)}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.client == nil {
		tr := &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second}
		h.client = &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	set := cfg.Metrics
	if set == nil {
		set = metrics.NewSet()
	}
	h.good = set.GetOrCreateCounter(fmt.Sprintf(`rollcall_discovery_http_requests_total{source=%s,result="ok"}`, promtext.Quote(cfg.Name)))
	h.bad = set.GetOrCreateCounter(fmt.Sprintf(`rollcall_discovery_http_requests_total{source=%s,result="error"}`, promtext.Quote(cfg.Name)))
	return h, nil
}

// Name implements discovery.Source.
func (h *HTTP) Name() string { return h.cfg.Name }

// Run implements discovery.Source.
func (h *HTTP) Run(ctx context.Context, out *discovery.Latest) error {
	defer h.client.CloseIdleConnections()
	view := discovery.View{Source: h.cfg.Name, Server: h.shown}
	t := time.NewTicker(h.cfg.Every)
	defer t.Stop()
	for {
		ms, err := h.ask(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if view.Connected = err == nil; err != nil {
			h.bad.Inc()
			if view.Err != err.Error() {
				h.log.Warn("no targets to be had, keeping the last ones", "source", h.cfg.Name, "url", h.shown, "err", err)
			}
			view.Err = err.Error()
		} else {
			h.good.Inc()
			now := time.Now()
			out.PutSet(discovery.Set{Source: h.cfg.Name, Path: h.shown, Members: of(h.cfg.Name, h.shown, ms), Verified: now})
			view.Err, view.LastHeard, view.Complete, view.Paths = "", now, true, []string{h.shown}
		}
		out.PutView(view)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

func (h *HTTP) ask(ctx context.Context) ([]discovery.Member, error) {
	b, err := h.fetch(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := decodeJSON(h.shown, b)
	if err != nil {
		return nil, err
	}
	return members(groups, origin{file: h.shown, format: "http_sd", job: discovery.JobOf(h.cfg.Name), meta: map[string]string{"__meta_url": h.shown}})
}

// fetch is the body that the URL answers with, within the limits.
func (h *HTTP) fetch(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.cfg.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", h.shown, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "rollcall")
	req.Header.Set("X-Prometheus-Refresh-Interval-Seconds", strconv.FormatFloat(h.cfg.Every.Seconds(), 'f', -1, 64))
	resp, err := h.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // it would name the URL with its query
			err = ue.Err
		}
		return nil, fmt.Errorf("ask %s: %w", h.shown, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		hint := ""
		if resp.StatusCode/100 == 3 {
			hint = "; redirects are not followed: give the address that it leads to"
		}
		return nil, fmt.Errorf("ask %s: status %d, want 200%s", h.shown, resp.StatusCode, hint)
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, fmt.Errorf("ask %s: content type %.60q, want application/json", h.shown, resp.Header.Get("Content-Type"))
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, h.cfg.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", h.shown, err)
	}
	if int64(len(b)) > h.cfg.MaxBytes {
		return nil, fmt.Errorf("ask %s: more than %d bytes", h.shown, h.cfg.MaxBytes)
	}
	return b, nil
}
