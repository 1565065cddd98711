package topic

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// plain is a codec that makes of each record its instance.
type plain struct{}

func (plain) Encode(_ context.Context, r *export.Record, emit func(key, value []byte)) error {
	emit([]byte("k"), []byte(r.Instance))
	return nil
}

func (plain) Close() {}

// A record that the topic does not take costs itself: the rest of its batch is there, once and in order.
func TestRefusedRecordIsAlone(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer unzip.Close()
	again := 0 // once, in the middle of it all, the broker forgets the producer
	c.ControlKey(0, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		one := p.Topics[0].Partitions[0]
		body, err := unzip.DecodeAll(one.Records[headerBytes:], nil)
		code := int16(0)
		switch {
		case err != nil:
			code = kerr.CorruptMessage.Code
		case bytes.Contains(body, []byte("poison")):
			code = kerr.InvalidRecord.Code
		case len(body) > 1000 && binary.BigEndian.Uint32(one.Records[57:]) > 1:
			code = kerr.MessageTooLarge.Code
		case bytes.Contains(body, []byte("good-20")) && again == 0:
			again++
			code = kerr.OutOfOrderSequenceNumber.Code
		default:
			return nil, nil, false
		}
		resp := p.ResponseKind().(*kmsg.ProduceResponse)
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = "out"
		rp := kmsg.NewProduceResponseTopicPartition()
		rp.ErrorCode = code
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	o, err := New(Config{Brokers: c.ListenAddrs(), Topic: "out", Codec: func() Codec { return plain{} }})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	p, _, err := o.Open(t.Context(), 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var want []string
	for round := range 2 {
		var rs []export.Record
		for i := range 40 {
			name := fmt.Sprint("good-", 40*round+i)
			if i%13 == 5 {
				name = fmt.Sprint("poison-", 40*round+i)
			} else {
				want = append(want, name)
			}
			r := &wire.Record{ID: wire.ID{Collector: 1, Start: 1, Sequence: uint64(40*round + i + 1)}, TS: time.Now().UnixMilli()}
			r.Instance = name
			rs = append(rs, export.Record{Record: r})
		}
		_, err := p.Write(t.Context(), rs)
		for tries := 0; err != nil && tries < 3; tries++ {
			_, err = p.Write(t.Context(), rs)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := o.refused.Get(); n != 6 || again != 1 {
		t.Errorf("%d are refused, %d new producers", n, again)
	}
	if n := o.written.Get(); n != uint64(len(want)) {
		t.Errorf("%d are written, want %d", n, len(want))
	}
	spans, err := o.back.Spans(t.Context(), time.Time{}, "out")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range spans {
		if err := o.back.Read(t.Context(), s, func(m readback.Message) error { got = append(got, string(m.Value)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
