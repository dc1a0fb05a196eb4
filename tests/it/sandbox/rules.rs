//! Each rule of AWS's that the sandbox is for, broken: the code that AWS answers with.

mod access;
mod dry_run;
mod encryption;
mod images;
mod names_and_tokens;
mod quotas;
mod roles;
mod states;
