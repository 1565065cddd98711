package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/rollcall-metrics/rollcall/sink/audit"
)

// turnout is what came of one fault.
type turnout struct {
	fault fault
	counted
	freshness
	still   bool
	drained time.Duration
	audit   audit.Report
	nearby
	took   time.Duration
	missed []string // of the targets
}

// drainLimit is how long the backfill may take in a trial.
const drainLimit = 10 * time.Minute

// finish waits until the backfill is drained, ends the collector and counts.
func (r *trial) finish(ctx context.Context, o *turnout) error {
	if !r.still {
		if err := r.drain(ctx); err != nil {
			return err
		}
		if err := sleep(ctx, 5*r.interval); err != nil {
			return err
		}
		if _, err := r.accounts(ctx); err != nil {
			return err
		}
	}
	until := time.Now()
	if r.running() {
		if err := r.end(syscall.SIGTERM); err != nil {
			return err
		}
	}
	given := r.fleet.answers()
	if err := r.await(ctx, 30*time.Second, "all to be read", func() (bool, error) { return r.reader.caughtUp(ctx) }); err != nil {
		return err
	}
	rows, err := readAll(ctx, r.cluster.Brokers(), r.lanes()...)
	if err != nil {
		return err
	}
	o.counted = count(given, r.fleet.index, append(rows[:len(rows):len(rows)], r.earlier...), r.lives)
	o.gaps = gaps(rows) // of what stands there now
	if o.nearby, err = r.readNear(ctx, rows); err != nil {
		return err
	}
	o.still, o.drained = r.still, r.drained
	if !r.still {
		o.freshness = fresh(r.reader.seen(), r.topic("snapshots"), r.over, until, r.interval)
	}
	if o.audit, err = r.runAudit(ctx); err != nil {
		return err
	}
	o.judge(r)
	return nil
}

// drain waits until the backfill lane has nothing to send.
func (r *trial) drain(ctx context.Context) error {
	nothing, since := 0, r.over
	err := r.await(ctx, drainLimit, "the backfill to be drained", func() (bool, error) {
		if !r.running() {
			return false, errors.New("the collector has ended")
		}
		oldest, err := r.metric(ctx, `rollcall_sink_lane_oldest_seconds{lane="backfill"}`)
		if err != nil || oldest > 0 {
			nothing = 0
			return false, nil
		}
		if nothing++; nothing == 1 {
			since = time.Now()
		}
		return nothing == 10, sleep(ctx, 50*time.Millisecond)
	})
	if r.drained == 0 {
		r.drained = since.Sub(r.over)
	}
	return err
}

// runAudit has the delivered audit read the same topics, with the collector's last ledger beside it.
func (r *trial) runAudit(ctx context.Context) (report audit.Report, err error) {
	args := []string{"audit", "--config.file=" + r.conf, "--kafka=" + strings.Join(r.cluster.Brokers(), ","), "--since=all", "--grace=0s", "--format=json"}
	if r.ledger != nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return report, err
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(r.ledger)
		}), ReadHeaderTimeout: time.Minute}
		go func() { _ = s.Serve(l) }()
		defer s.Close()
		args = append(args, "--collector=http://"+l.Addr().String())
	}
	cmd := exec.CommandContext(ctx, r.reliability.program, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run() // exit status 1 where something is lost or double, which is in the report
	if e := json.Unmarshal(out.Bytes(), &report); e != nil {
		return report, fmt.Errorf("run the audit: %w\n%s", errors.Join(err, e), &said)
	}
	return report, nil
}

// judge holds the outcome against the targets.
func (o *turnout) judge(r *trial) {
	miss := func(bad bool, format string, args ...any) {
		if bad {
			o.missed = append(o.missed, fmt.Sprintf(format, args...))
		}
	}
	miss(o.early > 0, "%d answers are lost that no kill explains: %s", o.early, o.example)
	miss(o.double > 0, "%d records are double: %s", o.double, o.example)
	miss(o.scraped == 0, "nothing was scraped")
	miss(o.missing > 0, "%d records are missing in the replicas of rack %s", o.missing, nearRack)
	miss(o.byReplicas == 0, "no record came from a replica that does not lead, though there are some in rack %s", nearRack)
	if !r.still {
		miss(o.again > 2*r.interval, "the live lane was fresh again after %v, not within %v", o.again.Round(time.Millisecond), 2*r.interval)
		miss(o.worst > 2*r.interval, "a live record came %v after its scrape, more than %v", o.worst.Round(time.Millisecond), 2*r.interval)
	}
	o.agree(miss)
}

// agree holds the audit against our own count. It knows of more than we do: that a start had given sequences of which none came (a tail), as the next start says.
func (o *turnout) agree(miss func(bad bool, format string, args ...any)) {
	a := o.audit
	tails := 0
	for _, g := range a.Gaps {
		if g.Kind == "tail" {
			tails += int(g.N())
		}
	}
	theirs := int(a.Lost+a.Rekeyed+a.OnTheWay+a.Unproven) - tails
	miss(theirs != o.gaps, "the audit misses %d ids (%d lost, %d keyed anew, %d at ends of starts), we %d", theirs, a.Lost, a.Rekeyed, tails, o.gaps)
	miss(int(a.Doubled.N) != o.double, "the audit has %d doubled, we %d", a.Doubled.N, o.double)
	miss(a.PulledTwice.N > 0, "the audit has %d pulled twice in a slot", a.PulledTwice.N)
	miss(a.Misplaced.N+a.Unreadable.N > 0, "the audit has %d records in another partition and %d unreadable", a.Misplaced.N, a.Unreadable.N)
	miss(len(o.fault.name) > 0 && o.fault.name != "recreate" && int(a.Lost) > o.lost, "the audit has %d lost, we %d", a.Lost, o.lost)
}

// line is an outcome in one line.
func (o turnout) line() string {
	return fmt.Sprintf("%s: scraped %d, in the topics %d, told as failed %d, lost %d (the oldest %v before a kill), double %d, live again after %v, worst %v, drained in %v; audit: %d lost, %d keyed anew, %d double; took %v",
		o.fault.name, o.scraped, o.found, o.failed, o.lost, o.oldest.Round(time.Millisecond), o.double, o.again.Round(time.Millisecond), o.worst.Round(time.Millisecond),
		o.drained.Round(time.Millisecond), o.audit.Lost, o.audit.Rekeyed, o.audit.Doubled.N, o.took.Round(time.Second))
}

// table is all outcomes as docs/reliability.md has them.
func (b *reliability) table(done []turnout) string {
	var s strings.Builder
	s.WriteString("| fault | scraped | in the topics | lost | oldest lost | double | live again after | worst live age then | backfill drained in | audit |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, o := range done {
		if o.scraped == 0 {
			fmt.Fprintf(&s, "| `%s` | not run | | | | | | | | %s |\n", o.fault.name, strings.ReplaceAll(strings.Join(o.missed, "; "), "\n", " "))
			continue
		}
		again, worst, oldest := seconds(o.again), seconds(o.worst), "–"
		if o.still {
			again, worst = "–", "–"
		}
		if o.lost > 0 {
			oldest = fmt.Sprintf("%d ms", o.oldest.Milliseconds())
		}
		verdict := "agrees"
		if len(o.missed) > 0 {
			verdict = "**missed**: " + strings.ReplaceAll(strings.Join(o.missed, "; "), "\n", " ")
		}
		fmt.Fprintf(&s, "| `%s` | %d | %d | %d | %s | %d | %s | %s | %s | %s |\n", o.fault.name, o.scraped, o.found+o.failed, o.lost, oldest, o.double, again, worst, seconds(o.drained), verdict)
	}
	return s.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
