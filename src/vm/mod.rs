//! Virtual machines: boot an image under QEMU as EC2 would, and check it from inside.
//!
//! [`test_image`] is the whole of it: a machine like a small Nitro instance (root disk on
//! NVMe, serial console), a metadata service at 169.254.169.254 that is all its network, and
//! user data by which the guest checks itself and reports over its second serial port.
//!
//! The sandbox's instances are such machines too, with disks that are written and named as EC2
//! names them, and a way to the sandbox's endpoint (see `crate::sandbox::machines`).
//!
//! | part | subject |
//! |---|---|
//! | [`trial`] | the test as a whole, its deadline and its errors |
//! | [`report`], [`tested`] | the result, as JSON and as text; what is kept of it |
//! | [`guest`], [`answers`] | the script that runs in the guest, and what it answers |
//! | [`machine`], [`command`], [`qmp`] | a running machine, QEMU's arguments, QEMU's control channel |
//! | [`accel`], [`probe`], [`firmware`] | KVM or emulation, and whether KVM works; BIOS or UEFI |
//! | [`console`] | the serial console: log, last lines, login prompt, panic |
//! | [`metadata`], [`imds`], [`relay`] | what an instance knows of itself, the service that tells it, the way there |
//! | [`nvme_identity`], [`hotplug`] | disks that introduce themselves as EBS volumes, also while it runs |
//! | [`attempts`] | whom a guest tried to reach |
//! | [`process`] | nothing that runs after us |

pub mod accel;
pub mod answers;
pub mod attempts;
pub mod command;
pub mod console;
pub mod firmware;
pub mod guest;
pub mod hotplug;
pub mod imds;
pub mod machine;
pub mod metadata;
pub mod nvme_identity;
pub mod probe;
pub mod process;
pub mod qmp;
pub mod relay;
pub mod report;
pub mod tested;
pub mod trial;

pub use accel::Accel;
pub use command::DirectKernel;
pub use firmware::Firmware;
pub use guest::Check;
pub use report::Report;
pub use trial::{TestConfig, VmError, test_image};
