package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of a burst.
const (
	LeastBurst     = 100 * time.Millisecond // an interval below it is no order
	MaxBurstFor    = time.Hour
	maxBurstTags   = 16
	maxBurstText   = 500 // bytes of a name or value
	maxBurstNumber = 100_000
)

// Burst says who is pulled more often while an order stands, and how often: of one service those who have all of Tags.
type Burst struct {
	Service   string `json:"service"`
	Env       string `json:"env"`
	Tags      Tags   `json:"tags,omitzero"`       // all of them; TagHostName fits an instance's address, too
	Instances int    `json:"instances,omitempty"` // at most so many of those; 0: all that the budget of each collector lets
	EveryMS   int64  `json:"every_ms"`
}

// TagHostName is the tag by which a host's instances are named.
const TagHostName = "host.name"

// Every is the interval of the burst.
func (b *Burst) Every() time.Duration { return time.Duration(b.EveryMS) * time.Millisecond }

// SliceTags are the tags of a slice. A name or a value that is empty is an error: TagsOf would leave it out, and the slice would be wider than whoever named it meant.
func SliceTags(m map[string]string) (Tags, error) {
	for n, v := range m {
		if strings.Trim(n, "\x00") == "" || strings.Trim(v, "\x00") == "" {
			return Tags{}, fmt.Errorf("tag %.80q of the slice is %.80q: give both a name and a value, or leave it out for everybody", n, v)
		}
	}
	return TagsOf(m), nil
}

// UnmarshalJSON reads a burst whose tags are those of a slice: SliceTags.
func (b *Burst) UnmarshalJSON(text []byte) error {
	type plain Burst
	in := struct {
		*plain
		Tags map[string]string `json:"tags"`
	}{plain: (*plain)(b)}
	err := json.Unmarshal(text, &in)
	if err == nil {
		b.Tags, err = SliceTags(in.Tags)
	}
	return err
}

// Holds reports whether an instance with these tags is of the slice.
func (b *Burst) Holds(k Key, tags Tags) bool {
	if k.Service != b.Service || k.Env != b.Env {
		return false
	}
	for n, v := range b.Tags.All() {
		if tags.Get(n) != v && (n != TagHostName || v != k.Host && v != k.Addr()) {
			return false
		}
	}
	return true
}

// Validate names everything that is wrong with the burst.
func (b *Burst) Validate() error {
	var errs []error
	if b.Service == "" || b.Env == "" || len(b.Service) > maxBurstText || len(b.Env) > maxBurstText {
		errs = append(errs, fmt.Errorf("service and env of a burst must be given, of %d bytes each at most", maxBurstText))
	}
	if b.EveryMS < LeastBurst.Milliseconds() || b.EveryMS > MaxBurstFor.Milliseconds() {
		errs = append(errs, fmt.Errorf("interval of %d ms: a burst's is within %v..%v", b.EveryMS, LeastBurst, MaxBurstFor))
	}
	if b.Instances < 0 || b.Instances > maxBurstNumber {
		errs = append(errs, fmt.Errorf("%d instances are not within 0..%d", b.Instances, maxBurstNumber))
	}
	names := 0
	for n, v := range b.Tags.All() {
		if names++; len(n) > maxBurstText || len(v) > maxBurstText {
			errs = append(errs, fmt.Errorf("a tag of the slice is longer than %d bytes", maxBurstText))
		}
	}
	if names > maxBurstTags {
		errs = append(errs, fmt.Errorf("%d tags in a slice; give %d at most", names, maxBurstTags))
	}
	return errors.Join(errs...)
}

// burstWords are the well-known tags in the order in which people say them, with what is said.
var burstWords = [][2]string{{"service.version", "version"}, {"rollcall.track", "track"}, {"cloud.availability_zone", "zone"}, {TagHostName, "host"}}

// Slice says in words who is meant: checkout/prod, zone us-east-1c.
func (b *Burst) Slice() string {
	text := b.Service + "/" + b.Env
	var said []string
	for _, w := range burstWords {
		if v := b.Tags.Get(w[0]); v != "" {
			text += ", " + w[1] + " " + v
			said = append(said, w[0])
		}
	}
	for n, v := range b.Tags.All() {
		if !slices.Contains(said, n) {
			text += ", " + n + " " + v
		}
	}
	if b.Instances > 0 {
		text += fmt.Sprintf(", at most %d", b.Instances)
	}
	return text
}
