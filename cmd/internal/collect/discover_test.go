package collect

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/fleet"
)

// A job's sources are asked over a ZooKeeper session of their own, and say what they see before anybody collects.
func TestDiscover(t *testing.T) {
	w := newWorld(t, fleet.Config{Instances: 5, Numbers: 10, Services: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found, views, silent, err := Discover(ctx, w.config(t, "  relabel_configs: [{source_labels: [__meta_serverset_path], regex: /nowhere, action: drop}]\n"), "apps", slog.New(slog.DiscardHandler))
	if err != nil || len(silent) != 0 || len(found) != 5 || len(views) != 1 || !views[0].Connected {
		t.Fatalf("%d found, views %+v, silent %v: %v", len(found), views, silent, err)
	}
	for _, f := range found {
		if f.Reason != "" || f.After == nil || f.Before["__meta_serverset_path"] != f.Path || f.Path == "" {
			t.Errorf("%+v", f)
		}
	}
	if _, _, _, err := Discover(ctx, w.config(t, ""), "nobody", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a job that there is not is found")
	}
}
