//! Every integration test in one binary: each binary would link the whole program again.

mod diff;
mod install;
mod instance_build;
mod kills;
mod least;
mod list;
mod lock;
mod machine;
mod mirrors;
mod nightly;
mod nodes;
mod page;
mod profiles;
mod prune;
mod publish;
mod reference;
mod release;
mod render;
mod sandbox;
mod services;
mod share;
mod solver_against_apk;
mod solver_cases;
mod support;
mod telemetry;
mod worker;
