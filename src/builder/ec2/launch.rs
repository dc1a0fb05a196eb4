//! Launching an instance, once: written down before it is launched, with one type and zone after the
//! other; and ending it, so that it is gone.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::error::InstanceBuildError;
use super::shelf;
use super::site::{Offer, Site};
use super::stage::Staged;
use crate::arch::Arch;
use crate::aws::ec2::{Instance, Launch, Launched, NewVolume};
use crate::aws::tags::{self, Tags};
use crate::aws::wait::{self, Seen};
use crate::aws::{InstanceId, Kind, token};

/// What the volume is attached as.
pub const DEVICE: &str = "/dev/sdf";
/// Reads of EC2 lag behind by some seconds: what was launched shows within this.
/// <https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>
const SHOWS_WITHIN: Duration = Duration::from_secs(60);
/// Whatever a launch came to that was written down so long ago, reads show it.
const OLD: time::Duration = time::Duration::minutes(10);

/// What is being launched. It lies in the bucket before the call is made, and until what came of it
/// is gone: a run that finds no instance knows whether there may be one all the same, and by what
/// it is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// When it was written, by the clock of who wrote it.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The token of the call.
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
    /// Launches an instance for what is staged, with the first offer that `left` has and that there
    /// is capacity for: those that were tried are gone from it. `tell` hears of them, and `tried`
    /// keeps what AWS said.
    ///
    /// # Errors
    /// There is no capacity in any type and zone; AWS's.
    pub async fn launch(
        &self,
        staged: &Staged,
        left: &mut impl Iterator<Item = &Offer>,
        tried: &mut Vec<String>,
        tell: impl Fn(&str),
    ) -> Result<Instance, InstanceBuildError> {
        for offer in left {
            let launch = self.of(offer, staged);
            self.note(&launch.token, None).await?;
            let why = match self.site.ec2().run_instance(&launch).await {
                Ok(Launched::Yes(instance)) => {
                    self.note(&launch.token, Some(&instance.id)).await?;
                    return Ok(instance);
                }
                Ok(Launched::NoCapacity(why)) => {
                    self.forget().await?;
                    why
                }
                // The token is of this run alone: an attempt whose answer was lost used it up.
                Err(error) if matches!(error.kind, Kind::Conflict | Kind::Exists) => {
                    match by_token(self.site, &launch.token, SHOWS_WITHIN).await? {
                        Some(instance) => return Ok(instance),
                        None => error.to_string(),
                    }
                }
                Err(error) => {
                    // What was refused at once was not done. After an attempt whose answer was lost
                    // it may be, whatever is said of the next one.
                    if error.attempts == 1 && !error.kind.is_transient() {
                        self.forget().await?;
                    }
                    return Err(error.into());
                }
            };
            tell(&format!("no {offer} just now"));
            tried.push(format!("{offer}: {why}"));
        }
        Err(InstanceBuildError::NoCapacity {
            place: self.site.place(),
            arch: self.arch,
            tried: std::mem::take(tried),
        })
    }

    /// AWS has said that it launches nothing: there is nothing to look for.
    async fn forget(&self) -> Result<(), InstanceBuildError> {
        let key = shelf::launch(self.build);
        Ok(self.site.shelf.remove(&key).await?)
    }

    async fn note(
        &self,
        token: &str,
        instance: Option<&InstanceId>,
    ) -> Result<(), InstanceBuildError> {
        let intent = Intent {
            at: OffsetDateTime::now_utc(),
            token: token.to_owned(),
            instance: instance.cloned(),
        };
        let key = shelf::launch(self.build);
        self.site.shelf.write(&key, &intent).await?;
        Ok(())
    }

    /// The token is of this run: user data holds addresses that another run cannot make again, and
    /// AWS remembers a token for a day after its instance is gone.
    fn of(&self, offer: &Offer, staged: &Staged) -> Launch {
        let ground = &self.site.grounds[&self.arch];
        let step = format!(
            "launch {} in {} by {}",
            offer.instance_type, offer.subnet, self.site.run
        );
        let end = OffsetDateTime::now_utc() + self.site.life;
        let mut tags = Tags::of_build(self.build, &self.site.run, end);
        tags.0
            .insert(tags::JOB.to_owned(), staged.job_sha256.clone());
        Launch {
            token: token::client_token(self.build, &step, &self.site.home, 0),
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
}

impl Intent {
    /// What came of it, unless it has ended or there is none: reads that may lag are looked at
    /// again.
    ///
    /// # Errors
    /// AWS's.
    pub async fn settled(&self, site: &Site) -> Result<Option<Instance>, InstanceBuildError> {
        let within = match OffsetDateTime::now_utc() - self.at {
            age if age > OLD => Duration::ZERO,
            _ => SHOWS_WITHIN,
        };
        match &self.instance {
            None => by_token(site, &self.token, within).await,
            Some(id) => {
                let ec2 = site.ec2();
                let found = shown(within, async || Ok(ec2.instance(id).await?)).await?;
                Ok(found.filter(|instance| !instance.state.is_ending()))
            }
        }
    }
}

/// The instance that a token made, unless it has ended, once reads show it.
async fn by_token(
    site: &Site,
    token: &str,
    within: Duration,
) -> Result<Option<Instance>, InstanceBuildError> {
    let ec2 = site.ec2();
    let look = async || Ok(ec2.instances_of_token(token).await?.pop());
    let found = shown(within, look).await?;
    Ok(found.filter(|instance| !instance.state.is_ending()))
}

/// What reads show within that time. One look may see what the next does not; it is there then.
async fn shown<F>(
    within: Duration,
    look: impl Fn() -> F,
) -> Result<Option<Instance>, InstanceBuildError>
where
    F: Future<Output = Result<Option<Instance>, InstanceBuildError>>,
{
    let seen = wait::until(
        within,
        |_| {},
        async || {
            Ok::<_, InstanceBuildError>(match look().await? {
                Some(instance) => Seen::Reached(instance),
                None => Seen::NotYet("no instance".to_owned()),
            })
        },
    );
    Ok(seen.await?.ok())
}

/// Terminates an instance that was seen, and waits until it is gone. Its volumes go with it.
///
/// # Errors
/// AWS's, or it takes too long.
pub async fn end(site: &Site, id: &InstanceId) -> Result<(), InstanceBuildError> {
    let ec2 = site.ec2();
    ec2.terminate(id).await?;
    let begun = Instant::now();
    let look = async || {
        let state = ec2.instance(id).await?.map(|found| found.state);
        Ok::<_, InstanceBuildError>(match state {
            Some(state) if state.is_terminated() => Seen::Reached(()),
            Some(state) if state.is_ending() => Seen::NotYet(state.to_string()),
            // AWS shows what is gone for an hour: a reader that does not is behind.
            None if begun.elapsed() > SHOWS_WITHIN => Seen::Reached(()),
            state => {
                // The call may have come to one that does not show the instance yet.
                ec2.terminate(id).await?;
                Seen::NotYet(state.map_or("not seen".to_owned(), |state| state.to_string()))
            }
        })
    };
    let waited = wait::until(site.aws.settings().wait(), |_| {}, look).await?;
    waited.map_err(|timed_out| InstanceBuildError::TimedOut {
        what: format!("the end of {id}"),
        place: site.place(),
        timed_out,
    })
}
