//! Publishing as its users do it: the program, against a local AWS, killed and hindered.

mod bad_input;
mod doctor;
mod faults;
pub mod house;
mod incremental;
mod kill;
mod life;
mod sessions;
