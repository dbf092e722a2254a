//! Writes MaxMind DB files (MMDB, format 2.0): enough of it for tests, after MaxMind's published description.

use std::net::{IpAddr, Ipv6Addr};

/// Records are 32 bits wide, two to a node.
const RECORD_BITS: u16 = 32;
/// Between the tree and the data.
const SEPARATOR: [u8; 16] = [0; 16];

/// A place to write down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// ISO 3166-1 alpha-2.
    pub(crate) country: &'static str,
    /// The subdivision's English name.
    pub(crate) region: &'static str,
    /// English name.
    pub(crate) city: &'static str,
}

/// What a side of a node leads to.
#[derive(Clone, Copy)]
enum Side {
    Nothing,
    Node(usize),
    Record(usize),
}

/// A city database of networks, later ones over earlier ones.
pub(crate) fn city_database(build_epoch: u64, places: &[(&str, Place)]) -> Vec<u8> {
    let mut tree = vec![[Side::Nothing; 2]];
    let mut data = Vec::new();
    for (network, place) in places {
        let offset = data.len();
        record(&mut data, place);
        let (address, bits) = in_ipv6(network);
        insert(&mut tree, address, bits, offset);
    }
    let mut file = Vec::new();
    for side in tree.iter().flatten() {
        let value = match side {
            Side::Nothing => tree.len(),
            Side::Node(node) => *node,
            Side::Record(offset) => tree.len() + SEPARATOR.len() + offset,
        };
        file.extend_from_slice(&u32::try_from(value).expect("a small tree").to_be_bytes());
    }
    file.extend_from_slice(&SEPARATOR);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    metadata(&mut file, tree.len(), build_epoch);
    file
}

/// IPv4 networks live in ::/96.
fn in_ipv6(network: &str) -> (u128, u8) {
    let (address, bits) = network.split_once('/').expect("address/bits");
    let bits: u8 = bits.parse().expect("a number of bits");
    match address.parse().expect("an address") {
        IpAddr::V4(address) => (u128::from(address.to_bits()), bits + 96),
        IpAddr::V6(address) => (Ipv6Addr::to_bits(address), bits),
    }
}

fn insert(tree: &mut Vec<[Side; 2]>, address: u128, bits: u8, offset: usize) {
    let mut node = 0;
    for depth in 0..bits {
        let side = usize::from(address >> (127 - depth) & 1 == 1);
        if depth + 1 == bits {
            tree[node][side] = Side::Record(offset);
            return;
        }
        node = match tree[node][side] {
            Side::Node(next) => next,
            whole => {
                tree.push([whole; 2]);
                let next = tree.len() - 1;
                tree[node][side] = Side::Node(next);
                next
            }
        };
    }
}

fn record(out: &mut Vec<u8>, place: &Place) {
    control(out, 7, 3);
    text(out, "country");
    control(out, 7, 1);
    text(out, "iso_code");
    text(out, place.country);
    text(out, "subdivisions");
    control(out, 11, 1);
    names(out, place.region);
    text(out, "city");
    names(out, place.city);
}

fn names(out: &mut Vec<u8>, english: &str) {
    control(out, 7, 1);
    text(out, "names");
    control(out, 7, 2);
    // A language nobody asks for comes first.
    text(out, "de");
    text(out, "anders");
    text(out, "en");
    text(out, english);
}

fn metadata(out: &mut Vec<u8>, nodes: usize, build_epoch: u64) {
    let small = |out: &mut Vec<u8>, key: &str, value: u16| {
        text(out, key);
        control(out, 5, 2);
        out.extend_from_slice(&value.to_be_bytes());
    };
    control(out, 7, 9);
    text(out, "node_count");
    control(out, 6, 4);
    out.extend_from_slice(&u32::try_from(nodes).expect("a small tree").to_be_bytes());
    small(out, "record_size", RECORD_BITS);
    small(out, "ip_version", 6);
    small(out, "binary_format_major_version", 2);
    small(out, "binary_format_minor_version", 0);
    text(out, "database_type");
    text(out, "Test-City");
    text(out, "languages");
    control(out, 11, 1);
    text(out, "en");
    text(out, "description");
    control(out, 7, 1);
    text(out, "en");
    text(out, "written by a test");
    text(out, "build_epoch");
    control(out, 9, 8);
    out.extend_from_slice(&build_epoch.to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    control(out, 2, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Type and size of what follows; types above 7 take a byte of their own, sizes from 29 on, too.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (short, long) = if size < 29 {
        (size, None)
    } else {
        (29, Some(size - 29))
    };
    let short = u8::try_from(short).expect("below 30");
    if kind > 7 {
        out.extend_from_slice(&[short, kind - 7]);
    } else {
        out.push(kind << 5 | short);
    }
    out.extend(long.map(|long| u8::try_from(long).expect("a short value")));
}
