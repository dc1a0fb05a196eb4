//! Instances: launched, described, stopped, terminated, and what they write on their console.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_ec2::operation::describe_instances::DescribeInstancesOutput;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{self, ResourceType};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use time::OffsetDateTime;

use super::{Ec2, PAGE, filter, specification, tags_from, unless_missing};
use crate::aws::error::{AwsError, Kind};
use crate::aws::names::{AmiId, InstanceId, KeyArn, SubnetId, VolumeId};
use crate::aws::retry::Call;
use crate::aws::tags::{self, Tags};

/// An instance, as DescribeInstances shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Why it is there, where AWS says so: of a launch that failed, what went wrong.
    pub state_reason: Option<String>,
    /// The AMI that it was launched from.
    pub image: AmiId,
    /// `t3.micro`, …
    pub instance_type: String,
    /// `eu-central-1a`, …
    pub zone: String,
    /// When it was launched, or started last.
    pub launched: OffsetDateTime,
    /// Its tags.
    pub tags: Tags,
    /// Its volumes by the devices that they were attached as. A pending instance may not show them
    /// yet, and one that is terminated has none.
    pub volumes: BTreeMap<String, VolumeId>,
}

/// Where an instance is in its life.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceState {
    /// It is being started.
    Pending,
    /// It runs, or has begun to boot.
    Running,
    /// It is being stopped.
    Stopping,
    /// It is off, and has its volumes.
    Stopped,
    /// It is being terminated.
    ShuttingDown,
    /// It is gone; AWS shows it for about an hour.
    Terminated,
    /// What is new to this program.
    Other(String),
}

impl InstanceState {
    /// AWS's word.
    pub fn as_str(&self) -> &str {
        match self {
            InstanceState::Pending => "pending",
            InstanceState::Running => "running",
            InstanceState::Stopping => "stopping",
            InstanceState::Stopped => "stopped",
            InstanceState::ShuttingDown => "shutting-down",
            InstanceState::Terminated => "terminated",
            InstanceState::Other(word) => word,
        }
    }

    /// Whether it has ended or is about to, so that nothing need end it.
    pub fn is_ending(&self) -> bool {
        matches!(
            self,
            InstanceState::ShuttingDown | InstanceState::Terminated
        )
    }

    /// Whether its machine is off or about to be, for now or for good, so that nothing need stop it.
    fn is_off(&self) -> bool {
        self.is_ending() || matches!(self, InstanceState::Stopping | InstanceState::Stopped)
    }

    /// Whether it is gone, and its volumes with it.
    pub fn is_terminated(&self) -> bool {
        *self == InstanceState::Terminated
    }

    fn of(word: &str) -> InstanceState {
        match word {
            "pending" => InstanceState::Pending,
            "running" => InstanceState::Running,
            "stopping" => InstanceState::Stopping,
            "stopped" => InstanceState::Stopped,
            "shutting-down" => InstanceState::ShuttingDown,
            "terminated" => InstanceState::Terminated,
            other => InstanceState::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What RunInstances is given: one instance, with a second volume, without a key pair and without a
/// role.
#[derive(Clone, PartialEq, Eq)]
pub struct Launch {
    /// The same token makes the same instance, once; at most 64 ASCII characters. With another
    /// type or zone it must be another token.
    /// <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>
    pub token: String,
    /// What its root volume begins with.
    pub image: AmiId,
    /// `t3.micro`, …
    pub instance_type: String,
    /// Where it is; a default subnet where none is given.
    pub subnet: Option<SubnetId>,
    /// The zone, which must be the subnet's where both are given; AWS chooses where none is.
    pub zone: Option<String>,
    /// Ids of security groups; the default one of the VPC where none is given.
    pub security_groups: Vec<String>,
    /// What the instance reads from its metadata service, as it reads it; at most 16 KB.
    pub user_data: String,
    /// The device of the AMI's root volume. Where it is given, the root volume is encrypted under
    /// the second one's key, whether or not the AMI is encrypted, and dies with the instance; else
    /// it is as the AMI has it.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AMIEncryption.html>
    pub root_device: Option<String>,
    /// Its second volume.
    pub volume: NewVolume,
    /// Tags of the instance and of all that is made with it.
    pub tags: Tags,
}

/// Without the user data: the addresses in it are secrets.
impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("token", &self.token)
            .field("image", &self.image)
            .field("instance_type", &self.instance_type)
            .field("subnet", &self.subnet)
            .field("zone", &self.zone)
            .field("security_groups", &self.security_groups)
            .field("root_device", &self.root_device)
            .field("volume", &self.volume)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}

/// An empty encrypted volume that is made with its instance and dies with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolume {
    /// `/dev/sdf`: AWS's name for it, which is not that of the instance's kernel.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html>
    pub device: String,
    /// In GiB.
    pub gib: u32,
    /// The key that it is encrypted under.
    pub key: KeyArn,
}

/// What a launch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launched {
    /// The instance is there, and mostly pending: keys are looked at later, and what is wrong with
    /// one shows in the state of the instance, which goes from pending to terminated.
    Yes(Instance),
    /// AWS has none of that type in that zone just now, in AWS's words. Another type or zone may do.
    NoCapacity(String),
}

impl Ec2 {
    /// Launches one instance.
    ///
    /// # Errors
    /// Those of RunInstances, but for a lack of capacity; [`Kind::Conflict`] where the token was
    /// used with other parameters or its instance is terminated, [`Kind::Quota`] where the account
    /// may not have more instances, which no other zone mends.
    pub async fn run_instance(&self, launch: &Launch) -> Result<Launched, AwsError> {
        let what = format!("{} on {}", launch.image, launch.instance_type);
        let what = match &launch.zone {
            Some(zone) => format!("{what} in {zone}"),
            None => what,
        };
        let call = Call::new("ec2:RunInstances", what);
        let request = self.launching(launch);
        let answer = self
            .caller
            .run(call.clone(), || request.clone().send())
            .await;
        match answer {
            Ok(answer) => match answer.instances() {
                [instance] => Ok(Launched::Yes(self.instance_from(&call, instance)?)),
                others => {
                    let message = format!("one instance was asked for, not {}", others.len());
                    Err(self.caller.refuse(&call, Kind::Invalid, message))
                }
            },
            Err(error) if is_about_capacity(&error) => {
                let code = error.code.as_deref().unwrap_or_default();
                Ok(Launched::NoCapacity(format!("{code}: {}", error.message)))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn launching(&self, launch: &Launch) -> RunInstancesFluentBuilder {
        let groups = &launch.security_groups;
        let placement = launch
            .zone
            .as_ref()
            .map(|zone| types::Placement::builder().availability_zone(zone).build());
        let made = [
            ResourceType::Instance,
            ResourceType::Volume,
            ResourceType::NetworkInterface,
        ];
        let tags = made.map(|kind| specification(kind, &launch.tags));
        self.client
            .run_instances()
            .client_token(&launch.token)
            .min_count(1)
            .max_count(1)
            .image_id(launch.image.as_str())
            .instance_type(launch.instance_type.as_str().into())
            .set_subnet_id(launch.subnet.as_ref().map(ToString::to_string))
            .set_placement(placement)
            .set_security_group_ids((!groups.is_empty()).then(|| groups.clone()))
            .user_data(BASE64_STANDARD.encode(&launch.user_data))
            .set_block_device_mappings(Some(mappings(launch)))
            .metadata_options(metadata_options())
            // Its owner decides when it dies: what it wrote is looked at first.
            .instance_initiated_shutdown_behavior(types::ShutdownBehavior::Stop)
            .set_tag_specifications(Some(tags.into()))
    }

    /// The instance of that id, of whatever state. None if there is none, or none yet: reads may
    /// not show at once what was launched.
    /// <https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>
    ///
    /// # Errors
    /// Those of DescribeInstances.
    pub async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, AwsError> {
        let call = Call::new("ec2:DescribeInstances", id);
        let request = self.client.describe_instances().instance_ids(id.as_str());
        let asked = self.caller.run(call.clone(), || request.clone().send());
        match unless_missing(asked.await)? {
            Some(answer) => Ok(self.instances(&call, answer.reservations())?.pop()),
            None => Ok(None),
        }
    }

    /// The account's instances with that tag, of whatever state: those that are terminated too, as
    /// long as AWS shows them.
    ///
    /// # Errors
    /// Those of DescribeInstances.
    pub async fn instances_tagged(
        &self,
        key: &str,
        value: &str,
    ) -> Result<Vec<Instance>, AwsError> {
        let filter = filter(format!("tag:{key}"), [value]);
        self.instances_with(format!("{key}={value}"), filter).await
    }

    /// The account's instances of builds, of whatever state.
    ///
    /// # Errors
    /// Those of DescribeInstances.
    pub async fn instances_of_builds(&self) -> Result<Vec<Instance>, AwsError> {
        let filter = filter("tag-key", [tags::BUILD]);
        self.instances_with("instances of builds".to_owned(), filter)
            .await
    }

    /// The account's instances that were launched with that client token, of whatever state: one at
    /// most. None may be none yet, as in [`Ec2::instance`].
    ///
    /// # Errors
    /// Those of DescribeInstances.
    pub async fn instances_of_token(&self, token: &str) -> Result<Vec<Instance>, AwsError> {
        let filter = filter("client-token", [token]);
        self.instances_with(format!("client-token={token}"), filter)
            .await
    }

    async fn instances_with(
        &self,
        what: String,
        filter: types::Filter,
    ) -> Result<Vec<Instance>, AwsError> {
        let call = Call::new("ec2:DescribeInstances", what);
        let request = self.client.describe_instances();
        let request = request.filters(filter).max_results(PAGE);
        let ask = |token| request.clone().set_next_token(token).send();
        let mut instances = Vec::new();
        for page in self
            .pages(&call, ask, DescribeInstancesOutput::next_token)
            .await?
        {
            instances.extend(self.instances(&call, page.reservations())?);
        }
        Ok(instances)
    }

    /// Stops an instance: its machine goes off some time after the answer, and its volumes stay. One
    /// that is stopped, that is ending or that is not there is no error.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StopInstances.html>
    ///
    /// # Errors
    /// Those of StopInstances, among them `IncorrectInstanceState` where the instance is pending,
    /// which can only be terminated; of DescribeInstances.
    pub async fn stop(&self, id: &InstanceId) -> Result<(), AwsError> {
        let call = Call::new("ec2:StopInstances", id);
        let request = self.client.stop_instances().instance_ids(id.as_str());
        let asked = self.caller.run(call, || request.clone().send());
        match unless_missing(asked.await) {
            Ok(_) => Ok(()),
            // Said of one that is ending as of one that is pending.
            Err(error) if is_about_state(&error) => match self.instance(id).await? {
                Some(instance) if !instance.state.is_off() => Err(error),
                _ => Ok(()),
            },
            Err(error) => Err(error),
        }
    }

    /// Terminates an instance. One that is not there is no error; that it was launched a moment ago
    /// and is not there yet, only who launched it can know.
    ///
    /// # Errors
    /// Those of TerminateInstances.
    pub async fn terminate(&self, id: &InstanceId) -> Result<(), AwsError> {
        let call = Call::new("ec2:TerminateInstances", id);
        let request = self.client.terminate_instances().instance_ids(id.as_str());
        let asked = self.caller.run(call, || request.clone().send());
        unless_missing(asked.await).map(drop)
    }

    /// What the instance has written on its serial console: the last 64 KB, as of now where the
    /// type can tell (those on Nitro can), else as of its last change of state. Empty where there
    /// is nothing yet.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html>
    ///
    /// # Errors
    /// Those of GetConsoleOutput.
    pub async fn console_output(&self, id: &InstanceId) -> Result<String, AwsError> {
        let call = Call::new("ec2:GetConsoleOutput", id);
        let request = self.client.get_console_output().instance_id(id.as_str());
        let latest = request.clone().latest(true);
        let answer = self
            .caller
            .run(call.clone(), || latest.clone().send())
            .await;
        let answer = match answer {
            Err(error) if error.code.as_deref() == Some("UnsupportedOperation") => {
                self.caller
                    .run(call.clone(), || request.clone().send())
                    .await?
            }
            answer => answer?,
        };
        // It may come in lines.
        let output = answer.output().unwrap_or_default();
        let output: String = output.split_ascii_whitespace().collect();
        let output = BASE64_STANDARD.decode(output);
        match output {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => Err(self.caller.refuse(&call, Kind::Invalid, error.to_string())),
        }
    }

    fn instances(
        &self,
        call: &Call,
        reservations: &[types::Reservation],
    ) -> Result<Vec<Instance>, AwsError> {
        let instances = reservations.iter().flat_map(types::Reservation::instances);
        instances
            .map(|instance| self.instance_from(call, instance))
            .collect()
    }

    fn instance_from(&self, call: &Call, instance: &types::Instance) -> Result<Instance, AwsError> {
        let state = instance.state().and_then(|state| state.name());
        let reason = instance.state_reason();
        let reason = reason.and_then(|reason| reason.message().or(reason.code()));
        let launched = instance.launch_time().map_or(0, |moment| moment.secs());
        let launched = OffsetDateTime::from_unix_timestamp(launched)
            .map_err(|error| self.caller.refuse(call, Kind::Invalid, error.to_string()))?;
        let volume = |mapping: &types::InstanceBlockDeviceMapping| {
            let volume = mapping.ebs()?.volume_id()?.parse().ok()?;
            Some((mapping.device_name()?.to_owned(), volume))
        };
        let zone = instance
            .placement()
            .and_then(|place| place.availability_zone());
        Ok(Instance {
            id: self.id(call, instance.instance_id())?,
            state: InstanceState::of(state.map_or("", |name| name.as_str())),
            state_reason: reason.filter(|text| !text.is_empty()).map(str::to_owned),
            image: self.id(call, instance.image_id())?,
            instance_type: instance
                .instance_type()
                .map_or("", |kind| kind.as_str())
                .to_owned(),
            zone: zone.unwrap_or_default().to_owned(),
            launched,
            tags: tags_from(instance.tags()),
            volumes: instance
                .block_device_mappings()
                .iter()
                .filter_map(volume)
                .collect(),
        })
    }
}

/// Whether another type or zone may do. `Unsupported` mostly says that the zone does not have the
/// type (or not for now), but it is also said of other things: where no type and zone does, AWS's
/// words must be shown.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
fn is_about_capacity(error: &AwsError) -> bool {
    error.kind == Kind::Capacity || error.code.as_deref() == Some("Unsupported")
}

/// Whether the instance is in no state for what was asked.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
fn is_about_state(error: &AwsError) -> bool {
    let code = error.code.as_deref();
    matches!(code, Some("IncorrectInstanceState" | "IncorrectState"))
}

/// The root volume, where it is to be encrypted, and the second volume.
fn mappings(launch: &Launch) -> Vec<types::BlockDeviceMapping> {
    let NewVolume { device, gib, key } = &launch.volume;
    let volume = || {
        types::EbsBlockDevice::builder()
            .encrypted(true)
            .kms_key_id(key.as_str())
            .volume_type(types::VolumeType::Gp3)
            .delete_on_termination(true)
    };
    let at = |device: &str, volume: types::builders::EbsBlockDeviceBuilder| {
        let mapping = types::BlockDeviceMapping::builder().device_name(device);
        mapping.ebs(volume.build()).build()
    };
    let size = i32::try_from(*gib).unwrap_or(i32::MAX);
    // Without a snapshot and a size: those are the AMI's.
    let root = launch.root_device.iter().map(|root| at(root, volume()));
    root.chain([at(device, volume().volume_size(size))])
        .collect()
}

/// Version 2 of the metadata service only, and not for containers: their packets make one hop more.
fn metadata_options() -> types::InstanceMetadataOptionsRequest {
    types::InstanceMetadataOptionsRequest::builder()
        .http_endpoint(types::InstanceMetadataEndpointState::Enabled)
        .http_tokens(types::HttpTokensState::Required)
        .http_put_response_hop_limit(1)
        .build()
}
