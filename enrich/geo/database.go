package geo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync/atomic"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Kind is what a database is asked for.
type Kind string

// The kinds.
const (
	City Kind = "city" // countries, and regions and cities where the file has them
	ASN  Kind = "asn"  // autonomous systems
)

// cacheSlots is how many records of a database are kept decoded: 256 KiB of pointers, and records of some 150 bytes as they are met.
const cacheSlots = 1 << 15

// database is one open file. It is never closed by hand: the reader unmaps its file once nobody reads it any more, so that a lookup that began before a swap ends well.
type database struct {
	file     string
	kind     Kind
	reader   *maxminddb.Reader
	v4       bool
	language string
	networks int                   // with data; those of IPv4 count once for each place they hang in the tree
	fault    atomic.Pointer[error] // set when reading failed after the file was verified: it was changed in place
	cache    [cacheSlots]atomic.Pointer[cached]
}

// cached is a decoded record. Many networks share one record, so the cache is by the record's offset, not by address.
type cached struct {
	offset uintptr
	place  Place
}

// open maps a file and verifies it: every network is walked and every record that lookups may meet is decoded once. (Reader.Verify is stricter than
// readers need: it refuses every file of ip-location-db for having no description.)
func open(ctx context.Context, file string, kind Kind, language string) (db *database, err error) {
	r, err := maxminddb.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open geo database %q: %w", file, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	db = &database{file: file, kind: kind, reader: r, v4: r.Metadata.IPVersion == 4, language: language}
	if err := db.verify(ctx); err != nil {
		return nil, fmt.Errorf("verify geo database %q: %w", file, err)
	}
	return db, nil
}

func (db *database) verify(ctx context.Context) (err error) {
	defer noFault(&err)()
	seen := map[uintptr]struct{}{}
	useful := false
	// A tree has one leaf more than nodes, and the IPv4 part hangs in it in at most a handful of places. A damaged one may have a loop, and then more leaves
	// than anybody can walk: so every leaf is asked for, and counted.
	leaves, most := uint(0), 8*(db.reader.Metadata.NodeCount+1)
	for res := range db.reader.Networks(maxminddb.IncludeNetworksWithoutData(), maxminddb.IncludeAliasedNetworks()) {
		if err := res.Err(); err != nil {
			return err
		}
		if leaves++; leaves > most {
			return errors.New("the search tree has a loop")
		}
		if leaves%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !res.Found() {
			continue
		}
		db.networks++
		if _, ok := seen[res.Offset()]; ok {
			continue
		}
		seen[res.Offset()] = struct{}{}
		var r record
		if err := res.Decode(&r); err != nil {
			return fmt.Errorf("record of %s: %w", res.Prefix(), err)
		}
		p := r.place(db.language)
		useful = useful || db.kind == ASN && p.ASN != 0 || db.kind == City && p.Country != ""
	}
	switch {
	case db.networks == 0:
		return errors.New("no network in it")
	case !useful && db.kind == ASN:
		return fmt.Errorf("type %q has no autonomous systems; name it as city, and an ASN database as asn", db.reader.Metadata.DatabaseType)
	case !useful:
		return fmt.Errorf("type %q has no countries; name it as asn, and a City or Country database as city", db.reader.Metadata.DatabaseType)
	}
	return nil
}

// lookup is the decoded record of an address, or nil.
func (db *database) lookup(a netip.Addr, d *DB) (e *cached) {
	if db.v4 && !a.Is4() || db.fault.Load() != nil {
		return nil
	}
	// A mapped file that is cut short while in use faults on access; that must cost this database, not the process.
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			d.failed(db, fmt.Errorf("%v", p))
			e = nil
		}
	}()
	res := db.reader.Lookup(a)
	if !res.Found() {
		if err := res.Err(); err != nil {
			d.failed(db, err)
		}
		return nil
	}
	at := res.Offset()
	slot := &db.cache[(uint64(at)*0x9E3779B97F4A7C15)>>49]
	if e := slot.Load(); e != nil && e.offset == at {
		return e
	}
	var r record
	if err := res.Decode(&r); err != nil {
		d.failed(db, err)
		return nil
	}
	e = &cached{at, r.place(db.language)}
	slot.Store(e)
	return e
}

// noFault turns a panic while reading a mapped file into an error.
func noFault(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			*err = fmt.Errorf("the file is damaged: %v", p)
		}
	}
}
