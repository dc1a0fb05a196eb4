//! Alpine's packages: versions, indexes, solving, signatures, package files and the database.
//!
//! A room of apk's concepts, one file each; nothing here touches a root file system. The order in
//! which they are used: [`fetch`] gets the indexes of [`mirror`]s, [`solver`] chooses packages, [`fetch`]
//! gets them into the [`store`], [`package`] verifies each before it is unpacked, and
//! [`database`] writes down what was installed.

pub mod archive;
mod arriving;
pub mod database;
pub mod dependency;
pub mod fetch;
pub mod index;
pub mod keys;
pub mod member;
pub mod mirror;
pub mod pack;
pub mod package;
pub mod pkginfo;
pub mod record;
pub mod solver;
pub mod store;
pub mod version;
