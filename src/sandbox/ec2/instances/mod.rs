//! Instances: what is remembered of them, and their operations.

mod attributes;
mod console;
mod decide;
mod describe;
mod devices;
mod launch;
mod metadata_options;
mod phases;
mod power;
mod request;
pub mod role;
mod status;
#[cfg(test)]
pub(in crate::sandbox) mod tests;
mod write;

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::arch::Firmware;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::volumes::Volume;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::world::World;

pub use metadata_options::MetadataOptions;
pub use phases::{Ending, booted, data_is_there, ended, launch_failed};
pub(crate) use write::private_name;

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// The launch that it is of, `r-…`.
    pub reservation_id: String,
    /// Its number in that launch.
    pub launch_index: u32,
    /// That launch's token.
    pub client_token: Option<String>,
    /// The image that it was launched from.
    pub image_id: String,
    /// `t3.micro`, …
    pub instance_type: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// The image's boot mode.
    pub boot_mode: Option<String>,
    /// What it boots with.
    pub firmware: Firmware,
    /// `/dev/xvda`.
    pub root_device_name: String,
    /// Its network interface.
    pub interface: Interface,
    /// The key pair that its owner logs in with.
    pub key: Option<LoginKey>,
    /// The name of its instance profile, and of the role in it.
    #[serde(default)]
    pub role: Option<String>,
    /// The id of its role's credentials, and since when it has them.
    #[serde(default)]
    pub credentials: Option<(String, Timestamp)>,
    /// User data, in base64 as it was given.
    pub user_data: Option<String>,
    /// How it may use its metadata service.
    pub metadata: MetadataOptions,
    /// What its own power-off means.
    pub shutdown_behavior: ShutdownBehavior,
    /// Whether it is protected from TerminateInstances.
    pub disable_api_termination: bool,
    /// Whether it is protected from StopInstances.
    pub disable_api_stop: bool,
    /// Whether it was asked to have bandwidth for its volumes alone.
    pub ebs_optimized: bool,
    /// Whether detailed monitoring was asked for.
    pub monitoring: bool,
    /// Cores and threads of each.
    pub cores: (u32, u32),
    /// Whether AWS may move it when its host fails.
    pub auto_recovery: bool,
    /// When it was launched, or started last.
    pub launched: Timestamp,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is there.
    pub reason: Option<StateReason>,
    /// The same as AWS has it for people.
    pub transition: String,
}

/// An instance's network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// `eni-…`.
    pub id: String,
    /// `eni-attach-…`.
    pub attachment_id: String,
    /// What its owner says of it.
    pub description: String,
    /// Hardware address.
    pub mac: String,
    /// Private address.
    pub address: Ipv4Addr,
    /// `subnet-…`.
    pub subnet_id: String,
    /// `vpc-…`.
    pub vpc_id: String,
    /// Such as `eu-central-1a`.
    pub zone: String,
    /// Such as `euc1-az2`.
    pub zone_id: String,
    /// Ids and names of its security groups.
    pub groups: Vec<(String, String)>,
    /// Whether it takes only what is for itself.
    pub source_dest_check: bool,
    /// Whether it dies with the instance.
    pub delete_on_termination: bool,
    /// When it was attached.
    pub attached: Timestamp,
}

/// A key pair as it was at the launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginKey {
    /// Its name.
    pub name: String,
    /// One line as in `authorized_keys`.
    pub public_key: String,
}

/// What an instance's own power-off means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownBehavior {
    /// It is stopped and can be started again.
    Stop,
    /// It is terminated.
    Terminate,
}

impl ShutdownBehavior {
    /// EC2's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ShutdownBehavior::Stop => "stop",
            ShutdownBehavior::Terminate => "terminate",
        }
    }

    fn parse(text: &str) -> Result<ShutdownBehavior, ServiceError> {
        [ShutdownBehavior::Stop, ShutdownBehavior::Terminate]
            .into_iter()
            .find(|behavior| behavior.as_str() == text)
            .ok_or_else(|| {
                ServiceError::invalid_value(
                    "instanceInitiatedShutdownBehavior",
                    text,
                    "It must be stop or terminate.",
                )
            })
    }
}

/// Where an instance is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Its machine is being started.
    Pending {
        /// For the first time.
        launch: bool,
    },
    /// Its machine runs.
    Running {
        /// Since when; before that the instance is still shown as pending.
        since: Timestamp,
        /// When the status checks pass.
        checked: Timestamp,
    },
    /// Its machine is being stopped.
    Stopping,
    /// It has no machine and can have one again.
    Stopped,
    /// Its machine is being stopped for good.
    ShuttingDown,
    /// It is gone.
    Terminated {
        /// Since when; before that it is still shown as pending, where its launch failed.
        since: Timestamp,
        /// Whether it never ran.
        failed: bool,
    },
}

/// Why an instance is in its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReason {
    /// `Client.UserInitiatedShutdown`, …
    pub code: String,
    /// AWS's message, which begins with the code.
    pub message: String,
}

impl StateReason {
    /// A reason whose message is the code and a text.
    pub fn new(code: &str, text: &str) -> StateReason {
        StateReason {
            code: code.to_owned(),
            message: format!("{code}: {text}"),
        }
    }
}

/// An instance's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is on its way.
    Pending,
    /// It runs.
    Running,
    /// It is being terminated.
    ShuttingDown,
    /// It is gone.
    Terminated,
    /// It is being stopped.
    Stopping,
    /// It is stopped.
    Stopped,
}

impl State {
    /// EC2's number.
    pub fn code(self) -> u16 {
        match self {
            State::Pending => 0,
            State::Running => 16,
            State::ShuttingDown => 32,
            State::Terminated => 48,
            State::Stopping => 64,
            State::Stopped => 80,
        }
    }

    /// EC2's name.
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Running => "running",
            State::ShuttingDown => "shutting-down",
            State::Terminated => "terminated",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
        }
    }
}

/// The state that an instance is in at a moment.
pub fn state(instance: &Instance, now: Timestamp) -> State {
    match instance.phase {
        Phase::Pending { .. } => State::Pending,
        Phase::Running { since, .. } if now < since => State::Pending,
        Phase::Running { .. } => State::Running,
        Phase::Stopping => State::Stopping,
        Phase::Stopped => State::Stopped,
        Phase::ShuttingDown => State::ShuttingDown,
        Phase::Terminated {
            since,
            failed: true,
        } if now < since => State::Pending,
        Phase::Terminated { since, .. } if now < since => State::ShuttingDown,
        Phase::Terminated { .. } => State::Terminated,
    }
}

/// The volumes attached to an instance, by the names that they were attached under, the root
/// volume first.
pub fn volumes<'a>(world: &'a World, instance: &Instance) -> Vec<&'a Volume> {
    let name = |volume: &Volume| {
        let attachment = volume.attachment.as_ref();
        let device = attachment.map_or("", |attachment| attachment.device.as_str());
        (device != instance.root_device_name, device.to_owned())
    };
    let mut volumes: Vec<&Volume> = world
        .ec2
        .volumes
        .values()
        .filter(|volume| {
            volume
                .attachment
                .as_ref()
                .is_some_and(|attachment| attachment.instance_id == instance.id)
        })
        .collect();
    volumes.sort_by_key(|volume| name(volume));
    volumes
}

/// The caller's instance of an id, unless it is long gone.
///
/// # Errors
/// `InvalidInstanceID.Malformed`, `InvalidInstanceID.NotFound`.
pub fn find<'a>(
    context: &Context,
    world: &'a World,
    id: &str,
) -> Result<&'a Instance, ServiceError> {
    check_id(id)?;
    world
        .ec2
        .instances
        .get(id)
        .filter(|instance| is_visible(context, instance))
        .ok_or_else(|| not_found(&[id]))
}

/// The caller's instances of these ids, each once, in the order of the first mention.
fn find_all<'a>(
    context: &Context,
    world: &'a World,
    ids: &[String],
) -> Result<Vec<&'a Instance>, ServiceError> {
    let mut found: Vec<&Instance> = Vec::new();
    let mut missing = Vec::new();
    for id in ids {
        check_id(id)?;
        match find(context, world, id) {
            Ok(instance) if found.iter().any(|known| known.id == instance.id) => {}
            Ok(instance) => found.push(instance),
            Err(_) => missing.push(id.as_str()),
        }
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(not_found(&missing))
    }
}

fn is_visible(context: &Context, instance: &Instance) -> bool {
    instance.owner == context.caller.account
        && instance.region == context.region
        && !phases::is_forgotten(instance, context.now)
}

fn check_id(id: &str) -> Result<(), ServiceError> {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    let is_right = matches!(digits.len(), 8 | 17)
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_right {
        return Ok(());
    }
    Err(ServiceError::new(
        "InvalidInstanceID.Malformed",
        format!("Invalid id: \"{id}\" (expecting \"i-...\")"),
    ))
}

fn not_found(ids: &[&str]) -> ServiceError {
    let message = match ids {
        [id] => format!("The instance ID '{id}' does not exist"),
        ids => format!("The instance IDs '{}' do not exist", ids.join(", ")),
    };
    ServiceError::new("InvalidInstanceID.NotFound", message)
}

/// What EC2 has and the sandbox has not.
fn refused(what: &str) -> ServiceError {
    ServiceError::new(
        "UnsupportedOperation",
        format!("The sandbox does not have this: {what}"),
    )
}

/// The operations of this room.
pub fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "RunInstances" => Operation::Act(launch::run),
        "StartInstances" => Operation::Act(power::start),
        "StopInstances" => Operation::Act(power::stop),
        "RebootInstances" => Operation::Act(power::reboot),
        "TerminateInstances" => Operation::Act(power::terminate),
        "DescribeInstances" => Operation::Look(describe::describe),
        "DescribeInstanceStatus" => Operation::Look(status::describe),
        "GetConsoleOutput" => Operation::Look(console::output),
        "DescribeInstanceAttribute" => Operation::Look(attributes::describe),
        "ModifyInstanceAttribute" => Operation::Act(attributes::modify),
        "ModifyInstanceMetadataOptions" => Operation::Act(metadata_options::modify),
        _ => return None,
    })
}
