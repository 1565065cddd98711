package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Fingerprint tells two configurations apart, secrets included, without giving any away. Of the keys named in contents, such as ca_file, what their file
// holds counts too.
func Fingerprint(v any, contents ...string) string {
	h := sha256.New()
	fingerprint(h, reflect.ValueOf(v), "", contents)
	return hex.EncodeToString(h.Sum(nil))
}

// fingerprint writes each value with its type and its size ahead, so that no two are alike that differ.
func fingerprint(h hash.Hash, v reflect.Value, key string, contents []string) {
	if !v.IsValid() {
		fmt.Fprint(h, "nil;")
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			fmt.Fprint(h, "nil;")
			return
		}
		fingerprint(h, v.Elem(), key, contents)
	case reflect.Struct:
		fmt.Fprintf(h, "%s{", v.Type())
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			fmt.Fprintf(h, "%s=", v.Type().Field(i).Name)
			fingerprint(h, v.Field(i), name, contents)
		}
		fmt.Fprint(h, "}")
	case reflect.Slice:
		fmt.Fprintf(h, "%s[%d:", v.Type(), v.Len())
		for i := range v.Len() {
			fingerprint(h, v.Index(i), key, contents)
		}
		fmt.Fprint(h, "]")
	case reflect.Map:
		fmt.Fprintf(h, "%s[%d:", v.Type(), v.Len())
		byName := map[string]reflect.Value{}
		for _, k := range v.MapKeys() {
			byName[k.String()] = v.MapIndex(k)
		}
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			fmt.Fprintf(h, "%d:%s=", len(name), name)
			fingerprint(h, byName[name], key, contents)
		}
		fmt.Fprint(h, "]")
	case reflect.String:
		s := v.String()
		fmt.Fprintf(h, "%d:%s;", len(s), s)
		if s != "" && slices.Contains(contents, key) {
			b, err := os.ReadFile(s)
			if err != nil {
				b = []byte(err.Error()) // whoever uses the file says so
			}
			fmt.Fprintf(h, "%x;", sha256.Sum256(b))
		}
	default: // numbers and truth values
		fmt.Fprintf(h, "%#v;", reflect.ValueOf(v.Interface()).Convert(plain(v.Kind())).Interface())
	}
}

func plain(k reflect.Kind) reflect.Type {
	switch k {
	case reflect.Bool:
		return reflect.TypeFor[bool]()
	case reflect.Float32, reflect.Float64:
		return reflect.TypeFor[float64]()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return reflect.TypeFor[uint64]()
	default:
		return reflect.TypeFor[int64]()
	}
}
