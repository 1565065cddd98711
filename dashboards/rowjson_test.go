package dashboards

import (
	"encoding/json"
	"reflect"
	"testing"
)

// A row that is written by hand is what encoding/json writes, whatever is in it and whatever is not.
func TestRowJSON(t *testing.T) {
	spark := newSpark(1000)
	for i := range spark.Rate {
		spark.Rate[i], spark.Latency[i] = Num(i)/7, Unknown()
	}
	full := Row{}
	fill(t, reflect.ValueOf(&full).Elem())
	for _, r := range []Row{
		{}, full,
		{Service: "checkout", Env: "prod", Owner: "home", Expected: 3, Present: 2, Answering: 1, Missing: -1, AgeMS: 812, Rate: 1e21, Errors: 1e-9, ErrorRatio: Unknown(), Why: []string{}, Versions: []Version{}},
		{Service: "<script>\"\\\n\u2028é\x7f", Env: "\xff", Chat: "#a&b", Runbook: "https://r/?a=1&b=2", Trouble: 2, Why: []string{"5 % fail", "»"}, Signals: []string{"errors", "latency"}, EveryMS: 10_000, Latency: &Latency{"p99", 1, 2, 1.5},
			Versions: []Version{{"1.41.3", 9}, {"", 1}}, Spark: spark},
		{Spark: &Spark{}},
	} {
		want, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.AppendJSON(nil); string(got) != string(want) {
			t.Errorf("written as\n%s\nfor\n%s", got, want)
		}
	}
}

// fill puts something into each field, those that a Row is to have some day, too.
func fill(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(1))
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(7.5)
	default:
		t.Fatalf("what is a %s filled with?", v.Type())
	}
}
