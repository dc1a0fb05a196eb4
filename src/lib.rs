//! Builds Alpine Linux machine images for Kubernetes nodes, proves that they boot, and publishes them.
//!
//! # The map
//!
//! A stage takes the typed result of the stage before it; no stage reaches back.
//!
//! ```text
//! profile → overlay → plan → apk → lock → image → builder → publish → channels → share → release
//!                                            ↘ vm (boots it)                   ↘ list (what customers see)
//! aws (sessions, calls, retry, waits) under builder, publish, share, release, list
//! sandbox (a local AWS, over vm)  cli (one file a command)  ui (progress, tables, JSON)
//! ```
//!
//! | room | subject |
//! |---|---|
//! | [`profile`] | layers, merging, validation, schema |
//! | [`overlay`] | file trees and their templates |
//! | [`plan`] | both together: everything decided before a package is fetched; `render` |
//! | [`apk`] | versions, indexes, solver, signatures, packages, mirrors, database |
//! | [`lock`] | the exact packages of a profile: chosen, written down, held to |
//! | [`image`] | root tree, scripts, boot loader, file systems, partition table, manifest |
//! | [`builder`] | from a plan to an image: in a folder, on this machine, or in a snapshot, on a build instance |
//! | [`vm`] | QEMU, the metadata service, the serial console, checks inside the guest |
//! | [`aws`] | sessions, a client per service and Region, one retry, waits, tags, tokens |
//! | [`publish`] | from an image to an encrypted AMI in every Region |
//! | [`channels`] | which release is in which channel, and which were |
//! | [`share`] | who gets what of it |
//! | [`release`] | promoted, rolled back, withdrawn, retired, verified; the catalog and its page |
//! | [`list`] | what a customer can launch |
//! | [`diff`] | what two images, releases or AMIs differ in |
//! | [`nightly`] | the unattended run and its report |
//! | [`doctor`] | what works here and in AWS, what does not, the least IAM policy |
//! | [`sandbox`] | a local AWS: endpoint, services, block data, machines, faults |
//! | [`cli`] | the commands: arguments and output, no logic |
//! | [`ui`] | what users see: progress, tables, JSON, errors |
//!
//! Smaller things that several rooms use: [`sign`] (signed documents), [`origin`] (who built
//! an image, from what), [`arch`], [`assets`] (what is built into the program),
//! [`blocks`] (the digests of an image's blocks), [`config`] (`alpine-ami.toml`), [`digest`], [`interrupt`],
//! [`telemetry`] (traces for a collector), [`workdir`] (half-done work, and the sweeping of what dead runs left).

pub mod apk;
pub mod arch;
pub mod assets;
pub mod aws;
pub mod blocks;
pub mod builder;
mod causes;
pub mod channels;
pub mod cli;
pub mod config;
pub mod diff;
pub mod digest;
pub mod doctor;
pub mod image;
pub mod interrupt;
pub mod list;
pub mod lock;
pub mod nightly;
pub mod origin;
pub mod overlay;
pub mod plan;
pub mod profile;
pub mod publish;
pub mod release;
pub mod sandbox;
pub mod share;
pub mod sign;
pub mod telemetry;
mod text_form;
pub mod ui;
pub mod vm;
mod web;
pub mod workdir;
