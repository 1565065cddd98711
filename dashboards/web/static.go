package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// file is one file of the page, ready to send.
type file struct {
	body, zipped []byte // zipped is nil where it would not be smaller
	kind         string
	etag         string
	immutable    bool // its name carries a hash of what is in it
}

// embedded reads the page's files. Without an index there is no page.
func embedded() (map[string]*file, error) {
	files := map[string]*file{}
	err := fs.WalkDir(dist, "dist", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := dist.ReadFile(p)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(p, "dist")
		sum := sha256.Sum256(b)
		f := &file{body: b, kind: kindOf(name, b), etag: `"` + hex.EncodeToString(sum[:8]) + `"`, immutable: strings.HasPrefix(name, "/assets/")}
		if z := zipped(b); len(z) < len(b)*9/10 {
			f.zipped = z
		}
		files[name] = f
		return nil
	})
	if err == nil && files["/index.html"] == nil {
		err = fmt.Errorf("read the page: dist/index.html is not in the program; build it with make ui")
	}
	return files, err
}

func kindOf(name string, b []byte) string {
	// Not from the machine's own table alone: a page served as text/plain is no page.
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".json", ".webmanifest":
		return "application/json"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return http.DetectContentType(b)
}

func zipped(b []byte) []byte {
	var buf bytes.Buffer
	z, _ := gzip.NewWriterLevel(&buf, gzip.BestCompression) // the level is one of those
	_, _ = z.Write(b)                                       // into memory
	_ = z.Close()
	return buf.Bytes()
}

// static serves the page's files. Whatever has no extension is a place in the page and gets the index: the page reads its own address.
func (s *Server) static(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, r, http.StatusMethodNotAllowed, "the page is read with GET")
		return
	}
	name := path.Clean("/" + r.URL.Path)
	f := s.files[name]
	if f == nil {
		if strings.HasPrefix(name, "/assets/") || path.Ext(name) != "" && !inPage(name) {
			fail(w, r, http.StatusNotFound, "no such file; the page may have been updated: load it again")
			return
		}
		if machines[name] || strings.HasPrefix(name, "/-/") || strings.HasPrefix(name, "/debug/") {
			noSuchAPI(w, r) // a program asks, which would take the page for an answer
			return
		}
		f = s.files["/index.html"]
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.etag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if f.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.body
	if f.zipped != nil && takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = f.zipped
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the reader may have gone: nobody is left to tell
	}
}

// inPage reports places in the page whose last element may hold a dot: names of services and addresses do.
func inPage(name string) bool {
	first, _, deeper := strings.Cut(name[1:], "/")
	return deeper && first != "assets"
}

// machines are addresses of Prometheus and of collectors, which programs ask for and which are not here.
var machines = map[string]bool{"/federate": true, "/metrics": true, "/stats.json": true, "/sd/http": true, "/api": true}
