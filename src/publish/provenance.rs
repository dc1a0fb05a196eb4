//! How a release came to be, in the words of others: an in-toto statement with SLSA's predicate.
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>,
//! <https://slsa.dev/spec/v1.0/provenance>
//!
//! It says nothing that the manifest does not: the same manifest gives the same bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::manifest::ReleaseManifest;
use crate::image::manifest::{Manifest, PackageInfo};
use crate::origin::Origin;

/// What kind of document it is.
pub const TYPE: &str = "application/vnd.in-toto+json";
/// What an image is built by, and what its parameters mean.
const BUILD_TYPE: &str = "urn:alpine-ami:build:1";

/// The statement; nothing of a release whose image nobody knows.
pub(super) fn statement(manifest: &ReleaseManifest) -> Option<Value> {
    let image = manifest.image.as_ref()?;
    let mut dependencies: Vec<Value> = Vec::new();
    dependencies.extend(manifest.origin.as_ref().and_then(source));
    let packages = image.packages.iter().chain(&image.boot_packages);
    dependencies.extend(packages.map(package));
    Some(json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects(manifest, image),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "profile": image.profile,
                    "version": image.version,
                    "arch": image.arch,
                },
                "internalParameters": {
                    "plan_digest": image.plan_digest,
                    "packages_digest": image.packages_digest,
                    "source_date_epoch": image.source_date_epoch,
                },
                "resolvedDependencies": dependencies,
            },
            "runDetails": run_details(manifest, image),
        },
    }))
}

/// The image, and every AMI that it is.
fn subjects(manifest: &ReleaseManifest, image: &Manifest) -> Vec<Value> {
    let digest = json!({ "sha256": image.image.sha256 });
    let mut subjects = vec![json!({ "name": image.image.file, "digest": digest })];
    for (region, place) in &manifest.regions {
        if let Some(ami) = &place.ami {
            let partition = region.partition();
            subjects.push(json!({
                "name": ami,
                "uri": format!("arn:{partition}:ec2:{region}::image/{ami}"),
                "digest": digest,
            }));
        }
    }
    subjects
}

fn source(origin: &Origin) -> Option<Value> {
    let commit = origin.commit.as_ref()?;
    let uri = match &commit.repository {
        Some(repository) => format!("git+{repository}@{}", commit.id),
        None => format!("git:{}", commit.id),
    };
    Some(json!({
        "name": "profiles",
        "uri": uri,
        "digest": { "gitCommit": commit.id },
        "annotations": { "dirty": commit.dirty },
    }))
}

/// A package as others name it: <https://github.com/package-url/purl-spec>.
fn package(info: &PackageInfo) -> Value {
    let PackageInfo {
        name,
        version,
        arch,
        ..
    } = info;
    let mut told = json!({
        "name": name,
        "uri": format!("pkg:apk/alpine/{name}@{version}?arch={arch}"),
    });
    if let Some(sha1) = sha1(&info.checksum) {
        // apk's checksum is over the package's control member, not the file.
        told["digest"] = json!({ "apkControlSha1": sha1 });
    }
    told
}

/// `Q1` and base64 of a SHA-1, as hexadecimal digits.
fn sha1(checksum: &str) -> Option<String> {
    let bytes = STANDARD.decode(checksum.strip_prefix("Q1")?).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn run_details(manifest: &ReleaseManifest, image: &Manifest) -> Value {
    let origin = manifest.origin.as_ref();
    let on = origin.map_or("local", |origin| origin.on.as_str());
    let ci = origin.and_then(|origin| origin.ci.as_ref());
    let id = match ci {
        Some(ci) => format!("urn:alpine-ami:builder:{}:{on}", ci.system),
        None => format!("urn:alpine-ami:builder:{on}"),
    };
    let mut metadata = json!({
        "invocationId": ci.map_or(manifest.run.as_str(), |ci| ci.url.as_str()),
    });
    if let Some(origin) = origin {
        metadata["startedOn"] = json!(told(origin.started));
        metadata["finishedOn"] = json!(told(origin.finished));
    }
    let mut details = json!({
        "builder": { "id": id, "version": { "alpine-ami": image.tool } },
        "metadata": metadata,
    });
    if let Some(sbom) = &manifest.sbom {
        details["byproducts"] = json!([{ "name": sbom.name, "digest": { "sha256": sbom.sha256 } }]);
    }
    details
}

fn told(moment: OffsetDateTime) -> String {
    let moment = moment.replace_nanosecond(0).unwrap_or(moment);
    moment.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_apk_become_hexadecimal() {
        assert_eq!(
            sha1("Q1/se1PjO94hYXbfpNR1/61hVORIc=").as_deref(),
            Some("fec7b53e33bde216176dfa4d475ffad6154e4487")
        );
        assert_eq!(sha1("sha256:ab"), None);
    }
}
