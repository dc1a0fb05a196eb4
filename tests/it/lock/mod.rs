//! `lock`, and builds that take what is locked: on repositories that tests make and change.

mod desk;
mod image;
mod kill;
mod life;
mod refused;
