package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// object is a JSON object; its keys are written in order.
type object map[string]any

// JSON is the dashboard as Grafana reads it from a file.
func (d Dashboard) JSON() ([]byte, error) {
	var panels []any
	id, y := 0, 0
	next := func() int { id++; return id }
	for _, r := range d.Rows {
		head := object{"id": next(), "type": "row", "title": r.Title, "collapsed": r.Folded, "gridPos": object{"x": 0, "y": y, "w": 24, "h": 1}, "panels": []any{}}
		y++
		var inside []any
		x, high := 0, 0
		for _, p := range r.Panels {
			p.defaults()
			if x+p.Width > 24 {
				x, y, high = 0, y+high, 0
			}
			inside = append(inside, p.object(next(), object{"x": x, "y": y, "w": p.Width, "h": p.Height}))
			x, high = x+p.Width, max(high, p.Height)
		}
		y += high
		if r.Folded {
			head["panels"] = inside
			panels = append(panels, head)
			continue
		}
		panels = append(append(panels, head), inside...)
	}
	links := []any{}
	for _, o := range All() {
		if o.UID != d.UID {
			links = append(links, object{"title": o.Title, "type": "link", "url": "/d/" + o.UID, "icon": "dashboard", "keepTime": true, "includeVars": false, "asDropdown": false,
				"targetBlank": false, "tags": []any{}, "tooltip": o.About})
		}
	}
	out := object{"uid": d.UID, "title": d.Title, "description": d.About, "tags": []string{"rollcall"}, "schemaVersion": 41, "editable": true, "graphTooltip": 1,
		"timezone": "browser", "refresh": d.Refresh, "time": object{"from": d.From, "to": "now"}, "timepicker": object{"refresh_intervals": []string{"5s", "10s", "30s", "1m", "5m"}},
		"fiscalYearStartMonth": 0, "annotations": object{"list": []any{}}, "links": links, "panels": panels, "templating": object{"list": d.variables()}}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return nil, fmt.Errorf("write dashboard %q: %w", d.UID, err)
	}
	return b.Bytes(), nil
}

// variables begin with the data sources that the panels name.
func (d Dashboard) variables() (list []any) {
	for _, s := range []struct {
		of               Source
		label, name, uid string
	}{{Live, "windows", LiveName, LiveUID}, {Own, "Prometheus", OwnName, OwnUID}} {
		used := slices.ContainsFunc(d.Rows, func(r Row) bool {
			return slices.ContainsFunc(r.Panels, func(p Panel) bool { return p.On == s.of })
		})
		if used {
			list = append(list, object{"type": "datasource", "name": string(s.of), "label": s.label, "query": "prometheus", "regex": "", "hide": 0, "refresh": 1, "multi": false,
				"includeAll": false, "skipUrlSync": false, "options": []any{}, "current": object{"selected": true, "text": s.name, "value": s.uid}})
		}
	}
	for _, v := range d.Vars {
		o := object{"name": v.Name, "label": v.Label, "hide": 0, "skipUrlSync": false, "multi": v.Many, "includeAll": v.Many}
		switch {
		case v.Choices != nil:
			options := []any{}
			for i, c := range v.Choices {
				options = append(options, object{"selected": i == 0, "text": c, "value": c})
			}
			o["type"], o["query"], o["options"], o["current"] = "custom", strings.Join(v.Choices, ","), options, options[0]
		default:
			o["type"], o["datasource"], o["options"] = "query", datasource(v.On), []any{}
			o["definition"], o["query"] = v.Of, object{"query": v.Of, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 1}
			o["refresh"], o["sort"], o["regex"] = 2, 1, "" // anew with each time range; by name
			if v.Many {
				o["allValue"], o["current"] = ".*", object{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}}
			}
		}
		list = append(list, o)
	}
	return list
}

func datasource(s Source) object { return object{"type": "prometheus", "uid": "${" + string(s) + "}"} }

func (p *Panel) defaults() {
	if p.Kind == "" {
		p.Kind = Lines
	}
	if p.Width == 0 {
		p.Width = map[Kind]int{Lines: 8, Number: 3, Table: 24, States: 24}[p.Kind]
	}
	if p.Height == 0 {
		p.Height = map[Kind]int{Lines: 8, Number: 4, Table: 12, States: 9}[p.Kind]
	}
}

func (p *Panel) object(id int, at object) object {
	targets := []any{}
	over := p.Kind == Lines || p.Kind == States
	for i, a := range p.Asks {
		t := object{"refId": string(rune('A' + i)), "datasource": datasource(p.On), "expr": a.Expr, "legendFormat": a.Legend, "editorMode": "code",
			"range": over, "instant": !over, "format": "time_series"}
		if p.Kind == Table {
			t["format"] = "table"
		}
		targets = append(targets, t)
	}
	o := object{"id": id, "type": string(p.Kind), "title": p.Title, "description": p.About, "gridPos": at, "datasource": datasource(p.On), "targets": targets,
		"fieldConfig": object{"defaults": p.field(), "overrides": p.overrides()}, "options": p.options()}
	if p.Kind == Table {
		o["transformations"] = p.transformations()
	}
	return o
}

func steps(list []Step) object {
	out := []any{}
	for i, s := range list {
		o := object{"color": s.Colour, "value": s.From}
		if i == 0 {
			o["value"] = nil
		}
		out = append(out, o)
	}
	return object{"mode": "absolute", "steps": out}
}

func words(m map[string]Word) []any {
	if len(m) == 0 {
		return []any{}
	}
	options := object{}
	for i, value := range slices.Sorted(maps.Keys(m)) {
		options[value] = object{"text": m[value].Text, "color": m[value].Colour, "index": i}
	}
	return []any{object{"type": "value", "options": options}}
}

// field is what all lines of the panel have.
func (p *Panel) field() object {
	o := object{"unit": p.Unit, "mappings": words(p.Words), "thresholds": steps(append([]Step{{0, plain}}, p.Steps...)[min(len(p.Steps), 1):])}
	switch p.Kind {
	case Lines:
		custom := object{"drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": false, "axisPlacement": "auto",
			"axisLabel": "", "gradientMode": "none", "stacking": object{"mode": "none", "group": "A"}, "thresholdsStyle": object{"mode": "off"}}
		if p.Stacked {
			custom["stacking"], custom["fillOpacity"], custom["lineWidth"] = object{"mode": "normal", "group": "A"}, 60, 0
		}
		if len(p.Steps) > 0 {
			custom["thresholdsStyle"] = object{"mode": "dashed"}
		}
		o["custom"], o["color"], o["min"] = custom, object{"mode": "palette-classic"}, 0
		if p.Max > 0 {
			o["max"] = p.Max
		}
	case Number:
		o["color"] = object{"mode": "thresholds"}
	case Table:
		o["custom"] = object{"align": "auto", "filterable": false, "cellOptions": object{"type": "auto"}}
		o["color"] = object{"mode": "thresholds"}
	case States:
		o["custom"], o["color"] = object{"lineWidth": 0, "fillOpacity": 80}, object{"mode": "thresholds"}
	}
	return o
}

func override(name string, properties ...any) object {
	list := []any{}
	for i := 0; i < len(properties); i += 2 {
		list = append(list, object{"id": properties[i], "value": properties[i+1]})
	}
	return object{"matcher": object{"id": "byName", "options": name}, "properties": list}
}

func (p *Panel) overrides() []any {
	out := []any{}
	for _, n := range slices.Sorted(maps.Keys(p.Colours)) {
		out = append(out, override(n, "color", object{"mode": "fixed", "fixedColor": p.Colours[n]}))
	}
	if p.Band[1] != "" {
		hidden := object{"legend": false, "tooltip": false, "viz": false}
		out = append(out, override(p.Band[0], "custom.lineWidth", 0, "custom.fillOpacity", 0, "custom.hideFrom", hidden),
			override(p.Band[1], "custom.lineWidth", 0, "custom.fillOpacity", 18, "custom.fillBelowTo", p.Band[0], "custom.hideFrom", hidden))
	}
	for _, c := range p.Columns {
		var list []any
		if c.Unit != "" {
			list = append(list, "unit", c.Unit)
		}
		if c.Width > 0 {
			list = append(list, "custom.width", c.Width)
		}
		if c.Link != "" {
			list = append(list, "links", []any{object{"title": "open", "url": c.Link}})
		}
		if len(c.Words) > 0 {
			list = append(list, "mappings", words(c.Words))
		}
		if len(c.Steps) > 0 {
			list = append(list, "thresholds", steps(c.Steps), "custom.cellOptions", object{"type": "color-text"})
		}
		if len(list) > 0 {
			out = append(out, override(c.Title, list...))
		}
	}
	return out
}

func (p *Panel) options() object {
	switch p.Kind {
	case Number:
		return object{"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto", "wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}}
	case Table:
		o := object{"showHeader": true, "cellHeight": "sm", "frameIndex": 0}
		for _, c := range p.Columns {
			if c.Sorted {
				o["sortBy"] = []any{object{"displayName": c.Title, "desc": true}}
			}
		}
		return o
	case States:
		return object{"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.9, "legend": legend(), "tooltip": object{"mode": "single", "sort": "none"}}
	}
	return object{"legend": legend(), "tooltip": object{"mode": "multi", "sort": "desc"}}
}

func legend() object {
	return object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []any{}}
}

// transformations bring the answers of a table's queries into one row for each set of labels, and its columns into order.
func (p *Panel) transformations() []any {
	order, names, hidden := object{}, object{}, object{"Time": true}
	for i, c := range p.Columns {
		field := c.Label
		if c.Ask > 0 {
			field = "Value #" + string(rune('A'+c.Ask-1))
			if len(p.Asks) == 1 {
				field = "Value"
			}
		}
		order[field], names[field] = i, c.Title
	}
	return []any{object{"id": "merge", "options": object{}}, object{"id": "organize", "options": object{"excludeByName": hidden, "indexByName": order, "renameByName": names}}}
}
