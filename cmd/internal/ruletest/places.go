package ruletest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/rollcall-metrics/rollcall/enrich/geo"
)

// placeKeys are the attributes of a place, called as in lookup.add.
var placeKeys = []string{"as.number", "as.organization.name", "geo.country.iso_code", "geo.continent.code", "geo.region.iso_code", "geo.locality.name"}

// database makes real databases of the file's places, in dir, so that lookups go the way that they go in the collector; nil without places.
func (f *file) database(dir string) (*geo.DB, error) {
	if len(f.Places) == 0 {
		return nil, nil
	}
	type row struct {
		prefix    netip.Prefix
		asn, city mmdbtype.Map
	}
	var rows []row
	var errs []error
	for _, text := range slices.Sorted(maps.Keys(f.Places)) {
		at := "$.places.'" + text + "'"
		p, err := netip.ParsePrefix(text)
		if a, err2 := netip.ParseAddr(text); err2 == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			errs = append(errs, f.fault(at, "%q is neither an address nor a network such as 203.0.113.0/24", text))
			continue
		}
		asn, city, err := record(f.Places[text])
		if err != nil {
			errs = append(errs, f.fault(at, "%w", err))
			continue
		}
		rows = append(rows, row{p.Masked(), asn, city})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.prefix.Bits(), b.prefix.Bits()) }) // a longer prefix over a shorter one
	cfg := geo.Config{}
	for _, db := range []struct {
		name string
		of   func(row) mmdbtype.Map
		to   *[]string
	}{{"asn.mmdb", func(r row) mmdbtype.Map { return r.asn }, &cfg.ASN}, {"city.mmdb", func(r row) mmdbtype.Map { return r.city }, &cfg.City}} {
		tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "places of a test", RecordSize: 24, IncludeReservedNetworks: true})
		if err != nil {
			return nil, fmt.Errorf("make places: %w", err)
		}
		some := false
		for _, r := range rows {
			if m := db.of(r); len(m) > 0 {
				_, block, err := net.ParseCIDR(r.prefix.String())
				if err != nil {
					return nil, fmt.Errorf("make places: %w", err)
				}
				if err := tree.Insert(block, m); err != nil {
					return nil, fmt.Errorf("make places: %s: %w", r.prefix, err)
				}
				some = true
			}
		}
		if !some {
			continue
		}
		name := filepath.Join(dir, db.name)
		w, err := os.Create(name)
		if err != nil {
			return nil, err
		}
		_, err = tree.WriteTo(w)
		if err := errors.Join(err, w.Close()); err != nil {
			return nil, err
		}
		*db.to = []string{name}
	}
	db, err := geo.New(cfg)
	if err != nil {
		return nil, err
	}
	return db, db.Load()
}

// record is a place as the databases hold it.
func record(attributes map[string]string) (asn, city mmdbtype.Map, err error) {
	asn, city = mmdbtype.Map{}, mmdbtype.Map{}
	for n, v := range attributes {
		switch n {
		case "as.number":
			number, err := strconv.ParseUint(v, 10, 32)
			if err != nil || number == 0 {
				return nil, nil, fmt.Errorf("as.number %q is not a number of an autonomous system", v)
			}
			asn["autonomous_system_number"] = mmdbtype.Uint32(number)
		case "as.organization.name":
			asn["autonomous_system_organization"] = mmdbtype.String(v)
		case "geo.country.iso_code":
			city["country"] = mmdbtype.Map{"iso_code": mmdbtype.String(v)}
		case "geo.continent.code":
			city["continent"] = mmdbtype.Map{"code": mmdbtype.String(v)}
		case "geo.region.iso_code":
			_, region, ok := strings.Cut(v, "-")
			if !ok {
				return nil, nil, fmt.Errorf("geo.region.iso_code %q is not a country and a region, such as US-CA", v)
			}
			city["subdivisions"] = mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(region)}}
		case "geo.locality.name":
			city["city"] = mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(v)}}
		default:
			return nil, nil, fmt.Errorf("%q is no attribute of a place; use %s", n, strings.Join(placeKeys, ", "))
		}
	}
	if len(asn) > 0 && asn["autonomous_system_number"] == nil {
		return nil, nil, errors.New("as.organization.name without as.number; give both")
	}
	if len(city) > 0 && city["country"] == nil {
		return nil, nil, errors.New("a place without geo.country.iso_code; give the country too")
	}
	return asn, city, nil
}
