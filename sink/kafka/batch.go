package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/spool"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const (
	maxBatch    = 900 << 10 // uncompressed bytes of a batch, records' frames included
	recordFrame = 120       // what a record takes beyond key and value, at most
	batchHeader = 61        // bytes of a v2 batch before its records
	codecZstd   = 4
	maxKey      = 4 << 10
	maxValue    = wire.MaxRecord // of a record that is no snapshot
)

// row is one record of a batch that is not sealed yet; its value stands in the batch's buf.
type row struct {
	key    string
	ts     int64 // Unix milliseconds
	at, to int
}

// batch is what goes to one partition at once. It is filled, closed, sealed (compressed into a v2 record batch) and, at its first send, stamped
// with lane, producer and sequence; from then on its bytes do not change until it is settled. The backlog's lock guards all of it but the
// stamp, which belongs to the lane that has taken the batch.
type batch struct {
	q      *queue
	opened int64  // Unix milliseconds
	first  uint64 // sequences of snapshots; 0 in other topics
	last   uint64
	oldest int64 // times of records, Unix milliseconds
	newest int64
	n      int          // records
	counts []sink.Count // a snapshot in parts counts where its last part is
	of     int          // partitions when its records were keyed
	round  int          // of the backlog, then
	start  uint64       // of the collector, that gave the sequences

	rows []row // until sealed
	buf  []byte
	raw  int  // bytes of the records with their frames, at most
	gone bool // settled, dropped or replaced
	kept bool // is being keyed again: not to be sealed any more

	wire []byte // int32 size, v2 header, compressed records; once sealed, and nil again while it is on disk only

	offered   bool        // the disk was asked to take it: it may be sent
	offering  bool        // is being asked
	spooled   bool        // it is on disk, at
	entry     spool.Entry // this place
	inherited bool        // from an earlier start
	to        string      // the topic that an earlier start attempted to send it to

	stamped   bool
	journaled bool // with this stamp
	producer  producer
	sequence  int32
	unclear   bool          // an attempt has ended without an answer
	apart     bool          // half of one that was too much: not to be joined
	back      time.Duration // by how much the times that Kafka is told are before those of the records
}

// room reports whether another record of so many bytes fits.
func (b *batch) room(key string, value int) bool {
	return b.n == 0 || b.raw+len(key)+value+recordFrame <= maxBatch
}

// add appends a record of which head and body are the value.
func (b *batch) add(key string, ts int64, head, body []byte) {
	at := len(b.buf)
	b.buf = append(append(b.buf, head...), body...)
	b.rows = append(b.rows, row{key, ts, at, len(b.buf)})
	if b.n == 0 || ts < b.oldest {
		b.oldest = ts
	}
	b.newest = max(b.newest, ts)
	b.n++
	b.raw += len(key) + len(head) + len(body) + recordFrame
}

// number notes that the batch holds the snapshot with this sequence.
func (b *batch) number(seq uint64) {
	if b.first == 0 || seq < b.first {
		b.first = seq
	}
	b.last = max(b.last, seq)
}

// count notes that n more of an account's snapshots or records are in the batch.
func (b *batch) count(a *sink.Account, n uint64) {
	if i := len(b.counts) - 1; i >= 0 && b.counts[i].Account == a {
		b.counts[i].N += n
		return
	}
	b.counts = append(b.counts, sink.Count{Account: a, N: n})
}

// bytes is what the batch takes of the memory budget.
func (b *batch) bytes() int64 {
	if b.wire != nil {
		return int64(len(b.wire))
	}
	return int64(len(b.buf) + 48*len(b.rows))
}

// zipped is the size of a sealed batch, also of one that is on disk only.
func (b *batch) zipped() int {
	if b.wire == nil {
		return b.entry.Size
	}
	return len(b.wire)
}

// header is one Kafka record header.
type header struct{ name, value string }

// headers of the records of one topic.
func headers(schema string) []header {
	h := []header{{"content-type", wire.ContentType}}
	if schema != "" {
		h = append(h, header{"rollcall-schema", schema})
	}
	return h
}

// packer makes v2 record batches; it is not safe for concurrent use.
type packer struct {
	zip     func(dst, src []byte) []byte
	rows    []row // of the batch that is being sealed
	groups  grouper
	records []byte
	zipped  []byte
	tail    []byte
}

// pack gives the rows as an unstamped v2 record batch behind its int32 size, as RawProduce wants it. The rows are ordered by key, so that one
// service's records, which look alike, fall into one compression window; those of one key keep their order. The format:
// https://kafka.apache.org/documentation/#recordbatch.
func (p *packer) pack(rows []row, buf []byte, hs []header) []byte {
	rows = p.groups.byKey(rows)
	p.tail = binary.AppendVarint(p.tail[:0], int64(len(hs)))
	for _, h := range hs {
		p.tail = append(binary.AppendVarint(p.tail, int64(len(h.name))), h.name...)
		p.tail = append(binary.AppendVarint(p.tail, int64(len(h.value))), h.value...)
	}
	base, newest := rows[0].ts, rows[0].ts
	p.records = p.records[:0]
	for i, r := range rows {
		newest = max(newest, r.ts)
		value := buf[r.at:r.to]
		size := 1 + varintLen(r.ts-base) + varintLen(int64(i)) + varintLen(int64(len(r.key))) + len(r.key) +
			varintLen(int64(len(value))) + len(value) + len(p.tail)
		d := append(binary.AppendVarint(p.records, int64(size)), 0)
		d = binary.AppendVarint(d, r.ts-base)
		d = binary.AppendVarint(d, int64(i))
		d = append(binary.AppendVarint(d, int64(len(r.key))), r.key...)
		d = append(binary.AppendVarint(d, int64(len(value))), value...)
		p.records = append(d, p.tail...)
	}
	var head [4 + batchHeader]byte
	p.zipped = p.zip(append(p.zipped[:0], head[:]...), p.records)
	out := bytes.Clone(p.zipped)
	be := binary.BigEndian
	be.PutUint32(out, uint32(len(out)-4))
	b := out[4:]
	be.PutUint32(b[8:], uint32(len(b)-12))
	be.PutUint32(b[12:], 0xffffffff) // the leader's epoch, which the broker fills in
	b[16] = 2
	be.PutUint16(b[21:], codecZstd)
	be.PutUint32(b[23:], uint32(len(rows)-1))
	be.PutUint64(b[27:], uint64(base))
	be.PutUint64(b[35:], uint64(newest))
	be.PutUint32(b[57:], uint32(len(rows)))
	return out
}

func varintLen(v int64) int {
	n := 1
	for u := uint64(v)<<1 ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// producer is whom the broker knows a batch's sequence from.
type producer struct {
	id    int64
	epoch int16
}

// stamp writes producer and sequence into a packed batch, and the checksum over all that follows it.
func stamp(wire []byte, p producer, sequence int32) {
	be := binary.BigEndian
	b := wire[4:]
	be.PutUint64(b[43:], uint64(p.id))
	be.PutUint16(b[51:], uint16(p.epoch))
	be.PutUint32(b[53:], uint32(sequence))
	be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
}

// unstamped is a packed batch as it was before anybody stamped it.
func unstamped(wire []byte) []byte {
	out := bytes.Clone(wire)
	clear(out[4+17 : 4+21]) // the checksum
	clear(out[4+43 : 4+57])
	return out
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// retime gives a stamped batch with the times of its records, as Kafka is told them, so much earlier. What the records themselves say is as it was.
func retime(wire []byte, back time.Duration) []byte {
	out := bytes.Clone(wire)
	be := binary.BigEndian
	b := out[4:]
	for _, at := range []int{27, 35} { // the first record's, from which the others count, and the newest
		be.PutUint64(b[at:], be.Uint64(b[at:])-uint64(back.Milliseconds()))
	}
	be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return out
}

// earlier has the next attempt tell Kafka earlier times: by an hour, by two, by four. It reports false, and all is as it was, where there are none left to try.
func (b *batch) earlier() bool {
	b.back = max(time.Hour, 2*b.back)
	if b.back.Milliseconds() > b.oldest {
		b.back = 0
	}
	return b.back > 0
}

// nextSequence is the sequence after n records: Kafka counts to 2^31-1 and goes on at 0.
func nextSequence(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & (1<<31 - 1))
}
