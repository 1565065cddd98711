package wire

import (
	"github.com/rollcall-metrics/rollcall/collector"
)

// What follows serves those who write JSON of their own about samples, in the words of the record.

// AppendString appends s as a JSON string.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }

// AppendNumber appends the digits of s, as AppendSnapshot does; false, with nothing appended, for what is no finite number.
func AppendNumber(dst []byte, s string) ([]byte, bool) { return appendNumber(dst, s) }

// AppendFloat appends the shortest text of f; false, with nothing appended, for what is not finite.
func AppendFloat(dst []byte, f float64) ([]byte, bool) { return appendFloat(dst, f) }

// AppendLabels appends labels, or tags, as an object.
func AppendLabels(dst []byte, ls []collector.LabelPair) []byte { return appendLabels(dst, ls) }

// AppendHistogram appends a native histogram as it stands in a record; false, with dst as it was, for one that cannot be said.
func AppendHistogram(dst []byte, h *collector.NativeHistogram) ([]byte, bool) {
	at := len(dst)
	dst, ok := appendHistogram(dst, h)
	if !ok {
		return dst[:at], false
	}
	return dst, true
}

// AppendFields appends a distribution's numbers as an object; false, with dst as it was, where none is finite.
func AppendFields(dst []byte, fields []collector.Field) ([]byte, bool) {
	at := len(dst)
	dst = append(dst, '{')
	dst, _ = appendFields(dst, len(dst), fields, nil)
	if len(dst) == at+1 && len(fields) > 0 {
		return dst[:at], false
	}
	return append(dst, '}'), true
}
