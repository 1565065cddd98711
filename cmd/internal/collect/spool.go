package collect

import (
	"io/fs"
	"log/slog"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/kafka"
	"github.com/rollcall-metrics/rollcall/sink/spool"
)

// SpoolPath is the folder of the spool of a configuration, with the storage folder.
func SpoolPath(c config.Spool, storage string) string {
	if c.Path != "" {
		return c.Path
	}
	return filepath.Join(storage, "spool")
}

// spoolConfig is the spool of a configuration; nil where there is to be none.
func spoolConfig(c config.Spool, storage string) *spool.Config {
	if c.Off {
		return nil
	}
	out := &spool.Config{Path: SpoolPath(c, storage), MaxBytes: int64(c.MaxBytes)}
	out.Fsync, _ = spool.ParseFsync(c.Fsync) // which the configuration has checked
	if out.MaxBytes == 0 {
		out.MaxBytes = max(config.MinSpoolBytes, min(config.DefaultSpoolBytes, (free(storage)+taken(out.Path))/2))
	}
	return out
}

// free is what the disk of a folder that exists has free for us; without an answer, more than anybody asks for.
func free(dir string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return config.DefaultSpoolBytes * 2
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

// taken is what a spool takes of the disk already: a start after an outage must not find that it has to give up what waits.
func taken(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// SendConfig is the configuration of a sink that delivers what is in a spool's folder, and nothing else: for a collector whose host is lost.
func SendConfig(c *config.Config, path string, ledger *sink.Ledger, log *slog.Logger) (kafka.Config, error) {
	out, err := kafkaConfig(c, Options{Log: log, Metrics: ops.NewMetrics(ops.ThisBuild()), Drain: time.Second}, ledger)
	out.Spool = &spool.Config{Path: path, MaxBytes: max(config.DefaultSpoolBytes, 2*taken(path))} // nothing is to be dropped on the way
	out.BackfillBytes = sendBytes
	return out, err
}

const sendBytes = 64 << 20 // a second
