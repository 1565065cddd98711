// Package ndjson writes records, or flat samples, as lines of JSON: into files that are rotated, or to one writer such as standard output.
//
// It owns the files: one at a time a partition, <name>-<partition>-<UTC time>.ndjson with .gz or .zst where it is zipped, and .part behind it until it is done. A file
// without .part never changes again.
package ndjson

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/export/flat"
)

// Config shapes an Output. Dir or To must be given.
type Config struct {
	Dir    string        // folder of the files, made if missing
	Name   string        // what they begin with; default snapshots, or samples where Flat is set
	Zip    string        // gzip, zstd or none, the default
	Bytes  int64         // a file is done at this size on disk; default 128 MiB
	Every  time.Duration // or at this age; default 1 h
	To     io.Writer     // instead of Dir: lines go here
	Flat   *flat.Memory  // not nil: a line a sample, not a record
	Logger *slog.Logger
}

func (c *Config) fill() {
	name := "snapshots"
	if c.Flat != nil {
		name = "samples"
	}
	c.Name = cmp.Or(c.Name, name)
	c.Bytes = cmp.Or(c.Bytes, 128<<20)
	c.Every = cmp.Or(c.Every, time.Hour)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Zip == "none" {
		c.Zip = ""
	}
}

func (c *Config) validate() error {
	var faults []error
	if (c.Dir == "") == (c.To == nil) {
		faults = append(faults, errors.New("give a folder, or a writer"))
	}
	if _, ok := endings[c.Zip]; !ok || c.To != nil && c.Zip != "" {
		faults = append(faults, fmt.Errorf("compression %q: want gzip, zstd or none, and none to a writer", c.Zip))
	}
	if !plainName(c.Name) {
		faults = append(faults, fmt.Errorf("name %q: want letters, digits, '.', '_' and '-'", c.Name))
	}
	if c.Bytes < 1<<10 || c.Every < time.Second {
		faults = append(faults, fmt.Errorf("rotate at %d bytes or after %v: want at least 1024 and 1s", c.Bytes, c.Every))
	}
	return errors.Join(faults...)
}

func plainName(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return s != "" && s[0] != '.'
}

// Output writes lines. It implements export.Output.
type Output struct {
	cfg Config
	mu  sync.Mutex // of cfg.To
}

// New checks the configuration; it opens nothing.
func New(c Config) (*Output, error) {
	c.fill()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configure ndjson: %w", err)
	}
	return &Output{cfg: c}, nil
}

// Open implements export.Output. What a process before left unfinished is made a whole file, and what stands in it is not written again.
func (o *Output) Open(_ context.Context, partition int, mark string) (export.Part, export.Recall, error) {
	var recall export.Recall
	p := &part{o: o}
	if o.cfg.Flat != nil {
		recall.Intervals = flat.Intervals
	}
	if o.cfg.To == nil {
		p.dir = &folder{cfg: &o.cfg, partition: partition}
		ids, err := p.dir.recover(mark)
		if err != nil {
			return nil, recall, err
		}
		recall.Delivered, recall.Mark = ids, cmp.Or(mark, p.dir.now()+"@0")
		p.mark = recall.Mark
	}
	if o.cfg.Flat != nil {
		p.flat = flat.NewEncoder(o.cfg.Flat)
	}
	return p, recall, nil
}

// part writes one partition.
type part struct {
	o    *Output
	dir  *folder // nil: to a writer
	flat *flat.Encoder
	buf  bytes.Buffer
	made bool // buf holds the records in hand
	mark string
}

// Write implements export.Part: what it returns for is on disk, synced.
func (p *part) Write(ctx context.Context, rs []export.Record) (string, error) {
	if !p.made {
		p.buf.Reset()
		for i := range rs {
			p.line(ctx, &rs[i])
		}
		p.made = true
	}
	if p.dir == nil {
		p.o.mu.Lock()
		defer p.o.mu.Unlock()
		if _, err := p.buf.WriteTo(p.o.cfg.To); err != nil {
			return "", fmt.Errorf("write lines: %w", err)
		}
		p.made = false
		return "", nil
	}
	if err := p.dir.write(p.buf.Bytes()); err != nil {
		return "", err
	}
	p.made = false
	if name := p.dir.marked(); name != "" {
		p.mark = name
	}
	return p.mark, nil
}

func (p *part) line(ctx context.Context, r *export.Record) {
	if p.flat != nil {
		// It has no error: it asks nobody.
		_ = p.flat.Encode(ctx, r, func(_, value []byte) {
			p.buf.Write(value)
			p.buf.WriteByte('\n')
		})
		return
	}
	if r.Known {
		return
	}
	at := p.buf.Len()
	p.buf.Write(r.Raw)
	for i, c := range p.buf.Bytes()[at:] {
		if c == '\n' || c == '\r' { // between two words of JSON; in a text they are escaped
			p.buf.Bytes()[at+i] = ' '
		}
	}
	p.buf.WriteByte('\n')
}

// Close implements export.Part: the file is done.
func (p *part) Close() error {
	if p.flat != nil {
		p.flat.Close()
	}
	if p.dir == nil {
		return nil
	}
	return p.dir.finish()
}
