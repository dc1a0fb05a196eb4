//! Who calls AWS, by which credentials, and whether the clock is right.

use super::{Check, Group};
use crate::aws::settings::AwsSettings;
use crate::aws::{Aws, AwsError, Kind};

/// Seconds that this machine's clock may be wrong by without a warning.
const SKEW_WARNS: i64 = 60;
/// Seconds beyond which AWS soon refuses all calls: it takes five minutes.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/signing-elements.html>
const SKEW_FAILS: i64 = 240;

const SET_CLOCK: &str = "set this machine's clock, and let chrony or systemd-timesyncd keep it";

/// Where the credentials come from, in words: the order is that of the SDK's chain.
pub fn source(
    settings: &AwsSettings,
    command: &str,
    env: impl Fn(&str) -> Option<String>,
) -> String {
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    let first = if let Some(profile) = &settings.profile {
        format!("profile {profile} (`aws.profile` in alpine-ami.toml)")
    } else if given("AWS_ACCESS_KEY_ID").is_some() {
        "AWS_ACCESS_KEY_ID in the environment".to_owned()
    } else if let Some(profile) = given("AWS_PROFILE") {
        format!("profile {profile} (AWS_PROFILE)")
    } else if let Some(file) = given("AWS_WEB_IDENTITY_TOKEN_FILE") {
        format!("web identity in {file} (AWS_WEB_IDENTITY_TOKEN_FILE)")
    } else if given("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some()
        || given("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some()
    {
        "the container's role".to_owned()
    } else {
        "the default profile of the AWS CLI, or the instance's role".to_owned()
    };
    match settings.role(command) {
        Some(role) => format!("{first}, then {role}"),
        None => first,
    }
}

/// Who we are, and the clock.
pub fn checks(session: &Result<Aws, AwsError>, source: &str) -> Vec<Check> {
    match session {
        Ok(aws) => vec![identity(aws, source), clock(aws.clock_skew())],
        Err(error) => vec![no_identity(error, source), clock_of(error)],
    }
}

fn identity(aws: &Aws, source: &str) -> Check {
    let who = aws.identity();
    let found = format!("account {}, {}, from {source}", who.account, who.arn);
    if who.arn.ends_with(":root") {
        let advice = "use a role with the least policy: `alpine-ami doctor --iam-policy` prints it";
        return Check::warning(Group::Credentials, "principal", found, advice);
    }
    Check::ok(Group::Credentials, "principal", found)
}

fn no_identity(error: &AwsError, source: &str) -> Check {
    let found = match error.kind {
        // There was no answer of AWS: what was said is the chain's long story.
        Kind::Credentials if error.code.is_none() => {
            format!("there are none that can be used (looked for {source})")
        }
        _ => format!("{error} (from {source})"),
    };
    Check::failed(Group::Credentials, "principal", found, Some(error.advice()))
}

/// The clock as far as a refusal tells: AWS gave no time to compare with.
fn clock_of(error: &AwsError) -> Check {
    let is_about_time = error.code.as_deref() == Some("RequestTimeTooSkewed")
        || ["Signature expired", "Signature not yet current"]
            .iter()
            .any(|words| error.message.contains(words));
    match is_about_time {
        true => Check::failed(
            Group::Credentials,
            "clock",
            "AWS refuses the call for its time: this machine's clock is wrong",
            Some(SET_CLOCK.to_owned()),
        ),
        false => Check::skipped(Group::Credentials, "clock", "no answer to compare it with"),
    }
}

/// `skew` is how far AWS's clock is ahead, in seconds.
pub fn clock(skew: i64) -> Check {
    let way = if skew > 0 { "behind" } else { "ahead of" };
    let found = match skew {
        -1..=1 => "the same as AWS's".to_owned(),
        _ => format!("{} s {way} AWS's", skew.abs()),
    };
    match skew.abs() {
        0..=SKEW_WARNS => Check::ok(Group::Credentials, "clock", found),
        ..=SKEW_FAILS => Check::warning(Group::Credentials, "clock", found, SET_CLOCK),
        _ => Check::failed(
            Group::Credentials,
            "clock",
            format!("{found}; from five minutes on, AWS refuses all calls"),
            Some(SET_CLOCK.to_owned()),
        ),
    }
}
