package ndjson

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// endings of files, by compression.
var endings = map[string]string{"": "", "gzip": ".gz", "zstd": ".zst"}

const (
	unfinished = ".part"
	stamp      = "20060102T150405.000000"
	maxLine    = 16 << 20
)

// folder holds the files of one partition.
type folder struct {
	cfg       *Config
	partition int

	file  *os.File // nil: none is open
	name  string   // without .part
	zip   zipper   // nil: as they are
	size  int64    // on disk
	bytes int64    // of lines, before compression
	began time.Time
	last  string // the name before, so that names only grow
	bad   bool   // a write failed: how much of it is there is not known
}

// zipper is a gzip or zstd writer: after Flush all that was written can be read.
type zipper interface {
	io.WriteCloser
	Flush() error
}

func (f *folder) prefix() string { return fmt.Sprintf("%s-%d-", f.cfg.Name, f.partition) }

// now is the name of a file that would begin now.
func (f *folder) now() string {
	return f.prefix() + time.Now().UTC().Format(stamp) + ".ndjson" + endings[f.cfg.Zip]
}

// marked is where all that was written ends: the file that is being written, and how many bytes of lines it has. "": none is open.
func (f *folder) marked() string {
	if f.file == nil {
		return ""
	}
	return f.name + "@" + strconv.FormatInt(f.bytes, 10)
}

// write appends lines and syncs them; a file that is full or old is done. Without lines time passes.
func (f *folder) write(lines []byte) error {
	if f.bad {
		if err := f.salvage(); err != nil {
			return err
		}
	}
	if f.file != nil && (f.size >= f.cfg.Bytes || time.Since(f.began) >= f.cfg.Every) {
		if err := f.finish(); err != nil {
			return err
		}
	}
	if len(lines) == 0 {
		return nil
	}
	if f.file == nil {
		if err := f.begin(); err != nil {
			return err
		}
	}
	if err := f.append(lines); err != nil {
		f.bad = true
		return fmt.Errorf("write %q: %w", f.name+unfinished, err)
	}
	return nil
}

func (f *folder) append(lines []byte) error {
	var to io.Writer = f.file
	if f.zip != nil {
		to = f.zip
	}
	if _, err := to.Write(lines); err != nil {
		return err
	}
	if f.zip != nil {
		if err := f.zip.Flush(); err != nil {
			return err
		}
	}
	at, err := f.file.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, f.file.Sync()); err == nil {
		f.size = at
		f.bytes += int64(len(lines))
	}
	return err
}

// begin opens a new file.
func (f *folder) begin() error {
	if err := os.MkdirAll(f.cfg.Dir, 0o750); err != nil {
		return err
	}
	name := f.now()
	for name <= f.last { // the clock was set back, or stands
		name = f.prefix() + timeOf(f.last, f.prefix()).Add(time.Microsecond).Format(stamp) + ".ndjson" + endings[f.cfg.Zip]
		if name <= f.last {
			return fmt.Errorf("name a file behind %q", f.last)
		}
	}
	file, err := os.OpenFile(filepath.Join(f.cfg.Dir, name+unfinished), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
	if err != nil {
		return err
	}
	f.file, f.name, f.size, f.bytes, f.began, f.zip = file, name, 0, 0, time.Now(), nil
	f.zip, err = f.zipTo(file, name)
	return errors.Join(err, syncDir(f.cfg.Dir))
}

func timeOf(name, prefix string) time.Time {
	text, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), ".ndjson")
	t, err := time.Parse(stamp, text)
	if err != nil {
		return time.Now().UTC()
	}
	return t
}

// finish makes the open file a whole one.
func (f *folder) finish() error {
	if f.file == nil {
		return nil
	}
	var err error
	if f.zip != nil {
		err = f.zip.Close()
	}
	err = errors.Join(err, f.file.Sync(), f.file.Close())
	f.file = nil
	if err == nil {
		f.last = f.name
		err = f.publish(f.name)
	}
	if err != nil {
		return fmt.Errorf("finish %q: %w", f.name, err)
	}
	return nil
}

func (f *folder) publish(name string) error {
	at := filepath.Join(f.cfg.Dir, name)
	err := os.Rename(at+unfinished, at)
	if errors.Is(err, os.ErrNotExist) { // who took the partition over has finished it
		return nil
	}
	return errors.Join(err, syncDir(f.cfg.Dir))
}

// salvage gives up a file that could not be written: what was written before stays, so that the same lines can be written again.
func (f *folder) salvage() error {
	err := f.file.Close()
	f.file = nil
	if rerr := f.repair(f.name, f.bytes); rerr != nil {
		return fmt.Errorf("salvage %q: %w", f.name, errors.Join(err, rerr))
	}
	f.bad, f.last = false, f.name
	return nil
}

// recover makes whole files of what a process before left unfinished. What stands in them behind the mark was not acknowledged and goes, as it comes again; what
// stands behind it in finished files stays, and its ids are given.
func (f *folder) recover(mark string) (ids export.IDs, err error) {
	if err := os.MkdirAll(f.cfg.Dir, 0o750); err != nil {
		return ids, fmt.Errorf("make folder: %w", err)
	}
	entries, err := os.ReadDir(f.cfg.Dir)
	if err != nil {
		return ids, err
	}
	at, text, _ := strings.Cut(mark, "@")
	good, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		good = 0
	}
	for _, e := range entries { // by name, so by time
		name, part := strings.CutSuffix(e.Name(), unfinished)
		if !strings.HasPrefix(name, f.prefix()) || !e.Type().IsRegular() || !strings.Contains(name, ".ndjson") {
			continue
		}
		f.last = max(f.last, name)
		var err error
		switch {
		case part && mark == "": // nothing is known of it but what it holds
			err = f.repair(name, math.MaxInt64)
		case part && name < at:
			err = f.repair(name, math.MaxInt64)
		case part && name == at:
			err = f.repair(name, good)
		case part:
			err = os.Remove(filepath.Join(f.cfg.Dir, e.Name()))
		case mark != "" && name == at:
			err = f.ids(&ids, name, good)
		case mark != "" && name > at:
			err = f.ids(&ids, name, 0)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // who had the partition before has finished it meanwhile
			return ids, fmt.Errorf("recover %q: %w", e.Name(), err)
		}
	}
	return ids, nil
}

// ids adds those of the records in a file, behind so many bytes.
func (f *folder) ids(to *export.IDs, name string, behind int64) error {
	return f.read(name, func(line []byte, at int64) error {
		if id, ok := idOf(line); ok && at >= behind {
			to.Add(id)
		}
		return nil
	})
}

// read gives the whole lines of a file as far as it can be read, and where each begins.
func (f *folder) read(name string, take func(line []byte, at int64) error) error {
	file, err := os.Open(filepath.Join(f.cfg.Dir, name))
	if err != nil {
		return err
	}
	defer file.Close()
	r, end, err := unzip(file, name)
	if err != nil {
		return nil // cut within its head
	}
	defer end()
	lines := bufio.NewReaderSize(r, 1<<20)
	for at := int64(0); ; {
		line, err := lines.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) && len(line) < maxLine {
			begin := bytes.Clone(line)
			line, err = lines.ReadSlice('\n')
			line = append(begin, line...)
		}
		if err != nil {
			return nil // at its end, or where it was cut
		}
		if err := take(line, at); err != nil {
			return err
		}
		at += int64(len(line))
	}
}

// idOf is the id of a line: each begins with it, behind the version.
func idOf(line []byte) (wire.ID, bool) {
	_, rest, ok := bytes.Cut(line[:min(len(line), 160)], []byte(`"id":"`))
	text, _, ok2 := bytes.Cut(rest, []byte(`"`))
	if !ok || !ok2 {
		return wire.ID{}, false
	}
	id, err := wire.ParseID(string(text))
	return id, err == nil
}

func unzip(file io.Reader, name string) (io.Reader, func(), error) {
	switch name = strings.TrimSuffix(name, unfinished); {
	case strings.HasSuffix(name, ".gz"):
		r, err := gzip.NewReader(file)
		return r, func() {}, err
	case strings.HasSuffix(name, ".zst"):
		r, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	}
	return file, func() {}, nil
}

// repair makes a whole file of the first bytes of lines of an unfinished one: another file, as somebody who does not know yet that he has lost the partition may
// still hold the old one. One without a whole line goes.
func (f *folder) repair(name string, good int64) (err error) {
	to, err := os.CreateTemp(f.cfg.Dir, ".ndjson-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(to.Name()))
		}
	}()
	var out io.Writer = bufio.NewWriterSize(to, 1<<20)
	flush := out.(*bufio.Writer).Flush
	if z, zerr := f.zipTo(to, name); zerr != nil {
		return errors.Join(zerr, to.Close())
	} else if z != nil {
		out, flush = z, z.Close
	}
	kept := int64(0)
	err = f.read(name+unfinished, func(line []byte, at int64) error {
		if at+int64(len(line)) > good {
			return nil
		}
		kept += int64(len(line))
		_, err := out.Write(line)
		return err
	})
	if err = errors.Join(err, flush(), to.Chmod(0o640), to.Sync(), to.Close()); err != nil {
		return err
	}
	old := filepath.Join(f.cfg.Dir, name+unfinished)
	if kept == 0 {
		return errors.Join(os.Remove(to.Name()), os.Remove(old))
	}
	if good != math.MaxInt64 && kept < good {
		return fmt.Errorf("it should hold %d bytes of lines, and %d can be read", good, kept)
	}
	if err := os.Rename(to.Name(), filepath.Join(f.cfg.Dir, name)); err != nil {
		return err
	}
	return errors.Join(os.Remove(old), syncDir(f.cfg.Dir))
}

// zipTo is what zips as a file's name says; nil: nothing does.
func (f *folder) zipTo(to io.Writer, name string) (zipper, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewWriter(to), nil
	case strings.HasSuffix(name, ".zst"):
		return zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	}
	return nil, nil
}

// syncDir makes the names in dir survive a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
