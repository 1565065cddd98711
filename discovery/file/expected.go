package file

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"time"
)

// ExpectedConfig says where it is written how many instances each service should have: File or URL, and not both.
type ExpectedConfig struct {
	File  string
	URL   string
	Every time.Duration // default 30 s
	Log   *slog.Logger
}

// Expected follows a JSON object of service/env → count, in a file or behind a URL.
type Expected struct {
	cfg  ExpectedConfig
	http *HTTP // for a URL
}

// NewExpected checks the configuration.
func NewExpected(cfg ExpectedConfig) (*Expected, error) {
	cfg.Every = cmp.Or(cfg.Every, 30*time.Second)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	if (cfg.File == "") == (cfg.URL == "") {
		return nil, errors.New("expected counts: give a file or a url, and not both")
	}
	if cfg.Every < 0 {
		return nil, fmt.Errorf("expected counts: every %v is negative", cfg.Every)
	}
	e := &Expected{cfg: cfg}
	if cfg.URL != "" {
		h, err := NewHTTP(HTTPConfig{Name: "expected", URL: cfg.URL, Every: cfg.Every, MaxBytes: maxExpected})
		if err != nil {
			return nil, fmt.Errorf("expected counts: %w", err)
		}
		e.http = h
	}
	return e, nil
}

// From names the origin as an account of the counts does: file or http.
func (e *Expected) From() string {
	if e.http != nil {
		return "http"
	}
	return "file"
}

// Run looks at the counts at once and then every so often, and tells those that changed, whole, by service/env. While they cannot be read the last ones stand, and
// the log says so once.
func (e *Expected) Run(ctx context.Context, tell func(counts map[string]int)) error {
	t := time.NewTicker(e.cfg.Every)
	defer t.Stop()
	var last map[string]int
	var trouble string
	for {
		counts, err := e.read(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if err.Error() != trouble {
				e.cfg.Log.Warn("expected counts cannot be read, keeping the last ones", "err", err)
			}
			trouble = err.Error()
		default:
			trouble = ""
			if last == nil || !maps.Equal(counts, last) {
				last = counts
				tell(maps.Clone(counts))
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// maxExpected bounds the document, in bytes: room for 100,000 services.
const maxExpected = 8 << 20

func (e *Expected) read(ctx context.Context) (map[string]int, error) {
	var b []byte
	var err error
	name := e.cfg.File
	if e.http != nil {
		name = e.http.shown
		b, err = e.http.fetch(ctx)
	} else if b, err = os.ReadFile(name); err == nil && len(b) > maxExpected {
		err = fmt.Errorf("more than %d bytes", maxExpected)
	}
	if err != nil {
		return nil, fmt.Errorf("read expected counts: %w", err)
	}
	return decodeExpected(name, b)
}

func decodeExpected(name string, b []byte) (map[string]int, error) {
	var counts map[string]int
	if err := json.Unmarshal(b, &counts); err != nil {
		return nil, fmt.Errorf(`read expected counts %s: %w; want an object such as {"checkout/prod": 40}`, name, err)
	}
	var errs []error
	for k, n := range counts {
		if service, env, ok := strings.Cut(k, "/"); !ok || service == "" || env == "" {
			errs = append(errs, fmt.Errorf("read expected counts %s: %.80q is not service/env", name, k))
		}
		if n < 0 {
			errs = append(errs, fmt.Errorf("read expected counts %s: %.80q: %d is negative", name, k, n))
		}
	}
	if counts == nil {
		counts = map[string]int{}
	}
	return counts, errors.Join(errs...)
}
