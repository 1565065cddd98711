package web

import (
	"net/http"
	"time"
)

// answerWithin is how long one write of an answer may take: who reads no further holds neither the answer nor the connection.
const answerWithin = time.Minute

// timely gives each write of an answer its time. What comes before the first one, such as a long question, takes as long as it may.
func timely(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Time{}) // of the answer before; a writer that knows no deadlines has none to miss
		h.ServeHTTP(&timelyWriter{w, rc}, r)
	})
}

type timelyWriter struct {
	http.ResponseWriter
	rc *http.ResponseController
}

// Write implements io.Writer.
func (w *timelyWriter) Write(b []byte) (int, error) {
	_ = w.rc.SetWriteDeadline(time.Now().Add(answerWithin))
	return w.ResponseWriter.Write(b)
}

// WriteHeader implements http.ResponseWriter.
func (w *timelyWriter) WriteHeader(status int) {
	_ = w.rc.SetWriteDeadline(time.Now().Add(answerWithin))
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *timelyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
