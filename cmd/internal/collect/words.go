package collect

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/share"
	"github.com/rollcall-metrics/rollcall/internal/jsonread"
)

const (
	// wordsPath is where a collector tells what its scrapes say of those whom guards hold.
	wordsPath = "/api/v1/share/words"
	// wordsEvery is how often the others are asked, while somebody is held.
	wordsEvery = 2 * time.Second
	// An answer is of so many instances at most, and of so many bytes, of one and of all.
	maxWords     = 100_000
	maxWordText  = 64 << 10
	maxWordBytes = 16 << 20
	// askedAtOnce is how many peers are asked at a time.
	askedAtOnce = 8
)

func (d *Daemon) serveWords(w http.ResponseWriter, _ *http.Request) {
	words := d.roster.Words(d.asks)
	if words == nil {
		words = []discovery.Word{}
	}
	answer(w, words)
}

// asks reports whether it is this collector that scrapes an instance of a source.
func (d *Daemon) asks(source string, k discovery.Key) bool { return d.mine(discovery.JobOf(source), k) }

// followWords hears what the others' scrapes say of those whom guards hold: every collector holds the same ones, and each scrapes its share of them only.
func (d *Daemon) followWords(ctx context.Context) {
	tick := time.NewTicker(wordsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		div := d.sharing.now.Load().Division()
		if div == nil || d.roster.Held() == 0 {
			continue
		}
		d.askWords(ctx, div)
	}
}

func (d *Daemon) askWords(ctx context.Context, div *share.Division) {
	ctx, cancel := context.WithTimeout(ctx, 2*wordsEvery)
	defer cancel()
	room := make(chan struct{}, askedAtOnce)
	var wg sync.WaitGroup
	for _, p := range div.Peers() {
		if p.Addr == "" {
			continue
		}
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			words, err := d.readWords(ctx, p)
			if err != nil {
				d.log.Debug("a collector does not tell who answers it", "peer", p.ID, "address", p.Addr, "err", err)
				return
			}
			// Only whoever scrapes an instance has a word on it.
			d.roster.Take(slices.DeleteFunc(words, func(w discovery.Word) bool { return !d.scrapes(div, p.ID, w.Key) }))
		})
	}
	wg.Wait()
}

// scrapes reports whether it is the collector of that id that scrapes an instance, by a division.
func (d *Daemon) scrapes(div *share.Division, id string, k discovery.Key) bool {
	e, err := d.roster.Find(k.String())
	if err != nil {
		return false
	}
	c, ok := div.Owner(discovery.JobOf(e.Source), k)
	return ok && c.ID == id
}

func (d *Daemon) readWords(ctx context.Context, c share.Collector) ([]discovery.Word, error) {
	body, err := d.askPeer(ctx, c, wordsPath)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return decodeWords(ctx, body)
}

// decodeWords reads what another collector says of those whom it scrapes.
func decodeWords(ctx context.Context, from io.Reader) (words []discovery.Word, err error) {
	r := jsonread.New(ctx, from, maxWordBytes, maxWordText)
	err = r.Array(maxWords, func() error {
		var w discovery.Word
		err := r.Value(&w)
		if err == nil && w.Host != "" {
			words = append(words, w)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read words: %w", err)
	}
	return words, nil
}
