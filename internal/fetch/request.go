package fetch

import (
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// nearestSince is the version of the request that has a rack and of the answer that names a replica; in older ones it reads as 0, which is a broker's number.
const nearestSince = 11

// request is fetch.Request with a choice of whom to send it to. The library writes a message by its fields' places, so those of fetch.Request come first and as they stand there.
type request struct {
	ReplicaID       int32
	MaxWaitTime     int32
	MinBytes        int32
	MaxBytes        int32
	IsolationLevel  int8
	SessionID       int32
	SessionEpoch    int32
	Topics          []fetch.RequestTopic
	ForgottenTopics []fetch.RequestForgottenTopic
	RackID          string

	to      int32 // the broker; below 0: the partition's leader
	version int16 // as which it was sent
}

func newRequest(at place, from int64, bytes int32, wait time.Duration) *request {
	return &request{ReplicaID: -1, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: 1, MaxBytes: bytes, SessionID: -1, SessionEpoch: -1, to: leader,
		Topics: []fetch.RequestTopic{{Topic: at.topic, Partitions: []fetch.RequestPartition{{Partition: int32(at.partition), CurrentLeaderEpoch: -1, FetchOffset: from, LogStartOffset: -1,
			PartitionMaxBytes: bytes}}}}}
}

// ApiKey implements protocol.Message.
func (r *request) ApiKey() protocol.ApiKey { return protocol.Fetch }

// Broker implements protocol.BrokerMessage.
func (r *request) Broker(c protocol.Cluster) (protocol.Broker, error) {
	if r.to >= 0 {
		return protocol.Broker{ID: r.to}, nil
	}
	return (&fetch.Request{Topics: r.Topics}).Broker(c)
}

// Prepare implements protocol.PreparedMessage.
func (r *request) Prepare(version int16) { r.version = version }

// read is the answer's one partition.
func (r *request) read(m kafka.Response) (*fetch.ResponsePartition, error) {
	a, ok := m.(*fetch.Response)
	switch {
	case !ok || len(a.Topics) == 0:
		return nil, protocol.ErrNoTopic
	case a.ErrorCode != 0:
		return nil, kafka.Error(a.ErrorCode)
	case len(a.Topics[0].Partitions) == 0:
		return nil, protocol.ErrNoPartition
	}
	p := &a.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return nil, kafka.Error(p.ErrorCode)
	}
	return p, nil
}
