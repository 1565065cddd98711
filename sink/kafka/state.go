package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const (
	stateFile  = "delivery.json"
	stateEvery = time.Second
)

// state is what the next start must know: how many partitions Kafka had, in case it is away then, and the last sequences that were given, so that
// readers learn where this start ended.
type state struct {
	Version    int               `json:"v"`
	Start      uint64            `json:"start"`
	Saved      int64             `json:"saved"` // Unix milliseconds
	Clean      bool              `json:"clean"` // Run ended in order: Last is exact
	Partitions map[string]int    `json:"partitions"`
	Last       map[string]string `json:"last"` // id by partition of the snapshots, of this start or an earlier one
}

// loadState reads the state in dir. A missing one is empty; a damaged one is an error with which the caller can go on, without it.
func loadState(dir string) (state, error) {
	if dir == "" {
		return state{}, nil
	}
	file := filepath.Join(dir, stateFile)
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return state{}, nil
	}
	var st state
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err == nil && st.Version != 1 {
		err = fmt.Errorf("version %d is not ours", st.Version)
	}
	if err != nil {
		return state{}, fmt.Errorf("load delivery state %q: %w", file, err)
	}
	return st, nil
}

// save replaces the state in dir: a reader sees the old or the new, whole.
func (st *state) save(dir string) (err error) {
	if dir == "" {
		return nil
	}
	b, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("save delivery state: %w", err)
	}
	f, err := os.CreateTemp(dir, ".delivery-*")
	if err != nil {
		return fmt.Errorf("save delivery state: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, stateFile))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save delivery state: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// recall fits a fresh backlog with what the start before left: the numbers of partitions and the ids to tell.
func (l *backlog) recall(st state, partitions int) {
	n := st.Partitions[l.snapshots.topics[sink.Live]]
	if n < 1 || n > 100_000 {
		n = partitions
	}
	l.snapshots.resize(n)
	for topic, s := range l.others {
		n := st.Partitions[topic]
		if n < 1 || n > 100_000 {
			n = partitions
		}
		s.resize(n)
	}
	for _, text := range st.Last {
		id, err := wire.ParseID(text)
		if err != nil || id.Collector != l.id.Collector || id.Start >= l.id.Start || int(id.Partition) >= n {
			continue
		}
		l.snapshots.queues[id.Partition].previous = id
		l.previous.Add(1)
	}
	l.recalled = st
	if st.Start > 0 && !st.Clean {
		l.ledger.MarkUnclean(sink.Unclean{Start: st.Start, Saved: st.Saved})
	}
}

// note is the state as of now.
func (l *backlog) note(now time.Time, clean bool) state {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := state{Version: 1, Start: l.id.Start, Saved: now.UnixMilli(), Clean: clean, Partitions: map[string]int{}, Last: map[string]string{}}
	maps.Copy(st.Last, l.recalled.Last)
	maps.Copy(st.Partitions, l.recalled.Partitions)
	for _, q := range l.snapshots.queues {
		if q.next > 1 {
			st.Last[strconv.Itoa(int(q.part))] = wire.ID{Collector: l.id.Collector, Start: l.id.Start, Partition: q.part, Sequence: q.next - 1}.String()
		}
	}
	if l.snapshots.learned {
		for _, topic := range l.snapshots.topics {
			st.Partitions[topic] = len(l.snapshots.queues)
		}
	}
	for topic, s := range l.others {
		if s.learned {
			st.Partitions[topic] = len(s.queues)
		}
	}
	return st
}

// keepState writes the state while Run runs, whenever sequences were given.
func (s *Sink) keepState(ctx context.Context) {
	said := false
	var last state
	for {
		st := s.backlog.note(time.Now(), false)
		if !maps.Equal(st.Last, last.Last) || !maps.Equal(st.Partitions, last.Partitions) {
			if err := st.save(s.cfg.StoragePath); err == nil {
				last = st
			} else if !said {
				said = true
				s.log.Error("the next start will not know where this one ended", "err", err)
			}
		}
		pause(ctx, stateEvery)
		if ctx.Err() != nil {
			return
		}
	}
}
