package topic

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// row is one record of a batch.
type row struct {
	key, value []byte
	ts         int64
	id         string // in the header of the last record that was made of one source record; else ""
	of         wire.ID
}

const (
	idHeader    = "rollcall-id"
	recordFrame = 64 // bytes at most that a record takes beside key, value and headers
	headerBytes = 61 // of a batch
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stamp says who sends a batch, and as which: brokers take each once.
type stamp struct {
	id       int64
	epoch    int16
	sequence int32
}

// seal makes a record batch of version 2, as https://kafka.apache.org/documentation/#recordbatch has it, behind its size, as a produce request wants it.
func seal(zip *zstd.Encoder, rows []row, contentType, schema string, s stamp) []byte {
	oldest, newest := rows[0].ts, rows[0].ts
	for _, r := range rows {
		oldest, newest = min(oldest, r.ts), max(newest, r.ts)
	}
	var body, one []byte
	for i, r := range rows {
		one = append(one[:0], 0) // attributes
		one = binary.AppendVarint(one, r.ts-oldest)
		one = binary.AppendVarint(one, int64(i))
		one = text(one, r.key)
		one = text(one, r.value)
		headers := 2
		if r.id != "" {
			headers++
		}
		one = binary.AppendVarint(one, int64(headers))
		one = text(text(one, []byte("content-type")), []byte(contentType))
		one = text(text(one, []byte("rollcall-schema")), []byte(schema))
		if r.id != "" {
			one = text(text(one, []byte(idHeader)), []byte(r.id))
		}
		body = binary.AppendVarint(body, int64(len(one)))
		body = append(body, one...)
	}
	out := make([]byte, 4+headerBytes, 4+headerBytes+len(body)/4)
	out = zip.EncodeAll(body, out)
	be := binary.BigEndian
	b := out[4:]
	be.PutUint32(out, uint32(len(b)))
	be.PutUint32(b[8:], uint32(len(b)-12))
	be.PutUint32(b[12:], 0xffffffff) // leader epoch: none
	b[16] = 2
	be.PutUint16(b[21:], 4) // zstd
	be.PutUint32(b[23:], uint32(len(rows)-1))
	be.PutUint64(b[27:], uint64(oldest))
	be.PutUint64(b[35:], uint64(newest))
	be.PutUint64(b[43:], uint64(s.id))
	be.PutUint16(b[51:], uint16(s.epoch))
	be.PutUint32(b[53:], uint32(s.sequence))
	be.PutUint32(b[57:], uint32(len(rows)))
	be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return out
}

func text(dst, s []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

// now is the time that a record without one gets.
func now() int64 { return time.Now().UnixMilli() }
