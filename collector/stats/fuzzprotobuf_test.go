package stats

import (
	"encoding/binary"
	"math"
	"testing"
)

// FuzzProtobufMessages lets the bytes choose among the fields of the schema, so that most messages are sound.
func FuzzProtobufMessages(f *testing.F) {
	for i := range 32 {
		b := make([]byte, 96)
		for j := range b {
			b[j] = byte(i*43 + j*j*(i+5))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		g := protoGrowth{choices: choices[:min(len(choices), 400)]}
		var body []byte
		for range 1 + g.choose(3) {
			family := g.message(familyMessage, 0)
			family = append(family, "\x0a\x01"+string(rune('a'+g.choose(3)))...) // a name, and a type that there is
			family = append(family, 0x18, byte(g.choose(6)))
			body = append(binary.AppendUvarint(body, uint64(len(family))), family...)
		}
		againstProtobuf(t, body)
	})
}

// protoGrowth makes messages by the schema.
type protoGrowth struct{ choices []byte }

func (g *protoGrowth) choose(n int) int {
	if len(g.choices) == 0 {
		return 0
	}
	c := int(g.choices[0])
	g.choices = g.choices[1:]
	return c % n
}

var (
	someFloats = []float64{0, 1, 2.5, -1, 1e300, math.Inf(1), math.NaN(), 0.99, 1e6}
	someTexts  = []string{"a", "le", "quantile", "b c", "", "ä", "1.0", "x"}
)

func (g *protoGrowth) message(m message, depth int) (b []byte) {
	var fields []int
	for n, f := range protoSchema[m] {
		if f.known {
			fields = append(fields, n)
		}
	}
	if len(fields) == 0 || depth > 5 {
		return someBytes(g)
	}
	for range 1 + g.choose(4) {
		n := fields[g.choose(len(fields))]
		if m == familyMessage && g.choose(3) > 0 {
			n = 4
		}
		f := protoSchema[m][n]
		switch {
		case f.packed && g.choose(4) == 0:
			var in []byte
			for range g.choose(3) {
				in = g.number(in, f.wire)
			}
			b = binary.AppendUvarint(b, uint64(n)<<3|2)
			b = append(binary.AppendUvarint(b, uint64(len(in))), in...)
		case f.wire == 2:
			in := g.message(f.of, depth+1)
			b = binary.AppendUvarint(b, uint64(n)<<3|2)
			b = append(binary.AppendUvarint(b, uint64(len(in))), in...)
		default:
			b = binary.AppendUvarint(b, uint64(n)<<3|uint64(f.wire))
			b = g.number(b, f.wire)
		}
	}
	return b
}

func someBytes(g *protoGrowth) []byte { return []byte(someTexts[g.choose(len(someTexts))]) }

func (g *protoGrowth) number(b []byte, wire uint8) []byte {
	if wire == 0 {
		return binary.AppendUvarint(b, uint64(g.choose(9)))
	}
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(someFloats[g.choose(len(someFloats))]))
}
