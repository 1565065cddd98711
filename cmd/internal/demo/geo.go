package demo

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// WriteGeo writes two small databases in MaxMind's format into dir, with the networks that the demo's clients come from.
func WriteGeo(dir string) (city, asn string, err error) {
	city, asn = filepath.Join(dir, "demo-city.mmdb"), filepath.Join(dir, "demo-asn.mmdb")
	text := func(s string) mmdbtype.Map { return mmdbtype.Map{"en": mmdbtype.String(s)} }
	err = errors.Join(
		writeTree(city, "GeoLite2-City", func(n network) mmdbtype.Map {
			return mmdbtype.Map{
				"country":      mmdbtype.Map{"iso_code": mmdbtype.String(n.country), "names": text(n.country)},
				"city":         mmdbtype.Map{"names": text(n.city)},
				"subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(n.region), "names": text(n.region)}},
			}
		}),
		writeTree(asn, "GeoLite2-ASN", func(n network) mmdbtype.Map {
			return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(n.asn), "autonomous_system_organization": mmdbtype.String(n.org)}
		}))
	return city, asn, err
}

func writeTree(file, kind string, of func(network) mmdbtype.Map) (err error) {
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, RecordSize: 24, Languages: []string{"en"}, Description: map[string]string{"en": "networks of the rollcall demo"}})
	if err != nil {
		return fmt.Errorf("make %s: %w", kind, err)
	}
	for _, n := range networks {
		_, block, err := net.ParseCIDR(n.prefix.String())
		if err != nil {
			return fmt.Errorf("make %s: %w", kind, err)
		}
		if err := tree.Insert(block, of(n)); err != nil {
			return fmt.Errorf("make %s: insert %s: %w", kind, n.prefix, err)
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("make %s: %w", kind, err)
	}
	_, err = tree.WriteTo(f)
	return errors.Join(err, f.Close())
}
