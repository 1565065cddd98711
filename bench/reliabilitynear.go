package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollcall-metrics/rollcall/internal/fetch"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// nearRack is where readers of the product are said to be: with the second broker. The audit is one of them.
const nearRack = "2"

// nearby is what a reader in a rack found.
type nearby struct {
	missing    int // records that stand in the topics, and that it was not given
	byReplicas int // records that replicas gave which do not lead
}

// readNear reads the lanes with the product's own way of asking, in a rack, as far as the records go that were read from the leaders.
func (r *trial) readNear(ctx context.Context, rows []landed) (n nearby, err error) {
	t := &kafka.Transport{MetadataTTL: 250 * time.Millisecond, DialTimeout: time.Second, MetadataTopics: r.lanes(), ClientID: "near"}
	defer t.CloseIdleConnections()
	f := &fetch.Client{Addr: kafka.TCP(r.cluster.Brokers()...), Transport: t, Rack: nearRack}
	type partition struct {
		topic string
		n     int
	}
	left, last := map[partition]map[wire.ID]bool{}, map[partition]int64{}
	for _, l := range rows {
		p := partition{l.topic, l.partition}
		if left[p] == nil {
			left[p] = map[wire.ID]bool{}
		}
		left[p][l.id], last[p] = true, max(last[p], l.offset)
	}
	for p, ids := range left {
		for at, tries := int64(0), 0; at <= last[p]; tries++ {
			a, err := f.Fetch(ctx, p.topic, p.n, at)
			if tries > 100 || ctx.Err() != nil {
				return n, fmt.Errorf("read %s/%d from offset %d on in rack %s: %w", p.topic, p.n, at, nearRack, errors.Join(err, ctx.Err(), io.ErrNoProgress))
			}
			if err != nil {
				_ = sleep(ctx, 50*time.Millisecond)
				continue
			}
			for {
				rec, err := a.Next()
				if err != nil {
					break
				}
				value, err := fetch.Bytes(nil, rec.Value)
				if err != nil {
					return n, err
				}
				if id, _, err := wire.CutHead(value); err == nil {
					delete(ids, id)
				}
				if at = rec.Offset + 1; a.By >= 0 {
					n.byReplicas++
				}
				tries = 0
			}
		}
		n.missing += len(ids)
	}
	return n, nil
}
