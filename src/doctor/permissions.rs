//! What the principal may do with AMIs, snapshots and their blocks in a Region.
//!
//! EC2 has dry runs. The EBS direct APIs have none: they are asked for something that is not there,
//! and "not found" from a service that checks permissions first means that they would have done it.
//!
//! The least policy lets only what carries a release's tag be read, filled and removed. Where there
//! is no such AMI yet, what is made up for the question has no tag either: a refusal of it says nothing.

use super::quotas;
use super::{Check, Group};
use crate::aws::{Aws, AwsError, Kind, Region};

/// What is tried on.
#[derive(Clone, Copy, PartialEq)]
enum On {
    /// Something of the account's, or nothing in particular.
    Real,
    /// Something made up.
    MadeUp,
    /// Something made up, where the least policy asks for a tag.
    MadeUpWithoutTag,
}

/// What may be done in a Region, and how much of it there is.
pub async fn checks(aws: &Aws, region: &Region, home: &Region) -> Vec<Check> {
    let probe = aws.probe(region);
    let (holdings, mut checks) = match probe.holdings().await {
        Ok(holdings) => {
            let mut checks = vec![Check::ok(
                Group::Permissions,
                "ec2:DescribeImages",
                "allowed (called)",
            )];
            checks.extend(quotas::checks(&holdings));
            (holdings, checks)
        }
        Err(error) => {
            let unreachable = error.kind.is_transient() || error.kind == Kind::Credentials;
            let action = error.action;
            let check = judge(action, On::Real, Err(error)).of(region);
            if unreachable {
                // The rest would end in the same way, each after its time.
                return vec![check];
            }
            (Default::default(), vec![check])
        }
    };
    let released = holdings.released.as_ref();
    let ami = released.map(|(ami, _)| ami);
    let snapshot = released.and_then(|(_, snapshot)| snapshot.as_ref());
    let (tagged, untagged) = match released {
        Some(_) => (On::Real, On::Real),
        None => (On::MadeUpWithoutTag, On::MadeUp),
    };
    let mut judged = |action, on, result| checks.push(judge(action, on, result));
    if region == home {
        let answer = probe.may_register(snapshot).await;
        judged("ec2:RegisterImage", untagged, answer);
        let answer = probe.may_start().await;
        judged("ebs:StartSnapshot", On::MadeUp, answer);
        // Never tried on a release's own snapshot: it could succeed.
        let answer = probe.may_complete().await;
        judged("ebs:CompleteSnapshot", On::MadeUpWithoutTag, answer);
    } else {
        let answer = probe.may_copy(home, None).await;
        judged("ec2:CopyImage", On::MadeUp, answer);
    }
    let listed = match snapshot {
        Some(_) => On::Real,
        None => On::MadeUpWithoutTag,
    };
    let answer = probe.may_list_blocks(snapshot).await;
    judged("ebs:ListSnapshotBlocks", listed, answer);
    let answer = probe.may_deregister(ami).await;
    judged("ec2:DeregisterImage", tagged, answer);
    let answer = probe.may_delete(snapshot).await;
    judged("ec2:DeleteSnapshot", tagged, answer);
    checks.into_iter().map(|check| check.of(region)).collect()
}

/// What an answer means.
fn judge(action: &str, on: On, answer: Result<(), AwsError>) -> Check {
    let group = Group::Permissions;
    let error = match answer {
        // The EBS direct APIs have no dry runs: blocks were listed.
        Ok(()) if action.starts_with("ebs:") => {
            return Check::ok(group, action, "allowed (called)");
        }
        Ok(()) => return Check::ok(group, action, "allowed (dry run)"),
        Err(error) => error,
    };
    match error.kind {
        Kind::Denied if on == On::MadeUpWithoutTag => Check::skipped(
            group,
            action,
            "refused for what has no release's tag; there is nothing with one to ask with",
        ),
        Kind::Denied => {
            let found = format!("refused: {}", error.message);
            Check::failed(group, action, found, Some(error.advice()))
        }
        Kind::NotFound => Check::ok(
            group,
            action,
            "not refused (asked for something that is not there)",
        ),
        // What the EBS direct APIs say of some parameters that name what is not there.
        _ if on != On::Real && error.code.as_deref() == Some("ValidationException") => Check::ok(
            group,
            action,
            "not refused (asked for something that is not there)",
        ),
        // A snapshot that an AMI needs is not deleted, but the question was let through.
        _ if error.code.as_deref() == Some("InvalidSnapshot.InUse") => {
            Check::ok(group, action, "not refused (asked for one in use)")
        }
        _ => Check::failed(group, action, error.to_string(), Some(error.advice())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Status;
    use super::*;
    use crate::aws::error::Details;
    use crate::aws::testing::{HOME, region};

    #[test]
    fn an_answer_means_something_only_for_what_was_asked() {
        let refusal = |kind, code: &str| {
            AwsError::from(Details {
                action: "ec2:DeregisterImage",
                resource: "ami-1".to_owned(),
                region: region(HOME),
                account: None,
                kind,
                code: Some(code.to_owned()),
                message: "said".to_owned(),
                request_id: None,
                attempts: 1,
                elapsed: Duration::ZERO,
            })
        };
        for (on, answer, expected) in [
            (On::Real, Ok(()), Status::Ok),
            (On::Real, Err(refusal(Kind::Denied, "x")), Status::Failed),
            (On::MadeUp, Err(refusal(Kind::Denied, "x")), Status::Failed),
            (On::MadeUp, Err(refusal(Kind::NotFound, "x")), Status::Ok),
            (
                On::MadeUpWithoutTag,
                Err(refusal(Kind::Denied, "x")),
                Status::Skipped,
            ),
            (
                On::MadeUpWithoutTag,
                Err(refusal(Kind::NotFound, "x")),
                Status::Ok,
            ),
            (
                On::Real,
                Err(refusal(Kind::Invalid, "InvalidSnapshot.InUse")),
                Status::Ok,
            ),
            (On::Real, Err(refusal(Kind::Invalid, "x")), Status::Failed),
            (On::MadeUp, Err(refusal(Kind::Timeout, "x")), Status::Failed),
            (
                On::MadeUp,
                Err(refusal(Kind::Invalid, "ValidationException")),
                Status::Ok,
            ),
            (
                On::Real,
                Err(refusal(Kind::Invalid, "ValidationException")),
                Status::Failed,
            ),
        ] {
            let text = format!("{answer:?}");
            assert_eq!(
                judge("ec2:DeregisterImage", on, answer).status,
                expected,
                "{text}"
            );
        }
    }
}
