//! `[publish]` of `alpine-ami.toml`: what is missing in it.

use super::{Check, Group};
use crate::aws::Region;
use crate::publish::keys;
use crate::publish::settings::PublishSettings;

/// What publishing needs of the configuration, each with a line that would do.
pub fn checks(settings: &PublishSettings, regions: &[Region]) -> Vec<Check> {
    let home = settings.home.as_ref().map(Region::as_str);
    let mut checks = vec![
        given(
            "publisher",
            settings.publisher.as_deref(),
            "publisher = \"kubezero\"",
        ),
        given("home", home, "home = \"eu-central-1\""),
        given(
            "bucket",
            settings.bucket.as_deref(),
            "bucket = \"kubezero-images\"",
        ),
        named_regions(settings),
    ];
    checks.extend(named_keys(settings, regions));
    checks
}

fn given(key: &str, value: Option<&str>, example: &str) -> Check {
    let name = format!("publish.{key}");
    match value.filter(|value| !value.is_empty()) {
        Some(value) => Check::ok(Group::Configuration, name, value),
        None => missing(name, example),
    }
}

fn missing(name: String, example: &str) -> Check {
    let advice = format!("add `{example}` under `[publish]` in alpine-ami.toml");
    Check::failed(Group::Configuration, name, "is missing", Some(advice))
}

fn named_regions(settings: &PublishSettings) -> Check {
    let name = "publish.regions";
    if settings.regions.is_empty() {
        return Check::warning(
            Group::Configuration,
            name,
            "names none: only the home Region gets an AMI",
            "add `regions = [\"eu-central-1\", \"us-east-1\"]` under `[publish]` in alpine-ami.toml",
        );
    }
    let names = settings.regions.iter().map(Region::as_str);
    let names = names.collect::<Vec<_>>().join(", ");
    Check::ok(Group::Configuration, name, names)
}

fn named_keys(settings: &PublishSettings, regions: &[Region]) -> Vec<Check> {
    let name = "publish.keys";
    if regions.is_empty() {
        return vec![missing(
            name.to_owned(),
            "keys = { eu-central-1 = \"alias/images\" }",
        )];
    }
    let errors = match keys::names(&settings.keys, regions) {
        Ok(names) => {
            let found = format!("a key for each of {} Regions", names.len());
            return vec![Check::ok(Group::Configuration, name, found)];
        }
        Err(errors) => errors.0,
    };
    let failed = errors.into_iter().map(|error| {
        let (found, advice) = (error.to_string(), error.advice());
        Check::failed(Group::Configuration, name, found, advice).of(error.region())
    });
    failed.collect()
}
