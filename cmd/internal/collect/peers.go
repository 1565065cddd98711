package collect

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/rollcall-metrics/rollcall/discovery/share"
)

// whoHeader names the collector that answers, in what collectors ask each other.
const whoHeader = "Rollcall-Collector"

// says puts this collector's name on an answer to another.
func (d *Daemon) says(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(whoHeader, d.id())
		next(w, r)
	}
}

// askPeer asks another collector's API; the caller closes the body. An answer of anybody else is refused: an address that is good on one host may be our own on
// this one.
func (d *Daemon) askPeer(ctx context.Context, p share.Collector, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL(path), nil)
	if err != nil {
		return nil, err
	}
	res, err := d.peers.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		err = fmt.Errorf("ask %s: status %d", p.Addr, res.StatusCode)
	} else if who := res.Header.Get(whoHeader); who != p.ID {
		err = fmt.Errorf("ask %s: collector %.40q answers there", p.Addr, who)
	}
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	return res.Body, nil
}
