//! An instance's machine from its start to its end, and what is asked of it meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::body::Body;
use super::{Command, Pause, end, end_as_asked, is_to_end, launch_failed};
use crate::sandbox::ec2::instances::{self, Ending, StateReason};
use crate::sandbox::shared::Shared;

/// A guest that is still booting misses the power button, so it is pressed again after so long.
const PRESS_AGAIN: Duration = Duration::from_secs(5);
/// A guest is given so long to shut down for a reboot; then its power is cut.
const REBOOT_PATIENCE: Duration = Duration::from_secs(90);

/// Runs the machine of an instance until it has ended, and notes what becomes of the instance.
pub(super) async fn live(shared: &Arc<Shared>, id: &str, mut commands: UnboundedReceiver<Command>) {
    match run(shared, id, &mut commands).await {
        Ok(ending) => end(shared, id, &ending),
        Err(reason) => launch_failed(shared, id, reason),
    }
    // Whoever asks from now on is told that nobody listens; what was asked before is done.
    commands.close();
    while let Some(command) = commands.recv().await {
        if let Command::Stop(_) = command {
            end_as_asked(shared, id);
        }
    }
}

/// Runs the machine. An error is why the launch comes to nothing.
async fn run(
    shared: &Arc<Shared>,
    id: &str,
    commands: &mut UnboundedReceiver<Command>,
) -> Result<Ending, StateReason> {
    tokio::select! {
        there = data(shared, id) => there?,
        () = stop_asked(shared, id, commands) => return Ok(Ending::Off),
    }
    // The order to run may come after one to stop that was given later.
    if shared.read(|world| is_to_end(world, id)) {
        return Ok(Ending::Off);
    }
    loop {
        let mut machine = match Body::start(shared, id).await {
            Ok(machine) => machine,
            Err(why) => {
                tracing::warn!(instance = id, %why, "sandbox: an instance does not start");
                return Ok(Ending::Broken(why));
            }
        };
        let is_wanted = shared.transact(|world| {
            instances::booted(world, &shared.clock, id);
            Ok(!is_to_end(world, id))
        });
        match is_wanted {
            Ok(true) => {}
            Ok(false) => return Ok(Ending::Off),
            Err(error) => return Ok(Ending::Broken(error.to_string())),
        }
        tracing::info!(instance = id, "sandbox: an instance runs");
        match attend(&mut machine, shared, id, commands).await {
            Outcome::Ended(ending) => return Ok(ending),
            Outcome::BootAgain => {}
        }
    }
}

/// Waits until the data of an instance's volumes is there.
async fn data(shared: &Arc<Shared>, id: &str) -> Result<(), StateReason> {
    let mut changes = shared.changes();
    loop {
        changes.mark_unchanged();
        let there = shared.read(|world| instances::data_is_there(world, id));
        match there {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(reason) => return Err(reason),
        }
        if changes.changed().await.is_err() {
            // The sandbox is being closed, and this task with it.
            std::future::pending::<()>().await;
        }
    }
}

async fn stop_asked(shared: &Shared, id: &str, commands: &mut UnboundedReceiver<Command>) {
    loop {
        match commands.recv().await {
            Some(Command::Stop(_)) if shared.read(|world| is_to_end(world, id)) => return,
            // What does not run yet stands still anyway.
            Some(Command::Stop(_) | Command::Reboot | Command::Pause(_) | Command::Plug(_)) => {}
            None => std::future::pending().await,
        }
    }
}

/// What follows when a machine is off.
enum Outcome {
    Ended(Ending),
    BootAgain,
}

/// Does what is asked of a machine until it is off.
async fn attend(
    machine: &mut Body,
    shared: &Shared,
    id: &str,
    commands: &mut UnboundedReceiver<Command>,
) -> Outcome {
    let mut asked = Asked::default();
    loop {
        tokio::select! {
            status = machine.wait() => {
                machine.finish().await;
                return match asked.reboot && !asked.stop {
                    true => Outcome::BootAgain,
                    false => Outcome::Ended(machine.ending(status, asked.killed)),
                };
            }
            Some(command) = commands.recv() => match command {
                Command::Stop(patience) if shared.read(|world| is_to_end(world, id)) => {
                    asked.stop(patience.duration(), Instant::now());
                }
                Command::Stop(_) => {}
                Command::Reboot => asked.reboot(Instant::now()),
                Command::Pause(pause) => stand_still(machine, pause).await,
                Command::Plug(volume) => {
                    if let Err(why) = machine.plug(&volume).await {
                        tracing::error!(%why, instance = id, "sandbox: a volume does not come");
                    }
                }
            },
            () = reached(asked.deadline()) => {}
        }
        if asked.is_over(Instant::now()) {
            asked.killed = true;
            machine.kill_now();
        } else if asked.presses(Instant::now())
            && let Err(error) = machine.press_power_button().await
        {
            // It is just ending, or it will be killed when its time is up.
            tracing::debug!(%error, "sandbox: a guest cannot be asked to shut down");
        }
    }
}

/// Pauses a machine as long as it is wanted. What else is asked waits meanwhile.
async fn stand_still(machine: &mut Body, pause: Pause) {
    if let Err(error) = machine.pause().await {
        // It is just ending; who asked goes on without.
        tracing::debug!(%error, "sandbox: a guest cannot be paused");
        return;
    }
    if pause.started.send(()).is_ok() {
        // Nothing is ever sent: it ends by being dropped.
        let _ = pause.until.await;
    }
    if let Err(error) = machine.resume().await {
        tracing::error!(%error, "sandbox: a guest that was paused does not go on");
    }
}

/// What a machine was asked for since it was started.
#[derive(Debug, Default)]
struct Asked {
    stop: bool,
    reboot: bool,
    killed: bool,
    /// When its power is cut.
    patience_ends: Option<Instant>,
    /// When the power button is pressed next.
    press: Option<Instant>,
}

impl Asked {
    fn stop(&mut self, patience: Duration, now: Instant) {
        self.stop = true;
        self.press_until(patience, now);
    }

    fn reboot(&mut self, now: Instant) {
        self.reboot = true;
        self.press_until(REBOOT_PATIENCE, now);
    }

    fn press_until(&mut self, patience: Duration, now: Instant) {
        let ends = now + patience;
        self.patience_ends = Some(self.patience_ends.map_or(ends, |before| before.min(ends)));
        self.press.get_or_insert(now);
    }

    /// When there is something to do next.
    fn deadline(&self) -> Option<Instant> {
        if self.killed {
            return None;
        }
        [self.patience_ends, self.press].into_iter().flatten().min()
    }

    fn is_over(&self, now: Instant) -> bool {
        !self.killed && self.patience_ends.is_some_and(|end| end <= now)
    }

    /// Whether the power button is pressed now.
    fn presses(&mut self, now: Instant) -> bool {
        match self.press {
            Some(at) if at <= now && !self.killed => {
                self.press = Some(now + PRESS_AGAIN);
                true
            }
            _ => false,
        }
    }
}

async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Patience;
    use super::*;
    use crate::sandbox::ec2::instances::Phase;
    use crate::sandbox::ec2::instances::tests::Lab;

    #[test]
    fn who_waits_to_start_is_stopped_only_where_that_is_asked_for_now() {
        let lab = Lab::new();
        let (bed, id) = (&lab.bed, lab.launched(&[]));
        let is_stopped = |phase: Phase| {
            let changed = bed.shared.transact(|world| {
                let instance = world.ec2.instances.get_mut(&id).expect("the instance");
                instance.phase = phase;
                Ok(())
            });
            changed.expect("changed");
            let (commands, mut asked) = tokio::sync::mpsc::unbounded_channel();
            commands
                .send(Command::Stop(Patience::Usual))
                .expect("listened to");
            bed.shared.runtime().block_on(async {
                tokio::select! {
                    biased;
                    () = stop_asked(&bed.shared, &id, &mut asked) => true,
                    () = std::future::ready(()) => false,
                }
            })
        };
        assert!(is_stopped(Phase::Stopping));
        assert!(is_stopped(Phase::ShuttingDown));
        assert!(!is_stopped(Phase::Pending { launch: false }));
    }

    #[tokio::test]
    async fn the_shortest_patience_counts() {
        let now = Instant::now();
        let mut asked = Asked::default();
        assert_eq!(asked.deadline(), None);
        asked.stop(Patience::Usual.duration(), now);
        assert!(asked.presses(now), "at once");
        assert!(!asked.presses(now), "and not at once again");
        assert_eq!(asked.deadline(), Some(now + PRESS_AGAIN));
        assert!(asked.presses(now + PRESS_AGAIN));
        let short = Patience::Short.duration();
        assert!(!asked.is_over(now + short));
        asked.stop(Patience::Short.duration(), now);
        assert!(asked.is_over(now + short));
        asked.stop(Patience::Usual.duration(), now);
        assert!(asked.is_over(now + short), "not made longer");
        asked.stop(Patience::None.duration(), now);
        assert!(asked.is_over(now));
        asked.killed = true;
        assert_eq!(asked.deadline(), None);
        assert!(!asked.is_over(now));
    }
}
