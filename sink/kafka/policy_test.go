package kafka

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		sent, answer error
		step         step
		reason       string
		unclear      bool
	}{
		{nil, nil, settled, "ok", false},
		{nil, kafka.DuplicateSequenceNumber, settled, "duplicate", false},
		{nil, kafka.NotLeaderForPartition, again, "not_leader", false},
		{nil, kafka.LeaderNotAvailable, again, "not_leader", false},
		{nil, kafka.FencedLeaderEpoch, again, "not_leader", false},
		{nil, kafka.RequestTimedOut, again, "timeout", true},
		{nil, kafka.NotEnoughReplicasAfterAppend, again, "timeout", true},
		{nil, kafka.GroupLoadInProgress, again, "coordinator", false},
		{nil, kafka.NotEnoughReplicas, again, "not_enough_replicas", false},
		{nil, kafka.UnknownTopicOrPartition, again, "unknown_topic", false},
		{nil, kafka.ThrottlingQuotaExceeded, again, "throttled", false},
		{nil, kafka.TopicAuthorizationFailed, again, "auth", false},
		{nil, kafka.ClusterAuthorizationFailed, again, "auth", false},
		{nil, kafka.SASLAuthenticationFailed, again, "auth", false},
		{nil, kafka.MessageSizeTooLarge, divide, "too_large", false},
		{nil, kafka.RecordListTooLarge, divide, "too_large", false},
		{nil, kafka.OutOfOrderSequenceNumber, renew, "out_of_order", false},
		{nil, kafka.UnknownProducerId, renew, "unknown_producer", false},
		{nil, kafka.InvalidProducerEpoch, renew, "fenced", false},
		{nil, kafka.ProducerFenced, renew, "fenced", false},
		{nil, kafka.InvalidTimestamp, divide, "timestamp", false},
		{nil, fmt.Errorf("%w: too far ahead", kafka.InvalidTimestamp), divide, "timestamp", false},
		{nil, kafka.InvalidMessage, again, "corrupt", false},
		{nil, kafka.InvalidRecord, divide, "record", false},
		{nil, kafka.PolicyViolation, refused, "fatal", false},
		{nil, kafka.UnsupportedVersion, refused, "fatal", false},
		{nil, kafka.Unknown, again, "broker_error", true},
		{nil, kafka.Error(56), again, "broker_error", true}, // storage
		{nil, kafka.Error(9999), again, "broker_error", true},
		{nil, errors.New("not a code"), again, "broker_error", true},
		{fmt.Errorf("x: %w", protocol.NewErrNoTopic("t")), nil, again, "unknown_topic", false},
		{protocol.NewErrNoPartition("t", 1), nil, again, "unknown_topic", false},
		{protocol.NewErrNoLeader("t", 1), nil, again, "not_leader", false},
		{kafka.BrokerNotAvailable, nil, again, "not_leader", false},
		{kafka.SASLAuthenticationFailed, nil, again, "auth", false},
		{&os.PathError{Op: "open", Path: "/password", Err: os.ErrNotExist}, nil, again, "auth", false},
		{x509.UnknownAuthorityError{}, nil, again, "tls", false},
		{context.DeadlineExceeded, nil, again, "timeout", true},
		{context.Canceled, nil, again, "unreachable", true},
		{io.ErrUnexpectedEOF, nil, again, "unreachable", true},
		{syscall.ECONNREFUSED, nil, again, "unreachable", true},
	} {
		v := judge(tc.sent, tc.answer)
		if v.step != tc.step || v.reason != tc.reason || v.unclear != tc.unclear {
			t.Errorf("judge(%v, %v) = %+v, want %v %s %v", tc.sent, tc.answer, v, tc.step, tc.reason, tc.unclear)
		}
		if v.step == again && v.wait <= 0 {
			t.Errorf("judge(%v, %v) repeats without a pause", tc.sent, tc.answer)
		}
		if v.step == renew && v.tries == 0 {
			t.Errorf("judge(%v, %v) renews for ever", tc.sent, tc.answer)
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, tc := range []struct {
		wait time.Duration
		n    int
		want time.Duration
	}{
		{waitShort, 1, waitShort}, {waitShort, 2, 2 * waitShort}, {waitShort, 100, time.Second / 2}, {waitLeader, 2, 2 * waitLeader}, {time.Second, 9, time.Second},
		{waitAuth, 1, waitAuth}, {waitAuth, 50, waitAuth}, {0, 7, 0},
	} {
		if got := backoff(tc.wait, tc.n); got != tc.want {
			t.Errorf("backoff(%v, %d) = %v, want %v", tc.wait, tc.n, got, tc.want)
		}
	}
}
