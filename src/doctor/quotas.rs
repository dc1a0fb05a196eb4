//! How much is used of what AWS allows, as far as it can be counted.
//!
//! An account's own quotas are told only by another service (Service Quotas), which this program
//! does not call: what is counted stands beside AWS's defaults.

use super::{Check, Group};
use crate::aws::probe::Holdings;

/// AMIs of an account in a Region.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-quotas.html>
const AMIS: usize = 50_000;
/// Snapshots of an account in a Region that are pending at once: the quota of the EBS direct APIs.
/// <https://docs.aws.amazon.com/general/latest/gr/ebs-service.html>
const PENDING_SNAPSHOTS: usize = 100;

/// What is counted in a Region.
pub fn checks(holdings: &Holdings) -> Vec<Check> {
    vec![
        counted(
            "AMIs",
            holdings.amis,
            AMIS,
            "deregister AMIs that nobody needs, or ask for a higher quota",
        ),
        counted(
            "pending snapshots",
            holdings.pending_snapshots,
            PENDING_SNAPSHOTS,
            "wait for them, or complete or delete what dead uploads left",
        ),
    ]
}

fn counted(name: &str, count: usize, default: usize, advice: &str) -> Check {
    let found = format!("{count} of {default} (AWS's default; the account's own is not read)");
    match count * 10 >= default * 8 {
        // No more than a warning: the account's quota may be higher.
        true => Check::warning(Group::Quotas, name, found, advice),
        false => Check::ok(Group::Quotas, name, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn from_four_fifths_on_there_is_a_warning() {
        for (pending, expected) in [(0, Status::Ok), (79, Status::Ok), (80, Status::Warning)] {
            let holdings = Holdings {
                pending_snapshots: pending,
                ..Holdings::default()
            };
            let checks = checks(&holdings);
            assert_eq!(checks[0].status, Status::Ok);
            assert_eq!(checks[1].status, expected, "{pending}");
        }
    }
}
