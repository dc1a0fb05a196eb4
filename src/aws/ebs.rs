//! The EBS direct APIs: blocks of snapshots.
//!
//! <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html>

use std::time::Duration;

use aws_sdk_ebs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ebs::operation::get_snapshot_block::{GetSnapshotBlockError, GetSnapshotBlockOutput};
use aws_sdk_ebs::operation::put_snapshot_block::PutSnapshotBlockError;
use aws_sdk_ebs::primitives::ByteStream;
use aws_sdk_ebs::types::{
    ChecksumAggregationMethod, ChecksumAlgorithm, Tag, ValidationExceptionReason,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::error::{AwsError, Kind};
use super::names::{KeyArn, Region, SnapshotId};
use super::retry::{Call, Caller, Watch};
use super::tags::Tags;

/// Bytes in a block.
const BLOCK: usize = 524_288;
/// Minutes without a put after which AWS gives a snapshot up: AWS's own default, said here because
/// a run that is begun again relies on it.
const TIMEOUT_MINUTES: i32 = 60;
/// For so long a snapshot that was just started may be said not to exist.
const SETTLES: Duration = Duration::from_secs(120);
/// Blocks of a page of a list; AWS takes 100 to 10,000.
const PAGE: i32 = 10_000;

/// What a snapshot is encrypted under. AWS refuses a parent together with a key: a child is
/// encrypted as its parent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// Under this key.
    Key(KeyArn),
    /// Under the key of this snapshot, whose blocks it has where none are put.
    Parent(SnapshotId),
    /// Not at all, unless the account encrypts by default. For measurements alone.
    None,
}

/// A snapshot to start.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    /// At most 64 characters; the same token with the same parameters is the same snapshot.
    pub token: &'a str,
    /// Size of the volume, in GiB.
    pub volume_gib: u32,
    /// Under which key.
    pub encryption: &'a Encryption,
    /// At most 255 characters.
    pub description: &'a str,
    /// Set in the same call.
    pub tags: &'a Tags,
}

/// A snapshot that was started, by this call or by an earlier one with its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The key that it is encrypted under.
    pub key: Option<KeyArn>,
}

/// What became of a call that only a pending snapshot takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// It was done.
    Yes,
    /// The snapshot is no longer open: completed (perhaps by an attempt whose answer was lost), or
    /// failed. These are AWS's words.
    NotOpen(String),
}

/// A block that a snapshot has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub index: u32,
    /// What it can be read with, for seven days.
    pub token: String,
}

/// A page of a snapshot's blocks, in the order of their numbers.
#[derive(Debug, Clone)]
pub struct Page {
    /// The blocks; there may be none, though more follow.
    pub blocks: Vec<Listed>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// Size of the volume, in GiB.
    pub volume_gib: u32,
}

/// A block that was read, its checksum compared.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

/// A client in a Region.
#[derive(Debug, Clone)]
pub struct Ebs {
    caller: Caller,
    client: aws_sdk_ebs::Client,
    reads_settle: Duration,
}

impl Ebs {
    pub(super) fn new(caller: Caller) -> Ebs {
        let config = aws_sdk_ebs::config::Builder::from(caller.session.sdk())
            .region(aws_config::Region::new(caller.region.to_string()))
            .interceptor(caller.session.interceptor())
            .build();
        let client = aws_sdk_ebs::Client::from_conf(config);
        Ebs {
            caller,
            client,
            reads_settle: Duration::ZERO,
        }
    }

    /// The Region.
    pub fn region(&self) -> &Region {
        &self.caller.region
    }

    /// For reading what was just completed: that may be said before its blocks can be listed.
    pub fn just_completed(self) -> Ebs {
        Ebs {
            reads_settle: SETTLES,
            ..self
        }
    }

    /// Starts a snapshot, or finds the one that was started with the token.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if the token was used with other parameters; what a call fails with.
    pub async fn start_snapshot(&self, start: &Start<'_>) -> Result<Started, AwsError> {
        let call = Call::new("ebs:StartSnapshot", "a new snapshot");
        let tags: Vec<Tag> = start.tags.0.iter().map(tag).collect();
        let request = self
            .client
            .start_snapshot()
            .volume_size(start.volume_gib.into())
            .client_token(start.token)
            .timeout(TIMEOUT_MINUTES)
            .set_description((!start.description.is_empty()).then(|| start.description.to_owned()))
            .set_tags((!tags.is_empty()).then_some(tags));
        let request = match start.encryption {
            Encryption::Key(key) => request.encrypted(true).kms_key_arn(key.as_str()),
            Encryption::Parent(parent) => request.parent_snapshot_id(parent.as_str()),
            Encryption::None => request,
        };
        let answer = self
            .caller
            .run(call.clone(), || request.clone().send())
            .await?;
        let strange = |error| self.caller.refuse(&call, Kind::Invalid, format!("{error}"));
        Ok(Started {
            snapshot: answer
                .snapshot_id()
                .unwrap_or_default()
                .parse()
                .map_err(strange)?,
            key: answer
                .kms_key_arn()
                .map(str::parse)
                .transpose()
                .map_err(strange)?,
        })
    }

    /// Puts a block. `watch` hears of attempts that are made again.
    ///
    /// # Errors
    /// [`Kind::Invalid`] if the bytes do not have that digest; what a call fails with.
    pub async fn put_block(
        &self,
        snapshot: &SnapshotId,
        index: u32,
        bytes: Bytes,
        sha256: &[u8; 32],
        watch: Watch,
    ) -> Result<Taken, AwsError> {
        let call = Call::new("ebs:PutSnapshotBlock", snapshot)
            .settling(SETTLES)
            .watched(watch);
        let checksum = BASE64_STANDARD.encode(sha256);
        // The signature does not cover the body, so it is hashed nowhere in here; and what an
        // attempt is given is another handle of the same bytes.
        let send = async || {
            let sent = self
                .client
                .put_snapshot_block()
                .snapshot_id(snapshot.as_str())
                .block_index(index.cast_signed())
                .data_length(bytes.len() as i32)
                .checksum(&checksum)
                .checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256)
                .block_data(ByteStream::from(bytes.clone()))
                .send()
                .await;
            match sent {
                Ok(_) => Ok(Taken::Yes),
                Err(error) if comes_to_pass(&error) => Err(SdkError::timeout_error(error)),
                Err(error) => not_open(&error).map(Taken::NotOpen).ok_or(error),
            }
        };
        self.caller.run(call, send).await
    }

    /// Completes a snapshot: so many blocks were put, and this is the SHA-256 over their digests
    /// in the order of their numbers.
    ///
    /// # Errors
    /// [`Kind::Invalid`] if AWS has other blocks; what a call fails with.
    pub async fn complete_snapshot(
        &self,
        snapshot: &SnapshotId,
        blocks: u32,
        linear: &[u8; 32],
    ) -> Result<Taken, AwsError> {
        let call = Call::new("ebs:CompleteSnapshot", snapshot).settling(SETTLES);
        let request = self
            .client
            .complete_snapshot()
            .snapshot_id(snapshot.as_str())
            .changed_blocks_count(blocks.cast_signed())
            .checksum(BASE64_STANDARD.encode(linear))
            .checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256)
            .checksum_aggregation_method(ChecksumAggregationMethod::ChecksumAggregationLinear);
        let send = async || match request.clone().send().await {
            Ok(_) => Ok(Taken::Yes),
            Err(error) => not_open(&error).map(Taken::NotOpen).ok_or(error),
        };
        self.caller.run(call, send).await
    }

    /// A page of the blocks that a snapshot has.
    ///
    /// # Errors
    /// What the call fails with; a snapshot that is not completed cannot be read.
    pub async fn list_blocks(
        &self,
        snapshot: &SnapshotId,
        page: Option<&str>,
    ) -> Result<Page, AwsError> {
        let call = Call::new("ebs:ListSnapshotBlocks", snapshot).settling(self.reads_settle);
        let request = self
            .client
            .list_snapshot_blocks()
            .snapshot_id(snapshot.as_str())
            .max_results(PAGE)
            .set_next_token(page.map(str::to_owned));
        let answer = self
            .caller
            .run(call.clone(), || request.clone().send())
            .await?;
        let listed = answer.blocks().iter().map(|block| {
            Some(Listed {
                index: u32::try_from(block.block_index()?).ok()?,
                token: block.block_token()?.to_owned(),
            })
        });
        let blocks = listed.collect::<Option<_>>().ok_or_else(|| {
            let why = "a block without its number or token is listed";
            self.caller.refuse(&call, Kind::Invalid, why)
        })?;
        Ok(Page {
            blocks,
            next: answer.next_token().map(str::to_owned),
            volume_gib: u32::try_from(answer.volume_size().unwrap_or_default()).unwrap_or_default(),
        })
    }

    /// Reads a block and compares its checksum; what came wrong is read again.
    ///
    /// # Errors
    /// What the call fails with.
    pub async fn get_block(
        &self,
        snapshot: &SnapshotId,
        block: &Listed,
        watch: Watch,
    ) -> Result<Block, AwsError> {
        let call = Call::new("ebs:GetSnapshotBlock", snapshot)
            .settling(self.reads_settle)
            .watched(watch);
        let request = self
            .client
            .get_snapshot_block()
            .snapshot_id(snapshot.as_str())
            .block_index(block.index.cast_signed())
            .block_token(&block.token);
        // The SDK's deadline of an attempt ends with the head of the answer.
        let limit = self.caller.session.settings().attempt();
        let send = async || {
            let read = async { read(request.clone().send().await?).await };
            match tokio::time::timeout(limit, read).await {
                Ok(result) => result,
                Err(late) => Err(SdkError::timeout_error(late)),
            }
        };
        self.caller.run(call, send).await
    }
}

/// Takes the body of an answer.
async fn read(
    answer: GetSnapshotBlockOutput,
) -> Result<Block, SdkError<GetSnapshotBlockError, HttpResponse>> {
    let broken = |why: String| SdkError::dispatch_failure(ConnectorError::io(why.into()));
    let checksum = answer.checksum().map(str::to_owned);
    let mut body = answer.block_data;
    let (mut bytes, mut hash) = (Vec::with_capacity(BLOCK), Sha256::new());
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| broken(error.to_string()))?;
        hash.update(&chunk);
        bytes.extend_from_slice(&chunk);
    }
    let sha256: [u8; 32] = hash.finalize().into();
    let told = checksum.and_then(|text| BASE64_STANDARD.decode(text).ok());
    if bytes.len() != BLOCK || told.as_deref() != Some(&sha256[..]) {
        let length = bytes.len();
        return Err(broken(format!(
            "{length} bytes came that do not have the checksum that AWS says"
        )));
    }
    Ok(Block { bytes, sha256 })
}

fn tag((key, value): (&String, &String)) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// AWS's words if it said that the snapshot is not open.
///
/// "Does not exist" is what AWS says of one that was just started, and has the same reason.
fn not_open<E>(error: &SdkError<E, HttpResponse>) -> Option<String>
where
    E: ProvideErrorMetadata + Reasons,
{
    let error = error.as_service_error()?;
    let message = error.message().unwrap_or_default();
    let is_about_it = error.reason() == Some(&ValidationExceptionReason::InvalidSnapshotId);
    let is_closed = match error.code()? {
        "ConflictException" => true,
        "ValidationException" => is_about_it && !message.contains("does not exist"),
        _ => false,
    };
    is_closed.then(|| message.to_owned())
}

/// Said as if the request were wrong, and yet it will do later: the body did not reach AWS in time,
/// or an earlier attempt at the same block is still under way there.
fn comes_to_pass(error: &SdkError<PutSnapshotBlockError, HttpResponse>) -> bool {
    let reason = error.as_service_error().and_then(Reasons::reason);
    matches!(
        reason,
        Some(
            ValidationExceptionReason::WriteRequestTimeout
                | ValidationExceptionReason::ConflictingBlockUpdate
        )
    )
}

/// Errors that may tell why a request was not valid.
trait Reasons {
    fn reason(&self) -> Option<&ValidationExceptionReason>;
}

impl Reasons for PutSnapshotBlockError {
    fn reason(&self) -> Option<&ValidationExceptionReason> {
        match self {
            PutSnapshotBlockError::ValidationException(error) => error.reason(),
            _ => None,
        }
    }
}

impl Reasons for aws_sdk_ebs::operation::complete_snapshot::CompleteSnapshotError {
    fn reason(&self) -> Option<&ValidationExceptionReason> {
        match self {
            Self::ValidationException(error) => error.reason(),
            _ => None,
        }
    }
}

#[cfg(test)]
impl Ebs {
    /// A new key of the account, for tests of rooms that know keys by their ARN alone.
    pub(crate) async fn key_for_tests(&self) -> KeyArn {
        let config = aws_sdk_kms::config::Builder::from(self.caller.session.sdk())
            .region(aws_config::Region::new(self.caller.region.to_string()))
            .build();
        let answer = aws_sdk_kms::Client::from_conf(config).create_key().send();
        let made = answer.await.expect("a key").key_metadata;
        let arn = made.and_then(|key| key.arn).expect("an ARN");
        arn.parse().expect("an ARN")
    }

    /// What EC2 says of a snapshot: its state, why, and its tags.
    pub(crate) async fn state_for_tests(
        &self,
        snapshot: &SnapshotId,
    ) -> Result<(String, String, Tags), AwsError> {
        let config = aws_sdk_ec2::config::Builder::from(self.caller.session.sdk())
            .region(aws_config::Region::new(self.caller.region.to_string()))
            .build();
        let request = aws_sdk_ec2::Client::from_conf(config)
            .describe_snapshots()
            .snapshot_ids(snapshot.as_str());
        let call = Call::new("ec2:DescribeSnapshots", snapshot);
        let answer = self.caller.run(call, || request.clone().send()).await?;
        let found = answer.snapshots().first().expect("a snapshot");
        let state = found.state().map(|state| state.as_str().to_owned());
        let tags = found.tags().iter();
        let tags = tags.filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())));
        Ok((
            state.unwrap_or_default(),
            found.state_message().unwrap_or_default().to_owned(),
            Tags(tags.collect()),
        ))
    }
}
