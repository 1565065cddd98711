package wire

import (
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// RosterRecord is a record of topic rollcall.roster: changes of one service's roster as they happen, or, with Full, all of it; or, with Own, a collector's word about
// itself; or, with Order, what became of an operator's order.
type RosterRecord struct {
	Collector uint64
	Start     uint64
	TS        int64 // Unix milliseconds
	Service   string
	Env       string
	// Full says that Changes hold every entry of the service, over all parts: who is not among them is not on the roster. Full entries have no Was.
	Full    bool
	Version uint64 // the roster's version when the record was made: orders the records of one start
	Part    int    // from 1; 0: the record is whole
	Parts   int
	Term    uint64 // as in Provenance
	Changes []discovery.Change
	Own     *Own // of a record without a service
	Order   *OrderWord
}

// Key is the record's key in Kafka.
func (r *RosterRecord) Key() string {
	switch {
	case r.Order != nil && r.Order.Order.Burst.Service != "": // in order with what is told of the service
		return r.Order.Order.Burst.Service + "/" + r.Order.Order.Burst.Env
	case r.Own != nil || r.Order != nil:
		return string(appendHex64(nil, r.Collector))
	}
	return r.Service + "/" + r.Env
}

// GroupRoster calls emit once a service among changes, in the order in which they first occur, with base completed by that service's changes.
func GroupRoster(base RosterRecord, changes []discovery.Change, emit func(RosterRecord)) {
	at := map[[2]string]int{}
	var groups []RosterRecord
	for i := range changes {
		c := &changes[i]
		k := [2]string{c.Service, c.Env}
		n, ok := at[k]
		if !ok {
			n = len(groups)
			at[k] = n
			base.Service, base.Env, base.Changes = c.Service, c.Env, nil
			groups = append(groups, base)
		}
		groups[n].Changes = append(groups[n].Changes, *c)
	}
	for _, g := range groups {
		emit(g)
	}
}

// SplitRoster gives r as records of at most limit bytes: one if it fits, else parts that each say which of how many they are. rec is valid until
// emit returns. An entry that does not fit a record of its own loses its reason and tags.
func SplitRoster(r RosterRecord, limit int, emit func(rec []byte)) {
	buf := r.Append(nil)
	if len(buf) <= limit {
		emit(buf)
		return
	}
	all := r.Changes
	r.Changes, r.Part, r.Parts = nil, 1<<20, 1<<20
	head := len(r.Append(nil))
	var ends []int
	size := head
	kept := make([]discovery.Change, len(all))
	for i, c := range all {
		n := len(appendChange(buf[:0], &c)) + 1
		if head+n > limit {
			c.Reason, c.Excuse, c.Tags, c.OldTags, c.Member = clip(c.Reason, 64), clip(c.Excuse, 64), discovery.Tags{}, discovery.Tags{}, clip(c.Member, 64)
			n = len(appendChange(buf[:0], &c)) + 1
		}
		kept[i] = c
		if size += n; size > limit && i > 0 {
			ends = append(ends, i)
			size = head + n
		}
	}
	ends = append(ends, len(kept))
	from := 0
	r.Parts = len(ends)
	for i, end := range ends {
		r.Part, r.Changes = i+1, kept[from:end]
		buf = r.Append(buf[:0])
		emit(buf)
		from = end
	}
}

// Append appends the record.
func (r *RosterRecord) Append(dst []byte) []byte {
	dst = append(dst, `{"v":1,"from":"`...)
	dst = appendHex64(dst, r.Collector)
	dst = append(dst, '/')
	dst = strconv.AppendUint(dst, r.Start, 10)
	dst = append(dst, `","ts":`...)
	dst = strconv.AppendInt(dst, r.TS, 10)
	if r.Own != nil {
		dst = append(dst, `,"collector":`...)
		return append(r.Own.append(dst), '}')
	}
	if r.Order != nil {
		dst = append(dst, `,"order":`...)
		return append(r.Order.append(dst), '}')
	}
	dst = append(dst, `,"service":`...)
	dst = appendString(dst, r.Service)
	dst = append(dst, `,"env":`...)
	dst = appendString(dst, r.Env)
	dst = append(dst, `,"full":`...)
	dst = strconv.AppendBool(dst, r.Full)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendUint(dst, r.Version, 10)
	if r.Part > 0 {
		dst = append(dst, `,"part":`...)
		dst = strconv.AppendInt(dst, int64(r.Part), 10)
		dst = append(dst, `,"parts":`...)
		dst = strconv.AppendInt(dst, int64(r.Parts), 10)
	}
	if r.Term != 0 {
		dst = append(dst, `,"term":"0x`...)
		dst = strconv.AppendUint(dst, r.Term, 16)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"entries":[`...)
	for i := range r.Changes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendChange(dst, &r.Changes[i])
	}
	return append(dst, "]}"...)
}

func appendChange(dst []byte, c *discovery.Change) []byte {
	text := func(name, v string) {
		if v != "" {
			dst = append(dst, ',', '"')
			dst = append(dst, name...)
			dst = append(dst, '"', ':')
			dst = appendString(dst, v)
		}
	}
	when := func(name string, t time.Time) {
		if !t.IsZero() {
			dst = append(dst, ',', '"')
			dst = append(dst, name...)
			dst = append(dst, '"', ':')
			dst = strconv.AppendInt(dst, t.UnixMilli(), 10)
		}
	}
	dst = append(dst, `{"state":`...)
	dst = appendString(dst, string(c.State))
	if c.Host != "" {
		dst = append(dst, `,"instance":`...)
		dst = appendAddr(dst, c.Host, c.Port)
	}
	text("was", string(c.Was))
	text("reason", clip(c.Reason, maxReason))
	text("cause", string(c.Cause))
	text("excuse", clip(c.Excuse, maxReason))
	if c.Flaps > 0 {
		dst = append(dst, `,"flaps":`...)
		dst = strconv.AppendInt(dst, int64(c.Flaps), 10)
	}
	when("at", c.At)
	when("since", c.Since)
	when("joined", c.Joined)
	when("verified", c.Verified)
	zxid := func(name string, z int64) {
		if z != 0 {
			dst = append(dst, ',', '"')
			dst = append(dst, name...)
			dst = append(dst, `":"0x`...)
			dst = strconv.AppendUint(dst, uint64(z), 16)
			dst = append(dst, '"')
		}
	}
	zxid("zxid", c.Zxid)
	zxid("seen", c.Seen)
	text("source", c.Source)
	text("path", c.Path)
	text("member", c.Member)
	text("format", c.Format)
	if c.Shard != discovery.NoShard {
		dst = append(dst, `,"shard":`...)
		dst = strconv.AppendInt(dst, int64(c.Shard), 10)
	}
	text("status", c.Status)
	text("scheme", c.Scheme)
	text("stats_path", c.StatsPath)
	text("stats_host", c.StatsHost)
	if c.StatsPort != 0 {
		dst = append(dst, `,"stats_port":`...)
		dst = strconv.AppendUint(dst, uint64(c.StatsPort), 10)
	}
	if !c.Tags.IsZero() {
		dst = append(dst, `,"tags":`...)
		dst = appendTags(dst, c.Tags)
	}
	if !c.OldTags.IsZero() {
		dst = append(dst, `,"old_tags":`...)
		dst = appendTags(dst, c.OldTags)
	}
	return append(dst, '}')
}
