package share

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// audit writes down every order that was given, came into force here, was withdrawn or ended: one line of JSON each, in a file that is only ever appended to, and a
// line in the log. A file that has grown large makes room for a new one, and is kept beside it until that is large, too.
type audit struct {
	dir       string
	collector string
	log       *slog.Logger

	mu sync.Mutex
}

const (
	auditFile = "audit.ndjson"
	maxAudit  = 16 << 20 // bytes of one
)

type auditLine struct {
	Time      time.Time       `json:"time"`
	Event     string          `json:"event"` // placed, in force, withdrawn, over
	Collector string          `json:"collector"`
	Scope     string          `json:"scope"`
	Note      string          `json:"note,omitempty"` // why it binds this collector only; who withdrew it
	Order     discovery.Order `json:"order"`
}

func (a *audit) note(event string, o discovery.Order, scope, note string) {
	of := o.Path
	if o.Kind == discovery.BurstOrder {
		of = o.Burst.Slice()
	}
	a.log.Info("order "+event, "order", o.ID, "kind", o.Kind, "of", of, "by", o.By, "why", o.Why, "until", o.Until, "scope", scope, "note", note)
	if a.dir == "" {
		return
	}
	b, err := json.Marshal(auditLine{time.Now().UTC(), event, a.collector, scope, note, o})
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		err = appendTo(filepath.Join(a.dir, auditFile), append(b, '\n'))
	}
	if err != nil {
		a.log.Error("an order is not in the audit file", "order", o.ID, "event", event, "err", err)
	}
}

func appendTo(file string, b []byte) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	st, bad := f.Stat()
	if err = errors.Join(err, bad, f.Close()); err == nil && st.Size() >= maxAudit {
		err = os.Rename(file, file+".1")
	}
	return err
}
