package stats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// reference reads a JSON body the slow way: encoding/json builds a tree, and the rules are applied to that.
type reference struct {
	flat  map[string]string // plain samples: kind and name → line
	dists map[string]map[string]string
	clash bool // two samples of one kind and name
}

func (r *reference) read(doc []byte) bool {
	keys := json.NewDecoder(bytes.NewReader(doc))
	keys.UseNumber() // else one that no float64 holds ends the search
	if twice(keys) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var top map[string]any
	if d.Decode(&top) != nil {
		return false
	}
	if request, ok := top["request"].(map[string]any); ok && request["mbean"] != nil {
		return false
	}
	r.dists = map[string]map[string]string{}
	objects := map[string]bool{}
	for k, v := range top {
		o, isObject := v.(map[string]any)
		objects[k] = isObject
		if sp := sectionOf(jsonscan.Text{Raw: []byte(k)}); sp != flat && isObject {
			for name, e := range o {
				if !r.fits(sp, nameOf(name), e) {
					r.value(k+"/"+nameOf(name), e)
				}
			}
			continue
		}
		if k == "version" && isSection(top, "histograms") && isSection(top, "meters") && isSection(top, "timers") {
			if _, isText := v.(string); isText {
				continue
			}
		}
		r.value(nameOf(k), v)
	}
	r.gather()
	return !r.clash
}

func isSection(top map[string]any, k string) bool {
	_, ok := top[k].(map[string]any)
	return ok
}

func nameOf(k string) string {
	if k == "" {
		return "_"
	}
	return k
}

func (r *reference) put(kind, name, value string) {
	id := fmt.Sprintf("%s %q", kind, name)
	if _, ok := r.flat[id]; ok {
		r.clash = true
	}
	r.flat[id] = value
}

func (r *reference) value(name string, v any) {
	switch v := v.(type) {
	case json.Number:
		r.put("untyped", name, v.String())
	case bool:
		r.put("gauge", name, map[bool]string{true: "1", false: "0"}[v])
	case string:
		if !nonfinite([]byte(v)) && len(v) <= MaxText {
			r.put("label", name, v)
		}
	case []any:
		r.put("gauge", name, fmt.Sprint(len(v)))
	case map[string]any:
		for k, e := range v {
			r.value(name+"/"+nameOf(k), e)
		}
	}
}

func (r *reference) fits(sp space, name string, e any) bool {
	num, isNumber := e.(json.Number)
	str, isText := e.(string)
	_, isBool := e.(bool)
	o, isObject := e.(map[string]any)
	switch {
	case sp == secLabels:
		if isText {
			r.put("label", name, str)
		}
		return isText
	case sp == secCounters || sp == secGauges:
		kind, key := "counter", "count"
		if sp == secGauges {
			kind, key = "gauge", "value"
		}
		switch inner, has := o[key]; {
		case isNumber:
			r.put(kind, name, num.String())
		case isText && nonfinite([]byte(str)):
		case isBool && sp == secGauges:
			r.value(name, e)
		case isObject && has && len(o) == 1:
			if _, deep := inner.(map[string]any); deep {
				return false
			}
			if n, ok := inner.(json.Number); ok {
				r.put(kind, name, n.String())
			} else {
				r.value(name, inner)
			}
		default:
			return false
		}
		return true
	case !isObject:
		return false
	}
	fields := map[string]string{}
	for k, v := range o {
		switch v := v.(type) {
		case map[string]any, []any:
			return false
		case json.Number:
			if _, ok := fields[fieldName(nameOf(k))]; ok {
				r.clash = true
			}
			fields[fieldName(nameOf(k))] = v.String()
		}
	}
	if len(o) > 20 {
		r.clash = true
	}
	if _, ok := fields["count"]; !ok {
		return false
	}
	for k, v := range o {
		if _, isNumber := v.(json.Number); !isNumber {
			r.value(name+"/"+nameOf(k), v)
		}
	}
	if sp != secMeters {
		if r.dists[name] != nil {
			r.clash = true
		}
		r.dists[name] = fields
		return true
	}
	for f, v := range fields {
		if f == "count" {
			r.put("counter", name, v)
		} else {
			r.put("gauge", name+"/"+f, v)
		}
	}
	return true
}

func (r *reference) gather() {
	type member struct{ id, suf, v string }
	groups := map[string][]member{}
	for id, v := range r.flat {
		var name string
		if n, err := fmt.Sscanf(id, "untyped %q", &name); n != 1 || err != nil {
			continue
		}
		if s := suffix(name); s != "" {
			prefix := strings.TrimSuffix(name, "."+s)
			groups[prefix] = append(groups[prefix], member{id, s, v})
		}
	}
	whole, zero := map[string]bool{}, map[string]bool{}
	for prefix, ms := range groups {
		has := func(want ...string) bool {
			return slices.ContainsFunc(ms, func(m member) bool { return slices.Contains(want, m.suf) })
		}
		percent := slices.ContainsFunc(ms, func(m member) bool { return percentile(m.suf) })
		if len(ms) > 1 && (percent || has("count") && has("sum", "avg", "mean")) {
			whole[prefix] = true
		}
		zero[prefix] = len(ms) == 1 && ms[0].suf == "count" && ms[0].v == "0"
	}
	for prefix, ms := range groups {
		if !whole[prefix] && !(zero[prefix] && len(whole) > 0) {
			continue
		}
		if r.dists[prefix] != nil {
			r.clash = true
		}
		r.dists[prefix] = map[string]string{}
		for _, m := range ms {
			if _, ok := r.dists[prefix][fieldName(m.suf)]; ok {
				r.clash = true
			}
			r.dists[prefix][fieldName(m.suf)] = m.v
			delete(r.flat, m.id)
		}
	}
}

func (r *reference) lines() []string {
	var out []string
	for id, v := range r.flat {
		out = append(out, fmt.Sprintf("%s %q", id, v))
	}
	for name, fields := range r.dists {
		var fs []string
		for _, f := range slices.Sorted(maps.Keys(fields)) {
			fs = append(fs, f+"="+fields[f])
		}
		slices.Sort(fs)
		out = append(out, fmt.Sprintf("distribution %q \"\"%s", name, strings.Join(fs, " ")))
	}
	slices.Sort(out)
	return out
}

// twice reports whether any two keys of the document could name the same thing: equal keys in one object, an empty one, one with a slash in it, or one of an MBean.
func twice(d *json.Decoder) bool {
	var keys []map[string]bool // nil for an array
	key := false
	for {
		tok, err := d.Token()
		if err != nil {
			return false
		}
		switch tok {
		case json.Delim('{'):
			keys, key = append(keys, map[string]bool{}), true
			continue
		case json.Delim('['):
			keys, key = append(keys, nil), false
			continue
		case json.Delim('}'), json.Delim(']'):
			keys = keys[:len(keys)-1]
		default:
			if key {
				k := tok.(string)
				if seen := keys[len(keys)-1]; seen[k] || strings.Contains(k, "/") || k == "_" || isMBean([]byte(k)) {
					return true
				} else {
					seen[k] = true
				}
				key = false
				continue
			}
		}
		key = len(keys) > 0 && keys[len(keys)-1] != nil
	}
}
