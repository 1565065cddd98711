package ops

import (
	"bytes"
	"context"
	stdlog "log"
	"log/slog"
)

// TakeStdLog has what libraries write to the standard library's logger, which nobody gave them, go to log, until restore is called. It is of the whole process.
func TakeStdLog(log *slog.Logger) (restore func()) {
	out, flags := stdlog.Writer(), stdlog.Flags()
	stdlog.SetOutput(stdLines{log})
	stdlog.SetFlags(0)
	return func() {
		stdlog.SetOutput(out)
		stdlog.SetFlags(flags)
	}
}

// stdLines writes a line as a record.
type stdLines struct{ log *slog.Logger }

// unasked is how net/http's client begins to tell of a target that spoke on an idle connection. It may do so after each scrape, nothing comes of it but a new connection, and
// whose it was is not said.
const unasked = "Unsolicited response"

func (s stdLines) Write(line []byte) (int, error) {
	level := slog.LevelInfo
	if bytes.HasPrefix(line, []byte(unasked)) {
		level = slog.LevelDebug
	}
	s.log.Log(context.Background(), level, string(bytes.TrimSpace(line)), "part", "library")
	return len(line), nil
}
