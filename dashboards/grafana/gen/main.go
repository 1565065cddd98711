// Command gen writes the dashboards' JSON beside their descriptions.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/rollcall-metrics/rollcall/dashboards/grafana"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FOLDER")
		os.Exit(2)
	}
	for _, d := range grafana.All() {
		b, err := d.JSON()
		if err == nil {
			err = os.WriteFile(filepath.Join(os.Args[1], d.UID+".json"), b, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
