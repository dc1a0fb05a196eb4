//! The packages of an image that has no manifest: its own installed database says.

use super::Package;

/// Where the database is in an image.
pub const DATABASE: &str = "/lib/apk/db/installed";
/// A database of more bytes is not one; that of a full desktop has 5 MB.
pub const LARGEST: u64 = 64 << 20;

/// Reads the database of apk: records of `K:value` lines with an empty line after each.
///
/// It also has lines about files, which are not looked at, and may have fields that do not exist
/// yet. A record without name or version is left out.
pub fn parse(text: &str) -> Vec<Package> {
    let records = text.split("\n\n");
    records.filter_map(record).collect()
}

fn record(text: &str) -> Option<Package> {
    // The package's own lines come first; folders and files have letters of their own.
    let own = text.lines().take_while(|line| !line.starts_with("F:"));
    let fields: Vec<(&str, &str)> = own.filter_map(|line| line.split_once(':')).collect();
    let get = |key| {
        fields
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| *value)
    };
    let text = |key| get(key).unwrap_or_default().to_owned();
    let number = |key| get(key).and_then(|value| value.parse().ok()).unwrap_or(0);
    Some(Package {
        name: get("P")?.to_owned(),
        version: get("V")?.to_owned(),
        arch: text("A"),
        checksum: text("C"),
        size: number("S"),
        installed_size: number("I"),
        license: text("L"),
        origin: get("o")
            .filter(|origin| Some(*origin) != get("P"))
            .map(str::to_owned),
    })
}
