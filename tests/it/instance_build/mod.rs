//! `build --on ec2`: the controller against the sandbox, with instances that are processes, and once
//! with real machines.

mod bad_input;
mod faults;
mod kill;
mod life;
mod machine;
mod policy;
pub mod yard;
