package testenv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"
)

// The three requests that a test needs of a broker, in the versions that Kafka 4 still takes: ListOffsets v1, Metadata v1 and
// CreateTopics v2 (kafka.apache.org/protocol). No client library: this package stays free of modules.
const (
	apiListOffsets  = 2
	apiMetadata     = 3
	apiCreateTopics = 19
)

type metadata struct {
	brokers map[int]bool   // by node.id
	topics  map[string]int // → partitions
}

func kafkaMetadata(ctx context.Context, addr string) (metadata, error) {
	r, err := kafkaCall(ctx, addr, apiMetadata, 1, binary.BigEndian.AppendUint32(nil, ^uint32(0))) // null: all topics
	if err != nil {
		return metadata{}, err
	}
	m := metadata{brokers: map[int]bool{}, topics: map[string]int{}}
	for n := r.int32(); n > 0 && r.err == nil; n-- {
		m.brokers[int(r.int32())] = true
		r.string()
		r.int32() // port
		r.string()
	}
	r.int32() // controller
	for n := r.int32(); n > 0 && r.err == nil; n-- {
		r.int16() // error
		name := r.string()
		r.take(1) // internal
		partitions := r.int32()
		m.topics[name] = int(partitions)
		for ; partitions > 0 && r.err == nil; partitions-- {
			r.int16()
			r.int32()
			r.int32()
			r.take(4 * int(r.int32()))
			r.take(4 * int(r.int32()))
		}
	}
	return m, r.err
}

func kafkaCreateTopic(ctx context.Context, addr, name string, partitions int, settings map[string]string) error {
	b := binary.BigEndian.AppendUint32(nil, 1)
	b = appendString(b, name)
	b = binary.BigEndian.AppendUint32(b, uint32(partitions))
	b = binary.BigEndian.AppendUint16(b, 1) // replicas
	b = binary.BigEndian.AppendUint32(b, 0) // no assignment by hand
	b = binary.BigEndian.AppendUint32(b, uint32(len(settings)))
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		b = appendString(appendString(b, k), settings[k])
	}
	b = binary.BigEndian.AppendUint32(b, 20_000) // ms
	b = append(b, 0)                             // not only validate
	r, err := kafkaCall(ctx, addr, apiCreateTopics, 2, b)
	if err != nil {
		return err
	}
	r.int32() // throttle
	r.int32() // one topic
	r.string()
	code, text := r.int16(), r.string()
	if r.err == nil && code != 0 {
		return fmt.Errorf("error code %d: %s", code, text)
	}
	return r.err
}

// Times that stand for the ends of a partition.
const (
	latest   = -1
	earliest = -2
)

// errNoLeader is what a broker says of a partition that was made a moment ago.
var errNoLeader = errors.New("no leader yet")

// kafkaOffsets sums the offsets of a topic's partitions at a time. It waits for partitions that were made a moment ago and have no leader yet.
func kafkaOffsets(ctx context.Context, addr, topic string, partitions int, at int64) (int64, error) {
	for {
		sum, err := kafkaOffsetsOnce(ctx, addr, topic, partitions, at)
		if !errors.Is(err, errNoLeader) {
			return sum, err
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func kafkaOffsetsOnce(ctx context.Context, addr, topic string, partitions int, at int64) (int64, error) {
	b := binary.BigEndian.AppendUint32(nil, ^uint32(0)) // not a replica
	b = binary.BigEndian.AppendUint32(b, 1)
	b = appendString(b, topic)
	b = binary.BigEndian.AppendUint32(b, uint32(partitions))
	for p := range partitions {
		b = binary.BigEndian.AppendUint32(b, uint32(p))
		b = binary.BigEndian.AppendUint64(b, uint64(at))
	}
	r, err := kafkaCall(ctx, addr, apiListOffsets, 1, b)
	if err != nil {
		return 0, err
	}
	r.int32() // one topic
	r.string()
	sum := int64(0)
	for n := r.int32(); n > 0 && r.err == nil; n-- {
		p := r.int32()
		switch code := r.int16(); code {
		case 0:
		case 3, 5, 6: // unknown partition, leader not available, not the leader
			return 0, fmt.Errorf("partition %d: error code %d: %w", p, code, errNoLeader)
		default:
			return 0, fmt.Errorf("partition %d: error code %d", p, code)
		}
		r.int64() // time
		sum += r.int64()
	}
	return sum, r.err
}

func kafkaCall(ctx context.Context, addr string, api, version uint16, body []byte) (*kafkaReader, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		c.SetDeadline(deadline)
	}
	req := make([]byte, 4)
	req = binary.BigEndian.AppendUint16(req, api)
	req = binary.BigEndian.AppendUint16(req, version)
	req = binary.BigEndian.AppendUint32(req, 1)
	req = append(appendString(req, "testenv"), body...)
	binary.BigEndian.PutUint32(req, uint32(len(req)-4))
	if _, err := c.Write(req); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 16<<20 {
		return nil, fmt.Errorf("answer of %d bytes", n)
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(c, answer); err != nil {
		return nil, err
	}
	r := &kafkaReader{b: answer}
	r.int32() // correlation
	return r, r.err
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// kafkaReader reads an answer; past its end everything is zero and err is set.
type kafkaReader struct {
	b   []byte
	err error
}

func (r *kafkaReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.err = errors.New("answer cut short")
		r.b = nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *kafkaReader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *kafkaReader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *kafkaReader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// string reads a string, or a null one as empty.
func (r *kafkaReader) string() string {
	n := r.int16()
	if n < 0 {
		return ""
	}
	return string(r.take(int(n)))
}
