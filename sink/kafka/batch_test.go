package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"pgregory.net/rapid"
)

func testPacker(t testing.TB) (*packer, func(dst, src []byte) ([]byte, error)) {
	t.Helper()
	z, err := newZip()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.close)
	return &packer{zip: z.zip}, z.unzip
}

type message struct {
	key, value string
	ts         int64
}

func genMessages(t *rapid.T) (out []message) {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) message {
		return message{rapid.SampledFrom([]string{"a/prod", "b/prod", "c/", ""}).Draw(t, "key"), rapid.StringN(1, 300, -1).Draw(t, "value"),
			rapid.Int64Range(0, 1<<42).Draw(t, "ts")}
	}), 1, 40).Draw(t, "messages")
}

func fill(messages []message) *batch {
	b := &batch{}
	for _, m := range messages {
		b.add(m.key, m.ts, []byte(m.value[:len(m.value)/2]), []byte(m.value[len(m.value)/2:]))
	}
	return b
}

// What pack makes is what kafka-go, an independent reader of the format, finds; and what unpack finds.
func TestPackBothWays(t *testing.T) {
	p, unzip := testPacker(t)
	rapid.Check(t, func(t *rapid.T) {
		messages := genMessages(t)
		b := fill(messages)
		raw := b.raw
		w := p.pack(b.rows, b.buf, headers("snapshot/1"))
		prod, seq := producer{rapid.Int64Min(0).Draw(t, "producer"), rapid.Int16Min(0).Draw(t, "epoch")}, rapid.Int32Min(0).Draw(t, "sequence")
		stamp(w, prod, seq)
		if len(p.records) > raw || len(p.records)+batchHeader > raw+batchHeader {
			t.Fatalf("records take %d bytes, counted as %d", len(p.records), raw)
		}
		if n := binary.BigEndian.Uint32(w); int(n) != len(w)-4 {
			t.Fatalf("size %d of %d bytes", n, len(w))
		}
		if got := binary.BigEndian.Uint32(w[4+17:]); got != crc32.Checksum(w[4+21:], crc32.MakeTable(crc32.Castagnoli)) {
			t.Fatal("checksum")
		}
		want := map[string][]string{}
		var newest int64
		for _, m := range messages {
			want[m.key] = append(want[m.key], fmt.Sprint(m.ts, m.value))
			newest = max(newest, m.ts)
		}
		if got := int64(binary.BigEndian.Uint64(w[4+35:])); got != newest {
			t.Fatalf("newest %d, want %d", got, newest)
		}

		got := map[string][]string{}
		if err := unpack(w, unzip, func(r record) { got[string(r.key)] = append(got[string(r.key)], fmt.Sprint(r.ts, string(r.value))) }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("unpack: %v\nwant %v", got, want)
		}

		var rs protocol.RecordSet
		if _, err := rs.ReadFrom(bytes.NewReader(w)); err != nil {
			t.Fatal(err)
		}
		got = map[string][]string{}
		n := 0
		for {
			r, err := rs.Records.ReadRecord()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			key, _ := protocol.ReadAll(r.Key)
			value, _ := protocol.ReadAll(r.Value)
			got[string(key)] = append(got[string(key)], fmt.Sprint(r.Time.UnixMilli(), string(value)))
			if len(r.Headers) != 2 || string(r.Headers[0].Value) != "application/json" || r.Headers[1].Key != "rollcall-schema" {
				t.Fatalf("headers %v", r.Headers)
			}
			if r.Offset != int64(n) {
				t.Fatalf("offset %d of record %d", r.Offset, n)
			}
			n++
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("kafka-go: %v\nwant %v", got, want)
		}
		if rs.Attributes.Compression() != kafka.Zstd {
			t.Fatalf("attributes %v", rs.Attributes)
		}
	})
}

func TestStampChangesNothingElse(t *testing.T) {
	p, _ := testPacker(t)
	b := fill([]message{{"k", "value", 1}})
	w := p.pack(b.rows, b.buf, nil)
	again := bytes.Clone(w)
	stamp(w, producer{7, 1}, 5)
	stamp(w, producer{8, 2}, 6)
	stamp(again, producer{8, 2}, 6)
	if !bytes.Equal(w, again) {
		t.Error("stamping twice differs from stamping once")
	}
	if got := int32(binary.BigEndian.Uint32(w[4+53:])); got != 6 {
		t.Errorf("sequence %d", got)
	}
}

func TestNextSequence(t *testing.T) {
	for _, tc := range []struct {
		seq  int32
		n    int
		want int32
	}{{0, 1, 1}, {5, 10, 15}, {1<<31 - 1, 1, 0}, {1<<31 - 2, 1, 1<<31 - 1}, {1<<31 - 1, 3, 2}} {
		if got := nextSequence(tc.seq, tc.n); got != tc.want {
			t.Errorf("nextSequence(%d, %d) = %d, want %d", tc.seq, tc.n, got, tc.want)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	p, unzip := testPacker(t)
	b := fill([]message{{"k", "value", 1}, {"k", strings.Repeat("v", 1000), 2}})
	w := p.pack(b.rows, b.buf, nil)
	for n := range w {
		_ = unpack(w[:n], unzip, func(record) {}) // must not panic
	}
	if err := unpack(w[:len(w)-1], unzip, func(record) {}); err == nil {
		t.Error("cut short: no error")
	}
	if err := unpack(nil, unzip, func(record) {}); err == nil {
		t.Error("empty: no error")
	}
}

func FuzzUnpack(f *testing.F) {
	p, unzip := testPacker(f)
	b := fill([]message{{"k", "value", 1}, {"other", strings.Repeat("v", 1000), 2}})
	w := p.pack(b.rows, b.buf, headers("x"))
	f.Add(p.records, uint32(2))
	f.Fuzz(func(t *testing.T, records []byte, n uint32) {
		out := append(bytes.Clone(w[:4+batchHeader]), p.zip(nil, records)...)
		binary.BigEndian.PutUint32(out[4+57:], n%1000)
		_ = unpack(out, unzip, func(record) {})
	})
}
