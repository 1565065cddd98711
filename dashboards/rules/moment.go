package rules

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/helpers/templates"
	"github.com/prometheus/common/model"
)

// moment is a time as templates see it: those methods of time.Time whose texts do not grow, and Format within bounds. A template may call whatever a value has.
type moment struct {
	at time.Time
	m  *machine
}

// maxLayout bounds how a time is to be written.
const maxLayout = 256

func (m *machine) toTime(i any) (*moment, error) {
	v, err := templates.ConvertToFloat(i)
	if err != nil {
		return nil, err
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, errors.New("value is NaN or Inf")
	}
	nanos := v * 1e9
	if nanos > math.MaxInt64 || nanos < math.MinInt64 {
		return nil, fmt.Errorf("%v cannot be represented as a nanoseconds timestamp since it overflows int64", v)
	}
	return &moment{model.TimeFromUnixNano(int64(nanos)).Time().UTC(), m}, nil
}

// Format writes the time by a layout of at most 256 bytes.
func (t moment) Format(layout string) (string, error) {
	if len(layout) > maxLayout {
		return "", fmt.Errorf("a layout of a time is longer than %d bytes", maxLayout)
	}
	if err := t.m.spend(len(layout)); err != nil {
		return "", err
	}
	return t.m.made(t.at.Format(layout))
}

// The others are time.Time's own.
func (t moment) String() string                  { return t.at.String() }
func (t moment) UTC() moment                     { return t }
func (t moment) Year() int                       { return t.at.Year() }
func (t moment) Month() time.Month               { return t.at.Month() }
func (t moment) Day() int                        { return t.at.Day() }
func (t moment) Weekday() time.Weekday           { return t.at.Weekday() }
func (t moment) YearDay() int                    { return t.at.YearDay() }
func (t moment) Hour() int                       { return t.at.Hour() }
func (t moment) Minute() int                     { return t.at.Minute() }
func (t moment) Second() int                     { return t.at.Second() }
func (t moment) Nanosecond() int                 { return t.at.Nanosecond() }
func (t moment) Unix() int64                     { return t.at.Unix() }
func (t moment) UnixMilli() int64                { return t.at.UnixMilli() }
func (t moment) UnixMicro() int64                { return t.at.UnixMicro() }
func (t moment) UnixNano() int64                 { return t.at.UnixNano() }
func (t moment) IsZero() bool                    { return t.at.IsZero() }
func (t moment) Add(d time.Duration) moment      { return moment{t.at.Add(d), t.m} }
func (t moment) AddDate(y, m, d int) moment      { return moment{t.at.AddDate(y, m, d), t.m} }
func (t moment) Truncate(d time.Duration) moment { return moment{t.at.Truncate(d), t.m} }
func (t moment) Round(d time.Duration) moment    { return moment{t.at.Round(d), t.m} }
func (t moment) Sub(o moment) time.Duration      { return t.at.Sub(o.at) }
func (t moment) Before(o moment) bool            { return t.at.Before(o.at) }
func (t moment) After(o moment) bool             { return t.at.After(o.at) }
func (t moment) Equal(o moment) bool             { return t.at.Equal(o.at) }
func (t moment) Compare(o moment) int            { return t.at.Compare(o.at) }
