package zk

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestLibraryLog(t *testing.T) {
	var b bytes.Buffer
	l := libraryLog{slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	l.Printf("Response for unknown request with xid %d", 7)
	l.Printf("Xid < 0 (%d) but not ping or watcher event", -9)
	if b.Len() > 0 {
		t.Errorf("not filtered: %s", b.String())
	}
	l.Printf("failed to connect to %s: %v", "a:1", "refused")
	if got := b.String(); !strings.Contains(got, `level=DEBUG msg="zookeeper client" line="failed to connect to a:1: refused"`) {
		t.Errorf("got %s", got)
	}
}
