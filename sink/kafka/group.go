package kafka

import "slices"

// grouper orders rows by their keys. A batch has few different keys and many rows, so it sorts the keys and counts the rows; its memory is used again.
type grouper struct {
	numbers map[string]int32 // of each key, as they come
	keys    []string
	of      []int32 // number of each row's key
	next    []int   // by number: where the next row of that key goes
	rows    []row
}

// byKey gives the rows ordered by key, those of one key as they came. What it gives is its own until the next call; of one key it gives the rows themselves.
func (g *grouper) byKey(rows []row) []row {
	if g.numbers == nil {
		g.numbers = map[string]int32{}
	}
	clear(g.numbers)
	g.keys, g.of, g.next = g.keys[:0], g.of[:0], g.next[:0]
	last, number := "", int32(-1)
	for i := range rows {
		if key := rows[i].key; number < 0 || key != last {
			n, known := g.numbers[key]
			if !known {
				n = int32(len(g.keys))
				g.numbers[key] = n
				g.keys, g.next = append(g.keys, key), append(g.next, 0)
			}
			last, number = key, n
		}
		g.of = append(g.of, number)
		g.next[number]++
	}
	if len(g.keys) < 2 {
		return rows
	}
	slices.Sort(g.keys)
	at := 0
	for _, key := range g.keys {
		n := g.numbers[key]
		at, g.next[n] = at+g.next[n], at
	}
	clear(g.rows) // their keys are not to be held longer than needed
	g.rows = slices.Grow(g.rows[:0], len(rows))[:len(rows)]
	for i, n := range g.of {
		g.rows[g.next[n]] = rows[i]
		g.next[n]++
	}
	return g.rows
}
