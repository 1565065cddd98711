package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// step is what happens to a batch after an attempt.
type step uint8

const (
	settled step = iota // it is in the topic
	again               // the same bytes once more
	renew               // a new producer, a new stamp, the same records
	divide              // in smaller batches
	refused             // never: it is dropped and counted with the reason
)

// verdict is judge's answer.
type verdict struct {
	step    step
	reason  string
	wait    time.Duration // before the next attempt, at least: attempts that repeat wait longer
	unclear bool          // the broker may have the batch
	tries   int           // refused after so many attempts with this answer in a row; 0: never
}

const (
	waitShort  = 50 * time.Millisecond
	waitLeader = 200 * time.Millisecond // metadata is asked for about twice a second
	waitAuth   = 10 * time.Second       // a person has to act; do not lock the account
)

// judge is the whole retry policy. It is given how an attempt to write a batch ended: no answer (sent is what RawProduce returned) or the broker's
// word (answer). Only the broker's word can settle or refuse a batch.
func judge(sent, answer error) verdict {
	if sent == nil && answer == nil {
		return verdict{step: settled, reason: "ok"}
	}
	if sent != nil {
		return judgeSent(sent)
	}
	switch e := code(answer); e {
	case kafka.DuplicateSequenceNumber:
		// The broker has it from an attempt whose answer was lost.
		return verdict{step: settled, reason: "duplicate"}
	case kafka.NotLeaderForPartition, kafka.LeaderNotAvailable, kafka.FencedLeaderEpoch, kafka.UnknownLeaderEpoch, kafka.ReplicaNotAvailable:
		// The leader moved: the metadata will say where.
		return verdict{step: again, reason: "not_leader", wait: waitLeader}
	case kafka.RequestTimedOut, kafka.NotEnoughReplicasAfterAppend:
		// Appended by the leader, but not by enough followers in time: the same bytes are recognised.
		return verdict{step: again, reason: "timeout", wait: waitShort, unclear: true}
	case kafka.GroupLoadInProgress, kafka.GroupCoordinatorNotAvailable, kafka.NotCoordinatorForGroup:
		// Only asked for a producer id: a broker that has just started has none to give yet.
		return verdict{step: again, reason: "coordinator", wait: waitLeader}
	case kafka.NotEnoughReplicas:
		return verdict{step: again, reason: "not_enough_replicas", wait: waitLeader}
	case kafka.UnknownTopicOrPartition:
		// Not made yet, or removed: the survey makes it, or learns how many partitions there are now.
		return verdict{step: again, reason: "unknown_topic", wait: waitLeader}
	case kafka.ThrottlingQuotaExceeded:
		return verdict{step: again, reason: "throttled", wait: time.Second}
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.TransactionalIDAuthorizationFailed:
		return verdict{step: again, reason: "auth", wait: waitAuth}
	case kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState:
		return verdict{step: again, reason: "auth", wait: waitAuth}
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		// The topic allows less than we make: halves may pass; a single record never will.
		return verdict{step: divide, reason: "too_large"}
	case kafka.OutOfOrderSequenceNumber:
		// The broker's memory of this producer is not ours: it lost what it had acknowledged, or forgot us and learned of us again. Sending the same
		// bytes can never succeed, so the records go under a new producer.
		return verdict{step: renew, reason: "out_of_order", tries: 3}
	case kafka.UnknownProducerId, kafka.InvalidProducerIDMapping:
		// Before Kafka 2.5: the producer's last records were deleted by retention.
		return verdict{step: renew, reason: "unknown_producer", tries: 3}
	case kafka.InvalidProducerEpoch, kafka.ProducerFenced:
		return verdict{step: renew, reason: "fenced", tries: 3}
	case kafka.InvalidTimestamp:
		// Our clock is more than message.timestamp.after.max.ms ahead of the broker's: divided until only those of one time are together, which go with
		// an earlier time; or they are too old for the topic, and no time will do.
		return verdict{step: divide, reason: "timestamp"}
	case kafka.InvalidRecord:
		// One record is not what the topic wants; Kafka refuses all of its batch.
		return verdict{step: divide, reason: "record"}
	case kafka.InvalidMessage:
		// Damaged on its way, or in the broker's eyes.
		return verdict{step: again, reason: "corrupt", wait: time.Second, tries: 5}
	case kafka.UnsupportedForMessageFormat, kafka.UnsupportedCompressionType, kafka.InvalidTopic,
		kafka.InvalidRequiredAcks, kafka.PolicyViolation, kafka.InvalidRequest, kafka.UnsupportedVersion:
		return verdict{step: refused, reason: "fatal"}
	case kafka.Unknown:
		// The broker failed over it and does not say how. It may do so at every attempt: after two minutes the partition must go on.
		return verdict{step: again, reason: "broker_error", wait: time.Second, unclear: true, tries: 120}
	default:
		// Storage errors, disks that fail, what a later Kafka adds: the broker may recover, and may have the batch.
		return verdict{step: again, reason: "broker_error", wait: time.Second, unclear: true}
	}
}

// judgeSent judges attempts without an answer about the batch.
func judgeSent(err error) verdict {
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var file *fs.PathError
	switch {
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		return verdict{step: again, reason: "unknown_topic", wait: waitLeader}
	case errors.Is(err, protocol.ErrNoLeader), errors.Is(err, kafka.BrokerNotAvailable):
		return verdict{step: again, reason: "not_leader", wait: waitLeader}
	case errors.Is(err, kafka.SASLAuthenticationFailed), errors.Is(err, kafka.UnsupportedSASLMechanism), errors.Is(err, kafka.IllegalSASLState), errors.As(err, &file):
		return verdict{step: again, reason: "auth", wait: waitAuth}
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &alert), errors.As(err, &record):
		return verdict{step: again, reason: "tls", wait: waitAuth}
	case errors.Is(err, context.DeadlineExceeded):
		return verdict{step: again, reason: "timeout", wait: waitShort, unclear: true}
	}
	// The connection was refused or broke: the batch may have arrived.
	return verdict{step: again, reason: "unreachable", wait: waitShort, unclear: true}
}

// code is the broker's error code in err.
func code(err error) kafka.Error {
	var e kafka.Error
	if errors.As(err, &e) {
		return e
	}
	return kafka.Unknown
}

// backoff is how long to wait before attempt n+1 (n from 1): from wait, doubling up to half a second, or wait where that is longer. A broker that
// comes back is found at once, and the number of requests on their way to it is bounded anyhow.
func backoff(wait time.Duration, n int) time.Duration {
	limit := max(wait, time.Second/2)
	for i := 1; i < n && wait < limit; i++ {
		wait *= 2
	}
	return min(wait, limit)
}
