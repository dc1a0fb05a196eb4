//! Images: from installed packages to a disk that boots.
//!
//! In the order of their use: [`install`] fills a root folder, running scripts in a [`jail`];
//! [`configure`] brings the profile into it; [`seal`] takes out what varies and what is secret
//! (both through [`rootdir`] and [`edit`], which never leave the root);
//! [`disk`] makes the image of it ([`kernel`], [`initramfs`], [`grub`], [`ext4`], [`esp`],
//! [`partition`]); [`manifest`] and [`sbom`] say what it is.

pub mod bios;
pub mod configure;
pub mod contents;
pub mod disk;
pub mod edit;
pub mod elf;
pub mod error;
pub mod esp;
pub mod ext4;
pub mod grub;
pub mod ids;
pub mod initramfs;
pub mod install;
pub mod jail;
pub mod kernel;
pub mod manifest;
pub mod modules;
pub mod partition;
pub mod rootdir;
pub mod sbom;
pub mod seal;
pub mod sparse;
pub mod tree;
