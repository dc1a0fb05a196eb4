//! `sbom.spdx.json`: what is in an image, in the words of SPDX 2.3.
//! <https://spdx.github.io/spdx-spec/v2.3/>
//!
//! It says nothing that the manifest does not: the same manifest gives the same bytes.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::manifest::{Manifest, PackageInfo};
use crate::digest;
use crate::workdir::write_json;

/// The file's name.
pub const SBOM: &str = "sbom.spdx.json";

/// Writes the bill of materials of an image into a build folder, whole or not at all.
///
/// # Errors
/// The folder cannot be written.
pub fn write(manifest: &Manifest, dir: &Path) -> io::Result<()> {
    write_json(&dir.join(SBOM), &document(manifest))
}

/// The document.
pub fn document(manifest: &Manifest) -> Value {
    let mut licenses = Licenses::default();
    let mut packages = vec![image(manifest)];
    let mut relationships = vec![related(DOCUMENT, "DESCRIBES", IMAGE)];
    for (list, kind) in [
        (&manifest.packages, "Package"),
        (&manifest.boot_packages, "Boot"),
    ] {
        for (number, info) in list.iter().enumerate() {
            let id = format!("SPDXRef-{kind}-{}", number + 1);
            packages.push(package(&id, info, &mut licenses));
            relationships.push(match kind {
                "Package" => related(IMAGE, "CONTAINS", &id),
                _ => related(&id, "BUILD_TOOL_OF", IMAGE),
            });
        }
    }
    let name = format!(
        "{}-{}-{}",
        manifest.profile, manifest.version, manifest.arch
    );
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": name,
        // It names this document and no other; nothing need be there.
        "documentNamespace": format!("https://spdx.org/spdxdocs/{name}-{}", unique(manifest)),
        "creationInfo": {
            "created": created(manifest),
            "creators": [format!("Tool: {}", manifest.tool.replace(' ', "-"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    let extracted = licenses.extracted();
    if !extracted.is_empty() {
        document["hasExtractedLicensingInfos"] = json!(extracted);
    }
    document
}

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

fn related(one: &str, how: &str, other: &str) -> Value {
    json!({ "spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other })
}

/// A UUID of what the image is: the same image has the same.
fn unique(manifest: &Manifest) -> String {
    let sum = digest::sha256(format!("sbom {}", manifest.image.sha256).as_bytes());
    let parts = [
        &sum[..8],
        &sum[8..12],
        &sum[12..16],
        &sum[16..20],
        &sum[20..32],
    ];
    parts.join("-")
}

/// The time that stands in for the clock in the image: that of its newest package.
fn created(manifest: &Manifest) -> String {
    let seconds = i64::try_from(manifest.source_date_epoch).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).expect("a year of four digits")
}

fn image(manifest: &Manifest) -> Value {
    json!({
        "SPDXID": IMAGE,
        "name": manifest.profile,
        "versionInfo": manifest.version,
        "packageFileName": manifest.image.file,
        "primaryPackagePurpose": "OPERATING_SYSTEM",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "checksums": [{ "algorithm": "SHA256", "checksumValue": manifest.image.sha256 }],
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "comment": format!("Alpine Linux {} for {}", manifest.alpine, manifest.arch),
    })
}

fn package(id: &str, info: &PackageInfo, licenses: &mut Licenses) -> Value {
    let locator = format!(
        "pkg:apk/alpine/{}@{}?arch={}",
        escaped(&info.name),
        escaped(&info.version),
        info.arch
    );
    json!({
        "SPDXID": id,
        "name": info.name,
        "versionInfo": info.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "sourceInfo": format!("apk checksum {}", info.checksum),
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": licenses.declared(&info.license),
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": locator,
        }],
    })
}

/// As a package URL has it: <https://github.com/package-url/purl-spec>.
fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// Licences as packages say them: expressions of SPDX, or words that are kept as they are, under a
/// name of the document's own.
#[derive(Default)]
struct Licenses {
    words: BTreeMap<String, String>,
}

impl Licenses {
    fn declared(&mut self, text: &str) -> String {
        let text = text.trim();
        if text.is_empty() {
            return "NOASSERTION".to_owned();
        }
        if spdx::Expression::parse(text).is_ok() {
            return text.to_owned();
        }
        let next = self.words.len() + 1;
        let name = self.words.entry(text.to_owned());
        name.or_insert_with(|| format!("LicenseRef-{next}")).clone()
    }

    fn extracted(&self) -> Vec<Value> {
        let mut extracted: Vec<(&String, Value)> = self
            .words
            .iter()
            .map(|(text, id)| {
                let value = json!({ "licenseId": id, "name": text, "extractedText": text });
                (id, value)
            })
            .collect();
        extracted.sort_by_key(|(id, _)| (id.len(), id.as_str()));
        extracted.into_iter().map(|(_, value)| value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_expressions_or_words() {
        let mut licenses = Licenses::default();
        for (text, expected) in [
            ("MIT", "MIT"),
            (
                "GPL-2.0-only AND (MIT OR BSD-3-Clause)",
                "GPL-2.0-only AND (MIT OR BSD-3-Clause)",
            ),
            ("custom", "LicenseRef-1"),
            ("GPL2 and others", "LicenseRef-2"),
            ("custom", "LicenseRef-1"),
            (" ", "NOASSERTION"),
        ] {
            assert_eq!(licenses.declared(text), expected, "{text}");
        }
        let extracted = licenses.extracted();
        assert_eq!(extracted.len(), 2);
        assert_eq!(extracted[1]["extractedText"], "GPL2 and others");
    }

    #[test]
    fn names_are_escaped_as_package_urls_have_them() {
        assert_eq!(escaped("libstdc++"), "libstdc%2B%2B");
        assert_eq!(escaped("1.2.3_git2026-r0"), "1.2.3_git2026-r0");
    }
}
