//! Sharing as its users do it: customers, channels, access.

mod edit;
mod promote;
