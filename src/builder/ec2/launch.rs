//! Launching an instance, once: written down before it is launched, under a token that makes it
//! once, with one type and zone after the other.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::error::InstanceBuildError;
use super::shelf;
use super::site::{Offer, Site};
use super::stage::Staged;
use crate::arch::Arch;
use crate::aws::ec2::{Instance, InstanceState, Launch, Launched, NewVolume};
use crate::aws::tags::{self, Tags};
use crate::aws::wait::{self, Seen};
use crate::aws::{InstanceId, Kind, token};

/// What the volume is attached as.
pub const DEVICE: &str = "/dev/sdf";
/// Reads of EC2 may lag behind by so long.
/// <https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>
const SHOWS_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
/// Tokens that turn out to be used up, before this run gives up.
const MOST_ATTEMPTS: u32 = 5;

/// What is being launched. It lies in the bucket before the call is made, so that a run that finds
/// no instance knows whether there may be one all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Counts instances of this build whose tokens are used up.
    pub attempt: u32,
    /// The token of the call that was made last.
    pub token: String,
    /// The instance, as soon as its id is known.
    pub instance: Option<InstanceId>,
}

/// What an instance is launched for.
pub struct Wanted<'a> {
    /// Where.
    pub site: &'a Site,
    /// The build.
    pub build: &'a str,
    /// Its architecture.
    pub arch: Arch,
}

impl Wanted<'_> {
    /// Launches an instance for what is staged, or finds the one that an earlier run launched.
    /// `tell` hears what is tried.
    ///
    /// # Errors
    /// There is no capacity in any type and zone; AWS's.
    pub async fn launch(
        &self,
        staged: &Staged,
        tell: impl Fn(&str),
    ) -> Result<Instance, InstanceBuildError> {
        let mut attempt = self.first_attempt().await?;
        for _ in 0..MOST_ATTEMPTS {
            if let Some(instance) = self.try_offers(staged, attempt, &tell).await? {
                return Ok(instance);
            }
            attempt += 1;
        }
        Err(InstanceBuildError::Snapshot {
            id: self.build.to_owned(),
            region: self.site.home.clone(),
            why: format!("{MOST_ATTEMPTS} client tokens are used up"),
        })
    }

    async fn first_attempt(&self) -> Result<u32, InstanceBuildError> {
        let key = shelf::launch(self.build);
        Ok(match self.site.shelf.read::<Intent>(&key).await? {
            None => 0,
            // What was never heard of is asked for once more: the token tells.
            Some(intent) if intent.instance.is_none() => intent.attempt,
            Some(intent) => intent.attempt + 1,
        })
    }

    /// One offer after the other. None if the token of one is used up.
    async fn try_offers(
        &self,
        staged: &Staged,
        attempt: u32,
        tell: &impl Fn(&str),
    ) -> Result<Option<Instance>, InstanceBuildError> {
        let ground = &self.site.grounds[&self.arch];
        let mut tried = Vec::new();
        for offer in &ground.offers {
            let launch = self.of(offer, staged, attempt);
            self.note(attempt, &launch.token, None).await?;
            let instance = match self.site.ec2().run_instance(&launch).await {
                Ok(Launched::Yes(instance)) => instance,
                Ok(Launched::NoCapacity(why)) => {
                    let Offer {
                        instance_type,
                        zone,
                        ..
                    } = offer;
                    tell(&format!("no {instance_type} in {zone} just now"));
                    tried.push(format!("{instance_type} in {zone}: {why}"));
                    continue;
                }
                Err(error) if matches!(error.kind, Kind::Conflict | Kind::Exists) => {
                    match self.of_token(&launch.token).await? {
                        Some(instance) => instance,
                        None => return Ok(None),
                    }
                }
                Err(error) => return Err(error.into()),
            };
            self.note(attempt, &launch.token, Some(&instance.id))
                .await?;
            return Ok((!instance.state.is_ending()).then_some(instance));
        }
        let region = self.site.home.clone();
        Err(InstanceBuildError::NoCapacity {
            region,
            arch: self.arch,
            tried,
        })
    }

    async fn note(
        &self,
        attempt: u32,
        token: &str,
        instance: Option<&InstanceId>,
    ) -> Result<(), InstanceBuildError> {
        let intent = Intent {
            attempt,
            token: token.to_owned(),
            instance: instance.cloned(),
        };
        let key = shelf::launch(self.build);
        self.site.shelf.write(&key, &intent).await?;
        Ok(())
    }

    fn of(&self, offer: &Offer, staged: &Staged, attempt: u32) -> Launch {
        let ground = &self.site.grounds[&self.arch];
        let step = format!("launch {} in {}", offer.instance_type, offer.subnet);
        let end = OffsetDateTime::now_utc() + self.site.life;
        let mut tags = Tags::of_build(self.build, &self.site.run, end);
        tags.0
            .insert(tags::JOB.to_owned(), staged.job_sha256.clone());
        Launch {
            token: token::client_token(self.build, &step, &self.site.home, attempt),
            image: ground.image.clone(),
            instance_type: offer.instance_type.clone(),
            subnet: Some(offer.subnet.clone()),
            zone: Some(offer.zone.clone()),
            security_groups: self.site.security_groups.clone(),
            user_data: staged.user_data.clone(),
            root_device: Some(ground.root_device.clone()),
            volume: NewVolume {
                device: DEVICE.to_owned(),
                gib: self.site.volume_gib,
                key: self.site.key.clone(),
            },
            tags,
        }
    }

    /// The instance that a token made, once reads show it. None if it is gone, or never shows.
    async fn of_token(&self, token: &str) -> Result<Option<Instance>, InstanceBuildError> {
        by_token(self.site, token, SHOWS_WITHIN).await
    }
}

/// The instance that a token made, once reads show it within that time, unless it has ended.
///
/// # Errors
/// AWS's.
pub async fn by_token(
    site: &Site,
    token: &str,
    within: std::time::Duration,
) -> Result<Option<Instance>, InstanceBuildError> {
    let ec2 = site.ec2();
    let look = async || {
        let found = ec2.instances_of_token(token).await?.pop();
        Ok::<_, InstanceBuildError>(match found {
            Some(instance) => Seen::Reached(instance),
            None => Seen::NotYet("no instance".to_owned()),
        })
    };
    let seen = wait::until(within, |_| {}, look).await?;
    Ok(seen.ok().filter(|instance| !instance.state.is_ending()))
}

/// Waits until an instance is gone. Its volumes go with it.
///
/// # Errors
/// AWS's, or it takes too long.
pub async fn gone(site: &Site, id: &InstanceId) -> Result<(), InstanceBuildError> {
    let ec2 = site.ec2();
    let look = async || {
        Ok::<_, InstanceBuildError>(match ec2.instance(id).await? {
            None => Seen::Reached(()),
            Some(instance) if instance.state == InstanceState::Terminated => Seen::Reached(()),
            Some(instance) => Seen::NotYet(instance.state.to_string()),
        })
    };
    let limit = site.aws.settings().wait();
    let waited = wait::until(limit, |_| {}, look).await?;
    waited.map_err(|timed_out| InstanceBuildError::TimedOut {
        what: format!("the end of {id}"),
        region: site.home.clone(),
        timed_out,
    })
}
