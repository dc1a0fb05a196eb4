//! Whether a machine runs on the processor's virtualisation (KVM) or is emulated (TCG).
//!
//! `/dev/kvm` proves little: in some containers and nested machines it opens and then hangs
//! every guest. So KVM is used only after it really ran one.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use super::probe::probe;
use crate::arch::Arch;

/// The variable by which a user decides.
pub const VARIABLE: &str = "ALPINE_AMI_ACCEL";

/// Where KVM works, the probe's guest ends within a tenth of this on a busy machine.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// How a guest's instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// By the processor itself.
    Kvm,
    /// By QEMU's emulation: works everywhere, some ten times slower.
    Tcg,
}

impl Accel {
    /// QEMU's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Accel {
    type Err = AccelError;

    fn from_str(name: &str) -> Result<Accel, AccelError> {
        [Accel::Kvm, Accel::Tcg]
            .into_iter()
            .find(|accel| accel.as_str() == name)
            .ok_or_else(|| AccelError(name.to_owned()))
    }
}

/// The user's choice cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{VARIABLE} is `{0}`, which is no accelerator")]
pub struct AccelError(String);

impl AccelError {
    /// What the reader can do about it.
    pub fn advice(&self) -> Option<String> {
        Some(format!(
            "set {VARIABLE} to `kvm` or `tcg`, or leave it unset to have KVM used where it works"
        ))
    }
}

/// Chooses for a guest of that architecture: what the environment says, else KVM where a
/// short probe with the QEMU at `qemu` ran a guest on it, else TCG. The reason is logged.
pub async fn choose(guest: Arch, qemu: &Path) -> Result<Accel, AccelError> {
    let (accel, reason) = match std::env::var(VARIABLE) {
        Ok(name) => (name.parse()?, format!("{VARIABLE} says so")),
        Err(std::env::VarError::NotUnicode(name)) => {
            return Err(AccelError(name.to_string_lossy().into_owned()));
        }
        Err(std::env::VarError::NotPresent) => match why_not_kvm(guest, qemu).await {
            None => (Accel::Kvm, "a probe ran a guest on KVM".to_owned()),
            Some(reason) => (Accel::Tcg, reason),
        },
    };
    tracing::info!(%accel, %reason, "accelerator chosen");
    Ok(accel)
}

async fn why_not_kvm(guest: Arch, qemu: &Path) -> Option<String> {
    if Arch::host() != Some(guest) {
        return Some(format!(
            "a guest for {guest} cannot run on this machine's processor ({})",
            std::env::consts::ARCH
        ));
    }
    let device = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm");
    if let Err(error) = device {
        return Some(format!("/dev/kvm cannot be opened: {error}"));
    }
    probe(guest, Accel::Kvm, qemu, PROBE_DEADLINE).await.err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!("kvm".parse::<Accel>().expect("known"), Accel::Kvm);
        let error = "hvf".parse::<Accel>().expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "ALPINE_AMI_ACCEL is `hvf`, which is no accelerator"
        );
        assert!(error.advice().expect("advice").contains("`kvm` or `tcg`"));
    }
}
