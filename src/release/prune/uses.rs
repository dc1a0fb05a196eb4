//! Who uses the AMIs that are to go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Job;
use super::plan::Plan;
use super::seen::{Seen, SeenPlace, Use, Uses};
use crate::aws::ec2::Ec2;
use crate::aws::{AmiId, AwsError, Region};
use crate::publish::release::ReleaseId;

/// So many reports are asked for at once in a Region.
const AT_ONCE: usize = 8;

/// What nobody can see, whatever the permissions.
pub const NEVER_SEEN: &str = "AWS does not say: which Auto Scaling groups have launch configurations \
    (those with launch templates are seen), what other accounts began in the last day, which templates \
    they made in the last days, and who has an id in a file";

/// Asks who uses the AMIs that a plan takes away, and writes it into what was seen. What cannot be
/// asked is written down as unseen.
pub async fn ask(job: &Job<'_>, plan: &Plan, seen: &mut Seen) {
    let mut questions: BTreeMap<Region, Vec<(ReleaseId, AmiId)>> = BTreeMap::new();
    for (release, region, ami) in plan.questions() {
        let here = questions.entry(region.clone()).or_default();
        here.push((release.clone(), ami.clone()));
    }
    let count: usize = questions.values().map(Vec::len).sum();
    if count > 0 {
        let so_many = format!("asking AWS who uses {count} AMIs that are to go");
        job.progress.say(so_many);
    }
    let limit = Duration::from_secs(60 * u64::from(job.settings.report_minutes));
    let mut asking = JoinSet::new();
    for (region, amis) in questions {
        let ec2 = job.aws.ec2(&region);
        asking.spawn(async move { (region, in_region(ec2, amis, limit).await) });
    }
    while let Some(asked) = asking.join_next().await {
        let (region, answers) = asked.expect("asking does not panic");
        for (release, answer) in answers {
            write(seen, &region, &release, answer);
        }
    }
}

fn write(seen: &mut Seen, region: &Region, release: &ReleaseId, answer: Uses) {
    let mut releases = seen.releases.iter_mut();
    let place = releases
        .find(|seen| seen.id == *release)
        .and_then(|seen| seen.places.get_mut(region));
    if let Some(SeenPlace::Held { uses, .. }) = place {
        *uses = answer;
    }
}

async fn in_region(
    ec2: Ec2,
    amis: Vec<(ReleaseId, AmiId)>,
    limit: Duration,
) -> Vec<(ReleaseId, Uses)> {
    let ids: Vec<AmiId> = amis.iter().map(|(_, ami)| ami.clone()).collect();
    let own = ec2.references(&ids).await;
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    for (release, ami) in amis {
        let (ec2, turns) = (ec2.clone(), Arc::clone(&turns));
        let own = own.clone().map(|references| {
            let of_it = references.into_iter().filter(|one| one.image == ami);
            of_it.map(Use::Own).collect::<Vec<_>>()
        });
        asking.spawn(async move {
            let _turn = turns.acquire().await.expect("it is never closed");
            let answer = one(&ec2, &ami, own, limit).await;
            (release, answer)
        });
    }
    asking.join_all().await
}

/// Own uses and others'. A use that was seen counts, whatever else was not.
async fn one(ec2: &Ec2, ami: &AmiId, own: Result<Vec<Use>, AwsError>, limit: Duration) -> Uses {
    if let Ok(uses) = &own
        && !uses.is_empty()
    {
        return Uses::Seen(uses.clone());
    }
    let others = match ec2.usage(ami, limit).await {
        Ok(Ok(others)) => others,
        Ok(Err(late)) => {
            return Uses::Unseen(format!("AWS's usage report of {ami} is not ready: {late}"));
        }
        Err(error) => return Uses::Unseen(error.to_string()),
    };
    match own {
        Err(error) if others.is_empty() => Uses::Unseen(error.to_string()),
        _ => Uses::Seen(others.into_iter().map(Use::Other).collect()),
    }
}
