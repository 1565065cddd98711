package dashboards

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

var nan = math.NaN()

func packOne(v []float64, lossy bool) []byte {
	var p packer
	return p.pack(len(v), 1, func(int, []float64) ([]float64, bool) { return v, lossy })
}

func TestBlockKeepsValues(t *testing.T) {
	for _, tc := range []struct {
		name  string
		v     []float64
		bytes int // of the whole block at most, 6 of them its head
	}{
		{"absent", []float64{nan, nan, nan}, 7},
		{"same", []float64{7, 7, 7, 7}, 15},
		{"one", []float64{7.25}, 15},
		{"counter", []float64{1e12, 1e12 + 60, 1e12 + 121, 1e12 + 179, 1e12 + 240}, 20},
		{"steady counter", []float64{5, 10, 15, 20, 25, 30}, 11},
		{"decimals", []float64{12.5, 12.75, 13, 12.25}, 15},
		{"percent", []float64{0.013, 0.02, 0.001, 0.9}, 18},
		{"large", []float64{math.MaxFloat64, -math.MaxFloat64, 1}, 48},
		{"wide", []float64{1<<53 - 1, -(1<<53 - 1), 0}, 48},
		{"negative zero", []float64{math.Copysign(0, -1), 1}, 48},
		{"gaps", []float64{nan, 1, nan, 2, 3, nan}, 25},
		{"noise", []float64{math.Pi, math.E, math.Sqrt2, math.Ln2}, 64},
		{"infinities", []float64{math.Inf(1), 1, math.Inf(-1)}, 48},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := packOne(tc.v, false)
			if len(b) > tc.bytes {
				t.Errorf("%d bytes, want at most %d", len(b), tc.bytes)
			}
			got := make([]float64, len(tc.v))
			if err := unpack(b, 0, len(tc.v), got); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if math.Float64bits(got[i]) != math.Float64bits(tc.v[i]) && !(math.IsNaN(got[i]) && math.IsNaN(tc.v[i])) {
					t.Errorf("value %d is %v, want %v", i, got[i], tc.v[i])
				}
			}
		})
	}
}

func TestBlockBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(1, maxBlockRows).Draw(t, "rows"), rapid.IntRange(1, 150).Draw(t, "cols")
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		all := make([][]float64, cols)
		lossy := make([]bool, cols)
		for c := range all {
			v := make([]float64, rows)
			kind, gaps := r.IntN(7), r.IntN(4) == 0
			x, step := math.Floor(r.Float64()*1e9), math.Floor(math.Exp(r.Float64()*30))
			for i := range v {
				switch kind {
				case 0:
					x += math.Floor(r.Float64() * step)
					v[i] = x
				case 1:
					v[i] = math.Round(r.NormFloat64()*1e4) / 1e3
				case 2:
					v[i] = r.NormFloat64()
				case 3:
					v[i] = math.Float64frombits(r.Uint64())
				case 4:
					v[i] = x
				case 5:
					v[i] = float64(r.Int64N(1<<53)) * float64(r.IntN(3)-1)
				case 6:
					v[i] = float64(float32(r.ExpFloat64()))
				}
				if gaps && r.IntN(3) == 0 {
					v[i] = nan
				}
			}
			all[c], lossy[c] = v, kind == 6
		}
		var p packer
		b := p.pack(rows, cols, func(i int, _ []float64) ([]float64, bool) { return all[i], lossy[i] })
		got := make([]float64, rows)
		for c := range all {
			if err := unpack(b, c, rows, got); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if got[i] != all[c][i] && !(math.IsNaN(got[i]) && math.IsNaN(all[c][i])) {
					t.Fatalf("column %d row %d is %v, want %v of %v", c, i, got[i], all[c][i], all[c])
				}
			}
		}
	})
}

func FuzzUnpack(f *testing.F) {
	for _, v := range [][]float64{{nan}, {1, 1}, {1, 2, 3}, {1, 2, 4, nan}, {math.Pi, math.E}, {1.5, 2.25, 3.125}} {
		f.Add(packOne(v, false), len(v))
		f.Add(packOne(v, true), len(v))
	}
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 1 || n > maxBlockRows {
			return
		}
		dst := make([]float64, n)
		for i := range 3 {
			if unpack(b, i, n, dst) != nil && len(b) >= 6 && binary.LittleEndian.Uint32(b) > 1<<30 {
				return
			}
		}
	})
}

func BenchmarkPack(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	const cols, rows = 200, 32
	all := make([][]float64, cols)
	for c := range all {
		x := math.Floor(r.Float64() * 1e6)
		for range rows {
			switch c % 4 {
			case 0, 1:
				x += math.Floor(60 + r.NormFloat64()*8)
				all[c] = append(all[c], x)
			case 2:
				all[c] = append(all[c], math.Round(212+r.NormFloat64()*30))
			default:
				all[c] = append(all[c], math.Floor(x))
			}
		}
	}
	var p packer
	n := 0
	b.SetBytes(cols * rows * 8)
	b.ReportAllocs()
	for b.Loop() {
		n = len(p.pack(rows, cols, func(i int, _ []float64) ([]float64, bool) { return all[i], false }))
	}
	b.ReportMetric(float64(n)/(cols*rows), "bytes/value")
}
