//! GetConsoleOutput.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::find;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::places;
use crate::sandbox::error::ServiceError;
use crate::sandbox::machines;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// EC2 gives the last 64 KB.
const SHOWN: u64 = 64 << 10;

/// GetConsoleOutput. Output is what the machine has written up to now, whether the latest is asked
/// for or not: on EC2 it is some minutes behind where it is not.
pub(super) fn output(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("InstanceId")?;
    let latest = params.flag("Latest")?.unwrap_or(false);
    params.finish()?;
    let instance = find(context, world, &id)?;
    let kind = places::instance_type(&instance.instance_type);
    if latest && kind.is_some_and(|kind| kind.hypervisor != "nitro") {
        return Err(ServiceError::new(
            "UnsupportedOperation",
            "This instance type does not support retrieving the latest console logs",
        ));
    }
    let console = read_end(&machines::console_file(&context.shared, &id));
    let mut xml = Xml::new();
    xml.text("instanceId", &id);
    match console {
        Ok((bytes, written)) => {
            let written = Timestamp(written.0.saturating_add(context.shared.clock.ahead_ms()));
            xml.text("timestamp", written.iso())
                .text("output", BASE64_STANDARD.encode(bytes));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            xml.text("timestamp", instance.launched.iso());
        }
        Err(error) => return Err(ServiceError::internal(error)),
    }
    Ok(xml)
}

/// The end of a file, and when it was written last.
fn read_end(path: &Path) -> io::Result<(Vec<u8>, Timestamp)> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    let written = meta
        .modified()?
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    file.seek(SeekFrom::Start(meta.len().saturating_sub(SHOWN)))?;
    let mut bytes = Vec::new();
    file.take(SHOWN).read_to_end(&mut bytes)?;
    Ok((bytes, Timestamp(0).plus(written)))
}
