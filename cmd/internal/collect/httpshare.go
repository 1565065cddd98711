package collect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/internal/trust"
)

// shareRoutes adds what collectors ask each other, and the orders.
func (d *Daemon) shareRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+share.SharePath, func(w http.ResponseWriter, _ *http.Request) { answer(w, d.sharing.now.Load().Status()) })
	mux.HandleFunc("GET "+wordsPath, d.says(d.serveWords))
	mux.HandleFunc("GET /api/v1/me", func(w http.ResponseWriter, r *http.Request) { answer(w, trust.MeOf(r)) })
	mux.HandleFunc("GET /api/v1/orders", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"as_of": time.Now().UnixMilli(), "orders": d.shownOrders()})
	})
	mux.HandleFunc("GET "+slicePath, d.says(d.serveSlice))
	mux.HandleFunc("POST /api/v1/orders", d.trusted(d.placeOrder))
	mux.HandleFunc("POST /api/v1/burst", d.trusted(d.serveBurst))
	mux.HandleFunc("DELETE /api/v1/orders/{id}", d.trusted(d.withdrawOrder))
}

// trusted lets those pass who may give orders: operators who have signed in, or, where nobody can, whoever is on this machine; no page of another site in a browser.
func (d *Daemon) trusted(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if why := d.distrust(r); why != "" {
			refuse(w, http.StatusForbidden, why)
			return
		}
		next(w, r)
	}
}

func (d *Daemon) distrust(r *http.Request) string { return trust.Distrust(r, "orders") }

// orderFor bounds how long ZooKeeper may take an order; then it binds this collector only.
const orderFor = 3 * time.Second

func (d *Daemon) placeOrder(w http.ResponseWriter, r *http.Request) {
	var o discovery.Order
	if !readOrder(w, r, &o) {
		return
	}
	switch o.Kind {
	case discovery.BurstOrder:
		d.placeBurst(w, r, o)
	case discovery.FreezeOrder, discovery.AcceptOrder:
		o.By, o.Burst = d.giver(r, o.By), discovery.Burst{}
		if placed, ok := d.place(w, r, o); ok {
			d.begun(placed, nil)
			answer(w, placed)
		}
	default:
		refuse(w, http.StatusBadRequest, "kind: use freeze, accept or burst")
	}
}

// readOrder reads what somebody sends; where it is none, that is said.
func readOrder(w http.ResponseWriter, r *http.Request, into any) bool {
	if t := r.Header.Get("Content-Type"); !strings.HasPrefix(t, "application/json") {
		refuse(w, http.StatusUnsupportedMediaType, "an order is application/json")
		return false
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(into); err != nil {
		refuse(w, http.StatusBadRequest, "the order is no JSON: "+err.Error())
		return false
	}
	return true
}

// giver is who gives an order: the user who has signed in, whatever the order says.
func (d *Daemon) giver(r *http.Request, says string) string { return trust.Who(r, says) }

// place gives an order, or answers why it cannot be given.
func (d *Daemon) place(w http.ResponseWriter, r *http.Request, o discovery.Order) (placed share.Placed, ok bool) {
	ctx, cancel := context.WithTimeout(r.Context(), orderFor)
	defer cancel()
	placed, err := d.sharing.now.Load().Place(ctx, o)
	switch {
	case errors.Is(err, share.ErrOrder):
		refuse(w, http.StatusBadRequest, err.Error())
	case err != nil:
		refuse(w, http.StatusInternalServerError, err.Error())
	default:
		d.log.Info("order given", "id", placed.ID, "kind", placed.Kind, "path", placed.Path, "by", placed.By, "signed_in", trust.Who(r, ""), "from", r.RemoteAddr)
	}
	return placed, err == nil
}

func (d *Daemon) withdrawOrder(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), orderFor)
	defer cancel()
	by := d.giver(r, cmp.Or(clip(r.FormValue("by"), 200), r.RemoteAddr))
	o, known := d.placedOrder(r.PathValue("id"))
	switch err := d.sharing.now.Load().Withdraw(ctx, r.PathValue("id"), by); {
	case errors.Is(err, share.ErrNoOrder):
		refuse(w, http.StatusNotFound, err.Error())
	case err != nil:
		refuse(w, http.StatusServiceUnavailable, err.Error()+"; the group keeps obeying it")
	default:
		d.log.Info("order ended", "id", o.ID, "by", by, "signed_in", trust.Who(r, ""), "from", r.RemoteAddr)
		if known {
			d.ended(o, by)
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
