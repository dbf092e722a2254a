use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::*;

use super::{Database, GeoIp, Location, Renewal};

#[path = "../../tests/e2e/support/mmdb.rs"]
mod mmdb;

use mmdb::{Place, city_database};

const SACRAMENTO: Place = Place {
    country: "US",
    region: "California",
    city: "Sacramento",
};
const LYON: Place = Place {
    country: "FR",
    region: "Auvergne-Rhône-Alpes",
    city: "Lyon",
};
const NOWHERE: Place = Place {
    country: "",
    region: "",
    city: "",
};

fn file() -> Vec<u8> {
    city_database(
        1_700_000_000,
        &[
            ("203.0.113.0/24", SACRAMENTO),
            ("203.0.113.128/25", LYON),
            ("2001:db8::/32", LYON),
            ("198.51.100.7/32", NOWHERE),
        ],
    )
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn place(found: &Location) -> [&str; 3] {
    [&found.country, &found.region, &found.city].map(|part| part.as_deref().unwrap_or("-"))
}

#[test]
fn the_narrowest_network_says_where_an_address_is() {
    let database = Database::from_bytes(file()).unwrap();
    let california = ["US", "California", "Sacramento"];
    let lyon = ["FR", "Auvergne-Rhône-Alpes", "Lyon"];
    for (text, expected) in [
        ("203.0.113.1", Some(california)),
        ("203.0.113.200", Some(lyon)),
        ("::ffff:203.0.113.1", Some(california)),
        ("2001:db8:1::1", Some(lyon)),
        ("2001:db9::1", None),
        ("192.0.2.1", None),
        ("198.51.100.7", None),
    ] {
        let found = database.locate(address(text));
        assert_eq!(found.as_ref().map(place), expected, "{text}");
    }
    assert_eq!(database.description().database_type, "Test-City");
    assert_eq!(database.description().build_epoch, 1_700_000_000);
}

#[test]
fn a_file_cut_anywhere_is_refused_and_the_one_before_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("places.mmdb");
    let whole = file();
    std::fs::write(&path, &whole).unwrap();
    let geoip = GeoIp::default();
    assert!(matches!(geoip.renew(Some(&path)), Renewal::Loaded(_)));
    let offsets = (0..100).map(|part| whole.len() * part / 100);
    for length in offsets.chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let renewal = geoip.renew(Some(&path));
        assert!(
            matches!(renewal, Renewal::Refused { .. }),
            "{length}: {renewal:?}"
        );
        let again = geoip.renew(Some(&path));
        assert!(matches!(again, Renewal::Unchanged), "told once: {again:?}");
        let found = geoip.locate(address("203.0.113.1")).unwrap();
        assert_eq!(found.country.as_deref(), Some("US"));
    }
}

#[test]
fn a_new_file_answers_at_once_and_remembered_places_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("places.mmdb");
    let geoip = GeoIp::default();
    assert!(matches!(geoip.renew(None), Renewal::Unchanged));
    assert!(matches!(geoip.renew(Some(&path)), Renewal::Refused { .. }));
    assert_eq!(geoip.locate(address("203.0.113.1")), None);
    for place in [SACRAMENTO, LYON] {
        let moved = folder.path().join("new.mmdb");
        std::fs::write(&moved, city_database(2, &[("203.0.113.0/24", place)])).unwrap();
        std::fs::rename(&moved, &path).unwrap();
        assert!(matches!(geoip.renew(Some(&path)), Renewal::Loaded(_)));
        for _ in 0..2 {
            let found = geoip.locate(address("203.0.113.1")).unwrap();
            assert_eq!(found.country.as_deref(), Some(place.country));
        }
        assert_eq!(geoip.locate(address("192.0.2.1")), None);
    }
    assert!(matches!(geoip.renew(None), Renewal::Removed));
    assert_eq!(geoip.locate(address("203.0.113.1")), None);
}

#[test]
fn the_database_of_the_golden_configurations_is_what_the_writer_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config/places.mmdb");
    let expected = city_database(1_700_000_000, &[("203.0.113.0/24", SACRAMENTO)]);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == expected);
}

proptest! {
    #[test]
    fn damage_never_panics(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(), asked in any::<u128>(), v4 in any::<u32>(),
    ) {
        let mut bytes = file();
        for (place, byte) in hits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        // Half of the time a piece in the middle is missing, so that the end with its metadata is whole.
        if asked & 1 == 0 {
            bytes.remove(cut.index(bytes.len()));
        }
        if let Ok(database) = Database::from_bytes(bytes) {
            for address in ["203.0.113.1", "203.0.113.200", "198.51.100.7"] {
                database.locate(address.parse().unwrap());
            }
            database.locate(std::net::Ipv6Addr::from(asked).into());
            database.locate(std::net::Ipv6Addr::from(asked >> 32 | 0x2001_0db8 << 96).into());
            database.locate(std::net::Ipv4Addr::from(v4).into());
        }
    }
}
