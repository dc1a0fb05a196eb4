//! What can go wrong on the way into a Region.

use super::NotRecorded;
use crate::aws::kms::FOR_VOLUMES;
use crate::aws::wait::TimedOut;
use crate::aws::{AmiId, AwsError, Region};

/// A Region does not have what it is to have.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// Something else has the name.
    #[error("the AMI name `{name}` is taken in {region}: by {ami}, which {}", whose(.holder.as_deref()))]
    NameTaken {
        /// Where.
        region: Region,
        /// The name.
        name: String,
        /// What has it.
        ami: AmiId,
        /// The release that it is of, if it is of one.
        holder: Option<String>,
    },
    /// The release's AMI is not what the release says.
    #[error(
        "{ami} in {region} is the release's AMI, but not what the release says: its {field} is {is}, not {wanted}"
    )]
    Different {
        /// Where.
        region: Region,
        /// The AMI.
        ami: AmiId,
        /// What differs.
        field: &'static str,
        /// What it is.
        is: String,
        /// What it was to be.
        wanted: String,
    },
    /// More than one AMI says that it is the release's.
    #[error("{} in {region} are all tagged with the release {release}; it has one AMI in a Region", list(.amis))]
    Several {
        /// Where.
        region: Region,
        /// The release.
        release: String,
        /// The AMIs.
        amis: Vec<AmiId>,
    },
    /// The release's AMI is there, in a state from which this program does not lead it on.
    #[error("the release's AMI {ami} in {region} is {state}")]
    OutOfUse {
        /// Where.
        region: Region,
        /// The AMI.
        ami: AmiId,
        /// AWS's word for the state.
        state: String,
    },
    /// AWS could not make it. It is recorded and taken away.
    #[error("{ami} failed in {region} (attempt {attempt}): {reason}; it is removed")]
    Failed {
        /// Where.
        region: Region,
        /// The AMI.
        ami: AmiId,
        /// `StateReason`, or the snapshot's `StateMessage`.
        reason: String,
        /// Counts from 1.
        attempt: u32,
    },
    /// AWS says that it made it, and does not have it.
    #[error("AWS says that the AMI was made in {region} ({call}), but it is not there: {why}")]
    Vanished {
        /// Where.
        region: Region,
        /// The call that is said to have made it.
        call: &'static str,
        /// What was seen.
        why: String,
    },
    /// It did not come to it in time.
    #[error("{ami} in {region} is not finished: {timed_out}")]
    TimedOut {
        /// Where.
        region: Region,
        /// The AMI.
        ami: AmiId,
        /// How long, and what was seen last.
        timed_out: TimedOut,
    },
    /// AWS takes no more copies into the Region, for longer than may be waited.
    #[error("no copy into {region} could be begun: {timed_out}")]
    TooManyCopies {
        /// Where.
        region: Region,
        /// How long, and what AWS says.
        timed_out: TimedOut,
    },
    /// What is known could not be kept, so nothing more was done in the Region.
    #[error("what is known of {region} could not be recorded: {source}")]
    Record {
        /// Where.
        region: Region,
        /// Why.
        source: NotRecorded,
    },
    /// What the release was to be made from cannot be used.
    #[error("{source_id} in {region} cannot be published: {why}")]
    Source {
        /// Where.
        region: Region,
        /// The snapshot or the AMI.
        source_id: String,
        /// What is wrong with it.
        why: String,
        /// What to do next.
        next: String,
    },
}

impl RegionError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            RegionError::Aws(error) => error.advice(),
            RegionError::NameTaken { region, ami, .. } => format!(
                "publish under another `publisher` name, or look at what {ami} is and deregister it if nothing needs it: aws ec2 describe-images --region {region} --image-ids {ami}"
            ),
            RegionError::Different { region, ami, .. } => format!(
                "nothing was changed; find out who changed {ami}, then deregister it, or publish a new release: aws ec2 describe-images --region {region} --image-ids {ami}"
            ),
            RegionError::Several { release, .. } => format!(
                "take the tag {} off those that are not the release's, then run the same command again for {release}",
                crate::aws::tags::RELEASE
            ),
            RegionError::OutOfUse { region, ami, state } if state == "disabled" => format!(
                "enable it, then run the same command again: aws ec2 enable-image --region {region} --image-id {ami}"
            ),
            RegionError::OutOfUse { region, ami, .. } => format!(
                "look at it: aws ec2 describe-images --region {region} --image-ids {ami}"
            ),
            RegionError::Failed { reason, .. } if is_about_key(reason) => {
                format!(
                    "check the Region's key and its policy (`alpine-ami doctor`), and that the principal has {FOR_VOLUMES} on it, then run the same command again; it does only what is missing"
                )
            }
            RegionError::Failed { .. } | RegionError::Vanished { .. } => {
                "run the same command again; it does only what is missing".to_owned()
            }
            RegionError::TimedOut { .. } | RegionError::TooManyCopies { .. } => {
                "run the same command again; it goes on waiting. `wait_minutes` in [aws] says how long".to_owned()
            }
            RegionError::Record { source, .. } => return source.advice.clone(),
            RegionError::Source { next, .. } => next.clone(),
        })
    }

    /// Where it went wrong.
    pub fn region(&self) -> &Region {
        match self {
            RegionError::Aws(error) => &error.region,
            RegionError::NameTaken { region, .. }
            | RegionError::Different { region, .. }
            | RegionError::Several { region, .. }
            | RegionError::OutOfUse { region, .. }
            | RegionError::Failed { region, .. }
            | RegionError::Vanished { region, .. }
            | RegionError::TimedOut { region, .. }
            | RegionError::TooManyCopies { region, .. }
            | RegionError::Record { region, .. }
            | RegionError::Source { region, .. } => region,
        }
    }
}

fn whose(holder: Option<&str>) -> String {
    match holder {
        Some(release) => format!("is of the release {release}"),
        None => "is of no release of this program".to_owned(),
    }
}

fn list(amis: &[AmiId]) -> String {
    let names: Vec<&str> = amis.iter().map(AmiId::as_str).collect();
    names.join(", ")
}

/// EC2 looks at keys late, and says what is wrong with one in words only.
fn is_about_key(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    reason.contains("key") || reason.contains("kms")
}
