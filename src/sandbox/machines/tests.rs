use std::sync::Arc;

use std::os::unix::fs::FileExt as _;

use tokio::sync::mpsc;

use super::{Command, Order, Running, end_as_asked};
use crate::sandbox::blocks::BLOCK_SIZE;
use crate::sandbox::ec2::instances;
use crate::sandbox::ec2::volumes::Attachment;
use crate::sandbox::shared::Shared;
use crate::sandbox::testing::Bed;

/// Does an order without a machine: it runs at once, and ends at once.
pub(super) fn perform(shared: &Arc<Shared>, order: Order) {
    match order {
        Order::Run(id) => shared
            .transact(|world| {
                match instances::data_is_there(world, &id) {
                    Ok(_) => instances::booted(world, &shared.clock, &id),
                    Err(reason) => instances::launch_failed(world, &shared.clock, &id, reason),
                }
                Ok(())
            })
            .expect("a change"),
        Order::Stop(id, _) => end_as_asked(shared, &id),
        Order::Reboot(_) | Order::Plug(..) => {}
    }
}

/// An instance of which there is nothing but its volume, and whose task does as `task` says.
fn volume_of_machine<T: Future<Output = ()> + Send + 'static>(
    bed: &Bed,
    task: impl FnOnce(mpsc::UnboundedReceiver<Command>, std::fs::File) -> T,
) -> String {
    let params = [("AvailabilityZone", "us-east-1a"), ("Size", "1")];
    let volume = bed
        .ec2("publisher", "CreateVolume", &params)
        .expect("a volume");
    let volume = volume.text("volumeId").to_owned();
    let shared = &bed.shared;
    shared
        .transact(|world| {
            let volume = world.ec2.volumes.get_mut(&volume).expect("the volume");
            volume.attachment = Some(Attachment {
                instance_id: "i-1".to_owned(),
                device: "/dev/xvda".to_owned(),
                since: shared.clock.now(),
                delete_on_termination: true,
            });
            Ok(())
        })
        .expect("attached");
    let file = shared.blocks.volume_file(&volume);
    let file = std::fs::File::options().write(true).open(file);
    let (commands, asked) = mpsc::unbounded_channel();
    let task = shared.runtime().spawn(task(asked, file.expect("its file")));
    let running = Running { commands, task };
    shared.machines.running().insert("i-1".to_owned(), running);
    volume
}

/// The indexes of the blocks that a snapshot of a volume has.
fn blocks_of_snapshot(bed: &Bed, volume: &str) -> Vec<u64> {
    let params = [("VolumeId", volume)];
    let snapshot = bed.ec2("publisher", "CreateSnapshot", &params);
    let snapshot = snapshot.expect("a snapshot");
    let id = snapshot.text("snapshotId");
    let entries = bed.shared.blocks.entries(id, 0).expect("entries");
    entries.map(|entry| entry.expect("an entry").0).collect()
}

#[test]
fn a_snapshot_is_of_the_moment_when_the_guest_stands_still() {
    let bed = Bed::new();
    let volume = volume_of_machine(&bed, |mut asked, file| async move {
        let write = |index: u64| {
            let place = index * BLOCK_SIZE as u64;
            file.write_all_at(b"written", place).expect("written");
        };
        let Some(Command::Pause(pause)) = asked.recv().await else {
            panic!("it is to stand still");
        };
        write(0);
        pause.started.send(()).expect("somebody waits");
        let _ = pause.until.await;
        write(1);
    });
    assert_eq!(blocks_of_snapshot(&bed, &volume), [0]);
}

#[test]
fn a_machine_that_ends_instead_keeps_nobody_waiting() {
    let bed = Bed::new();
    let volume = volume_of_machine(&bed, |mut asked, _| async move {
        drop(asked.recv().await);
    });
    assert!(blocks_of_snapshot(&bed, &volume).is_empty());
}
