package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestDocs holds docs/configuration.md against the structs: every key is explained, and every key in its tables exists.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	keys := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(rt reflect.Type) {
		for rt.Kind() == reflect.Pointer || rt.Kind() == reflect.Slice || rt.Kind() == reflect.Map {
			rt = rt.Elem()
		}
		if rt.Kind() != reflect.Struct {
			return
		}
		for i := range rt.NumField() {
			name, how, _ := strings.Cut(rt.Field(i).Tag.Get("yaml"), ",")
			if how == "inline" {
				walk(rt.Field(i).Type)
			}
			if name == "" || name == "-" {
				continue
			}
			keys[name] = true
			walk(rt.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[Config]())
	for k := range keys {
		if !strings.Contains(doc, k) {
			t.Errorf("docs/configuration.md does not explain %q", k)
		}
	}
	for _, line := range strings.Split(doc, "\n") {
		cell, ok := strings.CutPrefix(line, "| `")
		if !ok {
			continue
		}
		cell, _, _ = strings.Cut(cell, " |")
		for _, word := range strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune("`, .[]", r) }) {
			if word != "or" && !keys[word] {
				t.Errorf("docs/configuration.md explains %q, which no configuration has", word)
			}
		}
	}
}
